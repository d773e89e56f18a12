"""The chart as a test sees it: values in, manifests out."""

import copy
import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm" / "livecomments"
EXAMPLES: Final = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
RELEASE: Final = "test"
COMPONENTS: Final = ("gateway", "edge", "stream")
_TIMEOUT_S: Final = 60
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast, where PyYAML was built with it."""
_SECRETS: Final = "/secrets/"
"""Where secrets are files, in a pod."""
_SECRET: Final = "a secret of more than thirty-two bytes"

Manifest = dict[str, Any]
"""An object of Kubernetes, as its YAML says."""


class ChartRefused(Exception):
    """Helm does not render these values."""


@dataclass(frozen=True)
class Rendered:
    """The manifests of a release."""

    manifests: list[Manifest]

    def of(self, kind: str) -> dict[str, Manifest]:
        """Those of a kind, by name without the release's."""
        found = [one for one in self.manifests if one["kind"] == kind]
        return {one["metadata"]["name"].removeprefix(f"{RELEASE}-livecomments").lstrip("-"): one for one in found}

    def workloads(self) -> dict[str, Manifest]:
        """What makes pods: the three components and the jobs, by component."""
        kinds = ("Deployment", "StatefulSet", "Job")
        found = [one for one in self.manifests if one["kind"] in kinds]
        return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in found}

    def pods(self) -> dict[str, Manifest]:
        """The pods' specifications by component."""
        return {name: one["spec"]["template"]["spec"] for name, one in self.workloads().items()}

    def container(self, component: str) -> Manifest:
        """The only container of a component."""
        (container,) = self.pods()[component]["containers"]
        assert isinstance(container, dict)
        return container

    def environment(self, component: str, *, ordinal: int = 1) -> dict[str, str]:
        """The variables that its process gets, as the kubelet would make them."""
        container = self.container(component)
        values: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            name = source["configMapRef"]["name"]
            values |= next(
                one["data"] for one in self.manifests if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name
            )
        for variable in container.get("env", ()):
            name, value = variable["name"], _value(variable, values, ordinal)
            if value.startswith(_SECRETS) and name.endswith("_FILE"):  # which is not on this machine
                name, value = name.removesuffix("_FILE"), _SECRET
            values[name] = value
        return values

    def secret_files(self, component: str) -> dict[str, tuple[str, str]]:
        """By the setting that names it: the Secret and the key of each file of a secret."""
        volumes = {volume["name"]: volume for volume in self.pods()[component]["volumes"]}
        mounts = {mount["mountPath"]: mount for mount in self.container(component)["volumeMounts"]}
        found = {}
        for variable in self.container(component)["env"]:
            directory, _, file = str(variable.get("value")).rpartition("/")
            if not directory.startswith(_SECRETS):
                continue
            assert mounts[directory]["readOnly"]
            assert "subPath" not in mounts[directory]  # what is mounted so never changes
            secret = volumes[mounts[directory]["name"]]["secret"]
            keys = {item["path"]: item["key"] for item in secret.get("items", [{"key": file, "path": file}])}
            found[variable["name"]] = (secret["secretName"], keys[file])
        return found


class Helm(ABC):
    """Renders and lints the chart."""

    def __init__(self) -> None:
        self._rendered: dict[str, Rendered] = {}

    def render(self, example: str = "minimal", /, **values: Any) -> Rendered:
        """The chart with an example's values, and these over them.

        Raises:
            ChartRefused: with what Helm said.
        """
        wanted = merged(example_values(example), values)
        key = json.dumps(wanted, sort_keys=True)
        if key not in self._rendered:
            self._rendered[key] = Rendered(manifests_of(self.render_values(wanted)))
        return copy.deepcopy(self._rendered[key])

    @abstractmethod
    def render_values(self, values: Mapping[str, Any], release: str = RELEASE) -> str:
        """The text of the manifests with these values only. Raises ChartRefused."""

    @abstractmethod
    def notes(self, values: Mapping[str, Any]) -> str:
        """What is printed after an install. Raises ChartRefused."""

    @abstractmethod
    def lint(self, values: Mapping[str, Any]) -> None:
        """Raises ChartRefused unless Helm has nothing to complain of."""


