"""The recommended caches for a crowd as programs: nginx with `crowd.conf`, Varnish with `crowd.vcl`.

They run as they are recommended but for the lines that name addresses, and for one that tells what is asked of edges.
"""

import math
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from infra.local.jars import ROOM
from infra.local.ports import HOST, answers

_INFRA: Final = ROOM.parent
CACHES: Final = {"nginx": "nginx-light", "varnishd": "varnish"}
"""By the packages that bring them."""
_START_TIMEOUT_S: Final = 60.0
_LOOK_S: Final = 0.05
_NGINX_SAYS: Final = (
    "$msec|$upstream_response_time|$upstream_status|$upstream_cache_status|$request_uri|$upstream_http_cache_control"
)
_VARNISH_SAYS: Final = "%{VSL:Timestamp:Beresp[1]}x|%{VSL:Timestamp:Beresp[2]}x|%s|VARNISH|%U%q|%{Cache-Control}o"
_OF_VARNISH: Final = "VARNISH"
_SLOT_S: Final = 10.0
_LIFE: Final = re.compile(r"s-maxage=(\d+)")


class Fetch(NamedTuple):
    """What a cache asked of an edge."""

    began: float
    """Unix time, as `ended`."""
    ended: float
    status: int
    why: str
    """MISS, EXPIRED, BYPASS: in nginx's words. Varnish tells of no more than that it asked."""
    offset: str
    live: str
    cursor: str
    life_s: float
    """How long what was answered may be kept; 0: not at all. nginx keeps nothing over full ten seconds of the clock."""

    @property
    def url(self) -> tuple[str, str, str]:
        """What a cache keeps it by."""
        return self.offset, self.live, self.cursor


def _nginx(directory: Path, port: int, edges: Sequence[int]) -> list[str]:
    text = (_INFRA / "nginx/crowd.conf").read_text()
    text = text.replace("listen 8080 ", f"listen {HOST}:{port} ")
    text = text.replace("/var/cache/nginx/crowd", str(directory / "cache"))
    for number, edge in enumerate(edges, 1):
        text = text.replace(f"edge-{number}:8080", f"{HOST}:{edge}")
    told = f"log_format edges '{_NGINX_SAYS}'; access_log {directory}/fetches edges if=$upstream_addr;"
    text = text.replace("access_log off;", told)
    file = directory / "crowd.conf"
    file.write_text(text)
    own = f"daemon off; user root; pid {directory}/nginx.pid;"
    return ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(file), "-g", own]


def _varnish(directory: Path, port: int, edges: Sequence[int]) -> list[str]:
    text = (_INFRA / "varnish/crowd.vcl").read_text()
    (line,) = re.findall(r"^#\s+varnishd (.*)$", text, re.MULTILINE)
    for number, edge in enumerate(edges, 1):
        text = re.sub(
            rf'\.host = "edge-{number}";\n    \.port = "8080"', f'.host = "{HOST}";\n    .port = "{edge}"', text
        )
    file = directory / "crowd.vcl"
    file.write_text(text)
    said = line.replace("crowd.vcl", str(file)).replace("-a :8080", f"-a {HOST}:{port}").split()
    return ["varnishd", "-F", "-j", "none", "-n", str(directory / "work"), *said]


_COMMANDS: Final = {"nginx": _nginx, "varnishd": _varnish}


class Cache:
    """A cache that is ended by its own pid, and keeps nothing over a restart.

    Args:
        program: one of `CACHES`.
        directory: made if it is not there.
        port: of the cache; `edges`: of what it asks, two of them.
    """

    def __init__(self, program: str, directory: Path, port: int, edges: Sequence[int]) -> None:
        directory.mkdir(exist_ok=True)
        self.port = port
        self._program = program
        self._directory = directory
        self._command = _COMMANDS[program](directory, port, edges)
        self._running: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def why_missing(program: str) -> str | None:
        """Return what to install so that it can run; None if it can."""
        return None if shutil.which(program) else f"No {program} found: apt-get install {CACHES[program]}."

    @property
    def pids(self) -> list[int]:
        """Return its processes, children included, without what writes its log."""
        (first, *_) = self._running
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        return [first.pid, *map(int, children)]

    def start(self) -> None:
        """Run it, and wait until it listens. Raises TimeoutError."""
        self._run(self._command)
        end = time.monotonic() + _START_TIMEOUT_S
        while not answers(self.port):
            if time.monotonic() > end:
                raise TimeoutError(f"{self._program} does not listen: see {self._directory / 'log'}")
            time.sleep(_LOOK_S)
        if self._program == "varnishd":
            work = str(self._directory / "work")
            self._run(
                ["varnishncsa", "-b", "-a", "-n", work, "-w", str(self._directory / "fetches"), "-F", _VARNISH_SAYS]
            )

    def stop(self) -> None:
        """End it with every connection that it has. It may be started again."""
        while self._running:
            process = self._running.pop()
            process.terminate()
            process.wait(_START_TIMEOUT_S)

    def fetches(self) -> list[Fetch]:
        """Return what it has asked edges and was answered, in the order of the answers."""
        file = self._directory / "fetches"
        return [_fetch(line) for line in file.read_text().splitlines()] if file.exists() else []

    def _run(self, command: Sequence[str]) -> None:
        with ExitStack() as stack:
            log = stack.enter_context((self._directory / "log").open("ab"))
            self._running.append(subprocess.Popen(command, stdout=log, stderr=log))  # noqa: S603 - fixed programs


def _slot_end(at: float) -> float:
    """Tell when the ten seconds of the clock are over that are a part of nginx's keys."""
    return at // _SLOT_S * _SLOT_S + _SLOT_S


def _fetch(line: str) -> Fetch:
    ended, took, status, why, url, said = line.split("|", 5)
    query = dict(pair.partition("=")[::2] for pair in url.partition("?")[2].split("&"))
    life = _LIFE.search(said)
    seconds = sum(float(one) for one in took.split(", ") if one != "-")  # of all edges that were tried
    began = float(ended) - seconds
    return Fetch(
        began,
        float(ended),
        int(status.rpartition(" ")[2]) if status[-1:].isdigit() else 0,
        why,
        query.get("offset", ""),
        query.get("live", ""),
        query.get("cursor", ""),
        min(float(life[1]), _slot_end(began) - float(ended) if why != _OF_VARNISH else math.inf) if life else 0.0,
    )
