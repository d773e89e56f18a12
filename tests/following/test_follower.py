"""What the follower promises: every record of its partitions judged once, in order, whatever the log does."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from livecomments.following.follower import Follower, PartitionUnavailable
from livecomments.following.partition import FollowedPartition
from livecomments.following.share import UNUSED_S, Share
from livecomments.following.tail import Entry, TailBounds
from livecomments.log.interface import CommentLog, LogUnavailable, LogWentBackUnavailable, OffsetUnavailable
from livecomments.runtime.metrics import REGISTRY
from livecomments_schemas.events import NewRecord
from livecomments_schemas.judge import Kind
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import first_position
from tests.log.contract import WAIT_S, EmbeddedMaker, embedded_maker
from tests.log.faults import BrokenLog, GatedLog, WatchedLog
from tests.schemas.records import comment, ended

START: Final = first_position(3)
UNBOUNDED: Final = TailBounds(10**9, 10**9, 10**9)
IDLE_S: Final = 100.0
W: Final = 8


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Heard:
    """What a listener was told, by partition."""

    def __init__(self) -> None:
        self.offsets: dict[int, list[int]] = {}
        self.tails: set[int] = set()

    def __call__(self, followed: FollowedPartition, entries: Sequence[Entry]) -> None:
        self.tails.add(id(followed))
        offsets = self.offsets.setdefault(followed.number, [])
        for entry in entries:
            assert followed.tail.find(entry.position) is entry, "it is in the tail already"
            offsets.append(entry.position - START)


@pytest.fixture
async def maker(tmp_path: Path) -> AsyncIterator[EmbeddedMaker]:
    async with embedded_maker(tmp_path) as embedded:
        yield embedded


@asynccontextmanager
async def following(
    log: CommentLog,
    assigned: Collection[int] = (0,),
    *,
    window: int = W,
    bounds: TailBounds = UNBOUNDED,
    clock: Clock | None = None,
) -> AsyncIterator[Follower]:
    """A running follower; that it ends well is part of every test."""
    follower = Follower(
        log, assigned, bounds, idle_s=IDLE_S, window_records=window, clock=clock if clock is not None else Clock()
    )
    running = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        assert not running.done()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, within a bound."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - it has no event of its own
            await asyncio.sleep(0.001)


async def ready(follower: Follower, number: int = 0) -> FollowedPartition:
    return await follower.ready_partition(number, WAIT_S)


async def append(log: CommentLog, *news: NewRecord, partition: int = 0) -> list[int]:
    return list(await asyncio.gather(*(log.append(partition, new) for new in news)))


def is_metric(silence_s: float) -> bool:
    return REGISTRY.get_sample_value("livecomments_log_silence_seconds") == silence_s


def homes(partition_count: int) -> dict[int, str]:
    """A video of each partition."""
    names = (f"v{number}" for number in itertools.count())
    found: dict[int, str] = {}
    while len(found) < partition_count:
        name = next(names)
        found.setdefault(partition_of(name, partition_count), name)
    return found


def offsets(followed: FollowedPartition, video_id: str = "launch") -> list[int]:
    return [entry.position - START for entry in followed.tail.forward(video_id, followed.tail.after, 10**6)]


async def test_what_was_appended_before_and_after_is_judged_once_in_order(maker: EmbeddedMaker) -> None:
    log = await maker.open(1)
    await append(log, *[comment(message=f"{number}") for number in range(20)])
    async with following(log) as follower:
        heard = Heard()
        follower.listeners.append(heard)
        followed = await ready(follower)
        later = await append(log, *[comment(message=f"{number}") for number in range(20)])
        await followed.verdict(later[-1], WAIT_S)
        assert offsets(followed) == list(range(40))
        assert heard.offsets == {0: later}, "what lay there before it began is in the tail, and told to nobody"


async def test_every_listener_hears_each_accepted_record_once_and_no_other(maker: EmbeddedMaker) -> None:
    log = await maker.open(1)
    async with following(log) as follower:
        first, second = Heard(), Heard()
        follower.listeners += [first, second]
        followed = await ready(follower)
        await append(log, comment(key="k"), comment(key="k"), ended("over"), comment("over"), comment(key="k"))
        last = await append(log, comment())
        await followed.verdict(last[0], WAIT_S)
        assert first.offsets == second.offsets == {0: [0, 2, 5]}


async def test_each_partition_is_ready_by_itself(maker: EmbeddedMaker) -> None:
    may_read = asyncio.Event()

    async def around(name: str) -> None:
        if name == "read":
            await may_read.wait()

    log = WatchedLog(await maker.open(3), around)
    await append(log, comment("v"), partition=1)
    async with following(log, (0, 1, 2)) as follower:
        await ready(follower, 0)
        await ready(follower, 2)
        assert not follower.is_ready
        with pytest.raises(PartitionUnavailable):
            follower.partition(1)
        may_read.set()
        await ready(follower, 1)
        assert follower.is_ready


async def test_whoever_comes_before_the_follower_runs_is_served_by_it(maker: EmbeddedMaker) -> None:
    log = await maker.open(2)
    async with following(log) as follower:
        waiting = asyncio.create_task(ready(follower, 1))
        assert (await waiting).number == 1


async def test_nobody_waits_longer_for_a_partition_than_they_said(maker: EmbeddedMaker) -> None:
    async def around(_: str) -> None:
        raise LogUnavailable("away")

    log = WatchedLog(await maker.open(1), around)
    async with following(log) as follower:
        with pytest.raises(PartitionUnavailable):
            await follower.ready_partition(0, 0.01)


async def test_a_window_read_back_gives_the_verdicts_of_whoever_read_everything(maker: EmbeddedMaker) -> None:
    """The log is longer than a window, the tail at start and one more chunk of reading."""
    log = await maker.open(1)
    news = [comment(key=f"k{number // 3 % 50}") if number % 3 else comment() for number in range(2_500)]
    await append(log, *news)
    async with following(log, window=2_400) as whole, following(log, window=400) as part:
        one, other = await ready(whole), await ready(part)
        assert one.tail.after == START - 1
        assert other.tail.after == START + 2_500 - 1_024 - 1
        assert not other.window._whole
        assert offsets(other) == [at for at in offsets(one) if at > 2_500 - 1_024 - 1]
        for offset in range(2_500 - 400, 2_500):
            assert (await one.verdict(offset, 0)).kind == (await other.verdict(offset, 0)).kind


async def test_a_tail_begins_a_window_after_what_retention_left(maker: EmbeddedMaker) -> None:
    """A retry whose first comment retention took is a duplicate for all who have read both."""
    log = await maker.open(1)
    await append(log, comment(key="k"), *[comment()] * 3, comment(key="k"), *[comment()] * 10)
    async with following(log) as follower:
        assert offsets(await ready(follower)) == [0, 1, 2, 3, *range(5, 15)]
    cut = await maker.forget_before(log, 0, 2)
    async with following(cut) as follower:
        followed = await ready(follower)
        assert followed.tail.after == START + 2 + W - 1
        assert offsets(followed) == list(range(2 + W, 15))
    shorter = await maker.forget_before(log, 0, 12)
    async with following(shorter) as follower:
        followed = await ready(follower)
        assert followed.tail.after == followed.judged_through == START + 14
        last = await append(shorter, comment())
        assert (await followed.verdict(last[0], WAIT_S)).kind is Kind.ACCEPTED
        assert offsets(followed) == [15]


async def test_partitions_taken_on_under_load_lose_and_repeat_nothing(maker: EmbeddedMaker) -> None:
    """More than the live reader's memory holds lies before each, and more keeps coming while others are taken on."""
    count = 4
    log, video = await maker.open(count), homes(count)
    heard = Heard()
    for number in range(count):
        await append(log, *[comment(video[number])] * 1_500, partition=number)
    async with following(log, (0,)) as follower:
        follower.listeners.append(heard)
        stopped = False

        async def keep_appending() -> None:
            while not stopped:
                for number in range(count):
                    await append(log, *[comment(video[number])] * 7, partition=number)

        appending = asyncio.create_task(keep_appending())
        begun = {number: (await ready(follower, number)).next_offset for number in range(count)}
        await until(lambda: all(len(heard.offsets.get(number, ())) > 300 for number in range(count)))
        stopped = True
        await appending
        ends = {number: held.end for number, held in (await log.bounds(range(count))).items()}
        for number, end in ends.items():
            await follower.followed[number].reach(START + end - 1, WAIT_S)
            told = heard.offsets[number]
            assert told == list(range(told[0], end)), "no record skipped, none doubled"
            assert told[0] <= begun[number], "from the first one after it was ready"
            assert offsets(follower.followed[number], video[number])[-len(told) :] == told