class HelmProgram(Helm):
    """Helm as `command`, a process for each question."""

    def __init__(self, command: str, directory: Path) -> None:
        super().__init__()
        self._command = command
        self._directory = directory

    def render_values(self, values: Mapping[str, Any], release: str = RELEASE) -> str:
        return self._run("template", release, str(CHART), "-f", self._file(values))

    def notes(self, values: Mapping[str, Any]) -> str:
        arguments = ("install", RELEASE, str(CHART), "--dry-run=client", "-f", self._file(values))
        return self._run(*arguments).partition("\nNOTES:\n")[2]

    def lint(self, values: Mapping[str, Any]) -> None:
        self._run("lint", "--strict", str(CHART), "-f", self._file(values))

    def _file(self, values: Mapping[str, Any]) -> str:
        file = self._directory / "values.json"
        file.write_text(json.dumps(values))
        return str(file)

    def _run(self, *arguments: str) -> str:
        whole = [self._command, *arguments]
        done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise ChartRefused(done.stderr + done.stdout)
        return done.stdout


class HelmLibrary(Helm):
    """Helm's engine in a process that runs until `close`; see program.py."""

    def __init__(self) -> None:
        super().__init__()
        command = [sys.executable, "-m", "tests.helm.program"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=_TIMEOUT_S)

    def render_values(self, values: Mapping[str, Any], release: str = RELEASE) -> str:
        return self._ask("template", values, release)["text"]

    def notes(self, values: Mapping[str, Any]) -> str:
        return self._ask("template", values, RELEASE)["notes"]

    def lint(self, values: Mapping[str, Any]) -> None:
        self._ask("lint", values, RELEASE)

    def _ask(self, command: str, values: Mapping[str, Any], release: str) -> dict[str, str]:
        assert self._process.stdin
        assert self._process.stdout
        request = {"command": command, "chart": str(CHART), "name": release, "values": values}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, str] = json.loads(self._process.stdout.readline())
        if "refused" in answer:
            raise ChartRefused(answer["refused"])
        return answer


def manifests_of(text: str) -> list[Manifest]:
    """The objects of what was rendered."""
    return [one for one in yaml.load_all(text, _LOADER) if one]


def example_values(name: str) -> dict[str, Any]:
    """The values of an example of the chart."""
    values = yaml.safe_load((CHART / "ci" / f"{name}.yaml").read_text())
    assert isinstance(values, dict)
    return values


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """As Helm merges values: mappings by key, all else replaced."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def leaves(schema: Manifest, properties: Manifest, path: str = "") -> Iterator[tuple[str, Manifest]]:
    """(path, subschema) of every value that a user can set; a value of free form counts as one."""
    for name, given in properties.items():
        here = f"{path}.{name}".lstrip(".")
        resolved = _resolved(schema, given)
        if name == "settings" or "properties" not in resolved:
            yield here, resolved
        else:
            yield from leaves(schema, resolved["properties"], here)


def _resolved(schema: Manifest, given: Manifest) -> Manifest:
    resolved = dict(given)
    for reference in [given, *given.get("allOf", ())]:
        if "$ref" in reference:
            resolved = schema["definitions"][reference["$ref"].removeprefix("#/definitions/")] | resolved
    return resolved


def _value(variable: Manifest, before: Mapping[str, str], ordinal: int) -> str:
    source = variable.get("valueFrom")
    if source is None:
        value = variable["value"]
        for name, known in before.items():
            value = value.replace(f"$({name})", known)
        assert isinstance(value, str), variable
        return value
    if "secretKeyRef" in source:
        return _SECRET
    assert source["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"
    return str(ordinal)
