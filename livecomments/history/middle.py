"""The middle: what one partition's log holds between the store's watermark and the tail, judged.

It is empty while the stream job keeps up with the tail. When it does not, the first reader reads it from the log, from
W records before, and all others share it; it is then only extended, and let go of from below as the watermark moves.
"""

import asyncio
import math
from collections.abc import Callable

from livecomments.history.stretch import HistoryBehind
from livecomments.log.interface import CommentLog, OffsetUnavailable
from livecomments.log.partition import FollowedPartition, Judge
from livecomments.log.tail import Tail, TailBounds
from schemas.positions import offset_of, position_at
from schemas.window import Window

_READ_CHUNK = 1_000


class Middle:
    """The middle of one partition."""

    def __init__(
        self, log: CommentLog, partition: int, window_records: int, judge: Judge, *, records_max: int, bytes_max: int
    ) -> None:
        self._log = log
        self._partition = partition
        self._window_records = window_records
        self._judge = judge
        self._bounds = TailBounds(records_max, bytes_max, math.inf)
        self._read: FollowedPartition | None = None
        self._flight = asyncio.Lock()

    async def cover(self, after: int, through: Callable[[], int]) -> Tail:
        """The partition's records later than `after`, at least as far as `through()` says when it is reached.

        Raises:
            HistoryBehind: more than the bounds allow, or the log no longer holds them.
            LogUnavailable
        """
        async with self._flight:
            if through() - after > self._bounds.records_max:
                raise HistoryBehind("The newest history is being stored; this part of it can be read in a moment.")
            followed = self._read
            if followed is None or not followed.tail.after <= after <= followed.judged_through + self._window_records:
                followed = self._read = await self._begin(after)
            while followed.judged_through < through():
                await self._extend(followed, through())
            followed.tail.forget(after)
            if followed.tail.after > after:
                self._read = None
                raise HistoryBehind("The newest history is being stored; this part of it can be read in a moment.")
            return followed.tail

    async def _begin(self, after: int) -> FollowedPartition:
        """A reader that stands at `after`, its window filled from before."""
        log, epoch = self._log, self._log.epoch
        start = (await log.bounds([self._partition]))[self._partition].start
        first = offset_of(after) + 1 if after >= position_at(epoch, 0) else 0
        if first < start:
            raise HistoryBehind("The log no longer holds what the store is missing.")
        since = max(start, first - self._window_records)
        window = Window(
            epoch, self._partition, log.partition_count, since=since, whole=since == start, size=self._window_records
        )
        followed = FollowedPartition(epoch, window, Tail(self._bounds, after), since, self._judge)
        while followed.next_offset < first:
            records, following = await self._log.read(self._partition, followed.next_offset, first, _READ_CHUNK)
            followed.prime(records, first, 0.0)
            followed.next_offset = following
        return followed

    async def _extend(self, followed: FollowedPartition, through: int) -> None:
        end = offset_of(through) + 1
        try:
            records, following = await self._log.read(self._partition, followed.next_offset, end, _READ_CHUNK)
        except OffsetUnavailable as error:
            self._read = None
            raise HistoryBehind("The log no longer holds what the store is missing.") from error
        followed.apply(records, 0.0)
        followed.next_offset = following
