"""One process known by its pid file: started, found again, and ended by its own pid only."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from infra.local.errors import ServerUnavailable

POLL_S: Final = 0.05
JAVA_MARK: Final = ("-Dlivecomments.local=[{}]",)
"""Closed by a bracket: `1` is not `10`."""
PYTHON_MARK: Final = ("-Xlivecomments.local=[{}]",)
_GONE_TIMEOUT_S: Final = 10.0
"""How long the kernel may take to end a process after SIGKILL."""
_MARK_TIMEOUT_S: Final = 10.0
"""How long a new process may take to show its command line."""
_LOG_BYTES_MAX: Final = 16 << 20
"""A log that has grown beyond this is begun anew at the next start."""
_LOG_TAIL_LINES: Final = 15

_children: Final[dict[int, list[subprocess.Popen[bytes]]]] = {}
"""What this process has started, by the server's pid, until reaped: whichever object ends it, no zombie stays."""


class ServerProcess:
    """The process of the server whose state lies in `data_dir`; one data directory, at most one process.

    Args:
        data_dir: where its pid file and log are.
        mark: its first arguments, to which the program gives no meaning, with `{}` in the last for the data directory:
            by that one the process is known.
    """

    def __init__(self, data_dir: Path, mark: Sequence[str] = JAVA_MARK) -> None:
        self.log_file = data_dir / "server.log"
        self._data_dir = data_dir
        self._pid_file = data_dir / "server.pid"
        self._marks = [each.replace("{}", str(data_dir)) for each in mark]
        self._mark = self._marks[-1]

    @property
    def pid(self) -> int | None:
        """The pid, if the process is alive and really ours: a pid file outlives its process, and pids come again."""
        try:
            pid = int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        # Of a child we know for certain; a dying process loses its command line before its ports and files.
        return pid if _is_live_child(pid) or self._mark in _command_line(pid) else None

    def spawn(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        detached: bool,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the program in a session of its own, so that a Ctrl-C meant for the parent does not reach it.

        Args:
            program: its path.
            arguments: what follows it and the mark.
            detached: outlive this process. Otherwise the server is killed when this process ends, however it ends.
            environment: all of it; by default ours.
        """
        grown = self.log_file.exists() and self.log_file.stat().st_size > _LOG_BYTES_MAX
        with self.log_file.open("wb" if grown else "ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own arguments
                [program, *self._marks, *arguments],
                cwd=self._data_dir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _children[process.pid] = [process]
        self._wait_marked(process)
        self._pid_file.write_text(str(process.pid))
        if not detached:
            _children[process.pid].append(_watch(process.pid, self._mark))

    def stop(self, timeout_s: float) -> None:
        """Send SIGTERM, and SIGKILL to what is left after `timeout_s`. Do nothing when it does not run."""
        self.signal(signal.SIGTERM)
        if not self._wait_gone(timeout_s):
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL, and wait until the process is gone. Raises ServerUnavailable: it does not end."""
        self.signal(signal.SIGKILL)
        if not self._wait_gone(_GONE_TIMEOUT_S):
            raise ServerUnavailable(f"Process {self.pid} does not end on SIGKILL; its disk may hang.")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process is alive and ours."""
        pid = self.pid
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it ended between the two lines

    def log_tail(self) -> str:
        """Return the last lines of its log, at most `_LOG_TAIL_LINES`; empty if there are none."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])

    def _wait_marked(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the command line can be read: for an instant after exec it is empty, like a dead process's."""
        deadline = time.monotonic() + _MARK_TIMEOUT_S
        while self._mark not in _command_line(process.pid) and process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
                raise ServerUnavailable(f"The command line of process {process.pid} cannot be read: is /proc mounted?")
            time.sleep(0.001)

    def _wait_gone(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.pid is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        self._pid_file.unlink(missing_ok=True)
        return True


def _watch(pid: int, mark: str) -> subprocess.Popen[bytes]:
    """Start a shell that kills `pid` when our end of its standard input closes, as it does however we die.

    Not the parent-death signal: that one follows the thread that started the server, not the process.
    """
    script = (
        'read -r _; { cat "/proc/$1/cmdline" || ps -ww -o command= -p "$1"; } 2>/dev/null'
        ' | grep -aqF -e "$2" && kill -9 "$1"'
    )
    return subprocess.Popen(  # noqa: S603 - a fixed script; pid and mark are arguments, not text of it
        ["/bin/sh", "-c", script, "sh", str(pid), mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _is_live_child(pid: int) -> bool:
    """Tell whether this process has started `pid` and it lives. One that has ended is reaped, and its watcher ended."""
    started = _children.get(pid)
    if started is None:
        return False
    if started[0].poll() is None:
        return True
    for watcher in _children.pop(pid)[1:]:
        assert watcher.stdin is not None
        watcher.stdin.close()
        watcher.wait()
    return False


def _command_line(pid: int) -> str:
    """Return the command line of `pid`; empty if there is no such process, or only a zombie of it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    # No /proc, as on macOS.
    shown = subprocess.run(  # noqa: S603 - fixed arguments and a number
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout
