"""Passes: when what is pending of a video is flushed, and how it gets to all of its viewers.

A video that was idle is flushed at once; a busy one lingers between two flushes. The linger grows with the time a
pass over the viewers takes, so that a crowd gets larger blocks instead of a longer queue; how much of the time may go
into passes, `spare` tells. A long pass gives the loop away now and then, and begins with others each time, so that
nobody is always last. One pass of a channel begins when the one before has ended.

Why a pass may be overtaken: while it gives the loop away, viewers take turns of their own, join, and step out. So it
trusts nothing that it saw when it began; before each write it asks whether the block is what comes next there, and
whoever answers no takes its own next step. A viewer that the pass has not reached is behind for that long, and no
more.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from livecomments_consumers.block import Block
from livecomments_consumers.channel import Channel
from livecomments_consumers.cohort import Cohort, WriteTo
from livecomments_consumers.lane import Lane
from livecomments_consumers.metrics import EdgeMetrics
from livecomments_consumers.spare import Spare
from livecomments_consumers.viewer import UNKNOWN_POSITION

_log = logging.getLogger("livecomments.edge")

Part = Cohort | list[Lane]
"""Who is written to before the loop is given away."""


@dataclass(frozen=True)
class Passes:
    """The passes of one hub."""

    metrics: EdgeMetrics
    linger_min_s: float
    linger_max_s: float
    slice_lanes: int
    """Lanes in no cohort that are told of a block before the loop is given away."""
    write_to: WriteTo
    failed: Callable[[Lane], None]
    """Told of a lane that raised."""
    now: Callable[[], float]
    cpu_s: Callable[[], float]
    """CPU that this process has used."""
    spare: Spare
    rng: random.Random

    def look(self) -> None:
        """See, once a tick, how much of the core is free."""
        self.spare.look(self.now(), self.cpu_s())

    def schedule(self, channel: Channel) -> None:
        """See that what is pending is flushed: a linger after the last flush, and after its pass."""
        if channel.is_idle:
            wait_s = max(0.0, channel.flushed_at + channel.linger_s - self.now())
            channel.flush_timer = asyncio.get_running_loop().call_later(wait_s, self.flush, channel)

    def flush(self, channel: Channel) -> None:
        """Make blocks of what is pending, and begin to write them."""
        channel.flush_timer = None
        now = self.now()
        resets, is_for_all, blocks = channel.resets, not channel.is_restarted, channel.flush()
        if blocks:  # else the next comment need not wait
            channel.flushed_at = now
        if channel.resets != resets:  # each viewer says so at its next step
            self.metrics.gap(UNKNOWN_POSITION, len(channel.lanes))
        parts = self._parts(channel, is_for_all=is_for_all)
        if len(channel.lanes) <= self.slice_lanes:
            for part in parts:
                self._write(part, blocks, channel)
            self._finish_pass(now, channel, blocks)
        else:
            channel.passing = asyncio.get_running_loop().create_task(self._pass(parts, blocks, channel))

    def keep_alive(self, channel: Channel, before: float) -> Iterator[int]:
        """Write what is due to each cohort: a heartbeat, if nothing was written since `before`. Yields to how many."""
        for cohort in list(channel.cohorts):
            count = len(cohort.members)
            if self._step(cohort, channel, before):
                yield count

    def advance(self, lane: Lane) -> None:
        """Have a lane take its next step."""
        try:
            lane.advance(self.now())
        except Exception:
            self.failed(lane)

    def _parts(self, channel: Channel, *, is_for_all: bool) -> list[Part]:
        """List everybody, beginning with others each time. What is not one thing for all is each lane's own matter."""
        lanes = list(channel.cohorts.loose if is_for_all else channel.lanes)
        parts: list[Part] = list(channel.cohorts) if is_for_all else []
        parts += [lanes[start : start + self.slice_lanes] for start in range(0, len(lanes), self.slice_lanes)]
        begin = self.rng.randrange(len(parts)) if len(parts) > 1 else 0
        return parts[begin:] + parts[:begin]

    async def _pass(self, parts: list[Part], blocks: list[Block], channel: Channel) -> None:
        try:
            began_at, cpu_s = self.now(), self.cpu_s()
            try:
                for part in parts:
                    self._write(part, blocks, channel)
                    await asyncio.sleep(0)
            finally:
                channel.passing = None
            self.spare.passed(self.now() - began_at, self.cpu_s() - cpu_s)
            self._finish_pass(began_at, channel, blocks)
            if channel.has_pending and channel.lanes:
                self.schedule(channel)
        except Exception:  # whoever was not reached is behind by now, and is caught up
            _log.exception("a pass failed")

    def _write(self, part: Part, blocks: Sequence[Block], channel: Channel) -> None:
        if isinstance(part, Cohort):
            for block in blocks:
                self._write_block(part, block, channel)
            self._step(part, channel)
            return
        if not blocks:
            for lane in part:
                self.advance(lane)
        for block in blocks:
            now = self.now()
            for lane in part:
                try:
                    lane.take(block, now)
                except Exception:
                    self.failed(lane)

    def _step(self, cohort: Cohort, channel: Channel, quiet_before: float = -math.inf) -> bool:
        """Have a cohort take its next step; whether there was one."""
        block = cohort.step(channel, quiet_before)
        if block is not None:
            self._write_block(cohort, block, channel)
        return block is not None

    def _write_block(self, cohort: Cohort, block: Block, channel: Channel) -> None:
        if not cohort.is_for(block):  # made while the pass was under way: each knows what comes next for itself
            for member in list(cohort.members.values()):
                self.advance(member)
            return
        count = channel.cohorts.write(cohort, block, self.write_to, self.rng, self.now())
        self.metrics.wrote(block, cohort.form, count)
        if cohort.came_at_ms <= block.appended_at_ms:
            self.metrics.took(block, 0, count)
        else:
            for member in cohort.members.values():
                self.metrics.took(block, member.viewer.came_at_ms)

    def _finish_pass(self, began_at: float, channel: Channel, blocks: list[Block]) -> None:
        pass_s = self.now() - began_at
        if any(block.comments for block in blocks):
            self.metrics.passed(pass_s)
        passes = self.spare.passes_a_linger(pass_s / max(channel.linger_s, pass_s, self.linger_min_s))
        wanted_s = min(max(pass_s * passes, self.linger_min_s), self.linger_max_s)
        channel.linger_s += (wanted_s - channel.linger_s) / 8