async def test_an_unused_partition_is_let_go_and_taken_on_again(maker: EmbeddedMaker) -> None:
    log, clock, video = await maker.open(2), Clock(), homes(2)
    async with following(log, (0,), clock=clock) as follower:
        first = await ready(follower, 1)
        clock.now += IDLE_S - 1
        await append(log, comment(video[0]), partition=0)
        await until(lambda: follower.followed[0].next_offset == 1)
        assert follower.followed[1] is first
        clock.now += 2
        await append(log, comment(video[0]), partition=0)
        await until(lambda: 1 not in follower.followed)
        assert 0 in follower.followed, "assigned"
        await append(log, comment(video[1]), partition=1)
        with pytest.raises(PartitionUnavailable):
            follower.partition(1)
        again = await ready(follower, 1)
        assert again is not first
        assert offsets(again, video[1]) == [0]
        late = await append(log, comment(video[1]), partition=1)
        assert (await again.verdict(late[0], WAIT_S)).kind is Kind.ACCEPTED


async def test_whoever_asks_for_a_partition_that_was_let_go_waits_until_it_is_read_again(maker: EmbeddedMaker) -> None:
    may_read, clock = asyncio.Event(), Clock()
    may_read.set()

    async def around(name: str) -> None:
        if name == "bounds":
            await may_read.wait()

    log, video = WatchedLog(await maker.open(2), around), homes(2)
    async with following(log, (0,), clock=clock) as follower:
        await ready(follower, 0)
        await ready(follower, 1)
        clock.now += IDLE_S + 1
        may_read.clear()
        await append(log, comment(video[0]), partition=0)
        await until(lambda: 1 not in follower.followed)
        asking = asyncio.create_task(ready(follower, 1))
        await asyncio.wait([asking], timeout=0.05)
        assert not asking.done()
        may_read.set()
        assert (await asking).number == 1


