"""One seeded run: two edges, one log, one store, some clients, and a schedule of everything that may happen to them.

In some of those in which the log loses nothing it grows: it ends by a fence, and goes on in an epoch of two partitions.

When the schedule is over all faults are healed; then every client must come to have seen all there is.
"""

import asyncio
import random
from collections import Counter
from typing import Final

from livecomments.log.session_names import session_name
from livecomments_schemas.events import (
    COMMENT_CREATED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    Author,
    NewRecord,
    comment_created,
    comment_deleted,
    video_changed,
    video_event,
)
from tests.consumers.sim.actions import choose
from tests.consumers.sim.checker import Shown, Wrong
from tests.consumers.sim.client import SimClient
from tests.consumers.sim.edge import HEARTBEAT_S, Parts, SimEdge, SimRevocations
from tests.consumers.sim.log import SimLog
from tests.consumers.sim.loop import clock, pass_time
from tests.consumers.sim.sockets import SimTransport
from tests.consumers.sim.store import SimStore
from tests.consumers.sim.truth import EPOCH, NEXT_COUNT, NEXT_EPOCH, id_of

VIDEOS: Final = ("busy", "quiet", "third")
_STEPS: Final = 40
_SETTLE_S: Final = 30.0
_NOTICED_S: Final = 10.0
"""With nothing wrong, until every edge has seen that the log lost its end: a poll, a pause, a reading back."""
_LOSES_END: Final = 0.75
"""Of the seeds in which something goes wrong: so many may lose the log's end, and about half of all do."""
_GROWS: Final = 0.7
"""Of the seeds in which the log keeps its end."""
_HEARS_S: Final = (0.0, 0.02, 0.3, 0.3, 6.0)
"""Until an edge hears that the next epoch is open; the last only where something goes wrong."""
_AUTHOR: Final = Author("ana", "Ana")
_SPELLINGS: Final = ("Last-Event-ID", "Last-Event-ID", "lastEventId", "after")
"""Of where a client resumes: a header, or a parameter."""
_QUICK_S: Final = 1.0
"""With nothing wrong, from an append to a viewer who reads: lags, windows, reads and the client's own pace."""


