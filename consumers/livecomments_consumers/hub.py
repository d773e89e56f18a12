"""The hub: channels, the tick of heartbeats, admission, rotation and drain."""

import asyncio
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from livecomments.following.follower import Follower
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import History
from livecomments.history.state import STATE_TYPES
from livecomments.log.revocations import Revocations
from livecomments_consumers.addresses import Addresses
from livecomments_consumers.backfill import Backfill
from livecomments_consumers.channel import SIZES, Channel, Sizes, Watch
from livecomments_consumers.cohort import WriteTo
from livecomments_consumers.facts import Facts
from livecomments_consumers.lane import Lane
from livecomments_consumers.metrics import EdgeMetrics
from livecomments_consumers.passes import Passes
from livecomments_consumers.sessions import Sessions
from livecomments_consumers.settings import HubSettings
from livecomments_consumers.spare import Spare
from livecomments_consumers.turns import Turns
from livecomments_consumers.viewer import State, Viewer
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import Home

_TICK_S: Final = 0.5
"""How exactly heartbeats, staleness, rotation and stuck viewers are told."""
_PASS_SLICE: Final = 500
"""Viewers written to before the loop is given away: some 5 ms."""
_DRAIN_STEPS: Final = 50
"""So many viewers, or fewer, go at once."""
_BYE_TIMEOUT_S: Final = 1.0
"""For the last byes to leave; who has not taken one by then is cut off, and comes back all the same."""

_log = logging.getLogger("livecomments.edge")