async def test_a_partition_that_is_used_or_held_is_not_let_go(maker: EmbeddedMaker) -> None:
    log, clock, video = await maker.open(3), Clock(), homes(3)
    async with following(log, (0,), clock=clock) as follower:
        await ready(follower, 1)
        await ready(follower, 2)
        with follower.holding(1), follower.holding(1):
            for step in range(3):
                clock.now += IDLE_S * 0.9
                follower.partition(2)
                await append(log, comment(video[0]), partition=0)
                await until(lambda: follower.followed[0].next_offset == step + 1)  # noqa: B023 - awaited here
            assert follower.followed.keys() == {0, 1, 2}
        clock.now += IDLE_S * 0.9
        await append(log, comment(video[0]), partition=0)
        await until(lambda: follower.followed[0].next_offset == 4)
        assert follower.followed.keys() == {0, 1, 2}, "the last use of 1 was its last holder's end"
        clock.now += IDLE_S * 0.2
        await append(log, comment(video[0]), partition=0)
        await until(lambda: follower.followed.keys() == {0})


async def test_a_log_that_is_away_while_a_partition_is_taken_on_is_asked_again(maker: EmbeddedMaker) -> None:
    failures = iter(["bounds", "read"])
    wanted = next(failures)

    async def around(name: str) -> None:
        nonlocal wanted
        if name == wanted:
            wanted = next(failures, "")
            raise LogUnavailable("away")

    log = WatchedLog(await maker.open(1), around)
    await append(log, comment())
    async with following(log) as follower:
        assert offsets(await ready(follower)) == [0]
    assert not wanted


