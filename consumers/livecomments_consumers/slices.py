"""Slices: what one answer of a durable stream gives of a video's log, read from the tail or from history.

Reading history is shared by all who need the same at the same time, and bounded: so many reads at once.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import History
from livecomments.history.stretch import HistoryGone, Stretch
from livecomments.runtime.retrying import RETRY_S
from livecomments.runtime.single_flight import SingleFlight
from livecomments_consumers.protocol import CHUNK_ENTRIES, OffsetRejected, rest_of
from livecomments_schemas.positions import epoch_of

_READS_AT_ONCE: Final = 64
"""Each holds an answer of 100 KB for as long as it takes; who comes later waits."""

_GONE: Final = "What follows this offset is not in the log. Begin anew: offset=-1 for all there is, offset=now without."


class Seen(NamedTuple):
    """What is there of a video after a position, as far as one answer may hold it, and a little more."""

    entries: Sequence[Entry]
    is_all: bool
    """Nothing more of the video is known."""
    through: int
    """Where to read on: everything of the video up to here is among the entries."""


class Slices:
    """Reads for the pollers of one edge."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._flights = SingleFlight[tuple[str, int, int], Stretch]()
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)

    async def after(self, video_id: str, after: int) -> Seen:
        """Return what comes after a position that the log has.

        Raises:
            OffsetRejected: log and store no longer have it.
            PartitionUnavailable, LogUnavailable, StoreUnavailable, HistoryBehind: try again.
        """
        followed = self._history.home(video_id)
        if after >= followed.tail.after:
            entries = followed.tail.forward(video_id, after, CHUNK_ENTRIES + 1)
            is_all = len(entries) <= CHUNK_ENTRIES
            rest = rest_of(followed.tail, video_id, followed.judged_through, after)
            return Seen(entries, is_all, rest if is_all else entries[-1].position)
        key = video_id, after, followed.resets
        stretch = await self._flights.join(key, partial(self._read, video_id, after))
        if stretch.through <= after:  # the follower has lost what it read, and reads it again
            await asyncio.sleep(RETRY_S)
        return Seen(stretch.entries, False, max(after, stretch.through))

    async def check(self, followed: FollowedPartition, position: int) -> None:
        """Wait for a position that is ahead of us but in the log: another edge may have told of it.

        Raises:
            OffsetRejected: the log does not have it. PartitionUnavailable, LogUnavailable: try again.
        """
        if position <= followed.judged_through:
            return
        if epoch_of(position) > followed.epoch or position <= await self._history.newest(followed.number):
            await self._history.reach(followed, position)
        if position > followed.judged_through:
            raise OffsetRejected(_GONE)

    async def _read(self, video_id: str, after: int) -> Stretch:
        async with self._reads:
            followed = self._history.home(video_id)
            try:
                return await self._history.forward(followed, video_id, after, CHUNK_ENTRIES + 1, around_store=True)
            except HistoryGone:
                if after < self._history.stored_through(followed):  # what follows is there, and can be given again
                    raise
                raise OffsetRejected(_GONE) from None
