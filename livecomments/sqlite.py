"""One SQLite file with one writer thread: the ground of the embedded log and store.

Writes are queued; the writer takes all that wait, runs them in one transaction, commits it with `synchronous=FULL`, and
only then lets any of their callers go on: group commit, durable before every answer. Reads run on a thread of their own
beside it (WAL).
"""

import asyncio
import errno
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, NoReturn, TypeVar

from livecomments.runtime.exclusive_file import ExclusiveFile, FileTaken
from livecomments_schemas.errors import StartRefused, Unavailable

FILE_NAME: Final = "livecomments.db"
FILE_VERSION: Final = 1
"""Of the tables in the file; a file of another version is refused."""
_PRIMARY_CODE: Final = 0xFF
"""The low byte of an SQLite error code; the rest says where it happened."""
_GROUP_MAX: Final = 512
"""Writes joined in one commit: bounds what one caller waits for the others' work."""

_PROBE_INTERVAL_S: Final = 1.0
_PROBE: Final = ("CREATE TABLE IF NOT EXISTS probe AS SELECT zeroblob(65536) AS room", "DROP TABLE IF EXISTS probe")
"""Commits more than any comment takes, and gives it free again."""

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_Item = tuple[Work[Any], "asyncio.Future[Any]"]
_Outcome = list[tuple["asyncio.Future[Any]", Any, BaseException | None]]


class FileUnavailable(Unavailable):
    """The file could not be written or read (disk full, I/O error). What was to be written is not in it."""

    code = "storage_unavailable"


class FileFull(FileUnavailable):
    """No room for what was to be written; it is not in the file. It goes on by itself when there is."""

    code = "storage_full"
    retry_after_s = 10


class FileFailed(StartRefused):
    """The file cannot be opened: its disk is full, or fails. Make room, and start again."""

    exit_code: ClassVar[int] = 74
    """EX_IOERR of sysexits.h: unlike what is refused for good, it may pass, and a supervisor starts it again."""


class CommitUnknown(FileUnavailable):
    """The disk failed while the commit was being made durable: after a crash it may be found written."""


