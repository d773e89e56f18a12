"""A replay at a pace: all partitions together, by the times of their appends, some times as fast as they came."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.replay_paced import Pace, paced
from tests.command.installation import PARTITIONS, append, comment, installation, make_file
from tests.command.records.test_rebuild import VIDEOS
from tests.command.records.test_replay import timed


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
