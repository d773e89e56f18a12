"""`python -m infra.kube.cluster BINARIES COMMAND…`: runs a command on a Kubernetes of one's own, which ends with it.

etcd, the API server with its admission, the controllers and the scheduler are the real ones (`build.sh`); the nodes and
what runs on them are played by kwok, as `stages.yaml` says. So it proves what is accepted, in what order things are
made, rolled out, evicted and deleted, and nothing of images, probes, hooks, networks, or what a scaler decides.
"""

import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra.local.errors import ServerUnavailable
from infra.local.ports import HOST, free_port

NODES: Final = 3
_STAGES: Final = Path(__file__).with_name("stages.yaml")
_START_TIMEOUT_S: Final = 90.0
_STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.2
_TOKEN: Final = "on-loopback-only"  # noqa: S105 - of a server that lives for minutes, on loopback
_NODE: Final = """\
apiVersion: v1
kind: Node
metadata:
  name: node-{number}
  annotations: {{kwok.x-k8s.io/node: fake}}
  labels:
    kubernetes.io/hostname: node-{number}
    kubernetes.io/os: linux
    topology.kubernetes.io/zone: zone-{number}
---
"""


@contextmanager
def cluster(binaries: Path) -> Iterator[Path]:
    """Run one, and give the kubeconfig of its administrator. Raises ServerUnavailable: it does not start."""
    with tempfile.TemporaryDirectory(prefix="livecomments-kube-") as place:
        home = Path(place)
        ports = {name: free_port() for name in ("etcd", "peer", "api", "controllers", "scheduler")}
        config = _kubeconfig(home, ports["api"])
        running: list[subprocess.Popen[bytes]] = []
        try:
            for program, arguments in _programs(home, ports, config).items():
                running.append(_start(binaries / program, arguments, home))
                if program == "kube-apiserver":
                    _wait_ready(ports["api"], home)
            nodes = "".join(_NODE.format(number=number) for number in range(1, NODES + 1))
            apply = [str(binaries / "kubectl"), "--kubeconfig", str(config), "apply", "-f", "-"]
            subprocess.run(apply, input=nodes.encode(), stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own arguments
            yield config
        finally:
            for process in reversed(running):
                _stop(process)


def _programs(home: Path, ports: Mapping[str, int], config: Path) -> dict[str, list[str]]:
    """Return what runs, in the order in which it starts, with its arguments."""
    store, peer = (f"http://{HOST}:{ports[name]}" for name in ("etcd", "peer"))
    key = home / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)  # noqa: S603, S607 - our own arguments; whichever is first in PATH
    (home / "tokens.csv").write_text(f'{_TOKEN},admin,admin,"system:masters"\n')
    following = [f"--kubeconfig={config}", "--leader-elect=false", f"--bind-address={HOST}"]
    return {
        "etcd": [
            f"--data-dir={home / 'etcd'}",
            f"--listen-client-urls={store}",
            f"--advertise-client-urls={store}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync=true",
        ],
        "kube-apiserver": [
            f"--etcd-servers={store}",
            f"--bind-address={HOST}",
            f"--advertise-address={HOST}",
            f"--secure-port={ports['api']}",
            f"--cert-dir={home / 'certificates'}",
            "--service-cluster-ip-range=10.96.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={home / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--endpoint-reconciler-type=none",
        ],
        "kube-controller-manager": [
            *following,
            f"--secure-port={ports['controllers']}",
            f"--cert-dir={home / 'controllers'}",
            f"--service-account-private-key-file={key}",
            "--authentication-skip-lookup",
        ],
        "kube-scheduler": [
            *following,
            f"--secure-port={ports['scheduler']}",
            f"--cert-dir={home / 'scheduler'}",
            "--authentication-skip-lookup",
        ],
        "kwok": [
            f"--kubeconfig={config}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=40",
            f"--config={_STAGES}",
        ],
    }


def _kubeconfig(home: Path, port: int) -> Path:
    file = home / "kubeconfig"
    file.write_text(
        f"""\
apiVersion: v1
kind: Config
clusters: [{{name: own, cluster: {{server: "https://{HOST}:{port}", insecure-skip-tls-verify: true}}}}]
users: [{{name: admin, user: {{token: {_TOKEN}}}}}]
contexts: [{{name: own, context: {{cluster: own, user: admin}}}}]
current-context: own
"""
    )
    file.chmod(0o600)
    return file


def _start(program: Path, arguments: list[str], home: Path) -> subprocess.Popen[bytes]:
    with (home / f"{program.name}.log").open("wb") as log:
        return subprocess.Popen([program, *arguments], cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603 - our own arguments


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_ready(port: int, home: Path) -> None:
    """Wait until the API server serves. Raises ServerUnavailable with the end of its log."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE  # it signed for itself
    request = urllib.request.Request(f"https://{HOST}:{port}/readyz", headers={"Authorization": f"Bearer {_TOKEN}"})
    give_up_at = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            urllib.request.urlopen(request, timeout=1, context=anybody).close()  # noqa: S310 - the same
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > give_up_at:
                log = "\n".join((home / "kube-apiserver.log").read_text(errors="replace").splitlines()[-10:])
                raise ServerUnavailable(f"The API server does not start: {error}\n{log}") from error
            time.sleep(_POLL_S)
        else:
            return


def main() -> int:
    """Run the command with KUBECONFIG and the binaries first in PATH; its exit code is ours."""
    binaries, *command = sys.argv[1:]
    where = Path(binaries).resolve()
    with cluster(where) as config:
        environment = {**os.environ, "KUBECONFIG": str(config), "PATH": f"{where}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - what the caller asked for


if __name__ == "__main__":
    sys.exit(main())
