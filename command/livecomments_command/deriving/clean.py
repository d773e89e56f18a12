"""`livecomments clean`: keeps a clean topic of each epoch, `comments-clean-<epoch>`, partition for partition.

How far it is stands in the topic itself: each record says of which one of the log it is. Records are appended in waves,
a wave after the one before is durable, so that at most the last two of them have holes: begun anew, a job writes those
once more. What is written twice changes nothing, but for the moment in which an older job could bring back what a newer
one removed: whoever sees that somebody else writes there ends.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, Protocol

from livecomments.log.interface import AppendRefused, CommentLog, OffsetUnavailable
from livecomments.runtime.metrics import Counter, Reading
from livecomments.runtime.retrying import RETRY_S, warn
from livecomments_command.deriving.cleaning import Cleaned, cleaned, origin_of, resume_at
from livecomments_command.deriving.sources import EpochSource, EpochWalk, Until, chunks
from livecomments_command.records.kept_files import FilesInUse
from livecomments_command.records.scan import patiently
from livecomments_schemas.epochs import Contract
from livecomments_schemas.errors import StartRefused, Unavailable
from livecomments_schemas.events import NewRecord, Record

WAVE_RECORDS: Final = 500
"""Appended to one partition before the next ones wait for them."""
_HOLED_RECORDS: Final = 2 * WAVE_RECORDS
"""Of different origins: a wave of each of two jobs, before they noticed each other."""
_BACK_RECORDS: Final = 2_000
"""Of a clean partition, read back in one step."""

_log = logging.getLogger("livecomments.clean")
_written = Counter("livecomments_clean_written_total", "Records written to clean topics.", ["kind"])
_lost = Counter("livecomments_clean_lost_records_total", "Records that the log let go of before they were cleaned.")
_lag = Reading("livecomments_clean_lag_records", "Records in the log that are not in the clean topic.", fresh_s=60.0)


class CleanTopics(Protocol):
    """Where the clean topics are."""

    def log_topic(self, epoch: int) -> str:
        """Return the full name of the comments topic of an epoch."""

    def clean(self, contract: Contract) -> AbstractAsyncContextManager[CommentLog]:
        """Open the clean topic of an epoch for the context; it is made if it is missing. Raises StartRefused."""


class Clean:
    """Cleans all that a source has, into the clean topic of each epoch."""

    def __init__(self, source: EpochSource, topics: CleanTopics, until: Until) -> None:
        self._source = source
        self._topics = topics
        self._until = until
        self._walk = EpochWalk(source, until)
        self.is_current = False
        """All that the log held is in the clean topic."""

    async def run(self) -> None:
        """Clean on from where the topics are, until told to stop, or to where the log ends.

        Raises:
            AnotherWrites: let one go on.
            StartRefused: the log lost its end, or a topic cannot be made, or was made anew.
            LogUnavailable: for more than a minute. AppendRefused: the clean topic is set up another way.
        """
        async for epoch in self._walk.numbers(await self._first()):
            try:
                await self._clean_epoch(epoch.contract)
            except OffsetUnavailable as error:
                raise StartRefused(
                    f"The log let go of records before they were cleaned ({error}). Start this again: it goes on "
                    "where the log begins, and counts what is missing."
                ) from error

    async def _first(self) -> int:
        """Find the epoch to go on with: the newest of which anything is clean. All of those before is."""
        known = (await self._walk.look()).known
        for epoch in reversed(known):
            topic = self._topics.log_topic(epoch.number)
            async with self._topics.clean(epoch.contract) as clean:
                for partition in range(epoch.contract.partitions):
                    if any(origin_of(topic, one) is not None for one in await _newest(clean, topic, partition)):
                        return epoch.number
        return known[0].number

    async def _clean_epoch(self, contract: Contract) -> None:
        number = contract.epoch
        topic = self._topics.log_topic(number)
        async with AsyncExitStack() as opened:
            log = await opened.enter_async_context(self._source.log(number))
            writers = _Writers(self._topics, self._walk, opened)
            clean = await writers.of(number)
            first = await self._starts(log, clean, topic)
            owned = _Owned(self._source, log, opened)
            async for chunk in chunks(log, first, self._until, lambda: self._walk.is_over(number)):
                if chunk is None:
                    await self._walk.look()
                    if self._walk.is_newest(number):
                        self.is_current = True
                        _lag.set(0)
                    continue
                said = [
                    one
                    for one in cleaned(topic, number, chunk.partition, chunk.judged)
                    if one.is_sure or await owned.is_of_its_video(one)
                ]
                for start in range(0, len(said), WAVE_RECORDS):
                    await writers.append(said[start : start + WAVE_RECORDS])
                _lag.set(chunk.lag)

    async def _starts(self, log: CommentLog, clean: CommentLog, topic: str) -> dict[int, int]:
        """Return from where each partition of a log is cleaned on."""
        starts = {}
        for partition, held in (await patiently(lambda: log.bounds(range(log.partition_count)))).items():
            written = await _newest(clean, topic, partition)
            at = resume_at(topic, written, held.start)
            if at < held.start:
                newest = max(offset for one in written if (offset := origin_of(topic, one)) is not None)
                if (missing := held.start - newest - 1) > 0:
                    _lost.inc(missing)
                    _log.critical("retention took records before they were cleaned", extra={"partition": partition})
            starts[partition] = max(at, held.start)
        return starts


class AnotherWrites(FilesInUse):
    """Another job writes the same clean topic. Let one go on."""


class _Writers:
    """The clean topics that are written to while one epoch is read: its own, and those before, for deletes."""

    def __init__(self, topics: CleanTopics, walk: EpochWalk, opened: AsyncExitStack) -> None:
        self._topics = topics
        self._walk = walk
        self._opened = opened
        self._logs: dict[int, CommentLog] = {}
        self._identities: dict[int, str] = {}
        self._ends: dict[tuple[int, int], int] = {}
        """By epoch and partition, the offset that the next record must get if nobody else writes there."""

    async def of(self, epoch: int) -> CommentLog:
        """Return the clean topic of an epoch, opened first if need be."""
        if epoch not in self._logs:
            found = self._walk.epochs.find(epoch)
            if found is None:
                raise StartRefused(f"The log tells of no epoch {epoch}.")
            log = await self._opened.enter_async_context(self._topics.clean(found.contract))
            self._identities[epoch] = await patiently(log.identity)
            for partition, held in (await patiently(lambda: log.bounds(range(log.partition_count)))).items():
                self._ends[epoch, partition] = held.end
            self._logs[epoch] = log
        return self._logs[epoch]

    async def append(self, said: Sequence[Cleaned]) -> None:
        """Append a wave; returns when all of it is durable. Raises AnotherWrites, AppendRefused, StartRefused."""
        by_place: defaultdict[tuple[int, int], list[NewRecord]] = defaultdict(list)
        for one in said:
            by_place[one.target.epoch, one.target.partition].append(one.record)
        for epoch in {epoch for epoch, _ in by_place}:
            await self.of(epoch)
            await self._check_same(epoch)
        async with asyncio.TaskGroup() as appending:
            for place, records in by_place.items():
                appending.create_task(self._append(place, records))
        for one in said:
            _written.labels("removed" if one.is_removal else "comment").inc()

    async def _append(self, place: tuple[int, int], records: list[NewRecord]) -> None:
        """Append in order: after a failure, again from the first one that failed."""
        epoch, partition = place
        log = self._logs[epoch]
        while records:
            answers = await asyncio.gather(
                *(log.append(partition, record) for record in records), return_exceptions=True
            )
            for done, answer in enumerate(answers):
                if isinstance(answer, AppendRefused) or not isinstance(answer, int | Unavailable):
                    raise answer
                if isinstance(answer, Unavailable):
                    self._ends.pop(place, None)  # what nobody answered may be written, now or later
                    warn(_log, "clean records not taken, trying again", answer, partition=partition)
                    await asyncio.sleep(RETRY_S)
                    await self._check_same(epoch)
                    records = records[done:]
                    break
                if self._ends.setdefault(place, answer) != answer:
                    await self._check_same(epoch)
                    raise AnotherWrites(
                        f"Somebody else writes to partition {partition} of the clean topic of epoch {epoch}. Let one "
                        "job go on; it writes again what two of them may have mixed up."
                    )
                self._ends[place] = answer + 1
            else:
                return

    async def _check_same(self, epoch: int) -> None:
        """Check that a clean topic still is the one that was opened: what another lacks would stay missing there."""
        if await patiently(self._logs[epoch].identity) != self._identities[epoch]:
            raise StartRefused(
                f"The clean topic of epoch {epoch} was made anew while it was written. Start this again: it is written "
                "whole. If anything stands in it by now, remove it first, while no job runs."
            )


class _Owned:
    """Tells whether what a delete names is a comment of the delete's own video; what the log let go of is believed."""

    def __init__(self, source: EpochSource, log: CommentLog, opened: AsyncExitStack) -> None:
        self._source = source
        self._opened = opened
        self._logs: dict[int, CommentLog | None] = {log.epoch: log}

    async def is_of_its_video(self, one: Cleaned) -> bool:
        if not one.is_removal:
            return True
        log = await self._log(one.target.epoch)
        at = one.target.offset
        if log is None or one.target.partition >= log.partition_count:
            return log is None
        try:
            found = await patiently(lambda: log.read(one.target.partition, at, at + 1, 1))
        except OffsetUnavailable:
            return True
        return any(record.key == one.video_id.encode() for record in found.records if record.offset == at)

    async def _log(self, epoch: int) -> CommentLog | None:
        if epoch not in self._logs:
            try:
                self._logs[epoch] = await self._opened.enter_async_context(self._source.log(epoch))
            except StartRefused:
                self._logs[epoch] = None
        return self._logs[epoch]


async def _newest(clean: CommentLog, topic: str, partition: int) -> list[Record]:
    """Return the last records of a clean partition, with at least `_HOLED_RECORDS` that are of `topic`, or all."""
    start, end = (await patiently(lambda: clean.bounds([partition])))[partition]
    found: list[Record] = []
    origins: set[int] = set()
    while start < end and len(origins) < _HOLED_RECORDS:
        at = max(start, end - _BACK_RECORDS)
        block: list[Record] = []
        following = at
        while following < end:
            read = await patiently(lambda: clean.read(partition, following, end, _BACK_RECORDS))  # noqa: B023 (awaited)
            block, following = block + read.records, read.next
        found, end = block + found, at
        origins |= {offset for one in block if (offset := origin_of(topic, one)) is not None}
    return found