async def test_following_goes_on_after_the_log_was_away(maker: EmbeddedMaker) -> None:
    log = BrokenLog(await maker.open(1))
    async with following(log) as follower:
        heard = Heard()
        follower.listeners.append(heard)
        followed = await ready(follower)
        log.error = LogUnavailable("away")
        made = await append(log, *[comment()] * 5)
        log.error = None
        await followed.verdict(made[-1], WAIT_S)
        assert heard.offsets == {0: made}


async def test_a_partition_that_lost_its_next_record_is_started_over_and_no_other(maker: EmbeddedMaker) -> None:
    log, video = BrokenLog(await maker.open(2)), homes(2)
    async with following(log, (0, 1)) as follower:
        heard = Heard()
        follower.listeners.append(heard)
        lost, kept = await ready(follower, 0), await ready(follower, 1)
        for number in (0, 1):
            made = await append(log, *[comment(video[number])] * 30, partition=number)
            await follower.followed[number].verdict(made[-1], WAIT_S)
        lost.next_offset = 31  # beyond its end, as after acknowledged records were lost
        log.error = OffsetUnavailable("not here")
        await until(lambda: follower.followed.get(0, lost) is not lost)
        again = follower.followed[0]
        assert follower.followed[1] is kept
        assert again.next_offset == 30
        assert offsets(again, video[0]) == list(range(30))


async def test_a_lost_record_in_one_partition_and_no_leader_of_another_stop_neither_it_nor_a_third(
    maker: EmbeddedMaker,
) -> None:
    log = BrokenLog(await maker.open(3))
    async with following(log, (0, 1, 2)) as follower:
        lost, away, third = [await ready(follower, number) for number in range(3)]
        lost.next_offset = 1  # beyond its end
        log.leaderless = {1}
        log.error = OffsetUnavailable("not here")
        made = await append(log, comment(homes(3)[2]), partition=2)
        assert (await third.verdict(made[0], WAIT_S)).kind is Kind.ACCEPTED
        await until(lambda: follower.followed.get(0, lost) is not lost)
        assert follower.followed[1] is away


async def test_a_lost_end_that_has_grown_again_before_anybody_looked_is_seen(maker: EmbeddedMaker) -> None:
    log = BrokenLog(await maker.open(2))
    async with following(log, (0, 1)) as follower:
        followed, other = await ready(follower, 0), await ready(follower, 1)
        made = await append(log, comment(), comment())
        await followed.verdict(made[-1], WAIT_S)
        log.error = OffsetUnavailable("not here", partition=0, offset=2)
        await append(log, comment(), comment())
        await until(lambda: bool(follower.continuity.resets))
        again = await ready(follower)
        assert again is not followed
        assert again.resets == 1
        assert offsets(again) == [0, 1, 2, 3]
        assert follower.followed[1] is other
        with pytest.raises(LogWentBackUnavailable):
            follower.continuity.check()


async def test_a_lost_end_is_seen_when_its_partition_answers_again(maker: EmbeddedMaker) -> None:
    log = BrokenLog(await maker.open(1))
    async with following(log) as follower:
        followed = await ready(follower)
        log.leaderless = {0}
        log.error = OffsetUnavailable("not here", partition=0, offset=0)
        await until(lambda: log.error is None)
        made = await append(log, comment(), comment())
        await followed.verdict(made[-1], WAIT_S)
        assert not follower.continuity.resets, "nobody could say where the partition starts"
        log.leaderless = set()
        await until(lambda: bool(follower.continuity.resets))
        assert offsets(await ready(follower)) == made


async def test_what_retention_has_taken_is_no_lost_end(maker: EmbeddedMaker) -> None:
    inner = await maker.open(1)
    await append(inner, *[comment()] * 5)
    log = BrokenLog(await maker.forget_before(inner, 0, 4))
    async with following(log) as follower:
        followed = await ready(follower)
        followed.next_offset = 3
        log.error = OffsetUnavailable("not here", partition=0, offset=3)
        await until(lambda: follower.followed.get(0, followed) is not followed)
        assert (await ready(follower)).next_offset == 5
        follower.continuity.check()


