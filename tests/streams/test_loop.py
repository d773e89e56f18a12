"""What the plain runner promises: all partitions are stored as they grow, whatever log and store do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from livecomments.embedded.store import TABLES, EmbeddedStore
from livecomments.history.log_end import LogWentBack
from livecomments.log.interface import CommentLog, LogReader, LogUnavailable, OffsetUnavailable
from livecomments.sqlite import DurableFile
from livecomments.store.interface import StoreUnavailable
from livecomments_schemas.positions import first_position
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.loop import PersistLoop
from tests.following.test_follower import append, homes
from tests.history.faults import WatchedStore
from tests.log.contract import WAIT_S, EmbeddedMaker, embedded_maker
from tests.log.faults import BrokenLog, WatchedLog
from tests.schemas.records import comment
from tests.streams.faults import stored_rows

EPOCH_START = first_position(3)
PARTITIONS = 3


class Clock:
    """A second passes whenever it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
async def maker(tmp_path: Path) -> AsyncIterator[EmbeddedMaker]:
    async with embedded_maker(tmp_path / "logs") as embedded:
        yield embedded


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[WatchedStore]:
    async with DurableFile(tmp_path / "store", TABLES) as file, EmbeddedStore(file) as embedded:
        yield WatchedStore(embedded)


@asynccontextmanager
async def persisting(maker: EmbeddedMaker, log: CommentLog, store: WatchedStore) -> AsyncIterator[None]:
    """The running loop; that it still runs is part of every test."""
    letters = DeadLetters(await maker.open(1), "comments-3")
    loop = PersistLoop(log, store, letters, range(log.partition_count), clock=Clock())
    running = asyncio.create_task(loop.run())
    try:
        yield
        assert not running.done()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await condition():  # noqa: ASYNC110 - it has no event of its own
            await asyncio.sleep(0.01)


async def all_stored(log: CommentLog, store: WatchedStore) -> None:
    """Wait until every watermark is at the log's end, and see that the rows are there."""
    right = log.inner if isinstance(log, WatchedLog) else log
    ends = {number: held.end for number, held in (await right.bounds(range(log.partition_count))).items()}

    async def is_at_the_end() -> bool:
        marks = [await store.inner.watermark(3, number) for number in ends]
        return all(mark + 1 == EPOCH_START + end for mark, end in zip(marks, ends.values(), strict=True) if end)

    await until(is_at_the_end)
    for number, video_id in homes(log.partition_count).items():
        rows = await stored_rows(store.inner, video_id)
        assert [row.position - EPOCH_START for row in rows] == list(range(ends[number]))


async def test_what_was_there_and_what_comes_is_stored_in_every_partition(
    maker: EmbeddedMaker, store: WatchedStore
) -> None:
    log = await maker.open(PARTITIONS)
    for number, video_id in homes(PARTITIONS).items():
        await append(log, *[comment(video_id)] * 5 * number, partition=number)
    async with persisting(maker, log, store):
        await all_stored(log, store)
        for number, video_id in homes(PARTITIONS).items():
            await append(log, *[comment(video_id)] * 7, partition=number)
        await all_stored(log, store)


async def test_it_goes_on_where_it_was_after_a_restart(maker: EmbeddedMaker, store: WatchedStore) -> None:
    log, video = await maker.open(PARTITIONS), homes(PARTITIONS)
    for _ in range(3):
        await append(log, *[comment(video[1], key="once")], *[comment(video[2])] * 3, partition=2)
        await append(log, comment(video[1]), partition=1)
        async with persisting(maker, log, store):

            async def is_stored() -> bool:
                mark = await store.inner.watermark(3, 1)
                return mark + 1 == EPOCH_START + (await log.bounds([1]))[1].end

            await until(is_stored)
    assert len(await stored_rows(store.inner, video[1])) == 3


async def test_log_and_store_may_be_away(maker: EmbeddedMaker, store: WatchedStore) -> None:
    log, video = BrokenLog(await maker.open(1)), homes(1)[0]

    async def around(name: str) -> None:
        if name in failures:
            failures.remove(name)
            raise (StoreUnavailable if name in ("watermark", "write") else LogUnavailable)("away")

    failures = {"watermark", "bounds", "write"}
    store.around = log.around = around
    async with persisting(maker, log, store):
        await append(log, *[comment(video)] * 3)
        await all_stored(log, store)
        log.error = LogUnavailable("away")
        await append(log, *[comment(video)] * 3)  # ends the poll under way
        async with asyncio.timeout(WAIT_S):
            while not log.failures:  # noqa: ASYNC110 - it has no event of its own
                await asyncio.sleep(0.001)
        log.error = None
        await all_stored(log, store)
    assert not failures


async def test_a_log_that_let_go_of_what_is_next_does_not_end_it(maker: EmbeddedMaker, store: WatchedStore) -> None:
    log, video = BrokenLog(await maker.open(1)), homes(1)[0]
    async with persisting(maker, log, store):
        await append(log, *[comment(video)] * 3)
        await all_stored(log, store)
        log.error = OffsetUnavailable("retention was faster")
        await append(log, *[comment(video)] * 3)
        await all_stored(log, store)


async def test_it_refuses_a_log_that_went_back(maker: EmbeddedMaker, store: WatchedStore) -> None:
    log = await maker.open(1)
    await store.advance_watermark(3, 0, EPOCH_START + 5)
    loop = PersistLoop(log, store, DeadLetters(await maker.open(1), "comments-3"), [0])
    with pytest.raises(LogWentBack):
        await loop.run()


class CountingLog(WatchedLog):
    """Counts the readers that were not closed."""

    def __init__(self, inner: CommentLog) -> None:
        super().__init__(inner)
        self.open_readers = 0

    def follow(self) -> LogReader:
        reader = self.inner.follow()
        close, self.open_readers = reader.aclose, self.open_readers + 1

        async def aclose() -> None:
            self.open_readers -= 1
            await close()

        reader.aclose = aclose  # type: ignore[method-assign]  # counted on its way
        return reader


async def test_it_leaves_no_reader_behind(maker: EmbeddedMaker, store: WatchedStore) -> None:
    log = CountingLog(await maker.open(1))
    async with persisting(maker, log, store):
        await append(log, comment(homes(1)[0]))
        await all_stored(log, store)
    assert log.open_readers == 0
    await store.advance_watermark(3, 0, EPOCH_START + 5)
    with pytest.raises(LogWentBack):
        await PersistLoop(log, store, DeadLetters(await maker.open(1), "comments-3"), [0]).run()
    assert log.open_readers == 0
