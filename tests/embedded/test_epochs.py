"""The epochs of a data directory: a new one's, and those of one that was made before the file told of any."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from livecomments.embedded.epochs import embedded_epochs, first_records
from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.epochs import read_epochs
from livecomments.log.topics import EPOCHS_TOPIC
from livecomments.sqlite import FILE_NAME, DurableFile
from livecomments_command.assembly.embedded import embedded_service
from livecomments_command.settings import RunSettings
from livecomments_schemas.epochs import NO_EPOCHS, Epochs
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import Record
from livecomments_schemas.positions import position_at
from tests.served import Served, served

MADE_BEFORE = Path(__file__).with_name("made_before.sql")
"""By the version before: in epoch 1 a comment was deleted and others appended, which was not stored; then epoch 2."""


def numbers(epochs: Epochs) -> list[tuple[int, int, bool]]:
    return [(one.number, one.contract.partitions, one.is_closed) for one in epochs.known]


async def epochs_in(directory: Path, partitions: int = 8) -> Epochs:
    async with DurableFile(directory, TABLES) as file:
        return await embedded_epochs(file, partitions)


async def test_a_new_directory_begins_with_epoch_1_and_keeps_its_partitions(tmp_path: Path) -> None:
    assert numbers(await epochs_in(tmp_path, 3)) == [(1, 3, False)]
    assert numbers(await epochs_in(tmp_path, 8)) == [(1, 3, False)]


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A data directory that the version before made."""
    made = sqlite3.connect(tmp_path / FILE_NAME)
    made.executescript(MADE_BEFORE.read_text())
    made.close()
    return tmp_path


async def test_a_directory_that_was_made_before_is_adopted_once_with_a_sentence(
    before: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert numbers(await epochs_in(before)) == [(1, 4, True), (2, 4, False)]
    [line] = [record for record in caplog.records if "adopted" in record.message]
    assert (line.__dict__["epoch"], line.__dict__["partitions"]) == (2, 4)
    caplog.clear()
    async with DurableFile(before, TABLES) as file:
        assert numbers(await embedded_epochs(file, 8)) == [(1, 4, True), (2, 4, False)]
        async with EmbeddedLog(file, EPOCHS_TOPIC, 0, 1) as log:
            assert (await log.bounds([0]))[0].end == 3
    assert caplog.records == []


async def shown(running: Served, video: str) -> list[str]:
    async with running.client.get(f"/comments/{video}?pageSize=100&sort=asc") as answer:
        return [comment["message"] for comment in (await answer.json())["comments"]]


async def test_what_the_epoch_before_had_not_stored_is_on_the_pages_and_what_was_deleted_is_not(before: Path) -> None:
    async with served(before) as running:
        kept = ["a stored 1", "a stored 2", "a not stored 0", "a not stored 1", "a second epoch"]
        assert await shown(running, "a") == kept
        assert await shown(running, "b") == [*(f"b stored {n}" for n in range(3)), "b not stored 0", "b not stored 1"]
        assert (await running.post("a", "now", await running.token()))[0] == 201
        assert await shown(running, "a") == [*kept, "now"]
    with closing(sqlite3.connect(before / FILE_NAME)) as file:
        of_the_deleted = "SELECT value, deleted FROM store_records WHERE video_id = 'a' AND position = ?"
        assert file.execute(of_the_deleted, (position_at(1, 0),)).fetchall() == [(b"", 1)], "its text is in no row"
        stored_to = "SELECT position FROM store_watermarks WHERE epoch = 1 AND partition = 0"
        assert file.execute(stored_to).fetchall() == [(position_at(1, 10),)], "and that all is stored is known"


async def test_records_that_were_written_before_are_read_byte_for_byte(before: Path) -> None:
    async with DurableFile(before, TABLES) as file, EmbeddedLog(file, "comments-1", 1, 4) as log:
        records, _ = await log.read(0, 0, 11, 100)
    written = {record.offset: record.headers["digest"] for record in records if record.headers.get("digest")}
    assert {len(digest) for digest in written.values()} == {16}
    assert written[0].hex() == "cc6347d4ce002d35ae6c93b700243551"
    assert [record.key for record in records] == [b"a"] * 3 + [b"b"] * 3 + [b"a", b"a", b"b", b"b", b"a"]


def test_adopted_epochs_are_those_in_a_row_up_to_the_newest() -> None:
    def told(found: dict[int, int]) -> list[tuple[int, int, bool]]:
        epochs = NO_EPOCHS
        for offset, said in enumerate(first_records(found)):
            epochs = epochs.after(Record(0, offset, *said, 0))
        return numbers(epochs)

    assert told({5: 8}) == [(5, 8, False)]
    assert told({1: 8, 2: 4}) == [(1, 8, True), (2, 4, False)]
    assert told({1: 8, 3: 8, 4: 2}) == [(3, 8, True), (4, 2, False)]


async def test_a_topic_that_is_not_what_its_epoch_says_is_refused(tmp_path: Path) -> None:
    await epochs_in(tmp_path, 3)
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, "comments-1", 1, 2):
        pass
    with pytest.raises(StartRefused, match="has 2 partitions, not the 3"):
        async with embedded_service(RunSettings(data_dir=tmp_path)):
            pass


async def test_what_is_told_once_is_read_by_whoever_opens_the_file_later(tmp_path: Path) -> None:
    told = await epochs_in(tmp_path)
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, EPOCHS_TOPIC, 0, 1) as log:
        assert await read_epochs(log) == told
