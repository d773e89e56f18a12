"""What a followed partition promises: each record judged once, in order, and whoever waits for one is answered."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from livecomments.following.partition import ACCEPTED, FollowedPartition
from livecomments.following.read_back import in_turns, read_on
from livecomments.following.tail import Entry, Tail, TailBounds
from livecomments.log.interface import Bounds, OffsetUnavailable
from livecomments_schemas.events import EPOCH_FENCE, NewRecord, Record, epoch_event
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.positions import first_position
from livecomments_schemas.window import Window
from tests.log.contract import WAIT_S, EmbeddedMaker, append_all, embedded_maker
from tests.log.faults import WatchedLog
from tests.schemas.records import EPOCH, at, comment, delete_of, ended, random_log

START: Final = first_position(EPOCH)
UNBOUNDED: Final = TailBounds(10**9, 10**9, 10**9)
W: Final = 8


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[EmbeddedMaker]:
    async with embedded_maker(tmp_path) as maker:
        yield maker


def partition(since: int = 0, *, tail_from: int | None = None, whole: bool = True) -> FollowedPartition:
    after = START + (since if tail_from is None else tail_from) - 1
    window = Window(EPOCH, 0, 1, since=since, whole=whole, size=W)
    return FollowedPartition(EPOCH, window, Tail(UNBOUNDED, after), after + 1 - START)


def positions(entries: list[Entry]) -> list[int]:
    return [entry.position - START for entry in entries]


async def test_accepted_records_are_in_the_tail_and_given_back() -> None:
    followed = partition()
    accepted = followed.apply(
        [at(0, comment()), at(1, comment(key="k")), at(2, comment(key="k")), at(5, comment())], 1.0
    )
    assert positions(accepted) == [0, 1, 5]
    assert followed.tail.forward("launch", START - 1, 9) == accepted
    assert followed.judged_through == START + 5


async def test_the_end_of_the_epoch_is_said_once_and_before_anybody_waits(caplog: pytest.LogCaptureFixture) -> None:
    followed = partition()
    fence = epoch_event(EPOCH_FENCE, EPOCH)
    followed.apply([at(0, comment()), at(1, epoch_event(EPOCH_FENCE, EPOCH + 1))], 1.0)
    assert not caplog.records
    followed.apply([at(2, comment()), at(3, fence), at(4, fence)], 1.0)
    followed.apply([at(5, fence), at(6, comment())], 1.0)
    (said,) = caplog.records
    assert (said.levelname, said.__dict__["partition"], said.__dict__["offset"]) == ("WARNING", 0, 3)
    assert "epochs grow" in said.message


async def test_records_that_come_again_are_passed_over() -> None:
    followed = partition()
    records = [at(0, comment(key="k")), at(1, comment())]
    followed.apply(records, 1.0)
    assert positions(followed.apply([*records, at(2, comment())], 1.0)) == [2]
    assert await followed.verdict(0, 0) == ACCEPTED
    assert len(followed.tail) == 3


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (comment(key="k"), Kind.DUPLICATE),
        (comment("over"), Kind.VOID),
        (delete_of(7), Kind.INVALID),
        (comment(), Kind.ACCEPTED),
    ],
    ids=lambda value: value.value if isinstance(value, Kind) else "",
)
async def test_whoever_waits_is_told_the_verdict_before_and_after(record: NewRecord, kind: Kind) -> None:
    followed = partition()
    followed.apply([at(0, comment(key="k")), at(1, ended("over"))], 1.0)
    waiting = [asyncio.create_task(followed.verdict(2, WAIT_S)) for _ in range(3)]
    await asyncio.sleep(0)
    followed.apply([at(2, record)], 1.0)
    verdicts = [await one for one in waiting] + [await followed.verdict(2, 0)]
    assert {verdict.kind for verdict in verdicts} == {kind}
    if kind is Kind.DUPLICATE:
        assert all(verdict.survivor and verdict.survivor.survivor == 0 for verdict in verdicts)


async def test_a_wait_ends_with_its_time_or_its_caller_and_leaves_nothing() -> None:
    followed = partition()
    with pytest.raises(TimeoutError):
        await followed.verdict(3, 0)
    given_up = asyncio.create_task(followed.verdict(3, WAIT_S))
    kept = asyncio.create_task(followed.verdict(3, WAIT_S))
    reaching = asyncio.create_task(followed.reach(START + 3, WAIT_S))
    await asyncio.sleep(0)
    given_up.cancel()
    reaching.cancel()
    await asyncio.wait([given_up, reaching])
    followed.apply([at(3, comment())], 1.0)
    assert (await kept).kind is Kind.ACCEPTED
    assert not followed._waiting
    assert not followed._reaching


async def test_whoever_waits_at_a_partition_that_is_let_go_hears_so_at_once() -> None:
    followed = partition()
    waiting = [asyncio.create_task(followed.verdict(3, WAIT_S)) for _ in range(2)]
    reaching = asyncio.create_task(followed.reach(START + 3, WAIT_S))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    followed.let_go()
    done, left = await asyncio.wait([*waiting, reaching], timeout=WAIT_S / 10)
    assert not left
    assert {type(task.exception()) for task in done} == {TimeoutError}
    async with asyncio.timeout(WAIT_S / 10):
        for late in (followed.verdict(3, WAIT_S), followed.reach(START + 3, WAIT_S)):
            with pytest.raises(TimeoutError):
                await late
    followed.apply([at(3, comment())], 1.0)  # to whom nobody listens


async def test_a_verdict_older_than_the_window_is_forgotten_not_guessed() -> None:
    followed = partition()
    followed.apply([at(0, delete_of(0))], 1.0)
    followed.apply([at(offset, comment()) for offset in range(1, W)], 1.0)
    assert (await followed.verdict(0, 0)).kind is Kind.INVALID
    followed.apply([at(W, comment())], 1.0)
    with pytest.raises(TimeoutError):
        await followed.verdict(0, 0)
    assert (await followed.verdict(1, 0)).kind is Kind.ACCEPTED


async def test_verdicts_of_refused_records_take_no_more_room_than_the_window() -> None:
    followed = partition()
    for offset in range(10 * W):
        followed.apply([at(offset, delete_of(offset))], 1.0)
        assert (await followed.verdict(offset, 0)).kind is Kind.INVALID
        assert (await followed.verdict(max(0, offset - W + 1), 0)).kind is Kind.INVALID
    assert len(followed._refused) <= W + 1


async def test_records_that_only_filled_the_window_have_no_verdict_here() -> None:
    followed = partition(10, tail_from=14, whole=False)
    for record in (at(10, comment(key="k")), at(11, comment(key="k")), at(13, comment())):
        judge(record, followed.window)
    followed.apply([at(14, comment(key="k")), at(15, comment())], 1.0)
    for offset in range(14):
        with pytest.raises(TimeoutError):
            await followed.verdict(offset, 0)
    assert (await followed.verdict(14, 0)).kind is Kind.DUPLICATE
    assert (await followed.verdict(15, 0)).kind is Kind.ACCEPTED
    assert positions(followed.tail.forward("launch", followed.tail.after, 9)) == [15]


async def test_a_position_is_reached_by_any_later_record() -> None:
    followed = partition()
    followed.apply([at(0, comment())], 1.0)
    await followed.reach(START, 0)
    reaching = asyncio.create_task(followed.reach(START + 3, WAIT_S))
    await asyncio.sleep(0)
    followed.apply([at(1, comment()), at(2, comment())], 1.0)
    await asyncio.sleep(0)
    assert not reaching.done()
    followed.apply([at(5, comment())], 1.0)  # 3 is a hole
    await reaching
    with pytest.raises(TimeoutError):
        await followed.reach(START + 6, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_starts_a_window_back_agrees_with_whoever_read_everything(seed: int) -> None:
    records = [entry.record for entry in random_log(random.Random(seed), 120)]
    from_start, verdicts = partition(), {}
    for record in records:
        from_start.apply([record], 1.0)
        verdicts[record.offset] = (await from_start.verdict(record.offset, 0)).kind
    for index in range(W, len(records)):
        tail_from = records[index].offset
        since = max(0, tail_from - W)
        later = partition(since, tail_from=tail_from, whole=since == 0)
        for record in records:
            if since <= record.offset < tail_from:
                judge(record, later.window)
        later.apply(records[index:], 1.0)
        newest = [record.offset for record in records[index:] if record.offset >= later.next_offset - W]
        assert [(await later.verdict(offset, 0)).kind for offset in newest] == [verdicts[offset] for offset in newest]
        assert positions(later.tail.forward("a", later.tail.after, 999)) == positions(
            from_start.tail.forward("a", later.tail.after, 999)
        )


async def test_a_range_is_read_on_in_chunks(embedded: EmbeddedMaker) -> None:
    log = await embedded.open(1)
    await append_all(log, 0, ["one", "two", "three"])
    records, following = await read_on(log, 0, 1, 3)
    assert [record.offset for record in records] == [1, 2]
    assert following == 3


async def test_a_range_that_the_log_holds_no_longer_is_unavailable_and_no_endless_loop(embedded: EmbeddedMaker) -> None:
    log = await embedded.open(1)
    await append_all(log, 0, ["one", "two"])
    assert (await log.bounds([0]))[0] == Bounds(0, 2)
    with pytest.raises(OffsetUnavailable):
        await read_on(log, 0, 2, 5)
    with pytest.raises(OffsetUnavailable):
        await read_on(log, 0, 3, 5)
    assert await read_on(log, 0, 2, 2) == ([], 2)


async def test_reading_on_lets_others_have_their_turn(embedded: EmbeddedMaker) -> None:
    log = WatchedLog(await embedded.open(1))
    await append_all(log, 0, ["one", "two"])
    turns = asyncio.create_task(asyncio.sleep(0))
    await asyncio.sleep(0)
    await read_on(log, 0, 0, 1)  # from memory: nothing in it waits
    assert turns.done()


async def test_what_was_read_is_judged_in_turns_with_others() -> None:
    records: list[Record] = [entry.record for entry in random_log(random.Random(7), 300)]
    turns = 0
    seen: list[Record] = []

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(another())
    async for some in in_turns(records):
        seen += some
        assert len(some) <= 50
        assert turns * 50 >= len(seen)
    beside.cancel()
    assert seen == records
    assert [some async for some in in_turns([])] == []


def test_a_record_is_never_both_given_back_and_refused() -> None:
    records: list[Record] = [entry.record for entry in random_log(random.Random(7), 300)]
    followed = partition()
    accepted = {entry.position - START for entry in followed.apply(records, 1.0)}
    assert accepted
    assert not accepted & followed._refused.keys()
