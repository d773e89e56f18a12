"""Processes of livecomments itself: a gateway, an edge, the jobs, each started as its operators start it."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

from infra.local.jars import ROOM
from infra.local.lifecycle import Command, Server
from infra.local.ports import HOST
from infra.local.processes import PYTHON_MARK
from infra.local.readiness import probe_http

Part = Literal["gateway", "edge", "stream", "counts", "clean"]
JOBS: Final[tuple[Part, ...]] = ("counts", "clean")
"""What data teams want of the log; the service does without."""

_SERVING: Final = ("gateway", "edge")
_CODE: Final = ("schemas", "livecomments", "gateway", "streams", "consumers", "command")
_PREFIX: Final = "LIVECOMMENTS_"


class App(Server):
    """One process: `python -m livecomments_command gateway` and so on.

    One that runs with other settings or older code than it would be started with now is replaced by `start`.

    Args:
        kind: its name, since there may be several of a part.
        part: the command.
        data_dir: see `Server`.
        environment: what it is to run with, asked for at each start; host, ports and data directory are added.
    """

    _first = "reading of the log"

    def __init__(self, kind: str, part: Part, data_dir: Path, environment: Callable[[], Mapping[str, str]]) -> None:
        super().__init__(kind, data_dir, PYTHON_MARK)
        self._part = part
        self._environment = environment

    @property
    def internal_address(self) -> str:
        """Where its health and metrics are, as 'host:port'."""
        return f"{HOST}:{self._internal_port}"

    def start(self, *, detached: bool = False) -> None:
        recipe = self.recipe()
        file = self.data_dir / "recipe"
        if self.is_running() and (not file.exists() or file.read_text() != recipe):
            self.on_step("stopping, to start it as it is now")
            self.stop()
        super().start(detached=detached)
        file.write_text(recipe)

    @property
    def is_wanted(self) -> bool:
        """It was started, and not taken down since; it may have ended by itself."""
        return (self.data_dir / "recipe").exists()

    def take_down(self) -> None:
        """Stop it, for good."""
        self.stop()
        (self.data_dir / "recipe").unlink(missing_ok=True)

    def recipe(self) -> str:
        """Return a digest of the process's settings, and of the paths, times and sizes of the code as it is now."""
        settings = self._settings().items()
        parts = [f"{name}={value}" for name, value in sorted(settings) if name.startswith(_PREFIX)]
        for file in sorted(_code(ROOM.parents[1])):
            found = file.stat()
            parts.append(f"{file} {found.st_mtime_ns} {found.st_size}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def _internal_port(self) -> int:
        return self.ports.get("internal", self.ports["client"])

    def _first_port(self) -> int:
        return self._internal_port

    def _ports_wanted(self) -> dict[str, int | None]:
        # A job serves nobody: its health is all there is to ask it for.
        return dict.fromkeys(("client", "internal") if self._part in _SERVING else ("client",))

    def _command(self) -> Command:
        return Command(sys.executable, ["-m", "livecomments_command", self._part], self._settings())

    def _settings(self) -> dict[str, str]:
        return {
            **self._environment(),
            "PYTHONUNBUFFERED": "1",
            f"{_PREFIX}HOST": HOST,
            f"{_PREFIX}PORT": str(self.ports["client"]),
            f"{_PREFIX}INTERNAL_PORT": str(self._internal_port),
            f"{_PREFIX}DATA_DIR": str(self.data_dir / "data"),
        }

    def _probe(self) -> None:
        # A job may have hours to read before it is current.
        probe_http(self.internal_address, "/healthz/live" if self._part in JOBS else "/healthz/ready")


def _code(root: Path) -> Iterable[Path]:
    for package in _CODE:
        yield from (
            file for file in (root / package).rglob("*") if file.is_file() and file.parent.name != "__pycache__"
        )
