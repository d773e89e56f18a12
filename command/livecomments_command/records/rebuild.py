"""`livecomments rebuild`: fills the store from the log, beside the running stream job.

It does what the job does, partition by partition: judge, write rows, advance the watermark behind them. Rows are the
same whoever writes them, and a watermark only rises, so the two never disturb each other, and a rebuild that was cut
short goes on at the watermark. From the start (to mend a store whose watermark says more than it holds) it goes on at
its checkpoint instead. Nothing is set aside anew.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from rich.console import Console

from livecomments.following.read_back import read_on
from livecomments.history.log_end import refuse_other_log, stored_end
from livecomments.log.interface import CommentLog
from livecomments.store.interface import CommentStore
from livecomments_command.records.bars import Advance, bar
from livecomments_command.records.kept_files import read_checkpoint, write_atomically
from livecomments_command.records.opened import Opened
from livecomments_command.records.scan import offset_behind, patiently
from livecomments_command.records.seen_through import SeenThrough
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import COMMENT_CREATED, Record
from livecomments_schemas.judge import Kind, Verdict, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import BEFORE_EVERYTHING
from livecomments_schemas.window import Window
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.persister import Persister

TAKE_RECORDS: Final = 5_000
"""Of one write, or a chunk more: larger ones win when they spread over many videos. Twice as many are in memory: one is
read ahead."""


class Rebuilt(NamedTuple):
    """What a rebuild did."""

    records: int
    invalid: int
    notes: list[str]
    """What the operator should know, a sentence each."""
    whole: bool
    """Nothing is missing between what the store had and what the log begins with."""


class Uncollected(DeadLetters):
    """Counts what the stream job has set aside already."""

    def __init__(self) -> None:
        self.count = 0

    async def put(self, record: Record, reason: str) -> None:
        """Count it."""
        self.count += 1


class UnsureLeft:
    """A judge for a log that has lost its beginning: it leaves as stored what can no longer be judged for certain.

    That is a comment that may be a retry of a lost one, or that the lost end of its video made void. What all other
    records are follows from themselves.
    """

    def __init__(self) -> None:
        self.ends: Mapping[int, int] = {}
        """Comments before these offsets are left, by partition."""
        self.left: Counter[int] = Counter()

    def __call__(self, record: Record, window: Window) -> Verdict:
        verdict = judge(record, window)
        if (
            verdict.kind is not Kind.ACCEPTED
            or record.headers["type"] != COMMENT_CREATED
            or record.offset >= self.ends.get(record.partition, 0)
        ):
            return verdict
        self.left[record.partition] += 1
        return Verdict(Kind.DUPLICATE, verdict.video_id)


class CheckpointedStore(SeenThrough):
    """A store whose watermarks, as far as a rebuild from the start believes them, stand in a file."""

    def __init__(self, store: CommentStore, file: Path | None, topic: str) -> None:
        super().__init__(store)
        self._file = file
        self._topic = topic
        self._marks: dict[str, int] = {}
        said = None if file is None else read_checkpoint(file)
        if said is not None:
            self._marks = _marks_of(said, file, topic)

    async def watermark(self, epoch: int, partition: int) -> int:
        return self._marks.get(str(partition), BEFORE_EVERYTHING)

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        await self._store.advance_watermark(epoch, partition, position)
        self._marks[str(partition)] = position
        if self._file is not None:
            write_atomically(self._file, orjson.dumps({"topic": self._topic, "through": self._marks}))


async def rebuild(
    opened: Opened,
    console: Console,
    *,
    from_start: bool = False,
    checkpoint: Path | None = None,
    judge: UnsureLeft | None = None,
) -> Rebuilt:
    """Store everything that the log holds now and the watermarks do not cover.

    Args:
        opened: log and store.
        console: where progress is shown.
        from_start: whatever the watermarks say, store all that the log holds.
        checkpoint: with `from_start`, where it is remembered how far it is.
        judge: one that knows an export.

    Raises:
        LogWentBack, LogUnavailable, StoreUnavailable, OffsetUnavailable: run it again.
    """
    log, letters, judge = opened.log, Uncollected(), judge or UnsureLeft()
    await patiently(lambda: refuse_other_log(log, opened.store))
    store = CheckpointedStore(opened.store, checkpoint, opened.topic) if from_start else opened.store
    bounds = await patiently(lambda: log.bounds(range(log.partition_count)))
    judge.ends = {number: await _unsure_end(opened, number, start) for number, (start, _) in bounds.items() if start}
    notes, whole, begun = [], True, {}
    for partition, (start, end) in bounds.items():
        _, following, _ = await patiently(lambda: stored_end(log, store, partition))  # noqa: B023 (awaited)
        begun[partition] = max(following, start)
        unsure_end = judge.ends.get(partition, 0)
        stored = min(following, unsure_end or following)
        if stored < start:
            whole = False
            notes.append(f"Partition {partition}: offsets {stored} to {start - 1} are in neither log nor store.")
        elif start and not unsure_end and begun[partition] < end:
            notes.append(f"Partition {partition}: the log begins at offset {start}; what lay before needs an export.")
    total = sum(max(0, end - begun[partition]) for partition, (_, end) in bounds.items())
    with bar(console, "Storing", total) as advance:
        for partition, (_, end) in bounds.items():
            persister = await patiently(
                lambda: Persister.open(log, store, letters, partition, judge=judge)  # noqa: B023 (awaited here)
            )
            await _store_all(log, persister, end, advance)
    notes += [
        f"Partition {partition}: {left:,} comments before offset {judge.ends[partition]} may be retries of what is "
        "gone, and are left as they are stored; an export tells more."
        for partition, left in judge.left.items()
    ]
    return Rebuilt(total, letters.count, notes, whole)


async def _unsure_end(opened: Opened, partition: int, start: int) -> int:
    """Return the offset before which the store may know comments better than the log; 0 if nowhere."""
    watermark = await patiently(lambda: opened.store.watermark(opened.log.epoch, partition))
    return min(start + DEDUPE_WINDOW_RECORDS, offset_behind(watermark, opened.log.epoch))


async def _store_all(log: CommentLog, persister: Persister, end: int, advance: Advance) -> None:
    """Store one partition up to `end`; the next records are read while these are written.

    Raises OffsetUnavailable: the log let go of them meanwhile, at its start or at its end.
    """
    async with aclosing(_takes(log, persister.partition, persister.next_offset, end)) as takes:
        reading = asyncio.ensure_future(anext(takes, None))
        try:
            while (take := await reading) is not None:
                reading = asyncio.ensure_future(anext(takes, None))
                records, following = take
                advance(following - persister.next_offset)
                await persister.persist(records)
                persister.next_offset = max(persister.next_offset, following)  # beyond markers that are no records
                await persister.advance_watermark()
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.wait([reading])


async def _takes(
    log: CommentLog, partition: int, start: int, end: int
) -> AsyncGenerator[tuple[list[Record], int], None]:
    while start < end:
        take: list[Record] = []
        while start < end and len(take) < TAKE_RECORDS:
            at = start
            records, start = await patiently(lambda: read_on(log, partition, at, end))  # noqa: B023 (awaited here)
            take += records
        yield take, start


def _marks_of(said: bytes, file: Path | None, topic: str) -> dict[str, int]:
    try:
        found = orjson.loads(said)
        marks = {str(int(partition)): int(position) for partition, position in found["through"].items()}
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise StartRefused(f"{file} is no checkpoint of a rebuild; remove it or name another.") from error
    if found.get("topic") != topic:
        raise StartRefused(f"{file} is the checkpoint of a rebuild from {found.get('topic')}, not {topic}.")
    return marks
