"""One file, one writer: committed before answered, and what fails alone fails alone."""

import asyncio
import errno
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from livecomments.sqlite import FILE_NAME, FILE_VERSION, DurableFile, FileFull, FileUnavailable
from livecomments_schemas.errors import StartRefused, Unavailable

TABLES = "CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL) STRICT"
WAIT_S = 20


class Disk:
    """The commit seam: counts commits, holds or fails them on demand."""

    def __init__(self) -> None:
        self.commits = 0
        self.failure: Exception | None = None
        self.held = threading.Event()
        self.going = threading.Event()
        self.going.set()

    def hold(self) -> None:
        self.held.clear()
        self.going.clear()

    def commit(self, connection: sqlite3.Connection) -> None:
        self.held.set()
        assert self.going.wait(WAIT_S)
        if self.failure is not None:
            raise self.failure
        connection.commit()
        self.commits += 1

    async def until_held(self) -> None:
        assert await asyncio.to_thread(self.held.wait, WAIT_S)


def note(text: str) -> Callable[[sqlite3.Connection], str]:
    def work(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO notes VALUES (?)", (text,))
        return text

    return work


def note_then_raise(text: str, error: Exception) -> Callable[[sqlite3.Connection], None]:
    def work(connection: sqlite3.Connection) -> None:
        note(text)(connection)
        raise error

    return work


def notes(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY rowid")]


async def test_what_is_written_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    async with DurableFile(tmp_path / "new" / "folder", TABLES) as file:
        assert await file.write(note("one")) == "one"
        assert await file.read(notes) == ["one"]
    async with DurableFile(tmp_path / "new" / "folder", TABLES) as file:
        assert await file.read(notes) == ["one"]


async def test_every_commit_reaches_the_disk_before_it_returns(tmp_path: Path) -> None:
    def pragmas(connection: sqlite3.Connection) -> tuple[object, object]:
        (full,), (wal,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("synchronous", "journal_mode"))
        return full, wal

    async with DurableFile(tmp_path, TABLES) as file:
        assert await file.read(pragmas) == (2, "wal")


async def test_writes_that_wait_for_a_commit_share_the_next_one_in_their_order(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file, asyncio.TaskGroup() as group:
        disk.hold()
        group.create_task(file.write(note("first")))
        await disk.until_held()
        waiting = [group.create_task(file.write(note(f"{n}"))) for n in range(100)]
        await asyncio.sleep(0)  # lets each of them queue its work
        disk.going.set()
        await asyncio.wait_for(asyncio.gather(*waiting), WAIT_S)
        assert disk.commits == 2
        assert await file.read(notes) == ["first", *(f"{n}" for n in range(100))]


async def test_a_group_is_bounded(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file, asyncio.TaskGroup() as group:
        disk.hold()
        group.create_task(file.write(note("first")))
        await disk.until_held()
        waiting = [group.create_task(file.write(note("x"))) for _ in range(1_025)]
        await asyncio.sleep(0)
        disk.going.set()
        await asyncio.wait_for(asyncio.gather(*waiting), WAIT_S)
        assert disk.commits == 1 + 3


async def test_nothing_is_answered_or_readable_before_its_commit(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file:
        disk.hold()
        writing = asyncio.create_task(file.write(note("one")))
        await disk.until_held()
        assert await file.read(notes) == []
        assert not writing.done()
        disk.going.set()
        await asyncio.wait_for(writing, WAIT_S)
        assert await file.read(notes) == ["one"]


async def test_an_exception_in_one_work_undoes_only_its_own_changes(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file:
        disk.hold()
        first = asyncio.create_task(file.write(note("first")))
        await disk.until_held()
        works = (note("before"), note_then_raise("undone", ZeroDivisionError("own")), note("after"))
        waiting = [asyncio.create_task(file.write(work)) for work in works]
        await asyncio.sleep(0)
        disk.going.set()
        before, failed, after = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), WAIT_S)
        await first
        assert (before, after) == ("before", "after")
        assert isinstance(failed, ZeroDivisionError)
        assert disk.commits == 2
        assert await file.read(notes) == ["first", "before", "after"]


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database or disk is full"), OSError("I/O error")])
async def test_a_failing_disk_inside_a_work_is_unavailable(tmp_path: Path, error: Exception) -> None:
    async with DurableFile(tmp_path, TABLES) as file:
        with pytest.raises(FileUnavailable, match="could not be written"):
            await file.write(note_then_raise("undone", error))
        assert await file.read(notes) == []


async def test_a_work_that_runs_out_of_an_iterator_fails_alone(tmp_path: Path) -> None:
    def exhausted(_: sqlite3.Connection) -> int:
        return next(iter(()))

    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file:
        disk.hold()
        first = asyncio.create_task(file.write(note("first")))
        await disk.until_held()
        waiting = [asyncio.create_task(file.write(exhausted)), asyncio.create_task(file.write(note("after")))]
        await asyncio.sleep(0)
        disk.going.set()
        failed, after = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), WAIT_S)
        await first
        assert isinstance(failed, RuntimeError)
        assert after == "after"


async def test_a_commit_that_fails_fails_its_whole_group_and_leaves_nothing(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file:
        disk.hold()
        first = asyncio.create_task(file.write(note("first")))
        await disk.until_held()
        works = (note("one"), note("two"), note_then_raise("three", KeyError("own")))
        waiting = [asyncio.create_task(file.write(work)) for work in works]
        await asyncio.sleep(0)
        disk.failure = sqlite3.OperationalError("disk I/O error")
        disk.going.set()
        failed = await asyncio.wait_for(asyncio.gather(first, *waiting, return_exceptions=True), WAIT_S)
        assert [type(error) for error in failed] == [FileUnavailable] * 4
        assert await file.read(notes) == []


async def test_writing_goes_on_after_a_commit_that_failed(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file:
        disk.failure = sqlite3.OperationalError("disk I/O error")
        with pytest.raises(FileUnavailable):
            await file.write(note("lost"))
        disk.failure = None
        await file.write(note("kept"))
        assert await file.read(notes) == ["kept"]


async def test_a_cancelled_write_is_written_all_the_same_and_harms_nobody(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file:
        disk.hold()
        first = asyncio.create_task(file.write(note("first")))
        await disk.until_held()
        leaving, staying = (asyncio.create_task(file.write(note(text))) for text in ("left", "stayed"))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        disk.going.set()
        assert list(await asyncio.wait_for(asyncio.gather(first, staying), WAIT_S)) == ["first", "stayed"]
        assert await file.read(notes) == ["first", "left", "stayed"]


async def test_a_read_that_fails_in_the_file_is_unavailable(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file:
        with pytest.raises(FileUnavailable, match="could not be read") as unavailable:
            await file.read(lambda connection: connection.execute("SELECT * FROM nothing"))
        assert isinstance(unavailable.value, Unavailable)
        with pytest.raises(ZeroDivisionError):
            await file.read(lambda _: 1 // 0)


async def test_closing_finishes_the_writes_that_wait_and_may_be_done_twice(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file:
        disk.hold()
        waiting = [asyncio.create_task(file.write(note(f"{n}"))) for n in range(5)]
        await disk.until_held()
        closing = asyncio.create_task(file.aclose())
        await asyncio.sleep(0)
        disk.going.set()
        await asyncio.wait_for(closing, WAIT_S)
        assert await asyncio.wait_for(asyncio.gather(*waiting), WAIT_S) == ["0", "1", "2", "3", "4"]
        await file.aclose()
    async with DurableFile(tmp_path, TABLES) as file:
        assert await file.read(notes) == ["0", "1", "2", "3", "4"]


async def test_a_closed_file_answers_that_it_is_unavailable(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file:
        pass
    for call in (file.write(note("late")), file.read(notes)):
        with pytest.raises(FileUnavailable, match="closed"):
            await asyncio.wait_for(call, WAIT_S)


async def test_a_directory_in_use_is_refused_until_it_is_free(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file:
        with pytest.raises(StartRefused, match="in use by another livecomments"):
            await DurableFile(tmp_path, TABLES).__aenter__()
        await file.write(note("still writing"))
    async with DurableFile(tmp_path, TABLES) as file:
        assert await file.read(notes) == ["still writing"]


async def test_a_file_of_another_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file:
        await file.write(note("old"))
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute(f"PRAGMA user_version={FILE_VERSION + 1}")
    connection.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    for _ in range(2):  # the second finds the directory free again
        with pytest.raises(StartRefused, match=f"has version {FILE_VERSION + 1}"):
            await DurableFile(tmp_path, TABLES).__aenter__()
    assert (tmp_path / FILE_NAME).read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StartRefused, match=r"Cannot open .*not a database"):
        await DurableFile(tmp_path, TABLES).__aenter__()


@pytest.mark.parametrize("below", ["file", "file/folder"])
async def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("a regular file, so that even root cannot make a folder of it")
    with pytest.raises(StartRefused, match=r"Cannot write to .*Choose another --data-dir"):
        await DurableFile(tmp_path / below, TABLES).__aenter__()


def pages_max(count: int) -> Callable[[sqlite3.Connection], None]:
    """Bounds the file as a full disk would."""
    return lambda connection: connection.execute(f"PRAGMA max_page_count={count}").close()


async def test_a_full_disk_is_told_apart_and_it_goes_on_by_itself(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file:
        assert await file.write(note("before")) == "before"
        await file.write(pages_max(1))
        with pytest.raises(FileFull, match="full"):
            await file.write(note("x" * 100_000))
        assert not has_room(file)
        assert await file.read(notes) == ["before"]
        await file.write(pages_max(1_000_000))
        assert await file.write(note("after")) == "after"
        assert has_room(file)
        assert await file.read(notes) == ["before", "after"]


def has_room(file: DurableFile) -> bool:
    return not file.is_full


async def test_room_is_noticed_though_nobody_writes(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file:
        disk.failure = OSError(errno.ENOSPC, "No space left on device")
        with pytest.raises(FileFull):
            await file.write(note("lost"))
        assert file.is_full
        disk.failure = None
        async with asyncio.timeout(WAIT_S):
            while not has_room(file):  # noqa: ASYNC110 - the writer's thread has no event for it
                await asyncio.sleep(0.02)
        assert await file.read(notes) == []


class Bug(BaseException):
    """Not an Exception, as what a library in Rust raises when it panics is none."""


async def test_whatever_a_work_raises_reaches_its_caller_and_the_next_ones_are_written(tmp_path: Path) -> None:
    def work(_: sqlite3.Connection) -> None:
        raise Bug

    async with DurableFile(tmp_path, TABLES) as file:
        found = await asyncio.gather(
            file.write(note("a")), file.write(work), file.write(note("b")), return_exceptions=True
        )
        assert [type(one) for one in found] == [str, Bug, str]
        assert await file.write(note("c")) == "c"
        assert await file.read(notes) == ["a", "b", "c"]


async def test_whatever_a_commit_raises_reaches_all_who_wait(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file:
        raising = [Bug()]

        def commit(connection: sqlite3.Connection) -> None:
            if raising:
                raise raising.pop()
            connection.commit()

        file._commit = commit
        writes = (file.write(note("x")) for _ in range(5))
        async with asyncio.timeout(WAIT_S):
            found = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(one) for one in found] == [Bug] * 5
        assert await file.write(note("y")) == "y"


async def test_a_writer_that_cannot_go_on_refuses_all_who_wait_and_all_who_come(tmp_path: Path) -> None:
    """Undoing what failed fails too: nobody knows any more what is in the file."""

    def commit(connection: sqlite3.Connection) -> None:
        connection.close()
        raise Bug

    async with DurableFile(tmp_path, TABLES, commit=commit) as file:
        writes = [asyncio.create_task(file.write(note("x"))) for _ in range(5)]
        async with asyncio.timeout(WAIT_S):
            found = await asyncio.gather(*writes, return_exceptions=True)
            assert {type(one) for one in found} <= {FileUnavailable, Bug}
            with pytest.raises((sqlite3.Error, Bug)):
                await file.watch()
            with pytest.raises(FileUnavailable):
                await file.write(note("y"))
