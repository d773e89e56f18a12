"""Reads for viewers whose position the tail has left, for those whose position is ahead of it, and for those who join.

A crowd that was cut off comes back all at once, and so does one that opens a page together: a thundering herd. A read
that several viewers need at the same time is done once (single-flight).
"""

import asyncio
from functools import partial
from typing import Final, NamedTuple

from livecomments.following.follower import PartitionUnavailable
from livecomments.history.pages import newest_first
from livecomments.history.reading import History
from livecomments.history.stretch import HistoryBehind, Source, Stretch
from livecomments.log.interface import LogUnavailable
from livecomments.runtime.retrying import RETRY_S, after, retrying
from livecomments.runtime.single_flight import SingleFlight
from livecomments_consumers.block import Block, fitting
from livecomments_consumers.channel import SIZES, Channel, Sizes
from livecomments_consumers.frames import bye_frame
from livecomments_consumers.metrics import EdgeMetrics
from livecomments_consumers.viewer import Close, Say, Viewer, Write
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.limits import HISTORY_ON_JOIN_MAX

_READS_AT_ONCE: Final = 64
"""Each holds a block of 100 KB for as long as it takes; who comes later waits."""
_TRIES: Final = 7
"""Over some two seconds: what is away for longer is told."""
_PAGES_MORE: Final = 4
"""Asked for when a page ends before it is full, as among deleted comments: reads through some 3,000 of their rows."""


class Backfill:
    """Reads of one hub, each done once for all who need it at the same time."""

    def __init__(self, history: History, metrics: EdgeMetrics, sizes: Sizes = SIZES) -> None:
        self._history = history
        self._metrics = metrics
        self._sizes = sizes
        self._stretches = SingleFlight[_Going, _Read]()
        self._joins = SingleFlight[_Joining, Stretch]()
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)

    async def fetch(self, channel: Channel, viewer: Viewer) -> Write | Say | Close:
        """Return what to write next to a viewer who is behind: a stretch of history, or a gap where it cannot be had.

        Without the log the stream is closed, and the viewer comes back. An empty write has the viewer take its next
        step.
        """
        going = _Going(channel.video_id, viewer.position, channel.resets)
        is_tired = after(_TRIES)
        try:
            read = await retrying(
                lambda: self._stretches.join(going, partial(self._forward, going)),
                lambda error: isinstance(error, HistoryBehind) or is_tired(error),
            )
        except (PartitionUnavailable, LogUnavailable):
            return Close(bye_frame("error", channel.retry_ms()), "error")  # nothing would come live either
        except Unavailable as error:
            return self._missed(channel, viewer, error.code)
        if channel.resets != going.resets:
            return _nothing(viewer)  # it was read of a log that is gone
        if read.stretch.through <= viewer.position:
            await asyncio.sleep(RETRY_S)  # the follower has lost what the channel still counts on, and reads it again
            return _nothing(viewer)
        if read.write is None:
            read.write = viewer.fetched(read.stretch)
        return read.write

    async def join(self, channel: Channel, count: int) -> Stretch:
        """Return the newest `count` comments of a video, ascending; callers share a read that is under way.

        Raises:
            Unavailable: none could be read.
        """
        joining = _Joining(channel.video_id, count, channel.resets)
        return await self._joins.join(joining, partial(self._newest, joining))

    def bounded(self, stretch: Stretch) -> Stretch:
        """Return as much of a stretch as fits into a block."""
        fit = fitting(stretch.entries, self._sizes.block_bytes)
        if fit == len(stretch.entries):
            return stretch
        entries = stretch.entries[:fit]
        return stretch._replace(entries=entries, through=entries[-1].position)

    def _missed(self, channel: Channel, viewer: Viewer, reason: str) -> Write | Say:
        """Return the gap from the viewer's position to where its channel can go on; an empty write if there is none."""
        through = channel.resumable_after()
        if through <= viewer.position:
            return _nothing(viewer)  # the tail reaches back so far again
        self._metrics.gap(reason)
        return viewer.missed(through, reason, channel)

    async def _forward(self, going: "_Going") -> "_Read":
        limit = self._sizes.block_entries
        async with self._reads:
            followed = self._history.home(going.video_id)
            stretch = await self._history.forward(followed, going.video_id, going.after, limit, around_store=True)
        self._metrics.backfilled(stretch.source)
        return _Read(self.bounded(stretch))

    async def _newest(self, joining: "_Joining") -> Stretch:
        video_id, limit, _ = joining
        followed = self._history.home(video_id)
        page = await newest_first(self._history, followed, video_id, None, limit)
        comments, before = page.comments, page.next_cursor
        for _ in range(_PAGES_MORE):
            if len(comments) >= limit or before is None:
                break
            try:
                more = await newest_first(self._history, followed, video_id, before, HISTORY_ON_JOIN_MAX)
            except Unavailable:
                break
            comments, before = comments + more.comments, more.next_cursor
        return Stretch(comments[:limit][::-1], page.covered_through, Source.TAIL)


class _Going(NamedTuple):
    """The key of a read for viewers who resume: those with equal ones share it."""

    video_id: str
    after: int
    resets: int
    """The channel's: a read from before the log went back is not shared by those who ask later."""


class _Joining(NamedTuple):
    """The key of a read for viewers who join: those with equal ones share it."""

    video_id: str
    limit: int
    resets: int


class _Read:
    """A stretch, and what the first who needed it made of it."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self.write: Write | None = None


def _nothing(viewer: Viewer) -> Write:
    """Write nothing: the viewer takes its next step."""
    return Write(Block(viewer.position, viewer.position + 1, viewer.position, b"", 0))
