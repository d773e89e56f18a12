"""One edge: the real follower, history, hub and lanes, on a log, a store and transports that are not."""

import asyncio
import random
import sys
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from livecomments.following.growing import GrowingFollower, Past
from livecomments.following.partition import NO_COUNTS
from livecomments.following.share import Load, Share
from livecomments.following.tail import Tail, TailBounds
from livecomments.history.reading import History
from livecomments.log.revocations import Listener, Revocations
from livecomments.web.heads import parse_head
from livecomments_consumers.app import stream_claim, stream_route
from livecomments_consumers.block import Block
from livecomments_consumers.channel import Channel, Sizes
from livecomments_consumers.cohort import Cohort
from livecomments_consumers.cohorts import Cohorts
from livecomments_consumers.facts import Facts
from livecomments_consumers.hub import Hub
from livecomments_consumers.lane import Lane, Member
from livecomments_consumers.sessions import SessionEndedRejected, Sessions
from livecomments_consumers.settings import HubSettings
from livecomments_consumers.viewer import Feed, Viewer
from tests.consumers.sim.log import LogView, SimLog
from tests.consumers.sim.loop import clock, pass_time
from tests.consumers.sim.sockets import HIGH_BYTES, AsgiConnection, SimKernel, SimTransport
from tests.consumers.sim.store import SimStore
from tests.consumers.sim.truth import EPOCH, NEXT_COUNT, NEXT_EPOCH, PARTITION, WINDOW_RECORDS

SIZES: Final = Sizes(block_entries=4, block_bytes=900, flushed_kept=3, behind_kept=3, cohort_viewers=2, boundary=8)
HEARTBEAT_S: Final = 2.0
STUCK_S: Final = 4.0
_BUFFERED_MAX: Final = HIGH_BYTES + SIZES.block_bytes + 600
"""A block may come while there is less than the limit; its last comment may not fit, and its frames are estimated."""
REVOKED_S: Final = 5.0
_KNOWN_AFTER_S: Final = 2.0
"""For reads under way to end: what was judged so long ago, nobody may be ignorant of."""


class CountingCohorts(Cohorts):
    """Cohorts that say who stands in them."""

    def stand(self, member: Member, feed: Feed) -> None:
        super().stand(member, feed)
        cohort = member.viewer.place
        assert isinstance(cohort, Cohort)
        assert isinstance(feed, CountingChannel)
        feed.seen["stood with others" if len(cohort.members) > 1 else "stood alone"] += 1


class CountingChannel(Channel):
    """A channel that says which of its ways were taken."""

    make_cohorts = CountingCohorts
    seen: Counter[str]

    def block_after(self, position: int) -> Block | None:
        block = super().block_after(position)
        self.seen["behind: history" if block is None else "behind: shared" if block.is_shared else "behind: own"] += 1
        return block

    def flush(self) -> list[Block]:
        resets, restarts = self.resets, self.is_restarted
        blocks = super().flush()
        self.seen["partition read anew"] += restarts
        self.seen["log went back"] += self.resets > resets
        self.seen["many blocks at once"] += len(blocks) > 1
        return blocks


class StrictHub(Hub):
    """A hub in which no stream fails."""

    failures: list[str]

    def failed(self, lane: Lane) -> None:
        error = sys.exception()
        self.failures.append(f"{type(error).__name__}: {error}")
        super().failed(lane)


@dataclass
class Parts:
    """What a planted bug replaces."""

    viewer: type[Viewer] = Viewer
    channel: type[CountingChannel] = CountingChannel
    history: type[History] = History
    tail: type[Tail] = Tail
    facts: type[Facts] = Facts
    follower: type[GrowingFollower] = GrowingFollower
    sessions: type[Sessions] = Sessions
    sizes: Sizes = field(default=SIZES)


