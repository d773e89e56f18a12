"""The job: what it makes of deliveries with holes, of none at all, and of a log that goes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.history.log_end import LogWentBack, check_log, claim_log
from livecomments.log.interface import Bounds, LogUnavailable, OffsetUnavailable, Slice
from livecomments.runtime.metrics import REGISTRY
from livecomments.sqlite import DurableFile
from livecomments.store.interface import StoreUnavailable
from livecomments_schemas.events import EPOCH_FENCE, Author, Record, comment_created, epoch_event
from livecomments_schemas.positions import first_position, offset_of, position_at
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.job import Job
from tests.history.faults import WatchedStore
from tests.log.faults import WatchedLog
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


class Shortened(WatchedLog):
    """A log of which retention took what lies before `first`."""

    first = 0

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        return {number: Bounds(self.first, end) for number, (_, end) in (await super().bounds(partitions)).items()}

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        if start < self.first:
            raise OffsetUnavailable(f"It begins at {self.first}.")
        return await super().read(partition, start, end, limit)


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


def value(name: str, **labels: str) -> float:
    """Of a metric of this process."""
    return REGISTRY.get_sample_value(f"livecomments_stream_{name}", labels) or 0.0


def known(name: str) -> bool:
    """Whether a metric of this process says anything."""
    return REGISTRY.get_sample_value(f"livecomments_stream_{name}") is not None


async def test_a_lag_that_nobody_sees_is_told_of_no_partition_and_never_as_none(parts: Parts) -> None:
    await parts.append(0, 5)
    is_away = False

    async def around(name: str) -> None:
        if is_away:
            raise LogUnavailable("away")

    log = WatchedLog(parts.log, around)
    now = 100.0
    job = Job(log, parts.store, DeadLetters(parts.letters, "comments-4"), clock=lambda: now)
    job.give([])  # a stranger of the group has them all
    await job.observe()
    await job.advance_watermarks()
    assert [known(name) for name in ("lag_records", "lag_seconds", "watermark_age_seconds")] == [False] * 3
    job.give([0])
    assert (known("lag_records"), value("unobserved_partitions")) == (False, 1.0)
    await job.observe()
    assert (value("lag_records"), value("unobserved_partitions")) == (5.0, 0.0)
    is_away, now = True, 105.0
    await job.observe()
    assert (value("lag_records"), value("lag_seconds")) == (5.0, 5.0)  # it was so a moment ago, and is no less
    now = 150.0
    await job.observe()
    assert (known("lag_records"), known("lag_seconds"), value("unobserved_partitions")) == (False, False, 1.0)
    job.revoke()
    now = 190.0
    await job.observe()
    assert value("joining_seconds") == 40.0


@pytest.mark.parametrize("is_opened", [False, True])
async def test_a_partition_without_a_leader_hides_nothing_of_the_others(parts: Parts, is_opened: bool) -> None:
    log = WatchedLog(parts.log)
    job = Job(log, parts.store, DeadLetters(parts.letters, "comments-4"))
    job.give(range(PARTITIONS))
    for number in range(PARTITIONS):
        records = await parts.append(number, 3)
        if is_opened:
            await job.take(records)
            await parts.append(number, 3)
    log.leaderless = {1}
    await job.observe()
    assert (value("lag_records"), value("unobserved_partitions")) == (3.0 * (PARTITIONS - 1), 1.0)


async def test_every_metric_says_what_happens(parts: Parts) -> None:
    """Rows by verdict, lag, watermark, sizes, latencies, retries and dead letters."""
    counters = {
        "accepted": ("records_total", {"verdict": "accepted"}, 4.0),
        "duplicates": ("records_total", {"verdict": "duplicate"}, 1.0),
        "invalid": ("records_total", {"verdict": "invalid"}, 1.0),
        "letters": ("dead_letters_total", {"reason": "not_one_json_line"}, 1.0),
        "retries": ("write_retries_total", {"reason": "store_unavailable"}, 2.0),
        "takes": ("take_records_count", {}, 1.0),
        "taken": ("take_records_sum", {}, 6.0),
        "writes": ("write_seconds_count", {}, 1.0),
        "stored": ("stored_seconds_count", {}, 1.0),
    }
    before = {of: value(name, **labels) for of, (name, labels, _) in counters.items()}
    twice = comment_created(VIDEOS[0], "twice", Author("a", "A"), created_at_ms=1, key="once")
    for record in (twice, twice, twice._replace(value=b"")):
        await parts.log.append(0, record)
    await parts.append(0, 3)
    records = (await parts.log.read(0, 0, 6, 6)).records
    failures = {"write": 2, "advance_watermark": 1}

    async def around(name: str) -> None:
        if failures.get(name):
            failures[name] -= 1
            raise StoreUnavailable("away")

    now = 100.0
    store = WatchedStore(parts.store, around)
    job = Job(parts.log, store, DeadLetters(parts.letters, "comments-4"), clock=lambda: now)
    job.give([0])
    await job.observe()
    now = 107.0
    await job.observe()
    assert (value("partitions"), value("lag_records"), value("lag_seconds")) == (1.0, 6.0, 7.0)
    await job.take(records)
    await job.observe()
    assert (value("lag_records"), value("lag_seconds")) == (0.0, 0.0)
    await job.advance_watermarks()  # which fails
    assert await parts.store.watermark(EPOCH, 0) < first_position(EPOCH)
    assert known("lag_records")
    job.revoke()
    assert value("partitions") == 0.0
    assert [known(name) for name in ("lag_records", "lag_seconds")] == [False] * 2
    assert {of: value(name, **labels) - before[of] for of, (name, labels, _) in counters.items()} == {
        of: grown for of, (_, _, grown) in counters.items()
    }


async def test_the_age_of_a_watermark_that_cannot_be_written_grows_until_it_is(parts: Parts) -> None:
    now, is_away = 100.0, True

    async def around(name: str) -> None:
        if is_away and name == "advance_watermark":
            raise StoreUnavailable("away")

    job = Job(parts.log, WatchedStore(parts.store, around), DeadLetters(parts.letters, "comments-4"), clock=lambda: now)
    await job.take(await parts.append(0, 3))
    ages = []
    for moment in (100.0, 101.0, 105.0, 106.0, 107.0):
        now, is_away = moment, moment < 106.0
        await job.advance_watermarks()
        ages.append(value("watermark_age_seconds"))
    assert ages == [0.0, 1.0, 5.0, 0.0, 0.0]


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


async def test_a_group_that_withholds_what_came_since_is_to_blame(parts: Parts) -> None:
    job = parts.job(clock=lambda: time.monotonic() * 30)
    job.give([2])
    async with running(job):
        await until(lambda: not job.progress.unobserved(time.monotonic() * 30))
        assert job.progress.is_consuming()
        await parts.append(2, 5)
        await until(lambda: not job.progress.is_consuming())
    assert await parts.stored(2) == list(range(5))


async def test_the_end_of_an_epoch_is_marked_as_stored_as_soon_as_it_is(parts: Parts) -> None:
    job = parts.job()
    await job.take(await parts.append(0, 3))
    assert await parts.store.watermark(EPOCH, 0) < first_position(EPOCH), "which has the time of others"
    fence = await parts.log.append(0, epoch_event(EPOCH_FENCE, EPOCH))
    await job.take((await parts.log.read(0, fence, fence + 1, 1)).records)
    assert await parts.store.watermark(EPOCH, 0) == position_at(EPOCH, fence), "for it, all who write wait"


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


async def test_a_log_made_anew_that_has_caught_up_between_two_looks_ends_it_too(parts: Parts) -> None:
    log = WatchedLog(parts.log)
    await claim_log(log, parts.store)
    job = Job(log, parts.store, DeadLetters(parts.letters, "comments-4"))
    job.give([0])
    await job.observe()
    await job.take(await parts.append(0, 5))
    log.generation = "made anew"
    await job.observe()  # nothing is marked as stored: nothing collides
    await job.advance_watermarks()
    for _ in range(2):
        with pytest.raises(LogWentBack):
            await job.observe()


@pytest.mark.parametrize("count", [4, 5, 9])
async def test_a_log_that_lost_its_end_and_grew_under_another_leader_ends_it(
    parts: Parts, tmp_path: Path, count: int
) -> None:
    log = WatchedLog(parts.log)
    job = Job(log, parts.store, DeadLetters(parts.letters, "comments-4"))
    await job.take(await parts.append(0, 5), {0})  # nothing was read before
    await job.take(following := await parts.append(0, 2), {0})
    async with (
        DurableFile(tmp_path / "other", LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-4", EPOCH, PARTITIONS) as other,
        EmbeddedStore(file) as store,
    ):
        await Parts(other, parts.letters, store).append(0, count)
        log.inner = other
        await job.take([])
        with pytest.raises(LogWentBack, match="another record at 6"):
            await job.take([following[-1]._replace(offset=7)], {0})


@pytest.mark.parametrize("away", ["bounds", "read"])
async def test_another_leader_that_has_all_is_gone_on_with_once_it_answers(parts: Parts, away: str) -> None:
    failing = ""

    async def around(name: str) -> None:
        nonlocal failing
        if name == failing:
            failing = ""
            raise LogUnavailable("away")

    job = Job(WatchedLog(parts.log, around), parts.store, DeadLetters(parts.letters, "comments-4"))
    await job.take(await parts.append(0, 5))
    following = await parts.append(0, 1)
    failing = away
    await job.take(following, {0})
    assert not failing
    assert await parts.stored(0) == list(range(6))


async def test_of_what_retention_took_another_leader_is_not_asked(parts: Parts) -> None:
    log = Shortened(parts.log)
    job = Job(log, parts.store, DeadLetters(parts.letters, "comments-4"))
    await job.take(await parts.append(0, 5))
    log.first = 5
    await job.take(await parts.append(0, 1), {0})
    assert await parts.stored(0) == list(range(6))


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


async def test_two_deliveries_of_one_partition_are_stored_one_after_the_other(parts: Parts) -> None:
    """As when a group gives a partition back while its last delivery is still being stored."""
    going, begun = asyncio.Event(), asyncio.Event()

    async def around(name: str) -> None:
        if name == "write":
            begun.set()
            await going.wait()

    job = Job(parts.log, WatchedStore(parts.store, around), DeadLetters(parts.letters, "comments-4"))
    first, second = await parts.append(0, 4), await parts.append(0, 4)
    taking = [asyncio.create_task(job.take(first))]
    await begun.wait()
    taking += [asyncio.create_task(job.take(records)) for records in (second, first, second[2:])]
    for _ in range(20):
        await asyncio.sleep(0)
    going.set()
    async with asyncio.timeout(READY_TIMEOUT_S):
        await asyncio.gather(*taking)
    assert await parts.stored(0) == list(range(8))
    assert job.delivered == {0: 8}


async def test_partitions_that_somebody_added_to_the_topic_are_nobodys(parts: Parts) -> None:
    job = parts.job()
    job.give(range(PARTITIONS + 2))
    assert job.progress.partitions == frozenset(range(PARTITIONS))
    records = await parts.append(0, 3)
    foreign = [record._replace(partition=PARTITIONS) for record in records]
    await job.take(foreign)
    assert job.delivered == {}
    await job.take([*foreign, *records])
    assert job.delivered == {0: 3}
    assert await parts.stored(0) == [0, 1, 2]