async def test_silence_ends_when_the_log_answers_a_probe(maker: EmbeddedMaker) -> None:
    clock = Clock()
    async with following(await maker.open(1), clock=clock) as follower:
        await ready(follower)
        clock.now += 50
        assert follower.silence_s == 50
        await until(lambda: follower.silence_s == 0)


async def test_a_follower_with_nothing_to_follow_is_not_silent(maker: EmbeddedMaker) -> None:
    clock = Clock()
    async with following(await maker.open(1), (), clock=clock) as follower:
        assert follower.is_ready
        clock.now += 50
        await until(lambda: follower.silence_s == 0)


async def test_a_partition_that_does_not_answer_is_silent_alone_and_the_log_is_not(maker: EmbeddedMaker) -> None:
    clock, log = Clock(), WatchedLog(await maker.open(3))
    async with following(log, (0, 1, 2), clock=clock) as follower:
        for number in range(3):
            await ready(follower, number)
        log.leaderless = {1}
        for silent_s in (50, 100):
            clock.now += 50
            made = await append(log, comment(homes(3)[0]))
            await follower.followed[0].verdict(made[0], WAIT_S)
            assert follower.partition_silence_s(0) == 0  # its record told
            await until(lambda: follower.partition_silence_s(2) == 0)
            assert follower.partition_silence_s(1) == silent_s
            assert follower.silence_s == 0
            await until(partial(is_metric, silent_s))
        log.leaderless = set()
        await until(lambda: follower.partition_silence_s(1) == 0)
        await until(partial(is_metric, 0))


async def test_records_end_silence_without_a_probe(maker: EmbeddedMaker) -> None:
    clock = Clock()

    async def around(name: str) -> None:
        if name == "answering" and clock.now > 1_000:
            raise LogUnavailable("away")

    log = WatchedLog(await maker.open(1), around)
    async with following(log, clock=clock) as follower:
        followed = await ready(follower)
        clock.now += 50
        made = await append(log, comment())
        await followed.verdict(made[0], WAIT_S)
        assert follower.silence_s == 0


@pytest.mark.parametrize("broken", ["log", "reader"])
async def test_silence_grows_while_the_log_or_its_reader_fails(maker: EmbeddedMaker, broken: str) -> None:
    clock, probes = Clock(), 0

    async def around(name: str) -> None:
        nonlocal probes
        if name == "answering" and clock.now > 1_000:
            probes += 1
            if broken == "log":
                raise LogUnavailable("away")

    log = BrokenLog(await maker.open(1))
    log.around = around
    async with following(log, clock=clock) as follower:
        await ready(follower)
        log.error = LogUnavailable("away")
        await until(lambda: not follower._is_reading)
        clock.now += 50
        waited = asyncio.get_running_loop().time() + 1.5
        await until(lambda: asyncio.get_running_loop().time() > waited)  # a probe, or none, in the meantime
        assert follower.silence_s == 50
        log.error, broken = None, ""
        await until(lambda: follower.silence_s == 0)
        assert probes


async def test_old_records_leave_an_idle_partition(maker: EmbeddedMaker) -> None:
    log, clock = await maker.open(1), Clock()
    await append(log, comment(), comment())
    async with following(log, bounds=TailBounds(10**9, 10**9, 10.0), clock=clock) as follower:
        followed = await ready(follower)
        assert offsets(followed) == [0, 1]
        clock.now += 11
        await until(lambda: len(followed.tail) == 0)
        assert followed.tail.bytes == 0
        assert followed.tail.after == START + 1


async def test_a_follower_that_ends_takes_nothing_on(maker: EmbeddedMaker) -> None:
    log = await maker.open(2)
    async with following(log) as follower:
        await ready(follower)
    with pytest.raises(PartitionUnavailable):
        follower.partition(1)
    with pytest.raises(PartitionUnavailable):
        await follower.ready_partition(1, 0.01)