class World:
    """Everything of one seed. `is_calm`: nothing goes wrong but viewers who come, go and dawdle."""

    def __init__(self, seed: int, parts: Parts, seen: Counter[str]) -> None:
        self.seed = seed
        self.seen = seen
        self.trace: list[tuple[float, str]] = []
        self.rng = random.Random(seed)
        self.is_calm = self.rng.random() < 0.2
        self.loses_end = not self.is_calm and self.rng.random() < _LOSES_END
        self.losses = 0
        """How often the log has lost its end."""
        self.log = SimLog(self.rng, seen)
        self.store = SimStore(self.log, self.rng, seen)
        self.revocations = SimRevocations()
        self.edges = [
            SimEdge(self.log, self.store, parts, self.rng, seen, is_calm=self.is_calm, revocations=self.revocations)
            for _ in range(2)
        ]
        self.clients: list[SimClient] = []
        self._all: list[SimClient] = []
        self._running: dict[SimClient, asyncio.Task[None]] = {}
        self._left: list[asyncio.Task[None]] = []
        self.persist_stalled_until = 0.0
        self.comments: list[tuple[str, int]] = []
        """Their videos and positions."""
        self._growing: asyncio.Task[None] | None = None
        self._dice = random.Random(seed)  # of its own: a seed that does not grow goes as if there were no epochs
        is_growing = not self.loses_end and self._dice.random() < _GROWS
        self._grows_at = self._dice.randrange(2, _STEPS) if is_growing else _STEPS
        self._names = 0

    @property
    def now(self) -> float:
        return clock()

    async def run(self) -> None:
        """The schedule, and what must hold after it. Raises AssertionError."""
        persisting = asyncio.create_task(self._persist())
        self.append(self.rng.randint(0, 12))
        for _ in range(2):
            self.join()
        for step in range(_STEPS):
            if step == self._grows_at:
                self._growing = asyncio.create_task(self._grow())
            await pass_time(self.rng.choice((0.0, 0.01, 0.05, 0.2, 0.8)))
            act = choose(self)
            self._note(act.__name__)
            await act(self)
            self._raise_what_went_wrong()
            for client in [client for client in self.clients if client.shown.is_over]:
                self.leave(client)
        self.seen["seeds that lost the end"] += self.losses > 0
        self.seen["seeds that grew"] += self._growing is not None
        await self._heal()
        await self._settle()
        persisting.cancel()
        for client in list(self.clients):
            self.leave(client)
        await pass_time(0.1)
        for edge in self.edges:
            edge.check_let_go()
            await edge.kill()
        self._raise_what_went_wrong()

    @property
    def newest(self) -> int:
        """The position of the newest record; of a log that is empty, the one before all."""
        return self.log.newest

    @property
    def is_held(self) -> bool:
        """Whether the epoch has ended and the next is not open: writes wait."""
        return self.log.fence is not None and self.log.epoch != NEXT_EPOCH

    def append(self, count: int) -> None:
        """Append records of every kind, as many as there is room for."""
        if self.is_held:
            self.log.append(self._record())  # by who has not seen the fence yet: it is void
            self.seen["behind the fence"] += 1
            return
        for _ in range(min([count, *self._rooms()])):
            if self.rng.random() < 0.03:
                self.log.append(None)
                continue
            new = self._record()
            position = self.log.append(new)
            if new.headers.get("type") == COMMENT_CREATED:
                self.comments.append((new.key.decode(), position))
            self.seen["appended before the loss was seen"] += bool(self._rooms())
            refused = [edge.view for edge in self.edges if edge.view.is_refused]
            self.seen["grown again past what was read"] += any(self.log.end >= view.read_to for view in refused)
        for client in self.clients:
            if not client.is_live:
                self._forgive_loss(client.shown)

    def join(self) -> None:
        """A new viewer."""
        rng = self.rng
        history = rng.choice((0, 0, 1, 5, 50))
        shown = Shown(self.log, rng.choice((VIDEOS[0], *VIDEOS)), history, self.seen)
        self._names += 1
        client = SimClient(f"client {self._names}", shown, self._connect, rng, self.seen, history=history)
        client.is_slow = rng.random() < 0.3
        shown.missed = rng.choice((None, None, 0, 2, 5))
        shown.is_revoked = lambda: self.revocations.is_revoked(session_name(client.name))
        self.clients.append(client)
        self._all.append(client)
        self._running[client] = asyncio.create_task(client.run())

    def leave(self, client: SimClient) -> None:
        """A viewer leaves for good."""
        self.clients.remove(client)
        client.leave()
        self._left.append(self._running.pop(client))

    def _connect(self, client: SimClient) -> SimTransport:
        rng, shown = self.rng, client.shown
        query = [f"history={client.history}"] if client.history else []
        query += [] if shown.missed is None else [f"missed={shown.missed}"]
        lines = ["Host: edge", "Accept: text/event-stream"]
        if shown.last_event_id is not None:
            name = rng.choice(_SPELLINGS)
            if name == "Last-Event-ID":
                lines.append(f"{name}: {shown.last_event_id}")
            else:
                query.append(f"{name}={shown.last_event_id}")
        lines.append(f"Authorization: Bearer {client.name}")
        if rng.random() < 0.5:
            lines.append("Accept-Encoding: gzip, deflate")
        self._forgive_loss(shown)
        path = f"/comments/{shown.video_id}/stream{'?' if query else ''}{'&'.join(query)}"
        head = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()
        return rng.choice(self.edges).connect(head, through_door=rng.random() < 0.7)

    def _rooms(self) -> list[int]:
        """Of each edge that is yet to see that the log has lost its end, how far it may grow till then."""
        return [room for edge in self.edges if (room := edge.room(self.log.end)) is not None]

    def _forgive_loss(self, shown: Shown) -> None:
        """There may be something at its position again: nobody can tell then that it is another."""
        if shown.position is not None and shown.position < self.log.position(self.log.end):
            shown.knows_loss = True

    def _record(self) -> NewRecord:
        rng, offset = self.rng, self.log.end
        video_id = rng.choice((VIDEOS[0], VIDEOS[0], *VIDEOS))
        kind = rng.random()
        if kind < 0.1 and self.comments:
            of, target = rng.choice(self.comments[-8:])
            return comment_deleted(of, id_of(of, target), "ana")
        if kind < 0.12 and offset:  # of anything, in any video
            return comment_deleted(video_id, id_of(video_id, self.log.position(rng.randrange(offset))), "ana")
        if kind < 0.14:
            return video_event(rng.choice((VIDEO_ENDED, VIDEO_STARTED, VIDEO_STARTED)), video_id, "ana")
        if kind < 0.15:
            settings = {"title": f"title {offset}", "whoMayComment": "everyone", "slowModeS": 0, "maxCommentsPerS": 0}
            return video_changed(video_id, settings, "ana")
        if kind < 0.17:
            return NewRecord(video_id.encode(), b"nonsense", {"type": rng.choice((b"comment.created", b"x"))})
        text = f"comment {offset} " + "x" * rng.choice((0, 0, 0, 40, 300))
        key = f"key{rng.randrange(3)}" if rng.random() < 0.15 else None
        return comment_created(video_id, text, _AUTHOR, created_at_ms=1_795_348_800_000, key=key)

    async def _grow(self) -> None:
        """What `epochs grow` does, as an edge meets it: a fence, all of it stored, the next epoch open, and told."""
        for edge in self.edges:
            if self._dice.random() < 0.5:
                edge.look_ahead()
        self._note("the epoch ends")
        self.log.end_epoch()
        end = self.log.end
        while self.store.watermark_offset < end:
            await pass_time(0.05)
        self._note("the next epoch is open")
        self.log.open_next()
        for edge in self.edges:
            edge.hear(self._dice.choice(_HEARS_S[:-1] if self.is_calm else _HEARS_S))

    async def _heal(self) -> None:
        self._note("heal")
        for edge in self.edges:
            edge.view.away_until = edge.view.silent_until = edge.view.lag_s = 0.0
        self.store.away_until = self.persist_stalled_until = 0.0
        for client in self.clients:
            client.is_stalled = client.is_slow = False
            client.wake()
        if self._growing is not None:
            await self._growing
        until = self.now + _NOTICED_S
        while self._rooms() or any(edge.view.is_refused for edge in self.edges):
            if self.now > until:
                raise Wrong("an edge has not seen that the log lost its end")
            await pass_time(0.2)
        life = self.log.life
        parts = [life.first] if self.log.epoch == EPOCH else life.following
        if any(part.end and part.records[-1] is None for part in parts):  # it may be a record still to come
            for video_id in VIDEOS:
                self.log.append(NewRecord(video_id.encode(), b"nonsense", {"type": b"x"}))

    async def _settle(self) -> None:
        """Everybody must come to see everything, and be told so by an id."""
        until = self.now + _SETTLE_S
        newest = self.newest
        while waiting := [client for client in self.clients if self._is_waiting(client, newest)]:
            self._raise_what_went_wrong()
            if self.now > until:
                name, shown = waiting[0].name, waiting[0].shown
                if not shown.knows_loss:
                    raise Wrong(f"{name} was not told that the log had lost what it had seen")
                if shown.video != (so := self.log.life.video(shown.video_id)):
                    raise Wrong(f"{name} was told {shown.video!r} of its video, and now it is {so!r}")
                raise Wrong(f"{name} at {shown.last_event_id} has not seen {shown.missing(newest)}")
            await pass_time(0.2)

    def _is_waiting(self, client: SimClient, newest: int) -> bool:
        shown = client.shown
        if shown.is_over or shown.is_revoked() or self.log.life.is_over(shown.video_id, newest, newest):
            return not shown.is_over
        is_told = shown.video == self.log.life.video(shown.video_id)
        is_current = shown.position is not None and client.is_live and shown.knows_loss and is_told
        return not is_current or shown.missing(newest) is not None

    def _raise_what_went_wrong(self) -> None:
        for edge in self.edges:
            edge.check_sessions()
            if edge.failures:
                raise Wrong(edge.failures[0])
        for task in [*self._running.values(), *self._left]:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        self._left = [task for task in self._left if not task.done()]
        if self.is_calm:
            for client in self.clients:
                if client.shown.reasons - {"as_asked"}:
                    raise Wrong(f"{client.name} was told gaps with nothing wrong: {client.shown.reasons}")
                if client.latest_s > _QUICK_S:
                    raise Wrong(f"{client.name} was shown a comment after {client.latest_s:.3f} s")
                if client.silence_s > HEARTBEAT_S + _QUICK_S:
                    raise Wrong(f"{client.name} heard nothing for {client.silence_s:.3f} s")

    async def _persist(self) -> None:
        """What the stream job does: store, and now and then say how far."""
        while True:
            await pass_time(self.rng.choice((0.1, 0.5, 1.0)))
            if self.now < self.persist_stalled_until:
                continue
            for number in range(NEXT_COUNT):
                part, stored = self.log.life.following[number], self.store.next_stored
                stored[number] = self.rng.randint(stored[number], part.end)
                if self.rng.random() < 0.7:
                    self.store.next_watermarks[number] = stored[number]
            self.store.stored = self.rng.randint(self.store.stored, self.log.end)
            if self.rng.random() < 0.7:
                self.store.watermark_offset = self.store.stored

    def all_traces(self) -> list[str]:
        """Everything that happened, in the order of time."""
        lines = [*self.trace, *(line for client in self._all for line in client.trace())]
        return [f"{at:9.3f} {what}" for at, what in sorted(lines, key=lambda line: line[0])]

    def _note(self, text: str) -> None:
        self.trace.append((self.now, text))
