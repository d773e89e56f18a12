"""`livecomments counts`: keeps the topic `comment-counts`.

What has changed is told every few seconds, and behind it how far the log is counted: whoever goes on from there, after
whatever end, tells the same.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from livecomments.log.interface import CommentLog, OffsetUnavailable
from livecomments.runtime.metrics import Counter, Reading
from livecomments.runtime.retrying import retrying, told
from livecomments_command.deriving.counting import MinuteCounts, Progress, progress_of
from livecomments_command.deriving.sources import Chunk, EpochSource, EpochWalk, Until, chunks
from livecomments_command.records.scan import patiently
from livecomments_schemas.counts import COUNTS_PROGRESS, counted
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import NewRecord

_AT_ONCE: Final = 500
"""Appends under way."""
_PENDING_MAX: Final = 10_000
"""Counts in memory before they are told, about 3 MB: of a log that is counted from its beginning."""
_BACK_RECORDS: Final = 4_000
"""Of the topic of counts, read back in one step in search of the newest progress."""

_log = logging.getLogger("livecomments.counts")
_told = Counter("livecomments_counts_told_total", "Counts of a video and minute that were written.")
_lag = Reading("livecomments_counts_lag_records", "Records in the log that are not counted.", fresh_s=60.0)


class CountsMadeAnew(StartRefused):
    """The topic of counts is another one: what was counted before is not in it."""


class Counts:
    """Counts all that a source has, and tells it to `to`, a topic of one partition."""

    def __init__(self, source: EpochSource, to: CommentLog, until: Until) -> None:
        self._source = source
        self._to = to
        self._until = until
        self._walk = EpochWalk(source, until)
        self._identity = ""
        self.is_current = False
        """All that the log held was counted at least once."""

    async def run(self) -> None:
        """Count on from where the topic says, until told to stop, or to where the log ends.

        Raises:
            StartRefused: the log is not the one that was counted. CountsMadeAnew: begin anew.
            LogUnavailable: for more than a minute.
        """
        self._identity = await patiently(self._to.identity)
        known = await newest_progress(self._to)
        counting = MinuteCounts(known)
        async for epoch in self._walk.numbers(min(known, default=1)):
            try:
                await self._count_epoch(counting, epoch.number)
            except CountsMadeAnew:
                raise
            except StartRefused as error:
                if self._walk.is_newest(epoch.number):
                    raise
                said = {"epoch": epoch.number, "reason": str(error)}
                _log.warning("an epoch that is over cannot be read", extra=said)

    async def _count_epoch(self, counting: MinuteCounts, number: int) -> None:
        async with self._source.log(number) as log:
            held = await patiently(lambda: log.bounds(range(log.partition_count)))
            first = counting.begin(number, {partition: one.start for partition, one in held.items()})
            try:
                async for chunk in chunks(log, first, self._until, lambda: self._walk.is_over(number)):
                    await self._take(counting, number, chunk)
            except OffsetUnavailable as error:
                raise StartRefused(
                    f"The log let go of records before they were counted ({error}). Start this again: it goes on at "
                    "the first whole minute."
                ) from error
            await self._tell(counting)

    async def _take(self, counting: MinuteCounts, number: int, chunk: Chunk | None) -> None:
        if chunk is not None:
            counting.take(chunk.partition, chunk.judged, chunk.following)
            _lag.set(chunk.lag)
            if len(counting.pending) < _PENDING_MAX:
                return
        await self._tell(counting)
        if chunk is None:
            await self._walk.look()
            if self._walk.is_newest(number):
                _lag.set(0)
                self.is_current = True

    async def _tell(self, counting: MinuteCounts) -> None:
        """Write what is pending, and behind it how far that is."""
        if not counting.pending:
            return
        records = [counted(count) for count in counting.pending.values()]
        for start in range(0, len(records), _AT_ONCE):
            await self._append_all(records[start : start + _AT_ONCE])
        if await patiently(self._to.identity) != self._identity:  # which says nothing yet of how far it is
            raise CountsMadeAnew(
                "The topic of counts was made anew. Start this again: all that the log holds is counted."
            )
        await self._append_all([counting.progress()])
        _told.inc(len(records))
        counting.pending.clear()

    async def _append_all(self, records: Sequence[NewRecord]) -> None:
        """Append until each is durable; twice does no harm."""
        tells = told(_log, "counts not taken, trying again")
        await asyncio.gather(*(retrying(partial(self._to.append, 0, record), tells) for record in records))


async def newest_progress(topic: CommentLog) -> Progress:
    """Read how far the topic of counts is; empty if it says nothing of it that can be read. Raises LogUnavailable."""
    start, end = (await patiently(lambda: topic.bounds([0])))[0]
    while start < end:
        at = max(start, end - _BACK_RECORDS)
        newest, following = None, at
        while following < end:
            found = await patiently(lambda: topic.read(0, following, end, _BACK_RECORDS))  # noqa: B023 (awaited)
            following = found.next
            for record in found.records:
                if record.headers.get("type") == COUNTS_PROGRESS and record.value is not None:
                    newest = record.value
        if newest is not None:
            try:
                return progress_of(newest)
            except ValueError:  # of a later version, or somebody else's: counts are absolute, so counting anew is right
                _log.warning("how far the counts are cannot be read, all that the log holds is counted anew")
                return {}
        end = at
    return {}