class DurableFile:
    """The open file. An async context manager: open it inside a running event loop.

    `commit` is a seam for tests that count or stop commits.
    """

    def __init__(
        self, directory: Path, tables: str, *, commit: Callable[[sqlite3.Connection], None] = sqlite3.Connection.commit
    ) -> None:
        self._directory = directory
        self._tables = tables
        self._commit = commit
        self.is_full = False
        """The last write found no room. Tried anew every second, so that it need not wait for somebody to write."""
        self._broken: BaseException | None = None
        """Why nothing is written or read any more."""
        self._told_broken = asyncio.Event()
        self._exclusive = ExclusiveFile(directory, FILE_NAME)
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="livecomments-read")
        self._writer: threading.Thread | None = None
        self._connections: list[sqlite3.Connection] = []
        """Opened so far: the writer's, the reader's."""

    async def __aenter__(self) -> "DurableFile":
        """Open or make the file.

        Raises:
            StartRefused: unwritable directory, in use by another process, a file of another version.
            FileFailed: there is no room for what is written beside it, or the disk fails.
        """
        self._loop = asyncio.get_running_loop()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._exclusive.take()
        except OSError as error:
            self._exclusive.release()
            raise StartRefused(
                f"Cannot write to {self._directory}: {error.strerror}. Choose another --data-dir."
            ) from error
        except BaseException:
            self._exclusive.release()
            raise
        try:
            self._open()
        except sqlite3.Error as error:
            self._close()
            refusal = FileFailed if errno_of(error) is not None else StartRefused
            raise refusal(f"Cannot open {self._directory / FILE_NAME}: {error}.") from error
        except BaseException:
            self._close()
            raise
        self._writer = threading.Thread(target=self._write_all, name="livecomments-write", daemon=True)
        self._writer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in the writer thread; returns its result once it is committed.

        `work` must not commit. If it raises, only its own changes are undone. Cancelling does not undo the write.

        Raises:
            CommitUnknown: it may be written.
            FileUnavailable, FileFull: nothing of it was written.
        """
        self._check_usable()
        done: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((work, done))
        return await done

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which only reads, in the reader thread; it sees every write that was answered before.

        Raises:
            FileUnavailable: the file could not be read.
        """
        self._check_usable()
        try:
            return await self._loop.run_in_executor(self._reading, work, self._connections[1])
        except sqlite3.Error as error:
            raise FileUnavailable(f"The embedded file could not be read: {error}.") from error

    async def watch(self) -> NoReturn:
        """Wait until the file cannot be used any more, if ever.

        Raises:
            FileTaken: it is not ours alone. Anything else: a bug, after which nothing of it can be relied on.
        """
        await self._told_broken.wait()
        assert self._broken is not None
        raise self._broken

    async def aclose(self) -> None:
        """Finish the writes that wait and close the file. May be called twice."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        self._queue.put(None)
        await self._loop.run_in_executor(None, writer.join)
        self._reading.shutdown()
        self._close()

    def _open(self) -> None:
        self._prepare(self._connect())
        self._connect()

    def _close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._exclusive.release()

    def _check_usable(self) -> None:
        if self._writer is None:
            raise FileUnavailable("The embedded file is closed.")
        if self._broken is not None:
            raise FileUnavailable(f"The embedded file is not used any more: {self._broken}")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._directory / FILE_NAME, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._connections.append(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA busy_timeout=5000")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, FILE_VERSION):
            raise StartRefused(
                f"{self._directory / FILE_NAME} has version {version}; this livecomments reads version {FILE_VERSION}. "
                "Use the livecomments that made it, or another --data-dir."
            )
        connection.executescript(self._tables)
        connection.execute(f"PRAGMA user_version={FILE_VERSION}")

    def _write_all(self) -> None:
        going_on = True
        while going_on:
            try:
                group = [self._queue.get(timeout=_PROBE_INTERVAL_S if self.is_full else None)]
            except queue.Empty:
                for statement in _PROBE:
                    self._write_or_break([(partial(_execute, statement), asyncio.Future(loop=self._loop))])
                continue
            while len(group) < _GROUP_MAX and not self._queue.empty():
                group.append(self._queue.get())
            going_on = None not in group
            works = [item for item in group if item is not None]
            if works:
                outcome = self._write_or_break(works)
                self._loop.call_soon_threadsafe(_resolve, outcome)

    def _write_or_break(self, works: list[_Item]) -> _Outcome:
        """Write a group. Whatever is raised, whoever waits hears of it, and what cannot go on says so for good."""
        if self._broken is None:
            try:
                return self._write_group(works)
            except BaseException as error:
                self._broken = error
                self._loop.call_soon_threadsafe(self._told_broken.set)
        refused = FileUnavailable(f"The embedded file is not used any more: {self._broken}")
        return [(done, None, refused) for _, done in works]

    def _write_group(self, works: list[_Item]) -> _Outcome:
        """Do the works in one transaction and commit it; return the outcome of each.

        A work that fails is undone alone; if the commit fails, that is the outcome of all.

        Raises:
            FileTaken: another process has written to the file, or it was put aside.
        """
        connection = self._connections[0]
        outcome: _Outcome = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._exclusive.check(*connection.execute("PRAGMA data_version").fetchone())
            for work, done in works:
                connection.execute("SAVEPOINT one")
                try:
                    outcome.append((done, work(connection), None))
                except FileTaken:
                    raise
                except BaseException as error:
                    connection.execute("ROLLBACK TO one")
                    outcome.append((done, None, _translated(error)))
                connection.execute("RELEASE one")
            try:
                self._commit(connection)
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_IOERR:
                    raise CommitUnknown(f"The disk failed during a commit: {error}.") from error
                raise
        except BaseException as error:
            if connection.in_transaction:
                connection.rollback()
            if isinstance(error, FileTaken):
                raise
            failed = _translated(error)
            outcome = [(done, None, failed) for _, done in works]
        self.is_full = any(isinstance(error, FileFull) for _, _, error in outcome)
        return outcome


def _execute(statement: str, connection: sqlite3.Connection) -> None:
    connection.execute(statement)


def _translated(error: BaseException) -> BaseException:
    if _is_full(error):
        return FileFull("The disk is full: nothing was written. It goes on by itself as soon as there is room.")
    if isinstance(error, sqlite3.Error | OSError):
        return FileUnavailable(f"The embedded file could not be written: {error}.")
    if isinstance(error, StopIteration):
        return RuntimeError("StopIteration in a work")  # no future takes it, and those after it would wait
    return error


def _is_full(error: BaseException | None) -> bool:
    """Tell whether this, or what it was raised over, says so: SQLite may undo all when one write finds no room."""
    if error is None:
        return False
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) == errno.ENOSPC or _is_full(error.__context__)


def errno_of(error: sqlite3.Error) -> int | None:
    """Return the number of what the disk is to blame for: that it is full, or fails; None for anything else."""
    if _is_full(error):
        return errno.ENOSPC
    return errno.EIO if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_IOERR else None


def _resolve(outcome: _Outcome) -> None:
    for done, result, error in outcome:
        if done.done():
            continue  # its caller was cancelled
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)
