"""All partitions together, by the times of their appends: at once, or some times as fast as they came."""

import itertools
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

from livecomments.log.interface import Bounds, CommentLog, Slice
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.replay_paced import Pace, in_one_order, paced
from tests.command.installation import PARTITIONS, append, comment, installation, lines_of, make_file, run
from tests.command.records.test_rebuild import VIDEOS
from tests.command.records.test_replay import timed

NOTHING: Final[Mapping[int, int]] = MappingProxyType({})


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[Opened]:
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as log_and_store:
        yield log_and_store


@pytest.mark.parametrize("factor", [0.5, 1.0, 20.0])
async def test_every_record_comes_when_it_is_due_and_each_partition_in_its_order(found: Opened, factor: float) -> None:
    await append(found, [comment(VIDEOS[number % 12], number) for number in range(600)])
    log, clock = timed(found).log, Clock()  # the record at offset n was appended in second n // 3
    ranges = await found.log.bounds(range(PARTITIONS))
    came: list[tuple[int, int]] = []
    async for due in paced(log, ranges, Pace(factor, clock, clock.sleep)):
        (second,) = {one.record.offset // 3 for one in due}
        assert clock.now == pytest.approx(50.0 + second / factor)
        came += [(one.record.partition, one.record.offset) for one in due]
    assert sorted(came) == [(number, at) for number, (start, end) in ranges.items() for at in range(start, end)]
    assert [offset // 3 for _, offset in came] == sorted(offset // 3 for _, offset in came)
    for number in range(PARTITIONS):
        offsets = [offset for home, offset in came if home == number]
        assert offsets == sorted(offsets)


async def test_a_pace_that_cannot_be_kept_waits_for_nothing_and_leaves_nothing_out(found: Opened) -> None:
    await append(found, [comment("video-0", number) for number in range(30)])
    log, clock = timed(found).log, Clock()
    came = 0
    async for due in paced(log, await found.log.bounds(range(PARTITIONS)), Pace(1.0, clock, clock.sleep)):
        came += len(due)
        clock.now += 100.0  # whoever takes them is slow
    assert came == 30
    assert clock.now == 50.0 + 10 * 100.0


class Dated:
    """A log whose records were appended when a die says: each partition by its own clock, which may be set back."""

    def __init__(self, found: Opened, dice: random.Random, step_ms: tuple[int, int]) -> None:
        self.epoch = found.log.epoch
        self.partition_count = found.log.partition_count
        self.bounds = found.log.bounds
        self._log = found.log
        steps = {
            number: itertools.accumulate(dice.randint(*step_ms) for _ in range(600)) for number in range(PARTITIONS)
        }
        self.times = {number: [10_000 + at for at in each] for number, each in steps.items()}

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        records, following = await self._log.read(partition, start, end, limit)
        times = self.times[partition]
        return Slice([one._replace(appended_at_ms=times[one.offset]) for one in records], following)


async def order(log: CommentLog, starts: Mapping[int, int] = NOTHING) -> list[tuple[int, int, int]]:
    """Time, partition and offset of all records, as they came."""
    held = await log.bounds(range(PARTITIONS))
    ranges = {number: Bounds(starts.get(number, start), end) for number, (start, end) in held.items()}
    return [
        (one.record.appended_at_ms, one.record.partition, one.record.offset)
        async for chunk in in_one_order(log, ranges)
        for one in chunk
    ]


@pytest.mark.parametrize("step_ms", [(0, 3), (0, 400), (1, 1)])
async def test_all_partitions_are_one_in_the_order_of_their_appends(found: Opened, step_ms: tuple[int, int]) -> None:
    dice = random.Random(sum(step_ms))
    await append(found, [comment(dice.choice(VIDEOS), number) for number in range(1_500)])
    log: Any = Dated(found, dice, step_ms)
    came = await order(log)
    assert len(came) == 1_500
    assert came == sorted(came)
    for cut in (1, 777, 1_499):  # whoever goes on behind it gets the rest
        following = {number: offset + 1 for _, number, offset in came[:cut]}
        assert came[:cut] + await order(log, following) == came


async def test_a_clock_that_was_set_back_changes_no_partitions_own_order(found: Opened) -> None:
    dice = random.Random(7)
    await append(found, [comment(dice.choice(VIDEOS), number) for number in range(600)])
    log: Any = Dated(found, dice, (-50, 60))
    came = await order(log)
    assert came == await order(log)
    for number in range(PARTITIONS):
        offsets = [offset for _, home, offset in came if home == number]
        assert offsets == list(range(len(offsets)))


async def test_the_command_merges_and_goes_on_in_the_same_order(tmp_path: Path) -> None:
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as found:
        await append(found, [comment(VIDEOS[number % 12], number) for number in range(40)])
    options = ("replay", "--merged", "--out", str(tmp_path / "out"), "--checkpoint", str(tmp_path / "mark"))
    run(settings, options)
    async with opened(settings) as found:
        await append(found, [comment(VIDEOS[number % 7], number) for number in range(40)])
    run(settings, options)
    lines = [(line["appendedAt"], line["partition"], line["offset"]) for line in lines_of(tmp_path / "out")]
    assert len(lines) == 80
    assert lines == sorted(lines)
    run(settings, options[:1] + options[2:], code=2)
    run(settings, ("replay", "--merged", "--follow"), code=2)
