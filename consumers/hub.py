"""The hub: channels, their windows, the tick of heartbeats, admission and drain.

A video that was idle is flushed at once; a busy one once per window. The window grows with the time that the lanes of a
channel take to write a block, so that a crowd gets larger blocks instead of a longer queue.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from consumers.channel import BLOCK_ENTRIES_MAX, Channel
from consumers.viewer import Viewer, Write
from livecomments.history.reading import History
from livecomments.history.stretch import HistoryBehind, Stretch
from livecomments.log.partition import FollowedPartition
from livecomments.log.tail import Entry
from livecomments.runtime.metrics import SECONDS_BUCKETS, Counter, Gauge, Histogram
from schemas.errors import Unavailable

_TICK_S: Final = 0.5
"""How exactly heartbeats, staleness and stuck viewers are told."""
_PASS_SHARE: Final = 4
"""A window is at least this many passes long: writing takes at most a quarter of the loop."""
_FETCH_TRIES: Final = 5
_FETCH_RETRY_S: Final = 0.5

_log = logging.getLogger("livecomments.edge")
_viewers = Gauge("livecomments_edge_viewers", "Open streams.")
_disconnects = Counter("livecomments_edge_disconnects_total", "Streams ended, by reason.", ["reason"])
_delivered = Counter("livecomments_edge_delivered_total", "Comments written to viewers.")
_bytes = Counter("livecomments_edge_written_bytes_total", "Bytes of events written to viewers.")
_gaps = Counter("livecomments_edge_gaps_total", "Gaps told to viewers, by reason.", ["reason"])
_backfills = Counter("livecomments_edge_backfills_total", "Reads for viewers behind, by source.", ["source"])
_blocks = Counter("livecomments_edge_blocks_total", "Flushes that made a block.")
_delivery = Histogram(
    "livecomments_edge_delivery_seconds", "From the append to the block of its comment.", buckets=SECONDS_BUCKETS
)
_pass = Histogram("livecomments_edge_pass_seconds", "Waking and writing all viewers once.", buckets=SECONDS_BUCKETS)


@dataclass(frozen=True)
class HubSettings:
    """The hub's bounds, from `Settings`."""

    heartbeat_interval_s: float = 15.0
    stale_after_s: float = 5.0
    window_min_s: float = 0.025
    window_max_s: float = 0.1
    viewer_stuck_s: float = 20.0
    viewers_max: int = 20_000


