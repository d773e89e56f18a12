"""What the middle promises: everything between watermark and tail, read once for all, within its bounds."""

import asyncio
import gc
from contextlib import suppress
from weakref import WeakSet

import pytest

from livecomments.following.tail import Tail
from livecomments.history.detour import Detour
from livecomments.history.middle import UNUSED_S, Budget, Covered, Middle
from livecomments.history.stretch import HistoryBehind
from livecomments.log.interface import LogUnavailable, Slice
from livecomments_schemas.judge import judge
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position
from tests.history.world import Event, World
from tests.log.faults import WatchedLog

START = first_position(1)
W = 8


class Reads:
    """The offsets that were read from the log, and what a read is to wait for or fail with."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.error: Exception | None = None
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    def log(self, world: World) -> WatchedLog:
        async def around(name: str) -> None:
            if name == "read":
                await self.may_go_on.wait()
                if self.error:
                    raise self.error

        reads = self

        class Noting(WatchedLog):
            async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
                found = await super().read(partition, start, end, limit)
                reads.offsets += [record.offset for record in found.records]
                return found

        return Noting(world.log, around)


def middle(log: WatchedLog, *, records_max: int = 1_000, bytes_max: int = 1 << 30) -> Middle:
    return Middle(log, 0, W, judge, records_max=records_max, budget=Budget(bytes_max))


def held(covered: Covered, video_id: str = "quiet") -> list[int]:
    assert isinstance(covered.tail, Tail)
    return [entry.position - START for entry in covered.tail.forward(video_id, covered.watermark, 999)]


async def test_it_holds_what_lies_between_exactly(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    covered = await middle(Reads().log(world)).cover(START + 9, lambda: START + 19)
    assert covered.watermark == START + 9
    assert held(covered) == list(range(10, 20))


async def test_nothing_between_is_nothing_and_reads_nothing(world: World) -> None:
    await world.append(*[Event("comment")] * 3)
    reads = Reads()
    assert await middle(reads.log(world)).cover(START + 2, lambda: START + 2) == (START + 2, None)
    assert await middle(reads.log(world)).cover(BEFORE_EVERYTHING, lambda: START - 1) == (START - 1, None)
    assert reads.offsets == []


async def test_it_judges_with_the_window_before_it(world: World) -> None:
    """Retries whose first comment lies in the window before it."""
    await world.append(Event("retry"), Event("retry", number=1), *[Event("comment")] * (W - 2))
    await world.append(Event("retry"), Event("retry", number=1), Event("retry", number=1))
    reads = Reads()
    covered = await middle(reads.log(world)).cover(START + W - 1, lambda: START + W + 2)
    assert held(covered) == [], "offsets 8 and 9 are W after their first, and 10 is after 9"
    assert reads.offsets == list(range(W + 3))
    later = await middle(reads.log(world)).cover(START + W, lambda: START + W + 2)
    assert held(later) == []


async def test_many_readers_share_one_reading(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    reads = Reads()
    reads.may_go_on.clear()
    one = middle(reads.log(world))
    readers = [asyncio.create_task(one.cover(START + 9, lambda: START + 19)) for _ in range(20)]
    await asyncio.sleep(0)
    reads.may_go_on.set()
    assert [held(await reader) for reader in readers] == [list(range(10, 20))] * 20
    assert reads.offsets == list(range(10 - W, 20))


async def test_it_is_extended_and_not_read_again(world: World) -> None:
    await world.append(*[Event("comment")] * 60)
    reads = Reads()
    one = middle(reads.log(world))
    for watermark, through in ((9, 19), (9, 25), (14, 25), (20, 40), (40, 41), (45, 50)):
        covered = await one.cover(START + watermark, lambda: START + through)  # noqa: B023 - awaited here
        assert held(covered) == list(range(watermark + 1, through + 1))
    assert reads.offsets == list(range(10 - W, 51)), "each record once"
    await one.cover(START + 59 - W, lambda: START + 59)
    assert reads.offsets == list(range(10 - W, 60))


async def test_a_reader_with_an_older_watermark_is_given_the_newer_one(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    reads = Reads()
    one = middle(reads.log(world))
    await one.cover(START + 15, lambda: START + 19)
    covered = await one.cover(START + 9, lambda: START + 19)
    assert covered.watermark == START + 15
    assert held(covered) == [16, 17, 18, 19]
    assert reads.offsets == list(range(16 - W, 20)), "and nothing is read again for it"
    assert (await one.cover(START + 9, lambda: START + 15)).tail is None


async def test_what_the_store_has_is_let_go_of_as_the_watermark_moves(world: World) -> None:
    """A middle that is extended for hours holds what lies between, and not all that ever did."""
    await world.append(*[Event("comment")] * 60)
    one = middle(Reads().log(world))
    sizes = []
    for watermark in range(9, 49, 10):
        covered = await one.cover(START + watermark, lambda: START + watermark + 10)  # noqa: B023 - awaited here
        assert covered.tail is not None
        assert (len(covered.tail), covered.tail.after) == (10, START + watermark)
        sizes.append(one.bytes)
    assert sizes == sizes[:1] * 4


async def test_a_watermark_far_ahead_begins_anew(world: World) -> None:
    await world.append(*[Event("comment")] * 60)
    reads = Reads()
    one = middle(reads.log(world))
    await one.cover(START + 9, lambda: START + 12)
    covered = await one.cover(START + 49, lambda: START + 52)
    assert held(covered) == [50, 51, 52]
    assert reads.offsets == [*range(10 - W, 13), *range(50 - W, 53)]


async def test_more_records_than_the_bound_are_not_even_begun(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    reads = Reads()
    one = middle(reads.log(world), records_max=10)
    with pytest.raises(HistoryBehind):
        await one.cover(START + 9, lambda: START + 20)
    assert reads.offsets == []
    assert held(await one.cover(START + 9, lambda: START + 19)) == list(range(10, 20))
    assert held(await one.cover(START + 14, lambda: START + 24)) == list(range(15, 25))


async def test_more_bytes_than_the_bound_are_read_once_and_then_refused_until_enough_is_stored(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    reads = Reads()
    size = held_bytes(await middle(reads.log(world)).cover(START + 9, lambda: START + 19))
    reads.offsets.clear()
    one = middle(reads.log(world), bytes_max=size)
    for _ in range(5):
        with pytest.raises(HistoryBehind):
            await one.cover(START + 9, lambda: START + 29)
    assert reads.offsets == list(range(10 - W, 30)), "once"
    assert held(await one.cover(START + 19, lambda: START + 29)) == list(range(20, 30))


def held_bytes(covered: Covered) -> int:
    assert covered.tail is not None
    return covered.tail.bytes


async def test_what_the_log_holds_no_longer_is_history_behind(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    await world.forget_before(20)
    one = middle(Reads().log(world))
    with pytest.raises(HistoryBehind):
        await one.cover(START + 18, lambda: START + 29)
    assert held(await one.cover(START + 19, lambda: START + 29)) == list(range(20, 30))


async def test_a_log_that_ends_before_the_tail_is_history_behind_and_no_endless_loop(world: World) -> None:
    await world.append(*[Event("comment")] * 5)
    with pytest.raises(HistoryBehind):
        await middle(Reads().log(world)).cover(START + 1, lambda: START + 9)
    with pytest.raises(HistoryBehind):
        await middle(Reads().log(world)).cover(START + 7, lambda: START + 9)


async def test_a_failed_or_cancelled_reading_goes_on_where_it_was(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    reads = Reads()
    one = middle(reads.log(world))
    assert held(await one.cover(START + 9, lambda: START + 14)) == list(range(10, 15))
    reads.error = LogUnavailable("away")
    with pytest.raises(LogUnavailable):
        await one.cover(START + 9, lambda: START + 19)
    reads.error = None
    reads.may_go_on.clear()
    given_up = asyncio.create_task(one.cover(START + 9, lambda: START + 19))
    other = asyncio.create_task(one.cover(START + 9, lambda: START + 19))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    reads.may_go_on.set()
    assert held(await other) == list(range(10, 20))
    assert reads.offsets == list(range(10 - W, 20))


async def test_it_frees_its_memory_when_nobody_needs_it_but_not_under_a_reader(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    reads = Reads()
    one = middle(reads.log(world))
    await one.cover(START + 9, lambda: START + 14)
    reads.may_go_on.clear()
    reader = asyncio.create_task(one.cover(START + 9, lambda: START + 19))
    await asyncio.sleep(0)
    one.let_go()
    reads.may_go_on.set()
    assert held(await reader) == list(range(10, 20))
    assert reads.offsets == list(range(10 - W, 20))
    one.let_go()
    assert held(await one.cover(START + 9, lambda: START + 19)) == list(range(10, 20))
    assert reads.offsets == [*range(10 - W, 20), *range(10 - W, 20)]


async def test_all_middles_together_hold_no_more_than_their_budget(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    now = 0.0
    log = Reads().log(world)
    whole = middle(log)
    await whole.cover(START - 1, lambda: START + 29)
    budget = Budget(whole.bytes * 3 // 2, lambda: now)
    first, second = (Middle(log, 0, W, judge, records_max=1_000, budget=budget) for _ in range(2))
    assert held(await first.cover(START - 1, lambda: START + 29)) == list(range(30))
    with pytest.raises(HistoryBehind):  # the other one is in use
        await second.cover(START - 1, lambda: START + 29)
    assert (first.bytes, second.bytes) == (whole.bytes, 0)
    now = UNUSED_S
    assert held(await second.cover(START - 1, lambda: START + 29)) == list(range(30))
    assert (first.bytes, second.bytes) == (0, whole.bytes)
    now += 2 * UNUSED_S
    assert held(await first.cover(START - 1, lambda: START + 29)) == list(range(30)), "and back again"


async def test_a_crowd_for_which_there_is_no_room_reads_the_log_once(world: World) -> None:
    await world.append(*[Event("comment")] * 30)
    reads = Reads()
    log = reads.log(world)
    whole = middle(log)
    await whole.cover(START - 1, lambda: START + 29)
    budget = Budget(whole.bytes * 3 // 2, lambda: 0.0)
    first, second = (Middle(log, 0, W, judge, records_max=1_000, budget=budget) for _ in range(2))
    await first.cover(START - 1, lambda: START + 29)
    reads.offsets.clear()
    crowd = (second.cover(START - 1, lambda: START + 29) for _ in range(20))
    assert {type(answer) for answer in await asyncio.gather(*crowd, return_exceptions=True)} == {HistoryBehind}
    assert reads.offsets.count(0) == 1


async def test_a_middle_that_nobody_holds_is_in_no_budget(world: World) -> None:
    """Neither one that failed to begin, nor one that was let go of while it was read."""
    await world.append(*[Event("comment")] * 30)
    await world.forget_before(10)
    reads, budget, asked, kept = Reads(), Budget(1 << 30), list[int](), WeakSet[Middle]()
    log = reads.log(world)

    def make(partition: int) -> Middle:
        asked.append(partition)
        kept.add(one := Middle(log, partition, W, judge, records_max=1_000, budget=budget))
        return one

    detour = Detour(make)
    with suppress(HistoryBehind):
        await detour.cover(0, START + 5, lambda: START + 29)
    reads.may_go_on.clear()
    reader = asyncio.create_task(detour.cover(0, START + 19, lambda: START + 29))
    await asyncio.sleep(0)
    detour.let_go(0)
    reads.may_go_on.set()
    assert await reader is not None
    gc.collect()
    assert (len(asked), len(kept)) == (2, 0)
