"""`python -m infra.kube.rehearsal BINARIES`: the chart's life on a real API server, step by step, with times.

In a namespace that enforces the `restricted` profile: an install of the chart of before (`--before`, a commit) and an
upgrade from it; scaling, evictions, `helm test`, a roll back, an uninstall; then the same of everything that can be
switched on, with scalers; then each example of the chart and of the operators. Objects of kinds that the files of
`--crds` do not describe are refused, as on any cluster: name a directory with the CRDs of the Gateway API, of the
Prometheus operator, of Strimzi and of the ScyllaDB operator. Whatever the server warns of is told. Needs `build.sh`.
"""

import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from infra.kube.cluster import cluster

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm/livecomments"
NAMESPACE: Final = "comments"
RELEASE: Final = "live"
FULLNAME: Final = f"{RELEASE}-livecomments"
_TIMEOUT: Final = "5m"
_BEFORE: Final = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels: {{pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {{name: web}}
value: 1000
"""
_SCALED: Final = {"autoscaling": {"enabled": True, "targetOwnMetric": 100}}
EVERYTHING: Final[dict[str, Any]] = {
    "gateway": {"kind": "StatefulSet", **_SCALED},
    "edge": _SCALED,
    "stream": _SCALED,
    "counts": {"enabled": True},
    "clean": {"enabled": True},
    "front": {"enabled": True, "tlsSecret": "comments-tls", "drainSeconds": 60},
}
"""Beside what the example `full` switches on."""


class Refused(Exception):
    """A command failed, or what it should have made is not so."""


class Rehearsal:
    """One run on one cluster: commands, and how long each step took."""

    def __init__(self, binaries: Path, config: Path, scratch: Path) -> None:
        self._binaries = binaries
        self._config = config
        self._scratch = scratch

    def step(self, name: str, work: Callable[..., str], *arguments: Any) -> None:
        """Do it and tell how long it took and what came of it."""
        began_at = time.monotonic()
        found = work(*arguments)
        print(f"{time.monotonic() - began_at:6.1f} s  {name}: {found}", flush=True)

    def kubectl(self, *arguments: str, given: str = "") -> str:
        """Run it. Raises Refused with what it said."""
        return self._run("kubectl", ["--namespace", NAMESPACE, *arguments], given)

    def helm(self, *arguments: str) -> str:
        """Run it. Raises Refused with what it said."""
        return self._run("helm", ["--namespace", NAMESPACE, *arguments], "")

    def test(self) -> str:
        """Have `helm test` run what it has, and tell how that ended."""
        return self.helm("test", RELEASE, "--timeout", _TIMEOUT).split("Phase:")[-1].split()[0]

    def rolled_back(self, *options: str) -> str:
        """Roll back to the first revision, and wait until all of it is ready."""
        self.helm("rollback", RELEASE, "1", "--wait", "--timeout", _TIMEOUT, *options)
        return self.running()

    def deploy(self, command: str, chart: Path, example: str, values: Mapping[str, Any]) -> str:
        """Install or upgrade the release, and wait until all of it is ready."""
        file = self._scratch / "values.json"
        file.write_text(json.dumps(values))
        files = ["--values", str(chart / f"ci/{example}.yaml"), "--values", str(file)]
        self.helm(command, RELEASE, str(chart), *files, "--wait", "--timeout", _TIMEOUT)
        return self.running()

    def running(self) -> str:
        """Return how many pods of each component are ready."""
        counts: dict[str, int] = {}
        for pod in self._of("pods"):
            ready = any(
                one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ())
            )
            if ready and pod["status"]["phase"] == "Running":
                component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
                counts[component] = counts.get(component, 0) + 1
        return ", ".join(f"{count} {component}" for component, count in sorted(counts.items())) or "nothing runs"

    def evict(self, component: str) -> str:
        """Ask for all pods of a component at once: one may go. Raises Refused: more did, or none."""
        pods = self._of("pods", f"app.kubernetes.io/component={component}")
        gone = 0
        for name in (pod["metadata"]["name"] for pod in pods):
            eviction = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": NAMESPACE},
            }
            try:
                self.kubectl(
                    "create",
                    "--raw",
                    f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction",
                    "-f",
                    "-",
                    given=json.dumps(eviction),
                )
            except Refused as refused:
                if "disruption budget" not in str(refused):
                    raise
            else:
                gone += 1
        if gone != 1:
            raise Refused(f"{gone} of {len(pods)} {component} were evicted at once")
        return f"1 of {len(pods)}, the others refused by its budget"

    def replicas(self, kind: str, component: str) -> int:
        """Return how many are asked for."""
        return int(json.loads(self.kubectl("get", f"{kind}/{FULLNAME}-{component}", "-o", "json"))["spec"]["replicas"])

    def scaled_and_upgraded(self) -> str:
        """Upgrade something else, and see that a number that a scaler chose stays. Raises Refused: it does not."""
        self.kubectl("scale", f"statefulset/{FULLNAME}-edge", "--replicas=5")
        self.deploy("upgrade", CHART, "full", EVERYTHING | {"commonAnnotations": {"example.org/owner": "audio"}})
        if (found := self.replicas("statefulset", "edge")) != 5:
            raise Refused(f"{found} edges, and a scaler had made it 5")
        return f"5 edges before and after; {self.running()}"

    def rolled_back_over_a_scaler(self) -> str:
        """Roll back where a scaler chose a number: Helm 4 takes nobody's fields unless it is told to."""
        try:
            return self.rolled_back()
        except Refused as refused:
            if "conflict" not in str(refused):
                raise
        return f"refused, as another set the number; with --force-conflicts {self.rolled_back('--force-conflicts')}"

    def grown(self) -> str:
        """More edges, of which those that were there know nothing. Raises Refused: they were started again."""
        before = self._uids("edge")
        self.deploy("upgrade", CHART, "minimal", {"edge": {"replicas": 4}})
        after = self._uids("edge")
        if not before.items() <= after.items() or len(after) != 4:
            raise Refused(f"edges were {sorted(before)}, and are {sorted(after)}")
        return f"{', '.join(name.removeprefix(FULLNAME) for name in sorted(after))}, none started again"

    def uninstalled(self) -> str:
        """Uninstall it, and tell what of it stays: what hooks made, which Helm leaves."""
        self.helm("uninstall", RELEASE, "--wait", "--timeout", _TIMEOUT)
        kinds = (
            "deployments,statefulsets,services,configmaps,secrets,serviceaccounts,poddisruptionbudgets,networkpolicies"
        )
        left = self._of(kinds, f"app.kubernetes.io/instance={RELEASE}")
        if left:
            raise Refused(f"{len(left)} objects stay")
        stay = [
            f"{one['kind']} {one['metadata']['name']}"
            for one in self._of("jobs,pods")
            if not one["metadata"].get("ownerReferences")
        ]
        self.kubectl("delete", "jobs,pods", "--all")
        return f"what hooks made stays: {', '.join(stay)}"

    def described(self, crds: Path) -> str:
        """Make the kinds that operators bring."""
        made = self.kubectl("create", "--filename", str(crds)).splitlines()
        self.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=1m")
        return f"{len(made)} kinds"

    def example(self, path: Path) -> str:
        """Render an example of the chart, and have the server take it without keeping it.

        By the namespace's own service account: a pod of one that is not kept would be refused.
        """
        values = ["--values", str(path), "--set", "serviceAccount.create=false"]
        text = self._run("helm", ["template", RELEASE, str(CHART), "--namespace", NAMESPACE, *values], "")
        return self.taken(text)

    def taken(self, manifests: str) -> str:
        """Have the server take manifests, strictly, without keeping them, but those of kinds that it has no CRD for."""
        known = self._kinds()
        objects = [one for one in yaml.safe_load_all(manifests) if one]
        ours = [one for one in objects if f"{one['apiVersion']}/{one['kind']}" in known]
        self.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", given=yaml.safe_dump_all(ours))
        others = sorted({one["kind"] for one in objects} - {one["kind"] for one in ours})
        return f"{len(ours)} objects" + (f", and none here knows {', '.join(others)}" if others else "")

    def _kinds(self) -> set[str]:
        lines = self.kubectl("api-resources", "--no-headers").splitlines()
        return {"/".join((line.split()[-3], line.split()[-1])) for line in lines}

    def _uids(self, component: str) -> dict[str, str]:
        pods = self._of("pods", f"app.kubernetes.io/component={component}")
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}

    def _of(self, kinds: str, selector: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kinds, "-l", selector, "-o", "json"))["items"]
        return found

    def _run(self, program: str, arguments: list[str], given: str) -> str:
        command = [str(self._binaries / program), "--kubeconfig", str(self._config), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
        for line in done.stderr.splitlines():
            if "warning" in line.lower():
                print(f"          {program} {arguments[2]}: {line}", flush=True)
        if done.returncode:
            raise Refused(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def chart_of(commit: str, scratch: Path) -> Path:
    """Return the chart as it was."""
    packed = subprocess.run(["git", "archive", commit, "helm/livecomments"], cwd=ROOT, capture_output=True, check=True)  # noqa: S603, S607 - our own arguments
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(scratch / "before", filter="data")
    return scratch / "before/helm/livecomments"


def rehearse(run: Rehearsal, before: Path, crds: Path | None) -> None:
    """Do all of it, in order. Raises Refused where something is not as it must be."""
    run.kubectl("apply", "-f", "-", given=_BEFORE)
    if crds:
        run.step("CRDs", run.described, crds)
    run.step("install, the chart of before", run.deploy, "install", before, "minimal", {})
    run.step("upgrade to this one", run.deploy, "upgrade", CHART, "minimal", {})
    run.step("helm test", run.test)
    run.step("four edges", run.grown)
    for component in ("gateway", "edge", "stream"):
        run.step(f"evict every {component}", run.evict, component)
    run.step("roll back to the chart of before", run.rolled_back)
    run.step("uninstall", run.uninstalled)
    run.step("install everything", run.deploy, "install", CHART, "full", EVERYTHING)
    run.step("upgrade while a scaler chose", run.scaled_and_upgraded)
    for component in ("gateway", "edge", "stream", "front"):
        run.step(f"evict every {component}", run.evict, component)
    run.step("helm test", run.test)
    run.step("roll back", run.rolled_back_over_a_scaler)
    run.step("uninstall", run.uninstalled)
    for path in sorted((CHART / "ci").glob("*.yaml")):
        run.step(f"example {path.stem}", run.example, path)
    for path in sorted((ROOT / "infra/operators").glob("*.yaml")):
        run.step(f"operators' {path.stem}", run.taken, path.read_text())


def main() -> int:
    """Run it; 1 where something was refused, with what was said."""
    parser = ArgumentParser(prog="python -m infra.kube.rehearsal")
    parser.add_argument("binaries", type=Path, help="where build.sh put them")
    parser.add_argument("--before", default="HEAD~50", help="a commit with the chart to upgrade from")
    parser.add_argument("--crds", type=Path, help="a directory of CRDs")
    given = parser.parse_args()
    binaries = given.binaries.resolve()
    with tempfile.TemporaryDirectory() as place, cluster(binaries) as config:
        scratch = Path(place)
        try:
            run = Rehearsal(binaries, config, scratch)
            rehearse(run, chart_of(given.before, scratch), given.crds)
        except Refused as refused:
            print(refused, file=sys.stderr)
            print(run.kubectl("get", "pods", "-o", "wide"), file=sys.stderr)
            print(
                run.kubectl("get", "events", "--sort-by=.lastTimestamp", "--field-selector=type=Warning"),
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
