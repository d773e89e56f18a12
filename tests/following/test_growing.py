"""Going on in the next epoch: what can be done before anybody waits is done before, and the rest is few round trips."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.following.growing import GrowingFollower
from livecomments.following.tail import TailBounds
from livecomments.log.interface import CommentLog
from livecomments.sqlite import DurableFile
from livecomments_schemas.events import EPOCH_FENCE, epoch_event
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import first_position
from tests.log.contract import WAIT_S
from tests.log.faults import WatchedLog
from tests.schemas.records import comment

OLD, NEW = 2, 4


class Asked:
    """What a follower asks of a log, call by call."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def __call__(self, name: str) -> None:
        self.names.append(name)


@asynccontextmanager
async def following(log: CommentLog) -> AsyncIterator[GrowingFollower]:
    """A follower of all partitions, which are ready."""
    follower = GrowingFollower(log, range(log.partition_count), TailBounds(1_000, 2**24, 1e9))
    running = asyncio.create_task(follower.run())
    try:
        for number in range(log.partition_count):
            await follower.ready_partition(number, WAIT_S)
        yield follower
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def epochs(directory: Path) -> AsyncIterator[tuple[EmbeddedLog, EmbeddedLog]]:
    async with (
        DurableFile(directory, TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, OLD) as old,
        EmbeddedLog(file, "comments-2", 2, NEW) as new,
    ):
        yield old, new


async def fences_of(log: EmbeddedLog) -> list[int]:
    return [await log.append(number, epoch_event(EPOCH_FENCE, 1)) for number in range(OLD)]


async def test_who_was_ready_for_the_next_epoch_asks_nothing_between_its_opening_and_the_first_comment(
    tmp_path: Path,
) -> None:
    asked = Asked()
    async with epochs(tmp_path) as (old, new), following(old) as follower:
        following_log = WatchedLog(new, asked)
        await follower.look_ahead(following_log)
        assert asked.names == ["identity"]
        fences = await fences_of(old)
        await follower.move_on(following_log, fences, range(NEW))
        number = partition_of("launch", NEW)
        offset = await follower.log.append(number, comment("launch"))
        await follower.followed[number].verdict(offset, WAIT_S)
        assert asked.names == ["identity", "append", "append:done"]


async def test_who_was_made_ready_for_another_topic_goes_on_in_the_one_that_was_opened(tmp_path: Path) -> None:
    async with (
        epochs(tmp_path) as (old, new),
        following(old) as follower,
        EmbeddedLog(new._file, "comments-2b", 2, 2 * NEW) as other,
    ):
        await follower.look_ahead(other)
        await follower.move_on(new, await fences_of(old), range(NEW))
        number = partition_of("launch", NEW)
        offset = await new.append(number, comment("launch"))
        await follower.followed[number].reach(first_position(2) + offset, WAIT_S)
        assert follower.log is new
