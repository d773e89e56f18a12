"""What only the embedded log promises: commits before answers, what a crash leaves, a failing disk."""

import asyncio
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.interface import AppendUnavailable, AppendUnknown
from livecomments.sqlite import DurableFile, Work
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import Record
from tests.log.contract import WAIT_S, append_all, new_record, poll_until, read_all, texts_of


class Disk:
    """The commit seam: counts commits, fails or holds them on demand."""

    def __init__(self) -> None:
        self.commits = 0
        self.failing = False
        self.error_code: int | None = None
        """Of the failure; SQLite sets one, an error made by hand has none."""
        self.going = threading.Event()
        self.going.set()

    def commit(self, connection: sqlite3.Connection) -> None:
        assert self.going.wait(WAIT_S)
        if self.failing:
            error = sqlite3.OperationalError("disk I/O error")
            if self.error_code is not None:
                error.sqlite_errorcode = self.error_code
            raise error
        connection.commit()
        self.commits += 1


async def test_every_answer_comes_after_its_commit(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file, EmbeddedLog(file, "t", 1, 1) as log:
        for _ in range(5):
            before = disk.commits
            await log.append(0, new_record("x"))
            assert disk.commits == before + 1
        disk.going.clear()
        append = asyncio.create_task(log.append(0, new_record("held")))
        reader = log.follow()
        reader.assign({0: 5})
        assert await reader.poll() == []
        assert not append.done()
        disk.going.set()
        assert await append == 5
        assert len(await poll_until(reader, 1)) == 1


async def test_appends_made_together_share_few_commits(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file, EmbeddedLog(file, "t", 1, 4) as log:
        before = disk.commits
        await asyncio.gather(*(log.append(number % 4, new_record("x")) for number in range(2_000)))
        assert disk.commits - before <= 2


async def test_what_a_crash_leaves_is_exactly_what_was_answered(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path / "live", TABLES, commit=disk.commit) as file, EmbeddedLog(file, "t", 1, 2) as log:
        await append_all(log, 0, ["a", "b"])
        await append_all(log, 1, ["c"])
        disk.going.clear()
        unanswered = asyncio.create_task(log.append(0, new_record("never answered")))
        await asyncio.sleep(0)
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
        disk.going.set()
        await unanswered
    async with DurableFile(tmp_path / "crashed", TABLES) as file, EmbeddedLog(file, "t", 1, 2) as log:
        assert await log.bounds([0, 1]) == {0: (0, 2), 1: (0, 1)}
        assert texts_of(await read_all(log, 0, 0, 2)) == ["a", "b"]
        assert await append_all(log, 0, ["d"]) == [2]


async def test_a_failed_commit_is_said_and_leaves_no_hole(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file, EmbeddedLog(file, "t", 1, 2) as log:
        reader = log.follow()
        reader.assign({0: 0, 1: 0})
        await append_all(log, 0, ["a"])
        disk.failing = True
        failed = await asyncio.gather(
            *(log.append(n % 2, new_record("lost")) for n in range(6)), return_exceptions=True
        )
        assert [type(error) for error in failed] == [AppendUnavailable] * 6
        disk.failing = False
        assert await append_all(log, 0, ["b"]) == [1]
        assert await append_all(log, 1, ["c"]) == [0]
        assert sorted(texts_of(await poll_until(reader, 3))) == ["a", "b", "c"]


async def test_a_disk_that_hangs_makes_the_outcome_unknown_and_the_record_may_come(tmp_path: Path) -> None:
    disk = Disk()
    async with (
        DurableFile(tmp_path, TABLES, commit=disk.commit) as file,
        EmbeddedLog(file, "t", 1, 1, append_timeout_s=0.05) as log,
    ):
        disk.going.clear()
        with pytest.raises(AppendUnknown):
            await log.append(0, new_record("late"))
        disk.going.set()
        reader = log.follow()
        reader.assign({0: 0})
        assert texts_of(await poll_until(reader, 1)) == ["late"]
        assert await append_all(log, 0, ["next"]) == [1]


async def test_another_partition_count_is_refused_with_the_way_out(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file:
        async with EmbeddedLog(file, "t", 1, 8) as log:
            await log.append(0, new_record("x"))
        with pytest.raises(StartRefused, match="has 8 partitions"):
            await EmbeddedLog(file, "t", 1, 4).__aenter__()
        async with EmbeddedLog(file, "t", 1, 8) as log:
            assert await log.bounds([0]) == {0: (0, 1)}


async def test_topics_of_one_file_are_apart(tmp_path: Path) -> None:
    async with (
        DurableFile(tmp_path, TABLES) as file,
        EmbeddedLog(file, "t", 1, 2) as one,
        EmbeddedLog(file, "u", 2, 3) as other,
    ):
        await append_all(one, 1, ["a"])
        assert await append_all(other, 1, ["b"]) == [0]
        assert texts_of(await read_all(one, 1, 0, 1)) == ["a"]
        assert texts_of(await read_all(other, 1, 0, 1)) == ["b"]


async def test_appends_after_closing_are_refused(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file:
        async with EmbeddedLog(file, "t", 1, 1) as log:
            pass
        with pytest.raises(AppendUnavailable):
            await log.append(0, new_record("x"))


async def test_an_append_whose_commit_the_disk_failed_is_unknown_and_the_next_one_works(tmp_path: Path) -> None:
    disk = Disk()
    async with DurableFile(tmp_path, TABLES, commit=disk.commit) as file, EmbeddedLog(file, "t", 1, 1) as log:
        disk.failing, disk.error_code = True, sqlite3.SQLITE_IOERR_FSYNC
        with pytest.raises(AppendUnknown):
            await log.append(0, new_record("x"))
        disk.error_code = sqlite3.SQLITE_FULL
        with pytest.raises(AppendUnavailable):
            await log.append(0, new_record("y"))
        disk.failing = False
        assert await log.append(0, new_record("z")) == 0


class Bug(BaseException):
    """Not an Exception, as a cancellation is none."""


class FailingFile:
    """A file whose writes come out as told: `raises` before anything is written, or `returns` something else."""

    def __init__(self, inner: DurableFile) -> None:
        self.inner = inner
        self.raises: BaseException | None = None
        self.returns: object = None
        self.held = asyncio.Event()
        self.held.set()

    async def write(self, work: Work[Any]) -> Any:
        await self.held.wait()
        if self.raises is not None:
            raise self.raises
        written = await self.inner.write(work)
        return written if self.returns is None else self.returns

    async def read(self, work: Work[Any]) -> Any:
        return await self.inner.read(work)


@pytest.mark.parametrize("error", [Bug(), KeyError("x"), asyncio.CancelledError()])
async def test_whatever_a_group_commit_raises_reaches_all_who_wait(tmp_path: Path, error: BaseException) -> None:
    async with DurableFile(tmp_path, TABLES) as inner:
        file = FailingFile(inner)
        async with EmbeddedLog(cast(DurableFile, file), "t", 1, 1) as log:
            file.raises = error
            async with asyncio.timeout(WAIT_S):
                found = await asyncio.gather(
                    *(log.append(0, new_record("x")) for _ in range(5)), return_exceptions=True
                )
            assert {type(one) for one in found} == {RuntimeError if isinstance(error, Exception) else AppendUnknown}
            file.raises = None
            assert await log.append(0, new_record("y")) == 0


async def test_what_cannot_be_published_is_unknown_to_all_who_wait(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as inner:
        file = FailingFile(inner)
        async with EmbeddedLog(cast(DurableFile, file), "t", 1, 1) as log:
            file.returns = [Record(0, 99, b"", b"", {}, 0)]
            async with asyncio.timeout(WAIT_S):
                found = await asyncio.gather(
                    *(log.append(0, new_record("x")) for _ in range(5)), return_exceptions=True
                )
            assert {type(one) for one in found} == {AppendUnknown}


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_group_commit_that_is_cancelled_leaves_nobody_waiting(tmp_path: Path, has_begun: bool) -> None:
    async with DurableFile(tmp_path, TABLES) as inner:
        file = FailingFile(inner)
        async with EmbeddedLog(cast(DurableFile, file), "t", 1, 1) as log:
            file.held.clear()
            before = asyncio.all_tasks()
            appends = [asyncio.create_task(log.append(0, new_record("x"))) for _ in range(5)]
            await asyncio.sleep(0)  # each has queued its record, and the first has made the task
            (writing,) = asyncio.all_tasks() - before - {*appends}
            if has_begun:
                await asyncio.sleep(0)
            writing.cancel()
            _, left_waiting = await asyncio.wait(appends, timeout=WAIT_S)
            assert not left_waiting
            assert [type(one.exception()) for one in appends] == [AppendUnknown] * 5
            file.held.set()
            assert await log.append(0, new_record("y")) == 0


@pytest.mark.parametrize("elsewhere", [0, 10, 2_500])
async def test_a_reader_that_is_assigned_anew_while_it_reads_the_file_goes_on_where_it_was_told(
    tmp_path: Path, elsewhere: int
) -> None:
    reading, going = asyncio.Event(), asyncio.Event()

    class SlowFile(FailingFile):
        async def read(self, work: Work[Any]) -> Any:
            found = await self.inner.read(work)
            reading.set()
            await going.wait()
            return found

    async with DurableFile(tmp_path, TABLES) as inner:
        going.set()
        async with EmbeddedLog(cast(DurableFile, SlowFile(inner)), "t", 1, 1) as log:
            await asyncio.gather(*(log.append(0, new_record(f"{n}")) for n in range(3_000)))  # more than memory holds
            reader = log.follow()
            reader.assign({0: 500})
            reading.clear()
            going.clear()
            polling = asyncio.create_task(reader.poll())
            await reading.wait()
            reader.assign({0: elsewhere})
            going.set()
            found = await polling
            while found[-1].offset < 2_999:
                found += await reader.poll()
            assert [record.offset for record in found] == list(range(elsewhere, 3_000))
            await reader.aclose()
