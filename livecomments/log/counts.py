"""The newest counts, as a process that answers for them knows them: of the last hour, in bounded memory.

The topic is read backwards from its end, until what it says is older than that, and followed from there on.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from livecomments.log.interface import CommentLog, LogReader, OffsetUnavailable
from livecomments.runtime.retrying import retrying, told
from livecomments_schemas.counts import MINUTE_MS, Count, count_of
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import Record

MINUTES_KEPT: Final = 60
MINUTES_TOLD_MAX: Final = MINUTES_KEPT + 2
"""With the one that is going on, and one of a log whose clock is ahead of ours."""
COUNTS_MAX: Final = 200_000
"""Of all videos and minutes together, about 60 MB. With more, fewer minutes are known."""
_BLOCK_RECORDS: Final = 5_000
_ASKED_INTERVAL_S: Final = 10.0
"""Between two looks whether the topic was made anew: one that has grown beyond our place says nothing of it."""

_log = logging.getLogger("livecomments.log")


class CountsUnavailable(Unavailable):
    """The counts are not known yet."""

    code = "overloaded"


class CountsNotKeptRejected(Rejected):
    """This deployment does not count."""

    code = "counts_not_kept"


class RecentCounts:
    """What is known of the last hour's counts. `run` reads; the rest looks.

    Args:
        log: the topic of counts.
        clock: seconds since 1970.
        counts_max: of all videos and minutes together.
        monotonic: seconds, for how often the topic is asked whether it is still the same.
    """

    def __init__(
        self,
        log: CommentLog,
        clock: Callable[[], float] = time.time,
        counts_max: int = COUNTS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._clock = clock
        self._monotonic = monotonic
        self._counts_max = counts_max
        self._minutes: dict[int, dict[str, Count]] = {}
        """By minute, by video."""
        self._appended_at_ms = 0
        """When the newest record that was read was appended."""
        self._known = 0
        self._oldest = 0
        """Of minutes before it not all is known."""
        self.is_ready = False

    def since(self) -> int:
        """Return the first minute that is told of."""
        return max(self._oldest, self._now() - MINUTES_KEPT)

    def of(self, video_id: str) -> list[Count]:
        """Return the counts of a video, ascending by minute. Raises CountsUnavailable until the topic is read."""
        if not self.is_ready:
            raise CountsUnavailable("This node is still reading the counts. Try again in a second.")
        since = self.since()
        found = (self._minutes[minute].get(video_id) for minute in sorted(self._minutes) if minute >= since)
        return [count for count in found if count is not None][-MINUTES_TOLD_MAX:]

    async def run(self) -> None:
        """Read until cancelled."""
        await retrying(self._read, told(_log, "counts not readable, trying again"))

    async def _read(self) -> None:
        reader = self._log.follow()
        try:
            while True:
                identity = await self._log.identity()  # before anything of it is read
                following = await self._read_back()
                self.is_ready = True
                await self._follow(reader, following, identity)
                _log.warning("the topic of counts was made anew, its last hour is read again")
        finally:
            await reader.aclose()

    async def _follow(self, reader: LogReader, following: int, identity: str) -> None:
        """Follow the topic until it is another one."""
        reader.assign({0: following})
        asked_at = self._monotonic()
        while True:
            if self._monotonic() - asked_at >= _ASKED_INTERVAL_S:
                if await self._log.identity() != identity:
                    return
                asked_at = self._monotonic()
            try:
                self.take(await reader.poll())
            except OffsetUnavailable:  # made anew, or we were away for longer than it keeps records
                reader.assign({0: await self._read_back()})

    async def _read_back(self) -> int:
        """Read what is not older than an hour, block by block from the end; return where the topic ended."""
        start, end = (await self._log.bounds([0]))[0]
        before = end
        while start < before:
            at = max(start, before - _BLOCK_RECORDS)
            block: list[Record] = []
            following = at
            while following < before:
                found = await self._log.read(0, following, before, _BLOCK_RECORDS)
                block, following = block + found.records, found.next
            self.take(block)
            if block and block[0].appended_at_ms // MINUTE_MS < self._kept_since():
                break
            before = at
        return end

    def take(self, records: Iterable[Record]) -> None:
        """Take what the topic says, in whatever order: of one video and minute the largest count is the newest."""
        records = list(records)
        self._appended_at_ms = max(self._appended_at_ms, *(record.appended_at_ms for record in records), 0)
        since = self._kept_since()
        for record in records:
            count = count_of(record)
            if count is None or count.minute < since:
                continue
            of_minute = self._minutes.setdefault(count.minute, {})
            known = of_minute.get(count.video_id)
            if known is None or known.comments < count.comments:
                self._known += known is None
                of_minute[count.video_id] = count
        for minute in [one for one in self._minutes if one < since]:
            self._known -= len(self._minutes.pop(minute))
        while self._known > self._counts_max and len(self._minutes) > 1:
            minute = min(self._minutes)
            self._oldest = max(self._oldest, minute + 1)
            self._known -= len(self._minutes.pop(minute))

    def _kept_since(self) -> int:
        """Return the first minute that is kept, by the smaller of our clock and the log's: none ahead forgets."""
        return max(self._oldest, min(self._now(), self._appended_at_ms // MINUTE_MS) - MINUTES_KEPT)

    def _now(self) -> int:
        return int(self._clock()) // 60
