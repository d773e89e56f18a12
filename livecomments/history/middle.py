"""The middle: what one partition's log holds between the store's watermark and the tail, judged.

It is empty while the stream job keeps up with the tail. When it does not, the first reader reads it from the log, from
W records before, and all others share it; it is then only extended, and let go of from below as the watermark moves.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from livecomments.following.partition import FollowedPartition
from livecomments.following.read_back import Judge, in_turns, read_back, read_on
from livecomments.following.tail import Tail, TailBounds
from livecomments.history.stretch import HistoryBehind, HistoryGone
from livecomments.log.interface import CommentLog, OffsetUnavailable
from livecomments_schemas.positions import first_position, offset_of

_TOO_MUCH: Final = "The newest history is being stored; this part of it can be read in a moment."
UNUSED_S: Final = 10.0
"""A middle that nobody has asked for so long makes room for another."""
REFUSED_S: Final = 1.0
"""After there was no room for a middle nobody reads it again for so long: of a crowd, the first one only."""
_GONE: Final = "The log no longer holds what the store is missing."


class Covered(NamedTuple):
    """What lies above the watermark."""

    watermark: int
    """The one asked for, or one that is newer."""
    tail: Tail | None
    """Everything later than the watermark, as far as was asked for; None if that is nothing. For use before the next
    await: others move it on."""


class Budget:
    """What all middles of a process may hold together, in bytes of their records.

    Room is made of what nobody has used for a while. Not of more: two readers that took each other's room away would
    read the log again and again.
    """

    def __init__(self, bytes_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.bytes_max = bytes_max
        self.now = clock
        self._used_at: WeakKeyDictionary[Middle, float] = WeakKeyDictionary()

    def use(self, middle: "Middle") -> None:
        """Note that this middle is being extended or read by somebody now."""
        self._used_at[middle] = self.now()

    def make_room(self) -> bool:
        """Let go of unused middles if more is held than the bound allows; return whether it is within the bound now."""
        if sum(one.bytes for one in self._used_at) <= self.bytes_max:
            return True
        before = self.now() - UNUSED_S
        for other, used_at in list(self._used_at.items()):
            if used_at <= before:
                other.let_go()
        return sum(one.bytes for one in self._used_at) <= self.bytes_max

    def forget(self, middle: "Middle") -> None:
        """Drop a middle that no longer holds anything."""
        self._used_at.pop(middle, None)


class Middle:
    """The middle of one partition."""

    def __init__(
        self, log: CommentLog, partition: int, window_records: int, judge: Judge, *, records_max: int, budget: Budget
    ) -> None:
        self._log = log
        self._partition = partition
        self._window_records = window_records
        self._judge = judge
        self._bounds = TailBounds(records_max, budget.bytes_max, math.inf)
        self._budget = budget
        self._read: FollowedPartition | None = None
        self._watermark = 0
        """The newest one that anybody came with: what is up to it may have been let go of."""
        self._too_much_after = 0
        """A reading that begins before this position exceeded the bound in bytes, and would again."""
        self._refused_until = 0.0
        """By the budget's clock: until then there is no room for it."""
        self._flight = asyncio.Lock()

    @property
    def bytes(self) -> int:
        """The records held, in bytes."""
        return self._read.tail.bytes if self._read is not None else 0

    async def cover(self, watermark: int, through: Callable[[], int]) -> Covered:
        """Return the partition's records later than `watermark`, as far as `through()` says once that is read.

        Raises:
            HistoryBehind: more than the bounds allow. HistoryGone: the log no longer holds them.
            LogUnavailable
        """
        async with self._flight:
            watermark = self._watermark = max(watermark, self._watermark)
            if watermark >= through():
                return Covered(watermark, None)
            self.check_span(watermark, through())
            if watermark < self._too_much_after or self._budget.now() < self._refused_until:
                raise HistoryBehind(_TOO_MUCH)
            try:
                return Covered(watermark, await self._cover(watermark, through))
            except OffsetUnavailable as error:
                self._drop()
                raise HistoryGone(_GONE) from error

    def check_span(self, after: int, through: int) -> None:
        """Refuse a span of more records than the bound allows. Raises HistoryBehind."""
        if through - after > self._bounds.records_max:
            raise HistoryBehind(_TOO_MUCH)

    def let_go(self) -> None:
        """Free the memory: the store has caught up with the tail."""
        if not self._flight.locked():
            self._drop()

    async def _cover(self, after: int, through: Callable[[], int]) -> Tail:
        self._budget.use(self)
        followed = self._read
        if followed is None or not followed.tail.after <= after <= followed.judged_through + self._window_records:
            followed = self._read = await self._begin(after)
        while followed.judged_through < through():
            end = offset_of(through()) + 1
            records, following = await read_on(self._log, self._partition, followed.next_offset, end)
            async for some in in_turns(records):
                followed.apply(some, 0.0)
            followed.next_offset = following
            if followed.tail.after > after:
                self._too_much_after = followed.tail.after
            is_refused = not self._budget.make_room()
            if is_refused:
                self._refused_until = self._budget.now() + REFUSED_S
            if is_refused or followed.tail.after > after:
                self._drop()
                raise HistoryBehind(_TOO_MUCH)
        followed.tail.forget(after)
        return followed.tail

    def _drop(self) -> None:
        self._read = None
        self._budget.forget(self)

    async def _begin(self, after: int) -> FollowedPartition:
        """Begin a reading at `after`, its window read back from before."""
        log, epoch = self._log, self._log.epoch
        start = (await log.bounds([self._partition]))[self._partition].start
        first = max(0, after + 1 - first_position(epoch))
        if first < start:
            raise HistoryGone(_GONE)
        window = await read_back(
            log, self._partition, first, start=start, judge=self._judge, window_records=self._window_records
        )
        return FollowedPartition(epoch, window, Tail(self._bounds, after), first, self._judge)
