"""Exclusive use of the embedded file: by locks on the file itself, and by noticing who writes to it in spite of them.

A lock on another file beside it is gone with that file, and a link to the database has another file beside it. So the
database itself is locked, which is one file however many names it has; whether it still is the one under its name, and
whether anybody else has committed to it, is looked at within every write.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from livecomments_schemas.errors import StartRefused

LOCK_NAME: Final = "lock"
"""What livecomments locked alone once: two of different versions exclude each other too."""


class FileTaken(StartRefused):
    """The embedded file is not this process's alone any more. What it would write might contradict what others did."""


class ExclusiveFile:
    """The locks on `directory / name`, from `take` until `release`.

    The file stays open in between: closing it would take SQLite's own locks away, which are of the whole process.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._path = directory / name
        self._lock_path = directory / LOCK_NAME
        self._held: list[int] = []
        self._version: int | None = None

    def take(self) -> None:
        """Make the file if it is missing, and lock it.

        Raises:
            StartRefused: another process has it.
            OSError: it cannot be opened.
        """
        for path in (self._lock_path, self._path):
            self._held.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
            try:
                fcntl.flock(self._held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StartRefused(
                    f"{self._path.parent} is in use by another livecomments. Stop it, or choose another --data-dir."
                ) from error

    def check(self, version: int) -> None:
        """Look, inside a write, whether anybody else wrote.

        Args:
            version: what changes with others' commits alone: `PRAGMA data_version` of the only connection that writes.

        Raises:
            FileTaken: so it is, or the file was put aside. Nothing may be written.
        """
        if self._version is None:
            self._version = version
        if version != self._version:
            raise FileTaken(f"Another process has written to {self._path}. Stop it, then start this one again.")
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            raise FileTaken(f"{self._path} was removed while it was in use.") from None
        held = os.fstat(self._held[-1])
        if (found.st_dev, found.st_ino) != (held.st_dev, held.st_ino):
            raise FileTaken(f"{self._path} was replaced by another file while it was in use.")

    def release(self) -> None:
        """Let go of it. May be called twice."""
        while self._held:
            os.close(self._held.pop())