class SimRevocations:
    """Which tokens were revoked, and when; every edge is told at once."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.revoked: dict[bytes, float] = {}

    def is_revoked(self, digest: bytes) -> bool:
        return digest in self.revoked

    def revoke(self, digest: bytes) -> None:
        self.revoked[digest] = clock()
        for listener in list(self.listeners):
            listener(digest)


class SimShare(Share):
    """What `auto` follows by, with so little room that it lets go at any moment."""

    def __init__(self, rng: random.Random, seen: Counter[str]) -> None:
        self.bytes_max = rng.choice((2_000, 20_000, 1 << 30))
        super().__init__(self.bytes_max, rng.choice((0.001, 10.0, 1e9)), unused_s=rng.choice((0.2, 2.0)))
        self._met = seen

    def has_room(self, loads: Iterable[Load]) -> bool:
        has_room = super().has_room(loads)
        self._met["auto: taken on unasked"] += has_room
        return has_room

    def beyond(self, loads: Mapping[int, Load], held: Collection[int], now: float) -> list[int]:
        going = super().beyond(loads, held, now)
        self._met["auto: let go"] += len(going)
        return going


class SimEdge:
    """An edge that can be killed and started again."""

    def __init__(
        self,
        log: SimLog,
        store: SimStore,
        parts: Parts,
        rng: random.Random,
        seen: Counter[str],
        *,
        is_calm: bool,
        revocations: SimRevocations,
    ) -> None:
        self.view = LogView(log)
        self.next_view = LogView(log, NEXT_COUNT, NEXT_EPOCH, like=self.view)
        self._log = log
        self.failures: list[str] = []
        """Exceptions in the service of a stream."""
        self._is_calm = is_calm
        self._store = store
        self._revocations = revocations
        self._parts = parts
        self._rng = rng
        self._seen = seen
        self._transports: list[SimTransport] = []
        self._responses: list[asyncio.Task[None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._overtaken: asyncio.Task[None] | None = None
        self._samples: deque[tuple[float, int]] = deque()
        self._kernel = SimKernel()
        self.start()

    def start(self) -> None:
        """A new process."""
        rng = self._rng
        bounds = TailBounds(rng.choice((3, 8, 40)), 1 << 30, rng.choice((1.5, 5.0, 1e9)))
        share = SimShare(rng, self._seen) if rng.random() < 0.4 else None
        self._follows_all = share is None and rng.random() < 0.7
        fence = self._log.fence if self._log.epoch == NEXT_EPOCH else None
        view = self.view if fence is None else self.next_view
        self.follower = self._parts.follower(
            view,
            range(view.partition_count) if self._follows_all else (),
            bounds,
            counts=NO_COUNTS if fence is None else {EPOCH: 1},
            past=None if fence is None else Past(self.view, [fence]),
            idle_s=3.0,
            share=share,
            tails_bytes_max=share.bytes_max if share is not None else 1 << 40,
            window_records=WINDOW_RECORDS,
            tail=self._parts.tail,
            clock=clock,
        )
        history = self._parts.history(
            self.follower,
            self._store,
            middle_records_max=1_000 if self._is_calm else rng.choice((15, 1_000)),
            window_records=WINDOW_RECORDS,
            is_told=self._is_told,
            clock=clock,
        )
        settings = HubSettings(
            heartbeat_interval_s=HEARTBEAT_S,
            stale_after_s=1.5,
            viewer_stuck_s=STUCK_S,
            viewer_life_s=rng.choice((6.0, 1_000.0)),
            viewers_max=rng.choice((3, 20)),
        )
        channel = type("_Channel", (self._parts.channel,), {"seen": self._seen})
        self.hub = StrictHub(
            self.follower,
            history,
            settings,
            make_viewer=self._parts.viewer,
            make_channel=channel,
            sizes=self._parts.sizes,
            pass_slice=rng.choice((1, 2, 500)),
            write_to=self._kernel.write,
            clock=clock,
            cpu_s=lambda: 0.0,
            rng=rng,
        )
        self.hub.facts = self._parts.facts(self.follower, history, self.hub._learnt)
        self.hub.sessions = self._parts.sessions(cast(Revocations, self._revocations), self.hub._end_session)
        self.hub.failures = self.failures
        self._claim = stream_claim(self.hub)
        self._route = stream_route(self.hub)
        self._samples.clear()
        self._tasks = [asyncio.create_task(work) for work in (self.follower.run(), self.hub.run(), self._sample())]

    async def _is_told(self, epoch: int) -> bool:
        return epoch <= self._log.epoch

    def look_ahead(self) -> None:
        """Hear what the next epoch will be, before this one ends."""
        self._tasks.append(asyncio.create_task(self.follower.look_ahead(self.next_view)))

    def hear(self, after_s: float) -> None:
        """The next epoch is open, of which this process hears so much later; one that starts now knows."""

        async def go_on(follower: GrowingFollower) -> None:
            await pass_time(after_s)
            await follower.move_on(self.next_view, [self._log.fence or 0], self._all_next())
            self._seen["over the seam: edge"] += 1

        self._tasks.append(asyncio.create_task(go_on(self.follower)))

    def _all_next(self) -> Collection[int]:
        return range(NEXT_COUNT) if self._follows_all else ()

    def note_loss(self) -> None:
        """The log is about to lose its end. A reading back that is under way may have read what goes."""
        self._overtaken = self.follower._being_read.get(PARTITION)
        self._samples.clear()

    def room(self, end: int) -> int | None:
        """How many records a log that ends at `end` may grow by until this edge can have seen that it lost its end.

        None: it has seen it, or had read nothing of what was lost. Were the log to grow past what was read of it
        before it refuses to give what follows, nobody could ever tell.
        """
        if self._log.fence is not None:  # nothing is lost of a log that grows
            return None
        if self._overtaken is not None and not self._overtaken.done():
            return 0
        if self.view.is_refused:
            return None
        followed = self.follower.followed.get(PARTITION)
        read_to = max(followed.next_offset if followed is not None else 0, self.view.read_to)
        return read_to - end - 1 if read_to > end else None

    async def kill(self) -> None:
        """The process dies, and its connections with it."""
        for transport in list(self._transports):
            transport.cut()
        self._transports.clear()
        tasks = [*self._tasks, *self._responses]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def connect(self, head: bytes, *, through_door: bool) -> SimTransport:
        """A connection that has sent this request."""
        kernel = self._kernel if through_door and self._rng.random() < 0.9 else None
        transport = SimTransport(self._seen, _BUFFERED_MAX, self._known, kernel)
        self._transports = [other for other in self._transports if not other.is_ended] + [transport]
        protocol = self._claim(parse_head(head), "198.51.100.7") if through_door else None
        self._seen["lane: transport" if protocol is not None else "lane: asgi"] += 1
        if protocol is not None:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return transport
        connection = AsgiConnection(transport)
        transport.set_protocol(connection)
        task = asyncio.create_task(self._respond(head, connection))
        self._responses = [other for other in self._responses if not other.done()] + [task]
        return transport

    def check_sessions(self) -> None:
        """No stream outlives its session by much, whether it takes bytes or not."""
        before = clock() - REVOKED_S
        for digest in self.hub.sessions._lanes:
            assert self._revocations.revoked.get(digest, before) >= before, "a stream outlives its session"

    def check_let_go(self) -> None:
        """Nothing is held for viewers that have left."""
        assert not self.hub._count, "viewers are counted that have left"
        assert not self.hub.sessions._lanes, "sessions are kept that have no stream"
        assert not self.hub._channels, "channels are kept that nobody sees"
        assert not self.follower._holders, "a partition is held for nobody"

    async def _respond(self, head: bytes, connection: AsgiConnection) -> None:
        line, *lines = head.split(b"\r\n")[:-2]
        path, _, query = line.split(b" ")[1].partition(b"?")
        headers = [(name.lower(), value) for name, _, value in (text.partition(b": ") for text in lines)]
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": path.decode(),
            "query_string": query,
            "headers": headers,
        }
        _, found = self._route.matches(scope)
        try:
            await self._route.handle({**scope, **found}, connection.receive, connection.send)
        except SessionEndedRejected:
            headers = [(b"content-length", b"0")]
            await connection.send({"type": "http.response.start", "status": 401, "headers": headers})
            await connection.send({"type": "http.response.body"})
        finally:
            connection.close()  # an answer that was not finished ends its connection

    async def _sample(self) -> None:
        """Note how far the log was judged, and when. Who has not seen that it lost its end knows nothing of it."""
        while True:
            log = self.follower.log
            followed = [self.follower.followed.get(number) for number in range(log.partition_count)]
            is_known = not self.view.is_refused and self.room(self._log.end) is None
            judged = [one.judged_through if one is not None and is_known else 0 for one in followed]
            self._samples.append((clock(), min(judged)))
            await pass_time(0.5)

    def _known(self) -> int:
        """How far the log was judged well before now. Forgotten when the log itself has forgotten."""
        before = clock() - _KNOWN_AFTER_S
        while len(self._samples) > 1 and self._samples[1][0] <= before:
            self._samples.popleft()
        return self._samples[0][1] if self._samples and self._samples[0][0] <= before else 0
