"""One process writes to the embedded file, whatever names it has; who writes in spite of that is seen."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.interface import AppendUnavailable
from livecomments.runtime.exclusive_file import FileTaken
from livecomments.sqlite import FILE_NAME, DurableFile, FileUnavailable
from livecomments_schemas.errors import StartRefused
from tests.log.contract import WAIT_S, append_all, new_record


def lock_removed(directory: Path) -> Path:
    (directory / "lock").unlink()
    return directory


def symlinked(directory: Path) -> Path:
    other = directory.with_name("other")
    other.mkdir()
    (other / FILE_NAME).symlink_to(directory / FILE_NAME)
    return other


def hard_linked(directory: Path) -> Path:
    other = directory.with_name("other")
    other.mkdir()
    os.link(directory / FILE_NAME, other / FILE_NAME)
    return other


def directory_symlinked(directory: Path) -> Path:
    other = directory.with_name("other")
    other.symlink_to(directory)
    return other


@pytest.mark.parametrize("around", [lock_removed, symlinked, hard_linked, directory_symlinked])
async def test_another_way_to_the_same_file_is_refused(tmp_path: Path, around: Callable[[Path], Path]) -> None:
    async with DurableFile(tmp_path / "data", TABLES):
        other = around(tmp_path / "data")
        with pytest.raises(StartRefused, match="is in use by another livecomments"):
            await DurableFile(other, TABLES).__aenter__()
    async with DurableFile(other, TABLES):
        pass


def foreign_record(directory: Path) -> None:
    with sqlite3.connect(directory / FILE_NAME) as connection:
        connection.execute("INSERT INTO log_records VALUES (?, NULL, NULL, '{}', 0)", ((1 << 52) + 7,))
    connection.close()


def foreign_table(directory: Path) -> None:
    connection = sqlite3.connect(directory / FILE_NAME)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def removed(directory: Path) -> None:
    (directory / FILE_NAME).unlink()


def replaced(directory: Path) -> None:
    (directory / FILE_NAME).rename(directory / "aside")
    (directory / FILE_NAME).write_bytes((directory / "aside").read_bytes())


@pytest.mark.parametrize("harm", [foreign_record, foreign_table, removed, replaced])
async def test_who_writes_in_spite_of_the_lock_ends_all_writing_with_a_sentence(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, "t", 1, 2) as log:
        watching = asyncio.create_task(file.watch())
        await append_all(log, 0, ["a", "b"])
        harm(tmp_path)
        async with asyncio.timeout(WAIT_S):
            answers = await asyncio.gather(
                *(log.append(number % 2, new_record("x")) for number in range(10)), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [AppendUnavailable] * 10
            with pytest.raises(FileTaken, match=r"process|removed|replaced"):
                await watching
        assert await log.bounds([0]) == {0: (0, 2)}
        with pytest.raises(AppendUnavailable, match="not used any more"):
            await log.append(1, new_record("y"))
        with pytest.raises(FileUnavailable, match="not used any more"):
            await file.read(lambda connection: connection.execute("SELECT 1"))
        assert [record.value for record in (await log.read(0, 0, 2, 9)).records] == [b"a", b"b"]  # from memory


async def test_an_end_that_is_not_ours_is_seen_though_it_is_written_through_our_own_file(tmp_path: Path) -> None:
    """As when the file is put back to an older state in place: no other process, and another end."""
    for sql in ("DELETE FROM log_records WHERE place & 1 = 1", "UPDATE log_records SET place = place + 9"):
        async with DurableFile(tmp_path / str(len(sql)), TABLES) as file, EmbeddedLog(file, "t", 1, 1) as log:
            await append_all(log, 0, ["a", "b"])
            await file.write(partial(_execute, sql))
            with pytest.raises(AppendUnavailable, match="another has changed the file"):
                await log.append(0, new_record("x"))
            with pytest.raises(FileTaken):
                await file.watch()


async def test_what_a_failed_commit_leaves_is_no_end_of_another(tmp_path: Path) -> None:
    failing = False

    def commit(connection: sqlite3.Connection) -> None:
        if failing:
            raise sqlite3.OperationalError("no")
        connection.commit()

    async with DurableFile(tmp_path, TABLES, commit=commit) as file, EmbeddedLog(file, "t", 1, 1) as log:
        for offset in range(3):
            failing = True
            with pytest.raises(AppendUnavailable):
                await log.append(0, new_record("lost"))
            failing = False
            assert await log.append(0, new_record("kept")) == offset


def _execute(sql: str, connection: sqlite3.Connection) -> None:
    connection.execute(sql)