class Hub:
    """The fan-out of one process."""

    def __init__(
        self,
        history: History,
        settings: HubSettings,
        *,
        make_viewer: Callable[[int, float, float], Viewer] = Viewer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.history = history
        self.settings = settings
        self.is_draining = False
        self._clock = clock
        self._make_viewer = make_viewer
        self._channels: dict[str, Channel] = {}
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._window_s = settings.window_min_s
        history.follower.listeners.append(self._on_entries)

    @property
    def is_full(self) -> bool:
        return self.is_draining or self._count >= self.settings.viewers_max

    def now(self) -> float:
        """The hub's monotonic clock, seconds."""
        return self._clock()

    def retry_ms(self) -> int:
        """A jittered time to come back after: a crowd that left together must not return together."""
        return random.randint(1_000, 4_000)  # noqa: S311 - jitter needs no secrecy

    @contextmanager
    def attached(self, video_id: str, followed: FollowedPartition) -> Iterator[tuple[Channel, Viewer, asyncio.Event]]:
        """A new viewer of the video, at the channel's head; while inside it is woken by the channel."""
        channel = self._channels.get(video_id)
        if channel is None:
            channel = Channel(video_id, followed, self.history.follower, self.settings.stale_after_s)
            self._channels[video_id] = channel
        viewer = self._make_viewer(channel.head, self._clock(), self.settings.heartbeat_interval_s)
        channel.viewers[viewer] = woken = asyncio.Event()
        self._count += 1
        self._empty.clear()
        _viewers.set(self._count)
        try:
            with self.history.follower.holding(channel.partition):
                yield channel, viewer, woken
        finally:
            self._count -= 1
            _viewers.set(self._count)
            if not self._count:
                self._empty.set()
            del channel.viewers[viewer]
            if not channel.viewers:
                if channel.flush_timer is not None:
                    channel.flush_timer.cancel()
                del self._channels[video_id]

    async def fetch(self, channel: Channel, viewer: Viewer) -> Write:
        """What a viewer whose position the tail has left is to be written: a stretch of history, or a gap."""
        for _ in range(_FETCH_TRIES):
            try:
                stretch = await self.history.forward(channel.video_id, viewer.position, BLOCK_ENTRIES_MAX)
            except HistoryBehind as error:
                return self.missed(channel, viewer, error.code)
            except Unavailable as error:
                reason = error.code
                await asyncio.sleep(_FETCH_RETRY_S)
            else:
                return self._fetched(viewer, stretch)
        return self.missed(channel, viewer, reason)

    def missed(self, channel: Channel, viewer: Viewer, reason: str) -> Write:
        """The gap from the viewer's position to where its channel can go on."""
        _gaps.labels(reason).inc()
        return viewer.missed(channel.resumable_after(), reason, channel)

    def written(self, viewer: Viewer, write: Write) -> None:
        """A lane has written `write`."""
        viewer.written(write, self._clock())
        _delivered.inc(write.comments)
        _bytes.inc(len(write.data))

    def disconnected(self, reason: str) -> None:
        """Count the end of a stream; `reason` is one of client, stuck, bye, error."""
        _disconnects.labels(reason).inc()

    async def run(self) -> None:
        """Tick until cancelled: heartbeats, staleness, idle videos' positions."""
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._clock()
            for channel in self._channels.values():
                if channel.flush_timer is None:
                    channel.flush()  # nothing is pending: only the head moves
                stale = channel.silence_s() > 0
                for viewer, woken in channel.viewers.items():
                    if stale or viewer.is_heartbeat_due(now):
                        woken.set()

    def begin_drain(self) -> None:
        """Take no new viewer; say bye to all. Does not wait."""
        self.is_draining = True
        for channel in self._channels.values():
            for viewer in channel.viewers:
                viewer.begin_bye("drain", self.retry_ms())
            channel.wake()

    async def drained(self, timeout_s: float) -> None:
        """Returns when no viewer is left, or after `timeout_s`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)

    def _fetched(self, viewer: Viewer, stretch: Stretch) -> Write:
        _backfills.labels(stretch.source.value).inc()
        return viewer.fetched(stretch)

    def _on_entries(self, followed: FollowedPartition, entries: Sequence[Entry]) -> None:
        touched: dict[str, Channel] = {}
        for entry in entries:
            channel = self._channels.get(entry.video_id)
            if channel is not None:
                channel.add(entry)
                touched[entry.video_id] = channel
        now = self._clock()
        for channel in touched.values():
            if channel.flush_timer is None:
                wait_s = channel.flushed_at + self._window_s - now
                channel.flush_timer = asyncio.get_running_loop().call_later(max(0.0, wait_s), self._flush, channel)

    def _flush(self, channel: Channel) -> None:
        channel.flush_timer = None
        channel.flushed_at = self._clock()
        entries = channel.flush()
        channel.wake()
        _blocks.inc()
        wall_ms = time.time() * 1000
        for entry in entries:
            _delivery.observe(max(0.0, wall_ms - entry.appended_at_ms) / 1000)
        # Woken lanes write in the next turn of the loop; what is scheduled now runs after them.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._passed, channel.flushed_at)

    def _passed(self, began_at: float) -> None:
        pass_s = self._clock() - began_at
        _pass.observe(pass_s)
        wanted_s = min(max(pass_s * _PASS_SHARE, self.settings.window_min_s), self.settings.window_max_s)
        self._window_s += (wanted_s - self._window_s) / 8
