"""Whatever a command reads is of one log: a topic that is made anew under its name is noticed by every one of them."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.interface import Bounds
from livecomments.sqlite import DurableFile
from livecomments_command.records.one_log import OneLog
from livecomments_command.records.opened import opened
from livecomments_command.records.replay_followed import Followed
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from tests.command.installation import installation, make_file
from tests.log.contract import new_record, texts_of
from tests.log.faults import WatchedLog


@pytest.fixture
async def inner(tmp_path: Path) -> AsyncIterator[WatchedLog]:
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, "comments-1", 1, 1) as log:
        for text in ("a", "b"):
            await log.append(0, new_record(text))
        yield WatchedLog(log)


async def test_another_log_of_the_same_name_is_refused_at_the_next_look(inner: WatchedLog) -> None:
    time_s = [0.0]
    log = OneLog(inner, "comments-1", clock=lambda: time_s[0])
    await log.begin()
    assert texts_of((await log.read(0, 0, 2, 9)).records) == ["a", "b"]
    assert await log.bounds([0]) == {0: Bounds(0, 2)}
    inner.generation = "another"
    assert (await log.read(0, 0, 2, 9)).next == 2  # not looked at for each: a look costs a request
    for look in (log.read(0, 0, 2, 9), log.bounds([0])):
        time_s[0] += 1.0
        with pytest.raises(StartRefused, match="comments-1 was made anew while it was read"):
            await look


class Cut(WatchedLog):
    """A log that can lose its end."""

    end = 2

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        return {
            partition: Bounds(held.start, self.end) for partition, held in (await super().bounds(partitions)).items()
        }


async def made_anew_within(settings: ToolSettings, name: str) -> None:
    async with opened(settings) as found:
        one = getattr(found, name)
        assert isinstance(one, OneLog)
        one._log = WatchedLog(one._log)
        one._log.generation = "another"


async def test_what_was_read_since_the_last_look_is_looked_at_when_a_command_ends(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    for name in ("log", "dead_letter_log"):
        with pytest.raises(StartRefused, match="was made anew while it was read"):
            await made_anew_within(settings, name)


async def test_a_log_that_lost_its_end_is_followed_no_further(inner: WatchedLog) -> None:
    """It would be silent until it has grown to where it was, and what was written before that be missed."""
    log = Cut(inner.inner)
    chunks = Followed(poll_s=0.0).chunks(log, {0: Bounds(0, 2)})
    assert texts_of([one.record for one in await anext(chunks)]) == ["a", "b"]
    log.end = 1
    with pytest.raises(StartRefused, match="ends at 1, and was read up to 2"):
        await anext(chunks)
