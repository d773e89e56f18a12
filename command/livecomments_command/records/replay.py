"""`livecomments replay`: the topic again, from a time, an offset or an id, as JSON lines: every record and its verdict.

What is replayed is fixed when it begins, each partition ending where it ended then, unless the log is followed. It
joins no group, so that nobody's offsets move, and it keeps one chunk of records at a time. Partitions come one after
the other, each in its order; merged, or at a pace, they come together, by the times of their appends. With a checkpoint
it goes on where it was: a file holds every line once, standard output and a topic may get what was written since then
again.
"""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from rich.console import Console

from livecomments.log.interface import Bounds, CommentLog
from livecomments_command.records.bars import bar
from livecomments_command.records.opened import Opened
from livecomments_command.records.replay_followed import Followed
from livecomments_command.records.replay_paced import Pace, in_one_order, paced
from livecomments_command.records.replay_plan import ReplayPlan, ranges_of
from livecomments_command.records.replay_sinks import Checkpoint, Sink
from livecomments_command.records.scan import Judged, scan

_CHECKPOINT_S: Final = 1.0
"""What is done again at most, after a kill, beside a chunk."""


@dataclass(frozen=True)
class Replayed:
    """What a replay wrote, and where the next one goes on."""

    lines: int
    next_offsets: Mapping[int, int]

    def options(self) -> str:
        """Return the `--from-offset` options with which the next replay goes on."""
        return " ".join(f"--from-offset {partition}:{offset}" for partition, offset in self.next_offsets.items())


async def replay(
    opened: Opened,
    console: Console,
    plan: ReplayPlan,
    sink: Sink,
    *,
    pace: Pace | None = None,
    is_merged: bool = False,
    checkpoint: Checkpoint | None = None,
    follow: Followed | None = None,
) -> Replayed:
    """Give every record of the plan to the sink; from the checkpoint on, if it has one.

    With `is_merged`, or a pace, all partitions come as one, by the times of their appends. With `follow` what comes
    after it, too, each as soon as it is there, until it is told to stop or the epoch is over.

    Raises:
        StartRefused: an id, offset or partition that is not in the log.
        OffsetUnavailable: the log lets go of records faster than they are read.
        LogUnavailable: for more than a minute.
        AppendUnavailable, AppendUnknown: by the sink; with a checkpoint, run it again.
    """
    log = opened.log
    if checkpoint is not None and checkpoint.next_offsets:
        plan = replace(plan, from_time_ms=None, from_id=None, from_offsets=checkpoint.next_offsets)
    ranges = await ranges_of(log, plan)
    for partition, held in ranges.items():
        if plan.from_offsets.get(partition, held.start) < held.start:
            console.print(f"Partition {partition} begins at offset {held.start}; what lay before is gone.")
    key = None if plan.video_id is None else plan.video_id.encode()
    following = {partition: held.start for partition, held in ranges.items()}
    if checkpoint is not None:  # or a file would be there already, and nothing to say how much of it counts
        checkpoint.save(following, sink.flushed())
    lines, saved_at = 0, time.monotonic()
    if follow is not None:
        chunks = follow.chunks(log, ranges)
    elif pace is not None:
        chunks = paced(log, ranges, pace)
    else:
        chunks = in_one_order(log, ranges) if is_merged else _one_after_the_other(log, ranges)
    try:
        with bar(console, "Replaying", sum(held.end - held.start for held in ranges.values())) as advance:
            async for chunk in chunks:
                lines += await sink.put([one for one in chunk if key is None or one.record.key == key])
                following |= {one.record.partition: one.record.offset + 1 for one in chunk}
                advance(len(chunk))
                if follow is not None:
                    sink.flushed()  # somebody waits for it
                if checkpoint is not None and time.monotonic() - saved_at >= _CHECKPOINT_S:
                    checkpoint.save(following, sink.flushed())
                    saved_at = time.monotonic()
        if follow is None:
            following = {partition: held.end for partition, held in ranges.items()}
    finally:
        if checkpoint is not None:
            checkpoint.save(following, sink.flushed())
    return Replayed(lines, following)


async def _one_after_the_other(log: CommentLog, ranges: Mapping[int, Bounds]) -> AsyncIterator[list[Judged]]:
    for partition, (first, end) in ranges.items():
        if first < end:  # or a window would be read back for nothing
            async for chunk in scan(log, partition, first, end):
                yield chunk
