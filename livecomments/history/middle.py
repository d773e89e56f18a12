"""The middle: what one partition's log holds between the store's watermark and the tail, judged.

It is empty while the stream job keeps up with the tail. When it does not, the first reader reads it from the log, from
W records before, and all others share it; it is then only extended, and let go of from below as the watermark moves.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final, NamedTuple

from livecomments.history.stretch import HistoryBehind
from livecomments.log.interface import CommentLog, OffsetUnavailable
from livecomments.log.partition import FollowedPartition, Judge, read_on
from livecomments.log.tail import Tail, TailBounds
from schemas.positions import first_position, offset_of
from schemas.window import Window

_TOO_MUCH: Final = "The newest history is being stored; this part of it can be read in a moment."
_GONE: Final = "The log no longer holds what the store is missing."


class Covered(NamedTuple):
    """What lies above the watermark."""

    watermark: int
    """The one asked for, or one that is newer."""
    tail: Tail | None
    """Everything later than the watermark, as far as was asked for; None if that is nothing. For use before the next
    await: others move it on."""


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
        self._watermark = 0
        """The newest one that anybody came with: what is up to it may have been let go of."""
        self._too_much_after = 0
        """From before this position on there were more bytes than the bound allows, and there still are."""
        self._flight = asyncio.Lock()

    async def cover(self, watermark: int, through: Callable[[], int]) -> Covered:
        """The partition's records later than `watermark`, as far as `through()` says when it is reached.

        Raises:
            HistoryBehind: more than the bounds allow, or the log no longer holds them.
            LogUnavailable
        """
        async with self._flight:
            watermark = self._watermark = max(watermark, self._watermark)
            if watermark >= through():
                return Covered(watermark, None)
            if through() - watermark > self._bounds.records_max or watermark < self._too_much_after:
                raise HistoryBehind(_TOO_MUCH)
            try:
                return Covered(watermark, await self._cover(watermark, through))
            except OffsetUnavailable as error:
                self._read = None
                raise HistoryBehind(_GONE) from error

    def let_go(self) -> None:
        """Free the memory: the store has caught up with the tail."""
        if not self._flight.locked():
            self._read = None

    async def _cover(self, after: int, through: Callable[[], int]) -> Tail:
        followed = self._read
        if followed is None or not followed.tail.after <= after <= followed.judged_through + self._window_records:
            followed = self._read = await self._begin(after)
        while followed.judged_through < through():
            end = offset_of(through()) + 1
            records, following = await read_on(self._log, self._partition, followed.next_offset, end)
            followed.apply(records, 0.0)
            followed.next_offset = following
            if followed.tail.after > after:
                self._read, self._too_much_after = None, followed.tail.after
                raise HistoryBehind(_TOO_MUCH)
        followed.tail.forget(after)
        return followed.tail

    async def _begin(self, after: int) -> FollowedPartition:
        """A reader that stands at `after`, its window filled from before."""
        log, epoch = self._log, self._log.epoch
        start = (await log.bounds([self._partition]))[self._partition].start
        first = max(0, after + 1 - first_position(epoch))
        if first < start:
            raise HistoryBehind(_GONE)
        since = max(start, first - self._window_records)
        window = Window(
            epoch, self._partition, log.partition_count, since=since, whole=since == 0, size=self._window_records
        )
        followed = FollowedPartition(epoch, window, Tail(self._bounds, after), since, self._judge)
        while followed.next_offset < first:
            records, following = await read_on(log, self._partition, followed.next_offset, first)
            followed.prime(records, first, 0.0)
            followed.next_offset = following
        return followed
