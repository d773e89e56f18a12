"""What the servers share: started at most once, ready when they really work, ended by their own pid only."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Protocol, TypeVar

from infra.local.errors import ServerUnavailable
from infra.local.jars import Kind, class_path, java, locked
from infra.local.ports import HOST, answers, claim_ports, is_free
from infra.local.processes import JAVA_MARK, POLL_S, ServerProcess
from infra.local.readiness import NotReady

START_TIMEOUT_S: Final = 120.0
"""Ten times what the slower one takes on two busy cores."""
STOP_TIMEOUT_S: Final = 20.0
_PORT_TIMEOUT_S: Final = 2.0
"""A process killed by somebody else may hold its ports for an instant after it is gone from sight."""


def _say_nothing(step: str) -> None:
    """Say nothing: the default of `on_step`."""


@dataclass(frozen=True)
class Command:
    """What a server is started with. `environment`: all of it; None: that of this process."""

    program: str
    arguments: list[str]
    environment: Mapping[str, str] | None = None


class Server(ABC):
    """One server: its data directory, its ports, its process.

    Args:
        kind: what it is called, in messages.
        data_dir: everything it keeps, logs and ports included; made when missing.
        mark: see `ServerProcess`.
    """

    def __init__(self, kind: str, data_dir: Path, mark: tuple[str, ...]) -> None:
        self.kind = kind
        self.data_dir = data_dir.resolve()
        self.on_step: Callable[[str], None] = _say_nothing
        """Called with what it is waiting for, in a few words, while it starts."""
        self._process = ServerProcess(self.data_dir, mark)

    @property
    def address(self) -> str:
        """Where clients connect, as 'host:port'; the same for the life of the data directory."""
        return f"{HOST}:{self.ports['client']}"

    @cached_property
    def ports(self) -> dict[str, int]:
        """By what they are for; 'client' is that of `address`."""
        wanted = self._ports_wanted()
        # Who already runs keeps its ports, whatever is asked for.
        return claim_ports(self.data_dir, dict.fromkeys(wanted) if self.is_running() else wanted)

    @property
    def pid(self) -> int | None:
        """Of its process, while it runs."""
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """Where the server's own words go."""
        return self._process.log_file

    def is_running(self) -> bool:
        """Tell whether its process is alive; it may not answer yet (`wait_ready`)."""
        return self.pid is not None

    def start(self, *, detached: bool = False) -> None:
        """Start the server, unless it runs already; do not wait until it is ready.

        Args:
            detached: it outlives this process, until somebody stops it. Otherwise it is killed when this process ends.

        Raises:
            ServerUnavailable: a program or file it needs cannot be had, or a port is taken.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with locked(self.data_dir / "start.lock"):
            if self.is_running():
                return
            for port in self.ports.values():
                self._wait_free(port)
            command = self._command()
            self.on_step("starting")
            self._process.spawn(command.program, command.arguments, detached=detached, environment=command.environment)

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the server has really done its job once: a record in and out, a query, an answer.

        Raises:
            ServerUnavailable: its process ended, or `timeout_s` went by.
        """
        deadline = time.monotonic() + timeout_s
        missing = "nobody listens on its port"
        self.on_step("waiting until it listens")
        listens = False
        while self.is_running() and time.monotonic() < deadline:
            if answers(self._first_port()):
                if not listens:
                    self.on_step(f"waiting for its first {self._first}")
                listens = True
                try:
                    return self._probe()
                except NotReady as not_yet:
                    missing = str(not_yet)
            time.sleep(POLL_S)
        if self.is_running():
            raise ServerUnavailable(f"{self.kind} was not ready in {timeout_s:g} s: {missing}; see {self.log_file}.")
        said = self._process.log_tail()
        raise ServerUnavailable(f"{self.kind} is not running; the last it said in {self.log_file}:\n{said}")

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Let it end by itself, and kill it after `timeout_s`. Do nothing when it does not run."""
        self._process.stop(timeout_s)

    def kill(self) -> None:
        """Send SIGKILL, and wait until it is gone. What it has acknowledged it still has after a restart."""
        self._process.kill()

    def _first_port(self) -> int:
        """Return the port on which it listens once it has started far enough to be probed."""
        return self.ports["client"]

    def _wait_free(self, port: int) -> None:
        deadline = time.monotonic() + _PORT_TIMEOUT_S
        while not is_free(port):
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"Port {port} of {self.kind} is taken by another process: end that one.")
            time.sleep(POLL_S)

    _first: ClassVar[str]
    """What `_probe` waits for, for the eye."""

    @abstractmethod
    def _ports_wanted(self) -> dict[str, int | None]:
        """Return the names of the ports it needs, with the number where one was asked for."""

    @abstractmethod
    def _command(self) -> Command:
        """Write its configuration, prepare its storage once, and return the command that starts it."""

    @abstractmethod
    def _probe(self) -> None:
        """Make it do its job once. Raises `NotReady`: it could not yet."""


class JavaServer(Server):
    """A server from jars.

    Args:
        data_dir: see `Server`.
        heap_mb: the largest Java heap; the process takes 100 (Kafka) to 350 MB (Cassandra) more.
        lib_dir: where the jars are, or are put.
    """

    jars: ClassVar[Kind]

    def __init__(self, data_dir: Path, *, heap_mb: int, lib_dir: Path) -> None:
        super().__init__(self.jars, data_dir, JAVA_MARK)
        self._heap_mb = heap_mb
        self._lib_dir = lib_dir

    def _command(self) -> Command:
        jars = class_path(self.jars, self._lib_dir, self.on_step)
        return Command(java(), [f"-Xmx{self._heap_mb}m", *self._arguments(jars)])

    @abstractmethod
    def _arguments(self, jars: str) -> list[str]:
        """Write its configuration, prepare its storage once, and return the arguments of the JVM."""


class Startable(Protocol):
    """What `running` needs: a server or a cluster."""

    def start(self) -> None: ...
    def wait_ready(self) -> None: ...
    def kill(self) -> None: ...
    def is_running(self) -> bool: ...


S = TypeVar("S", bound=Startable)


@contextmanager
def running(server: S) -> Iterator[S]:
    """Start `server` and yield it when it is ready; the body of a session fixture.

    One that runs already is used and left alone. One started here is killed at the end, not stopped: that saves
    seconds, and loses nothing it has acknowledged.
    """
    ours = not server.is_running()
    try:
        server.start()
        server.wait_ready()
        yield server
    finally:
        if ours:
            server.kill()
