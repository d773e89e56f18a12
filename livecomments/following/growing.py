"""Following the log over the end of an epoch: from the topic that ended by fences on into the one that grew out of it.

A partition of the new topic has one parent in the old one. It is followed from its first record on, and knows its
parent's window, so that a key that was used there is found; nothing is judged over the seam.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from livecomments.following.follower import Follower, followed_partitions
from livecomments.following.partition import NO_COUNTS, FollowedPartition, Parent
from livecomments.following.read_back import read_back
from livecomments.log.continuity import Continuity
from livecomments.log.interface import CommentLog, LogReader, OffsetUnavailable
from livecomments.runtime.retrying import retrying
from livecomments_schemas.events import Record
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import first_position
from livecomments_schemas.window import Window

_log = logging.getLogger("livecomments.log")
_LOOK_S: Final = 0.5
"""A partition that is not followed any more holds up nobody: so often who waits for all ends looks which are."""


class Past:
    """The epoch that one grew out of, read to its fences. `windows`: of its partitions, as far as they are known."""

    def __init__(self, log: CommentLog, fences: Sequence[int], windows: Mapping[int, Window] | None = None) -> None:
        self._log = log
        self._fences = fences
        self._windows = dict(windows or {})

    async def parent(self, number: int) -> Parent | None:
        """Return the parent of a partition; None if retention took what stands before its fence.

        Raises:
            LogUnavailable: try again.
        """
        own = number % self._log.partition_count
        if own not in self._windows:
            end = self._fences[own] + 1
            start = (await self._log.bounds([own]))[own].start
            try:
                self._windows[own] = await read_back(self._log, own, end, start=min(start, end))
            except OffsetUnavailable:
                return None
        return self.known(number)

    def known(self, number: int) -> Parent:
        """Return the parent of a partition, which is known."""
        own = number % self._log.partition_count
        return Parent(self._log, self._windows[own], self._fences[own] + 1)


def successor_of(
    of_before: FollowedPartition | None, before: Mapping[int, FollowedPartition], follower: Follower, video_id: str
) -> FollowedPartition | None:
    """Return the partition in which a video goes on, where the follower has moved on to the next epoch.

    What was known of the video by a partition of `before` is so in that one; None if it was known by none of them.
    """
    if of_before is None or before.get(of_before.number) is not of_before:
        return None
    return follower.followed.get(partition_of(video_id, follower.log.partition_count))


class GrowingFollower(Follower):
    """A follower that can go on in the next epoch.

    Args:
        args, options: of `Follower`.
        counts: the partitions of each earlier epoch.
        past: the epoch that this one grew out of; None if it did not.
    """

    def __init__(
        self, *args: Any, counts: Mapping[int, int] = NO_COUNTS, past: Past | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._counts = counts
        self._past = past
        self._applied = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._ahead: tuple[Continuity, LogReader] | None = None
        """Of the log that comes next, if it was made ready for."""
        self._has_moved = False

    async def look_ahead(self, log: CommentLog) -> None:
        """Make ready to go on in the epoch of `log`: sure which log that is, and connected, before anybody waits.

        Cancelled, it leaves nothing open: whoever closes `log` closes its readers.
        """
        continuity = Continuity(log)
        await retrying(continuity.begin)
        reader = log.follow()
        await retrying(reader.poll)  # which connects, and brings nothing: nothing is assigned
        self._ahead = continuity, reader

    async def move_on(self, log: CommentLog, fences: Sequence[int], assigned: Collection[int]) -> None:
        """Go on in the epoch of `log`, once all that is followed of this one is read to its fences.

        Nothing can come between: in one step whatever was followed is followed there, from its first record on. The log
        of before stays open.
        """
        continuity, reader = self._ahead or (Continuity(log), log.follow())
        self._ahead = None
        if continuity.log is not log:  # another was made ready for
            continuity, reader = Continuity(log), log.follow()
        await retrying(continuity.begin)
        while any(one.next_offset <= fences[number] for number, one in self.followed.items()):
            self._applied.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._applied.wait(), _LOOK_S)
        self._move(continuity, reader, fences, assigned)

    def _move(
        self, continuity: Continuity, reader: LogReader, fences: Sequence[int], assigned: Collection[int]
    ) -> None:
        log = continuity.log
        before, used_at, count = dict(self.followed), dict(self._used_at), self.log.partition_count
        self._past = Past(self.log, fences, {number: one.window for number, one in before.items()})
        self._counts = {**self._counts, self.log.epoch: count}
        self.log, self.continuity = log, continuity
        self.followed.clear()
        self._used_at.clear()
        self._holders.clear()
        self._refused.clear()
        for number in range(log.partition_count):
            if (parent := before.get(number % count)) is not None:
                self.followed[number] = self._child(number, self._past, parent)
                self._used_at[number] = used_at.get(parent.number, self._clock())
                self._ready[number].set()
        for number in before:
            self._silence.forget(number)
        self._silence.broke(self.followed, self.followed)
        self._reader = reader
        self._has_moved = True
        self._assign()
        if self._reading is not None:
            self._reading.cancel()
        self.assigned = frozenset(assigned)
        for number in self.assigned:
            self._take_on(number)
        followed_partitions.set(len(self.followed))
        _log.info("went on in the next epoch", extra={"epoch": log.epoch, "partitions": log.partition_count})
        for moved in self.moved:
            moved(before)
        for number, one in before.items():
            one.end(fences[number])
            one.let_go()

    def _child(self, number: int, past: Past, parent: FollowedPartition) -> FollowedPartition:
        epoch, count = self.log.epoch, self.log.partition_count
        window = Window(epoch, number, count, since=0, whole=True, size=self._window_records)
        tail = self._tail(self._bounds, first_position(epoch) - 1)
        child = FollowedPartition(epoch, window, tail, 0, self._judge, counts=self._counts)
        child.parent = past.known(number)
        child.appended_at_ms = parent.appended_at_ms
        return child

    def release(self, number: int) -> None:
        """See `Follower`. Whoever held a partition of the epoch before has held nothing since."""
        if number in self._holders:
            super().release(number)

    async def _keep_reading(self) -> None:
        left: LogReader | None = None
        while True:
            reader = self._reader
            self._reading = asyncio.create_task(super()._keep_reading())
            try:
                if left is not None:  # closed beside the reading of the next one, for which others wait
                    await left.aclose()
                await self._reading
            except asyncio.CancelledError:
                working = asyncio.current_task()
                if reader is self._reader or (working is not None and working.cancelling()):
                    self._reading.cancel()
                    raise
                left = reader

    async def _take_lost_again(self) -> None:
        if self._has_moved:  # nothing of this epoch was read yet that could be lost
            self._has_moved = False
            return
        await super()._take_lost_again()

    def _apply(self, records: list[Record]) -> None:
        super()._apply(records)
        self._applied.set()

    async def _read_back(self, number: int) -> FollowedPartition:
        log, past = self.log, self._past
        parent = None if past is None else await past.parent(number)
        followed = await super()._read_back(number)
        if log is not self.log:
            raise OffsetUnavailable("The log went on in the next epoch while it was read.")
        followed.counts = self._counts
        if followed.next_offset <= DEDUPE_WINDOW_RECORDS:
            followed.parent = parent
        return followed
