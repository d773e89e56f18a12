"""The job: what it makes of deliveries with holes, of none at all, and of a log that goes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from livecomments.history.log_end import LogWentBack, check_log
from livecomments.log.embedded import TABLES as LOG_TABLES
from livecomments.log.embedded import EmbeddedLog
from livecomments.runtime.durable import DurableFile
from livecomments.store.embedded import TABLES as STORE_TABLES
from livecomments.store.embedded import EmbeddedStore
from schemas.events import Author, Record, comment_created
from schemas.positions import first_position, offset_of, position_at
from streams.dead_letters import DeadLetters
from streams.job import Job
from tests.served import READY_TIMEOUT_S

EPOCH, PARTITIONS = 4, 3
VIDEOS = ("v2", "v1", "v0")
"""One in each partition, in their order."""


class Parts:
    """A log, a store, and jobs on them."""

    def __init__(self, log: EmbeddedLog, letters: EmbeddedLog, store: EmbeddedStore) -> None:
        self.log, self.letters, self.store = log, letters, store

    def job(self, clock: Callable[[], float] = time.monotonic, delay_s: float = 0.0) -> Job:
        return Job(self.log, self.store, DeadLetters(self.letters, "comments-4"), clock=clock, delay_s=delay_s)

    async def append(self, partition: int, count: int) -> list[Record]:
        """Append comments; the records."""
        video = VIDEOS[partition]
        offsets = [
            await self.log.append(
                partition, comment_created(video, f"{number}", Author("a", "A"), created_at_ms=number)
            )
            for number in range(count)
        ]
        return (await self.log.read(partition, offsets[0], offsets[-1] + 1, count)).records

    async def stored(self, partition: int) -> list[int]:
        """Offsets of the rows of the partition's video."""
        first = first_position(EPOCH)
        found = await self.store.read(VIDEOS[partition], first - 1, first + 10**6, 10**6, descending=False)
        return [offset_of(row.position) for row in found.rows]


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-4", EPOCH, PARTITIONS) as log,
        EmbeddedLog(file, "letters", EPOCH, 1) as letters,
        EmbeddedStore(file) as store,
    ):
        yield Parts(log, letters, store)


@asynccontextmanager
async def running(job: Job) -> AsyncIterator[None]:
    work = asyncio.create_task(job.run())
    try:
        yield
    finally:
        work.cancel()
        await asyncio.wait([work])


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_records_of_several_partitions_are_stored_in_one_take(parts: Parts) -> None:
    records = [*await parts.append(0, 3), *await parts.append(2, 2), *await parts.append(0, 1)]
    await parts.job().take(records)
    assert [await parts.stored(number) for number in range(PARTITIONS)] == [[0, 1, 2, 3], [], [0, 1]]


@pytest.mark.parametrize("delivered", [[0, 1, 5, 6], [3, 9], [9], [0, 1, 2, 1, 2, 3, 7]])
async def test_what_is_missing_in_a_delivery_is_read_from_the_log(parts: Parts, delivered: list[int]) -> None:
    records = await parts.append(1, 10)
    job = parts.job()
    await job.take([records[offset] for offset in delivered])
    assert await parts.stored(1) == list(range(delivered[-1] + 1))
    await job.advance_watermarks()
    assert await parts.store.watermark(EPOCH, 1) == position_at(EPOCH, delivered[-1])


async def test_what_nobody_delivers_is_read_from_the_log(parts: Parts) -> None:
    await parts.append(0, 5)
    await parts.append(2, 2_500)
    job = parts.job(clock=lambda: time.monotonic() * 30)  # the bound of ten seconds in a third of one
    job.give([2])
    async with running(job):
        await until(lambda: job.progress.partitions == {2} and job.progress.lag_records > 0)
        await until(lambda: job.progress.lag_records == 0)
    assert await parts.stored(2) == list(range(2_500))
    assert await parts.stored(0) == []  # of another process
    assert job.progress.is_consuming()  # they were there before it was given


async def test_what_is_held_back_for_a_drill_is_delivered(parts: Parts) -> None:
    records = await parts.append(0, 5)
    job = parts.job(delay_s=3_600.0)
    job.give([0])
    taking = asyncio.create_task(job.take(records))
    await job.observe()
    assert job.progress.lag_records == 5
    assert job.progress.undelivered(time.monotonic() + 3_600.0) == []
    taking.cancel()
    await asyncio.wait([taking])
    assert await parts.stored(0) == []


async def test_partitions_given_to_others_are_let_go_and_those_that_come_back_go_on(parts: Parts) -> None:
    first = await parts.append(0, 4)
    one, other = parts.job(), parts.job()
    one.give([0, 1, 2])
    await one.take(first)
    await one.advance_watermarks()
    one.give([1, 2])
    assert one.delivered == {}
    other.give([0])
    second = await parts.append(0, 4)
    await other.take(second)
    await other.advance_watermarks()
    third = await parts.append(0, 4)
    one.give([0, 1, 2])
    await one.take(third)
    assert await parts.stored(0) == list(range(12))


async def test_a_log_made_anew_under_a_running_job_ends_it(parts: Parts) -> None:
    await parts.append(0, 5)
    job = parts.job()
    await check_log(parts.log, parts.store)
    job.give([0])
    await parts.store.advance_watermark(EPOCH, 0, position_at(EPOCH, 99))
    async with asyncio.timeout(READY_TIMEOUT_S):
        with pytest.raises(BaseExceptionGroup) as raised:
            await job.run()
    assert raised.value.subgroup(LogWentBack) is not None