class Hub:
    """The fan-out of one process."""

    def __init__(
        self,
        follower: Follower,
        history: History,
        settings: HubSettings,
        *,
        revocations: Revocations | None = None,
        make_viewer: Callable[[int, float, float], Viewer] = Viewer,
        make_channel: type[Channel] = Channel,
        sizes: Sizes = SIZES,
        pass_slice: int = _PASS_SLICE,
        write_to: WriteTo = os.write,
        clock: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
        rng: random.Random | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.follower = follower
        self._watch = watch
        self.history = history
        self.settings = settings
        self.metrics = EdgeMetrics(settings.viewers_max)
        self.backfill = Backfill(history, self.metrics, sizes)
        self.facts = Facts(follower, history, self._learnt)
        self.addresses = Addresses(settings.viewers_per_address_max)
        self.sessions = Sessions(revocations, self._end_session)
        self.turns = Turns(clock)
        self.write_to = write_to
        self.is_draining = False
        self.now = clock
        self._make_viewer = make_viewer
        self._make_channel = make_channel
        self._sizes = sizes
        self._pass_slice = pass_slice
        self._rng = rng or random.Random()  # noqa: S311 - jitter and fairness need no secrecy
        self.passes = Passes(
            metrics=self.metrics,
            linger_min_s=settings.linger_min_s,
            linger_max_s=settings.linger_max_s,
            slice_lanes=pass_slice,
            write_to=write_to,
            failed=self.failed,
            now=clock,
            cpu_s=cpu_s,
            spare=Spare(clock(), cpu_s()),
            rng=self._rng,
        )
        self._channels: dict[str, Channel] = {}
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()
        follower.listeners.append(self._on_entries)
        follower.moved.append(self._move_on)

    def home(self, video_id: str) -> tuple[Home, FollowedPartition | None]:
        """See `Desk`."""
        log = self.follower.log
        partition = partition_of(video_id, log.partition_count)
        return Home(log.epoch, partition, log.partition_count), self.follower.find(partition)

    def refusal(self, address: str) -> str | None:
        """See `Desk`."""
        if self.is_draining:
            return "draining"
        if self._count >= self.settings.viewers_max:
            return "full"
        return "address_full" if self.addresses.is_full(address) else None

    def is_revoked(self, session: bytes) -> bool:
        """See `Desk`."""
        return self.sessions.is_revoked(session)

    def is_over(self, followed: FollowedPartition, video_id: str, after: int | None) -> bool:
        """See `Desk`."""
        return self.facts.is_over(followed, video_id, after)

    def retry_ms(self) -> int:
        """Return a random 1,000 to 4,000 ms to come back after: a crowd that left together must not return together."""
        return self._rng.randint(1_000, 4_000)

    def channel(self, video_id: str, followed: FollowedPartition) -> Channel:
        """Return the video's channel, or a new one, which `attach` makes the hub's: call it in the same step."""
        return self._channels.get(video_id) or self._make_channel(
            video_id,
            self.home(video_id)[1] or followed,  # the log may have gone on in its next epoch since it was admitted
            self.follower,
            stale_after_s=self.settings.stale_after_s,
            heartbeat_interval_s=self.settings.heartbeat_interval_s,
            linger_s=self.settings.linger_min_s,
            retry_ms=self.retry_ms,
            sizes=self._sizes,
            watch=self._watch,
        )

    def make_viewer(self, channel: Channel) -> Viewer:
        """Make a viewer at the channel's head. Its life is bounded and jittered, so that a deploy is ordinary churn."""
        now = self.now()
        viewer = self._make_viewer(channel.head, now, self.settings.heartbeat_interval_s)
        viewer.expires_at = now + self.settings.viewer_life_s * self._rng.uniform(0.75, 1.25)
        viewer.came_at_ms = time.time_ns() // 1_000_000
        viewer.resets = channel.resets
        return viewer

    def attach(self, channel: Channel, lane: Lane) -> None:
        """Tell a lane of the channel's blocks from now on."""
        if not channel.lanes:
            known = self._channels.setdefault(channel.video_id, channel)
            assert known is channel, "somebody else made the channel meanwhile"
            self.follower.hold(channel.partition)
            self.facts.tell(channel)
        channel.enter(lane)
        self.sessions.add(lane)
        self.addresses.enter(lane.address)
        self.metrics.opened(lane.kind)
        self._count += 1
        self._empty.clear()

    def detach(self, channel: Channel, lane: Lane, reason: str) -> None:
        """Forget a lane; `reason` is why its stream ended, a fixed word. May be called twice."""
        if lane not in channel.lanes:
            return
        channel.leave(lane)
        self.sessions.remove(lane)
        self.addresses.leave(lane.address)
        self.metrics.disconnected(reason)
        self._count -= 1
        if not self._count:
            self._empty.set()
        if not channel.lanes:
            if channel.flush_timer is not None:
                channel.flush_timer.cancel()
            del self._channels[channel.video_id]
            self.follower.release(channel.partition)

    def failed(self, lane: Lane) -> None:
        """End a stream in whose service an exception was raised: our bug, but one viewer's. It comes back."""
        _log.exception("a stream failed")
        lane.abort("error")

    async def run(self) -> None:
        """Tick, and read what is to be known of videos, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.facts.run())
            while True:
                await asyncio.sleep(_TICK_S)
                await self.tick()

    async def tick(self) -> None:
        """See to heartbeats, staleness, rotation and stuck viewers, and move the positions of idle videos on."""
        self.passes.look()
        counts: Counter[tuple[State, str]] = Counter()
        seen, linger_s = 0, 0.0
        for channel in list(self._channels.values()):
            channel.look(self.now())
            if channel.is_idle:
                if channel.is_restarted:
                    self.passes.flush(channel)
                else:
                    channel.flush()  # nothing is pending: only the head moves
            self.facts.tell(channel)
            linger_s = max(linger_s, channel.linger_s)
            is_due = channel.silence_s() > 0 or channel.ended_at is not None
            if not is_due:
                for count in self.passes.keep_alive(channel, self.now() - self.settings.heartbeat_interval_s):
                    seen = await self._breathe(seen + count)
            for lane in self._to_look_after(channel, is_due, counts):
                seen = await self._breathe(seen + 1)
                counts[lane.viewer.state(channel), lane.kind] += 1
                self._look_after(channel, lane, is_due)
        self.metrics.publish(counts, len(self._channels), linger_s)

    async def _breathe(self, seen: int) -> int:
        """Give the loop away once that many were written to or looked at; returns how many there were since."""
        if seen < self._pass_slice:
            return seen
        await asyncio.sleep(0)
        return 0

    def _to_look_after(self, channel: Channel, is_due: bool, counts: Counter[tuple[State, str]]) -> list[Lane]:
        """Return those about whom there may be something to do; the others are counted."""
        if is_due:
            return list(channel.lanes)
        lanes, now = list(channel.cohorts.loose), self.now()
        for cohort in channel.cohorts:
            expired = cohort.expired(now)
            lanes += expired
            counts[State.LIVE, "transport"] += len(cohort.members) - len(expired)
        return lanes

    def begin_drain(self) -> None:
        """Take no new viewer. Does not wait."""
        self.is_draining = True

    async def drain(self, within_s: float) -> None:
        """Say bye to all at a constant rate over `within_s`; returns soon after, when none is left."""
        self.begin_drain()
        lanes = [lane for channel in self._channels.values() for lane in channel.lanes]
        _log.info("draining", extra={"viewers": len(lanes), "within_s": within_s})
        self._rng.shuffle(lanes)
        for step in range(_DRAIN_STEPS):
            for lane in lanes[step::_DRAIN_STEPS]:
                lane.viewer.begin_bye("drain", self.retry_ms())
                self.passes.advance(lane)
            if len(lanes) > _DRAIN_STEPS:
                await asyncio.sleep(within_s / _DRAIN_STEPS)
        with suppress(TimeoutError):
            await self.drained(_BYE_TIMEOUT_S)
        for channel in list(self._channels.values()):
            for lane in list(channel.lanes):
                lane.abort("drain")

    async def drained(self, timeout_s: float) -> None:
        """Wait until no viewer is left. Raises TimeoutError after `timeout_s`."""
        await asyncio.wait_for(self._empty.wait(), timeout_s)

    def _on_entries(self, followed: FollowedPartition, entries: Sequence[Entry]) -> None:
        touched: dict[str, Channel] = {}
        for entry in entries:
            if entry.kind in STATE_TYPES:
                self.facts.hear(followed, entry)
            channel = self._channels.get(entry.video_id)
            if channel is not None:
                channel.add(entry)
                touched[entry.video_id] = channel
        for channel in touched.values():
            self.facts.tell(channel)
            self.passes.schedule(channel)

    def _move_on(self, before: Mapping[int, FollowedPartition]) -> None:
        """Go on where the log does, in its next epoch. No stream ends, and none has to ask for anything."""
        self.facts.move_on(before)
        for channel in self._channels.values():
            home, followed = self.home(channel.video_id)
            channel.move_on(before, home.partition, followed)
            self.follower.hold(home.partition)

    def _learnt(self, video_id: str) -> None:
        """Tell the viewers of a video at once what was read of it."""
        channel = self._channels.get(video_id)
        if channel is not None:
            version = channel.version
            self.facts.tell(channel)
            if channel.version != version:
                self.passes.schedule(channel)

    def _end_session(self, lane: Lane) -> None:
        lane.viewer.begin_bye("revoked", self.retry_ms())
        self.passes.advance(lane)
        asyncio.get_running_loop().call_later(_BYE_TIMEOUT_S, lane.abort, "revoked")  # it may take no bytes

    def _look_after(self, channel: Channel, lane: Lane, is_due: bool) -> None:
        viewer, now = lane.viewer, self.now()
        if viewer.expires_at < now:
            viewer.begin_bye("rotate", self.retry_ms())
            self.passes.advance(lane)
        elif is_due or viewer.is_heartbeat_due(now) or viewer.is_video_due(channel):
            self.passes.advance(lane)
        lane.abort_if_stuck(now - self.settings.viewer_stuck_s)
