"""The recommended caches as real programs, and pollers that go by the protocol."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from infra.local.ports import answers
from tests.infra.waiting import wait_until

ROOT: Final = Path(__file__).parents[2]
HOST: Final = "127.0.0.1"
PROGRAMS: Final = {"nginx": "nginx-light", "varnishd": "varnish"}
"""By the packages that bring them."""
_START_TIMEOUT_S: Final = 60.0


def nginx_of(directory: Path, port: int, edges: Sequence[int]) -> list[str]:
    """The command that runs `infra/nginx/crowd.conf` on this port, before edges at those."""
    text = (ROOT / "infra/nginx/crowd.conf").read_text()
    text = re.sub(r"^        listen \d+;$", f"        listen {HOST}:{port};", text, flags=re.MULTILINE)
    text = text.replace("/var/cache/nginx/crowd", str(directory / "cache"))
    for number, edge in enumerate(edges, 1):
        text = text.replace(f"edge-{number}:8080", f"{HOST}:{edge}")
    file = directory / "crowd.conf"
    file.write_text(text)
    own = f"daemon off; user root; pid {directory}/nginx.pid;"
    return ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(file), "-g", own]


def varnish_of(directory: Path, port: int, edges: Sequence[int]) -> list[str]:
    """The command that runs `infra/varnish/crowd.vcl`, as it says itself."""
    text = (ROOT / "infra/varnish/crowd.vcl").read_text()
    (line,) = re.findall(r"^#\s+varnishd (.*)$", text, re.MULTILINE)
    for number, edge in enumerate(edges, 1):
        text = re.sub(
            rf'\.host = "edge-{number}";\n    \.port = "8080"', f'.host = "{HOST}";\n    .port = "{edge}"', text
        )
    file = directory / "crowd.vcl"
    file.write_text(text)
    said = line.replace("crowd.vcl", str(file)).replace("-a :8080", f"-a {HOST}:{port}").split()
    return ["varnishd", "-F", "-j", "none", "-n", str(directory / "work"), *said]


COMMANDS: Final = {"nginx": nginx_of, "varnishd": varnish_of}


class Cache:
    """A cache that is ended by its own pid, and keeps nothing."""

    def __init__(self, program: str, directory: Path, port: int, edges: Sequence[int]) -> None:
        self.port = port
        self._directory = directory
        self._command = COMMANDS[program](directory, port, edges)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, and wait until it listens."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(lambda: answers(self.port), _START_TIMEOUT_S)

    def stop(self) -> None:
        """End it with every connection that it has."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(_START_TIMEOUT_S)


@contextmanager
def cache_before(program: str, directory: Path, port: int, edges: Sequence[int]) -> Iterator[Cache]:
    """A cache that runs until the context is left."""
    if shutil.which(program) is None:
        pytest.skip(f"No {program} found: apt-get install {PROGRAMS[program]}.")
    directory.mkdir()
    cache = Cache(program, directory, port, edges)
    cache.start()
    try:
        yield cache
    finally:
        cache.stop()


class FollowingPoller:
    """One client: what it was told, and where it goes on. Comes back after a connection that broke."""

    def __init__(self, client: aiohttp.ClientSession, video_id: str, offset: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self.answers = 0
        self.offset = offset
        self._client = client
        self._path = f"/streams/{video_id}"
        self._query: dict[str, str] = {}

    async def ask(self) -> None:
        """One request; what it gives is taken whole or not at all. Raises ClientError."""
        async with self._client.get(self._path, params={"offset": self.offset, **self._query}) as answer:
            answer.raise_for_status()
            assert answer.status in (200, 204)
            self.messages += await answer.json() if answer.status == 200 else []
            self.answers += 1
            self.offset = answer.headers["Stream-Next-Offset"]
            self._query = {"cursor": answer.headers["Stream-Cursor"]}
            if answer.headers.get("Stream-Up-To-Date") == "true":
                self._query["live"] = "long-poll"

    @property
    def ids(self) -> list[str]:
        return [message["commentId"] for message in self.messages if message["type"] == "comment"]
