"""Secrets and certificates that change while the process runs: their files are looked at again and again.

Whoever uses what is in them asks for it each time (`Rotated.now`), or is told of what is new (`Rotated.lend`). What a
file holds is checked before it is taken: one that is broken, or one of a pair whose other half is still to come, leaves
in use what was there.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Generic, NoReturn, TypeVar
from weakref import WeakKeyDictionary

from livecomments.runtime.metrics import Counter, Gauge
from livecomments.runtime.values import refuse_pipe
from livecomments_schemas.errors import StartRefused

_LOOK_S: Final = 1.0
"""Between two looks. A file is read once it has stayed as it is from one to the next: by then both files of a pair are
there. Kubernetes itself takes a minute to bring a Secret to a pod."""

T = TypeVar("T")
User = TypeVar("User")

_log = logging.getLogger("livecomments.rotation")
_rotations = Counter(
    "livecomments_rotations_total", "Files of secrets and certificates that changed, by setting.", ["setting", "result"]
)
_refused = Gauge(
    "livecomments_rotation_refused",
    "1 while the files of a setting hold what cannot be used, and the former goes on.",
    ["setting"],
)


class Rotated(Generic[T]):
    """A value that may be another one the next time."""

    def __init__(self, value: T) -> None:
        self.now = value
        self._users: WeakKeyDictionary[Any, Callable[[Any, T], None]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def lend(self, user: User, take: Callable[[User, T], None]) -> None:
        """Have `take(user, value)` called with each value from the next one on, as long as `user` lives.

        May be called on any thread; `take` is called on that of `replace`. It must not wait and must not raise.
        """
        with self._lock:
            self._users[user] = take

    def replace(self, value: T) -> None:
        """Use this value from now on, and tell all who asked to be told."""
        self.now = value
        with self._lock:
            users = list(self._users.items())
        for user, take in users:
            take(user, value)


class FromFiles(Rotated[T]):
    """A value that is in files, and is read again when they change.

    Args:
        setting: the one that names the files, for logs and metrics.
        files: their names; those that are empty are left out.
        read: reads and checks the value. Raises ValueError, OSError or StartRefused: it cannot be used.
    """

    def __init__(self, setting: str, files: Iterable[str], read: Callable[[], T]) -> None:
        self.setting = setting
        self._files = [Path(name) for name in files if name]
        self._read = read
        self._seen = self._state()  # before the first read: what comes in between is another state
        self._is_due = False
        super().__init__(self._checked())

    def look(self) -> None:
        """Take what is in the files, if they have changed and have been left alone since the last look."""
        state = self._state()
        if state != self._seen:
            self._seen, self._is_due = state, True
        elif self._is_due:
            self._is_due = False
            self._take()

    def _take(self) -> None:
        try:
            value = self._checked()
        except (ValueError, OSError, StartRefused) as error:
            _rotations.labels(self.setting, "refused").inc()
            _refused.labels(self.setting).set(1)
            _log.error("rotation refused, the former goes on", extra={"setting": self.setting, "reason": str(error)})
            return
        self.replace(value)
        _rotations.labels(self.setting, "taken").inc()
        _refused.labels(self.setting).set(0)
        _log.info("rotated", extra={"setting": self.setting})

    def _checked(self) -> T:
        for file in self._files:
            try:
                refuse_pipe(file)  # it would hold up the whole process
            except ValueError as error:
                raise StartRefused(f"{file} {error}.") from error
            except OSError:
                pass  # whoever reads it says what is wrong
        return self._read()

    def _state(self) -> list[tuple[int, int, int] | None]:
        """Return what changes whenever somebody writes, replaces or removes one of the files."""
        return [_state_of(file) for file in self._files]


def _state_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


async def keep_fresh(*values: Rotated[Any] | None) -> NoReturn:
    """Look at the files of these values, as far as they have any, as long as the process runs."""
    from_files = [value for value in values if isinstance(value, FromFiles)]
    for value in from_files:
        _refused.labels(value.setting).set(0)
    while True:
        await asyncio.sleep(_LOOK_S)
        for value in from_files:
            value.look()
