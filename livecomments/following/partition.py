"""One followed partition: its window, its tail, how far it is judged, and who waits for a record of it."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from livecomments.following.read_back import Judge
from livecomments.following.tail import Entry, Tail
from livecomments.log.interface import CommentLog
from livecomments.runtime.expiry import Expiry
from livecomments_schemas.events import Record
from livecomments_schemas.judge import FENCED, Kind, Verdict, judge
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import Home, comment_id, epoch_of, position_at
from livecomments_schemas.window import Window

_log = logging.getLogger("livecomments.log")

ACCEPTED: Final = Verdict(Kind.ACCEPTED)
"""What `verdict_at` answers for an accepted record; the record itself is in the tail."""


NO_COUNTS: Final = MappingProxyType[int, int]({})


class Parent(NamedTuple):
    """The partition of the epoch before that another one grew out of, read to its end."""

    log: CommentLog
    window: Window
    end: int
    """The offset behind its fence."""


class FollowedPartition:
    """State of one partition. Changed only by the follower; read by everybody in the same loop."""

    def __init__(
        self,
        epoch: int,
        window: Window,
        tail: Tail,
        next_offset: int,
        judge: Judge = judge,
        *,
        resets: int = 0,
        counts: Mapping[int, int] = NO_COUNTS,
    ) -> None:
        self.epoch = epoch
        self.counts = counts
        """The partitions of each earlier epoch that is known."""
        self.parent: Parent | None = None
        """Where its videos were before, as long as keys that were used there count."""
        self.resets = resets
        """How often the follower had seen the log go back when it took this on."""
        self.number = window.partition
        self.window = window
        self.tail = tail
        self.next_offset = next_offset
        self.appended_at_ms = 0
        """When the newest record that was read was appended, by the log's clock."""
        self._judge = judge
        self._verdicts_from = next_offset
        """What lies before was judged with a window that was not full, if at all."""
        self._refused: dict[int, Verdict] = {}
        self._is_let_go = False
        self._waiting: dict[int, list[asyncio.Future[Verdict]]] = {}
        self._expiry = Expiry()
        self._reaching: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def judged_through(self) -> int:
        """The position of the newest record judged; everything accepted up to it is in tail, log or store."""
        return position_at(self.epoch, 0) + self.next_offset - 1

    @property
    def home(self) -> Home:
        """Where records of its videos are appended."""
        return Home(self.epoch, self.number, self.window.partition_count)

    def partition_at(self, video_id: str, position: int) -> int:
        """Return the partition in which records of a video of this partition stood in the epoch of `position`."""
        count = self.counts.get(epoch_of(position))
        return self.number if count is None else partition_of(video_id, count)

    def id_at(self, video_id: str, position: int) -> str:
        """Return the id of a position of a video of this partition, in any epoch."""
        return comment_id(position, self.partition_at(video_id, position))

    def apply(self, records: Sequence[Record], now: float) -> list[Entry]:
        """Judge the next records, at the monotonic time `now`; returns the accepted ones, already in the tail.

        Records before the next offset were judged already and are passed over: a reader may repeat, never skip.
        """
        accepted = []
        judge, window, tail, waiting = self._judge, self.window, self.tail, self._waiting
        make_entry = tail.entry_type.of
        first, accepted_kind = position_at(self.epoch, 0), Kind.ACCEPTED
        was_open = window.fence is None
        for record in records:
            offset = record.offset
            if offset < self.next_offset:
                continue
            verdict = judge(record, window)
            self.next_offset = offset + 1
            if record.appended_at_ms > self.appended_at_ms:
                self.appended_at_ms = record.appended_at_ms
            if verdict.kind is accepted_kind:
                entry = make_entry(record, verdict, first + offset, now)
                tail.append(entry, now)
                accepted.append(entry)
            else:
                self._refuse(offset, verdict)
            if waiting:
                for waiter in waiting.pop(offset, ()):
                    if not waiter.done():
                        waiter.set_result(verdict)
        for position, reached in self._reaching:
            if position <= self.judged_through and not reached.done():
                reached.set_result(None)
        if window.fence is not None:
            if was_open:
                self._tell_end(window.fence)
            if waiting:
                self.end(window.fence)
        return accepted

    def end(self, fence: int) -> None:
        """Tell all who wait for a record behind the end of the epoch that it is void, be it read or not."""
        self.window.fence = fence
        for offset, waiters in self._waiting.items():
            for waiter in waiters if offset > fence else ():
                if not waiter.done():
                    waiter.set_result(FENCED)

    def _tell_end(self, fence: int) -> None:
        """Say that writes wait, before anybody is refused: a command that was killed leaves it so, or a stranger."""
        sentence = "the epoch ended here, writes wait for the next: if nobody is opening it, livecomments epochs grow"
        _log.warning(sentence, extra={"epoch": self.epoch, "partition": self.number, "offset": fence})

    async def verdict(self, offset: int, timeout_s: float) -> Verdict:
        """Return the verdict on the record at `offset` as soon as it is judged.

        Raises:
            TimeoutError: not judged in time, or so long ago that its verdict is forgotten.
        """
        if (fence := self.window.fence) is not None and offset > fence:
            return FENCED
        if offset < self.next_offset:
            if offset < max(self._verdicts_from, self.next_offset - self.window.size):
                raise TimeoutError
            return self._refused.get(offset, ACCEPTED)
        if self._is_let_go:
            raise TimeoutError
        waiter: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(offset, []).append(waiter)
        self._expiry.add(waiter, timeout_s)
        try:
            return await waiter
        finally:
            if offset in self._waiting:  # not judged: too late, or nobody waits any more
                self._waiting[offset].remove(waiter)
                if not self._waiting[offset]:
                    del self._waiting[offset]

    async def reach(self, position: int, timeout_s: float) -> None:
        """Wait until everything up to `position` is judged. Raises TimeoutError."""
        if position <= self.judged_through:
            return
        if self._is_let_go:
            raise TimeoutError
        waiter = position, asyncio.get_running_loop().create_future()
        self._reaching.append(waiter)
        try:
            await asyncio.wait_for(waiter[1], timeout_s)
        finally:
            self._reaching.remove(waiter)

    def let_go(self) -> None:
        """Judge nothing here any more: whoever waits, or comes, hears at once what they would hear too late."""
        self._is_let_go = True
        for waiters in self._waiting.values():
            for waiter in waiters:
                _expire(waiter)
        for _, reached in self._reaching:
            _expire(reached)

    def _refuse(self, offset: int, verdict: Verdict) -> None:
        self._refused[offset] = verdict
        oldest = next(iter(self._refused))
        if oldest < offset - self.window.size:  # as many leave as come: bounded by the window
            del self._refused[oldest]


Listener = Callable[[FollowedPartition, Sequence[Entry]], None]
"""Called with the entries just accepted of a partition, ascending; must not wait and must not raise."""

BackListener = Callable[[Record, Verdict], None]
"""Called with each record accepted in the window before the tail, ascending, while a partition is taken on; again where
that is done again. A duplicate where the window begins may be taken for accepted. Must not wait and must not raise."""

Moved = Callable[[Mapping[int, FollowedPartition]], None]
"""Called once the next epoch is followed, with what was followed before; must not wait and must not raise."""


def _expire(waiter: asyncio.Future[Verdict] | asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