async def test_a_lagging_follower_says_only_what_it_has_judged(maker: EmbeddedMaker) -> None:
    log = GatedLog(await maker.open(1))
    async with following(log) as follower:
        followed = await ready(follower)
        await append(log, *[comment()] * 5)
        log.release(3)
        await followed.reach(START + 2, WAIT_S)
        assert followed.judged_through == START + 2
        with pytest.raises(TimeoutError):
            await followed.verdict(3, 0)
        log.release(5)
        assert (await followed.verdict(4, WAIT_S)).kind is Kind.ACCEPTED


async def test_a_log_made_anew_is_read_again_from_its_start_and_nothing_may_be_written(maker: EmbeddedMaker) -> None:
    log = WatchedLog(await maker.open(1))
    await append(log, *[comment(message=f"{number}") for number in range(3)])
    async with following(log) as follower:
        before = await ready(follower)
        follower.continuity.check()
        log.generation = "anew"
        await until(lambda: bool(follower.continuity.resets))
        after = await follower.ready_partition(0, WAIT_S)
        assert (before.resets, after.resets) == (0, 1)
        assert offsets(after) == [0, 1, 2]
        with pytest.raises(LogWentBackUnavailable, match="the next epoch"):
            follower.continuity.check()


async def test_a_log_seen_to_be_another_while_a_lost_end_is_looked_at_is_read_again_once(maker: EmbeddedMaker) -> None:
    may_answer, asked = asyncio.Event(), asyncio.Event()
    may_answer.set()

    async def around(name: str) -> None:
        if name == "bounds":
            asked.set()
            await may_answer.wait()

    inner = BrokenLog(await maker.open(1))
    log = WatchedLog(inner, around)
    await append(log, comment())
    async with following(log) as follower:
        before = await ready(follower)
        may_answer.clear()
        asked.clear()
        inner.error = OffsetUnavailable("not here")
        async with asyncio.timeout(WAIT_S):
            await asked.wait()
        log.generation = "anew"
        await until(lambda: not follower.followed)
        may_answer.set()
        after = await follower.ready_partition(0, WAIT_S)
        assert after is not before
        assert (after.resets, offsets(after)) == (1, [0])


async def test_what_was_read_back_of_a_log_that_went_back_meanwhile_is_read_again(maker: EmbeddedMaker) -> None:
    """It may be half of one log and half of the other."""
    inner = await maker.open(1)
    for _ in range(3):
        await inner.append(0, comment())
    calls: list[str] = []

    async def around(name: str) -> None:
        calls.append(name)
        if name == "read:done" and calls.count(name) == 1:
            follower.continuity.note("another look saw it")

    follower = Follower(WatchedLog(inner, around), [0], UNBOUNDED)
    running = asyncio.create_task(follower.run())
    followed = await follower.ready_partition(0, WAIT_S)
    assert calls.count("bounds") == 2
    assert followed.resets == follower.continuity.resets == 1
    running.cancel()


@pytest.mark.parametrize("end", ["forgotten", "cancelled", "crashed"])
async def test_nobody_waits_for_a_follower_that_reads_no_more(maker: EmbeddedMaker, end: str) -> None:
    log = WatchedLog(await maker.open(1))
    follower = Follower(log, [0], UNBOUNDED)
    running = asyncio.create_task(follower.run())
    followed = await follower.ready_partition(0, WAIT_S)
    waiting = asyncio.create_task(followed.verdict(7, 10 * WAIT_S))
    await asyncio.sleep(0)
    if end == "forgotten":
        log.generation = "made anew"  # which its probe sees within a second
    elif end == "cancelled":
        running.cancel()
    else:
        follower.listeners.append(_raise_a_bug)
        await log.append(0, comment())
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(TimeoutError):
            await waiting
    running.cancel()
    await asyncio.wait([running])


def _raise_a_bug(*_: object) -> None:
    raise KeyError("a bug")


