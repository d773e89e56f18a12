"""The hub: channels, their windows and passes, the tick of heartbeats, admission, rotation and drain.

A video that was idle is flushed at once; a busy one once per window. The window grows with the time a pass over the
viewers takes, so that a crowd gets larger blocks instead of a longer queue. A pass over many viewers gives the loop
away now and then, and begins somewhere else each time, so that nobody is always last.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from consumers.block import Block
from consumers.channel import BLOCK_ENTRIES_MAX, Channel, Lane
from consumers.metrics import EdgeMetrics
from consumers.viewer import Say, Viewer, Write
from livecomments.history.reading import History
from livecomments.history.stretch import HistoryBehind, Stretch
from livecomments.log.partition import FollowedPartition
from livecomments.log.tail import Entry
from schemas.errors import Unavailable

_TICK_S: Final = 0.5
"""How exactly heartbeats, staleness, rotation and stuck viewers are told."""
_PASS_SHARE: Final = 4
"""A window is at least this many passes long: writing takes at most a quarter of the loop."""
_PASS_SLICE: Final = 500
"""Viewers written to before the loop is given away: some 5 ms."""
_FETCH_TRIES: Final = 5
_FETCH_RETRY_S: Final = 0.5
_DRAIN_STEPS: Final = 50


@dataclass(frozen=True)
class HubSettings:
    """The hub's bounds, from `Settings`."""

    heartbeat_interval_s: float = 15.0
    stale_after_s: float = 5.0
    window_min_s: float = 0.025
    window_max_s: float = 0.1
    viewer_stuck_s: float = 20.0
    viewer_life_s: float = 1_200.0
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
        self.metrics = EdgeMetrics()
        self.is_draining = False
        self.now = clock
        self._make_viewer = make_viewer
        self._channels: dict[str, Channel] = {}
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._window_s = settings.window_min_s
        self._passes: set[asyncio.Task[None]] = set()
        self._flights: dict[tuple[str, int], asyncio.Task[Stretch]] = {}
        history.follower.listeners.append(self._on_entries)

    @property
    def is_full(self) -> bool:
        return self.is_draining or self._count >= self.settings.viewers_max

    def retry_ms(self) -> int:
        """A jittered time to come back after: a crowd that left together must not return together."""
        return random.randint(1_000, 4_000)  # noqa: S311 - jitter needs no secrecy

    def channel(self, video_id: str, followed: FollowedPartition) -> Channel:
        """The video's channel, made for its first viewer."""
        channel = self._channels.get(video_id)
        if channel is None:
            follower = self.history.follower
            channel = self._channels[video_id] = Channel(video_id, followed, follower, self.settings.stale_after_s)
            follower.hold(channel.partition)
        return channel

    def make_viewer(self, channel: Channel) -> Viewer:
        """A new viewer at the channel's head. Its life is bounded and jittered, so that a deploy is ordinary churn."""
        now = self.now()
        viewer = self._make_viewer(channel.head, now, self.settings.heartbeat_interval_s)
        viewer.expires_at = now + self.settings.viewer_life_s * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        return viewer

    def attach(self, channel: Channel, lane: Lane) -> None:
        """From now on the lane is told of the channel's blocks."""
        channel.lanes[lane] = None
        self._count += 1
        self._empty.clear()

    def detach(self, channel: Channel, lane: Lane, reason: str) -> None:
        """Forget a lane; `reason` is why its stream ended, a fixed word. May be called twice."""
        if lane not in channel.lanes:
            return
        del channel.lanes[lane]
        self.metrics.disconnected(reason)
        self._count -= 1
        if not self._count:
            self._empty.set()
        if not channel.lanes:
            if channel.flush_timer is not None:
                channel.flush_timer.cancel()
            del self._channels[channel.video_id]
            self.history.follower.release(channel.partition)

    async def fetch(self, channel: Channel, viewer: Viewer) -> Write | Say:
        """What a viewer whose position the tail has left is to be written: a stretch of history, or a gap."""
        for _ in range(_FETCH_TRIES):
            try:
                stretch = await self._flight(channel.video_id, viewer.position)
            except HistoryBehind as error:
                return self._missed(channel, viewer, error.code)
            except Unavailable as error:
                reason = error.code
                await asyncio.sleep(_FETCH_RETRY_S)
            else:
                self.metrics.backfilled(stretch.source)
                return viewer.fetched(stretch)
        return self._missed(channel, viewer, reason)

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            self.tick()

    def tick(self) -> None:
        """Heartbeats, staleness, rotation, stuck viewers; and the positions of idle videos move on."""
        now = self.now()
        stuck_before = now - self.settings.viewer_stuck_s
        live = 0
        for channel in list(self._channels.values()):
            if channel.flush_timer is None:
                channel.flush()  # nothing is pending: only the head moves
            stale = channel.silence_s() > 0
            for lane in list(channel.lanes):
                viewer = lane.viewer
                live += viewer.position >= channel.head
                if viewer.expires_at < now:
                    viewer.begin_bye("rotate", self.retry_ms())
                    lane.advance(now)
                elif stale or viewer.is_heartbeat_due(now):
                    lane.advance(now)
                lane.abort_if_stuck(stuck_before)
        self.metrics.publish(self._count, live, len(self._channels))

    def begin_drain(self) -> None:
        """Take no new viewer. Does not wait."""
        self.is_draining = True

    async def drain(self, window_s: float) -> None:
        """Say bye to all at a constant rate over the window, then return when none is left, or soon after."""
        self.begin_drain()
        lanes = [(channel, lane) for channel in self._channels.values() for lane in channel.lanes]
        random.shuffle(lanes)
        size = max(1, -(-len(lanes) // _DRAIN_STEPS))
        for start in range(0, len(lanes), size):
            for _, lane in lanes[start : start + size]:
                lane.viewer.begin_bye("drain", self.retry_ms())
                lane.advance(self.now())
            if len(lanes) > _DRAIN_STEPS:
                await asyncio.sleep(window_s / _DRAIN_STEPS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), 1.0)

    async def drained(self, timeout_s: float) -> None:
        """Returns when no viewer is left. Raises TimeoutError after `timeout_s`."""
        await asyncio.wait_for(self._empty.wait(), timeout_s)

    def _missed(self, channel: Channel, viewer: Viewer, reason: str) -> Say:
        """The gap from the viewer's position to where its channel can go on."""
        self.metrics.gap(reason)
        return viewer.missed(channel.resumable_after(), reason, channel)

    async def _flight(self, video_id: str, after: int) -> Stretch:
        """One read for all viewers of a video who need the same."""
        key = video_id, after
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(self.history.forward(video_id, after, BLOCK_ENTRIES_MAX))
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    def _on_entries(self, followed: FollowedPartition, entries: Sequence[Entry]) -> None:
        touched: dict[str, Channel] = {}
        for entry in entries:
            channel = self._channels.get(entry.video_id)
            if channel is not None:
                channel.add(entry)
                touched[entry.video_id] = channel
        for channel in touched.values():
            if channel.flush_timer is None:
                wait_s = max(0.0, channel.flushed_at + self._window_s - self.now())
                channel.flush_timer = asyncio.get_running_loop().call_later(wait_s, self._flush, channel)

    def _flush(self, channel: Channel) -> None:
        channel.flush_timer = None
        channel.flushed_at = now = self.now()
        blocks = channel.flush()
        lanes = list(channel.lanes)
        begin = random.randrange(len(lanes)) if len(lanes) > 1 else 0  # noqa: S311 - fairness, not secrecy
        if len(lanes) <= _PASS_SLICE:
            self._pass_slice(itertools.chain(lanes[begin:], lanes[:begin]), blocks, now)
            self._passed(now, channel)
        else:
            task = asyncio.get_running_loop().create_task(self._pass(lanes[begin:] + lanes[:begin], blocks, channel))
            self._passes.add(task)
            task.add_done_callback(self._passes.discard)

    async def _pass(self, lanes: list[Lane], blocks: list[Block], channel: Channel) -> None:
        began_at = self.now()
        for start in range(0, len(lanes), _PASS_SLICE):
            self._pass_slice(lanes[start : start + _PASS_SLICE], blocks, self.now())
            await asyncio.sleep(0)
        self._passed(began_at, channel)

    def _pass_slice(self, lanes: Iterable[Lane], blocks: list[Block], now: float) -> None:
        if len(blocks) == 1:
            (block,) = blocks
            for lane in lanes:
                lane.take(block, now)
        else:
            for lane in lanes:
                lane.advance(now)

    def _passed(self, began_at: float, channel: Channel) -> None:
        pass_s = self.now() - began_at
        self.metrics.passed(pass_s, channel.newest_append_ms)
        wanted_s = min(max(pass_s * _PASS_SHARE, self.settings.window_min_s), self.settings.window_max_s)
        self._window_s += (wanted_s - self._window_s) / 8