@asynccontextmanager
async def sharing(
    log: CommentLog, share: Share, clock: Clock | None = None, *, tails_bytes_max: int = 10**9
) -> AsyncIterator[Follower]:
    """A running follower that takes on what there is room for."""
    follower = Follower(
        log,
        (),
        UNBOUNDED,
        idle_s=0.0,
        share=share,
        tails_bytes_max=tails_bytes_max,
        window_records=W,
        clock=clock if clock is not None else Clock(),
    )
    running = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_with_room_everything_is_taken_on_unasked_and_stays(maker: EmbeddedMaker) -> None:
    log, clock = await maker.open(4), Clock()
    for number in range(4):
        await append(log, comment(homes(4)[number]), partition=number)
    async with sharing(log, Share(10**9, 1e9), clock) as follower:
        assert not follower.is_ready, "it is ready once it has tried everything"
        await until(lambda: follower.is_ready)
        assert set(follower.followed) == {0, 1, 2, 3}
        clock.now += 10_000
        await until(lambda: is_metric(0.0))  # it has probed since
        assert set(follower.followed) == {0, 1, 2, 3}


async def test_without_room_nothing_is_taken_on_unasked_and_what_is_asked_for_is(maker: EmbeddedMaker) -> None:
    log = await maker.open(4)
    async with sharing(log, Share(10**9, 1e-9), Clock()) as follower:
        follower._share = Share(0, 0.0)
        await until(lambda: follower.is_ready)
        assert len(follower.followed) <= 1
        followed = await ready(follower, 3)
        last = await append(log, comment(homes(4)[3]), partition=3)
        assert (await followed.verdict(last[0], WAIT_S)).kind is Kind.ACCEPTED


async def test_what_was_asked_for_longest_ago_is_let_go_beyond_the_bound_and_taken_on_again(
    maker: EmbeddedMaker,
) -> None:
    log, clock = await maker.open(3), Clock()
    share = Share(2_500, 1e9)
    async with sharing(log, share, clock) as follower:
        await until(lambda: follower.is_ready)
        for number in (2, 0, 1):
            await ready(follower, number)
            clock.now += 1
        follower.hold(2)
        clock.now += UNUSED_S
        for number in range(3):
            await append(log, *[comment(homes(3)[number])] * 2, partition=number)
        await until(
            lambda: set(follower.followed) == {1, 2}
        )  # two records are some 1,100 bytes: two partitions have room
        follower.release(2)
        again = await ready(follower, 0)
        assert len(offsets(again, homes(3)[0])) == 2, "nothing is missing from it"


async def test_tails_of_all_partitions_have_one_bound(maker: EmbeddedMaker) -> None:
    log = await maker.open(2)
    async with sharing(log, Share(10**9, 1e9), tails_bytes_max=3_000) as follower:
        small, large = await ready(follower, 0), await ready(follower, 1)
        await append(log, comment(homes(2)[0]), partition=0)
        last = await append(log, *[comment(homes(2)[1])] * 20, partition=1)
        await large.verdict(last[-1], WAIT_S)
        await until(lambda: small.tail.bytes + large.tail.bytes <= 3_000)
        assert len(small.tail) == 1, "the small one keeps what it has"
        assert large.tail.after == next(iter(large.tail)).position - 1, "and it says where it begins"


async def test_a_partition_that_cannot_be_read_keeps_nobody_from_being_taken_on_when_asked_for(
    maker: EmbeddedMaker,
) -> None:
    gate = WatchedLog(await maker.open(3))
    gate.leaderless = {0}
    async with sharing(gate, Share(10**9, 1e9)) as follower:
        await ready(follower, 2)
        assert 0 not in follower.followed


async def test_what_is_accepted_in_the_window_is_told_before_the_partition_is_ready(maker: EmbeddedMaker) -> None:
    log = await maker.open(1)
    await append(log, *[comment(key=f"{n % 3}") for n in range(4)], *[comment()] * 1_030)
    follower = Follower(log, (0,), UNBOUNDED, window_records=W)
    told: list[int] = []
    follower.back_listeners.append(lambda record, _: told.append(record.offset))
    running = asyncio.create_task(follower.run())
    try:
        followed = await ready(follower)
        assert told == list(range(2, 10)), "eight before the tail, those that were accepted"
        assert followed.tail.after == START + 9
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
