"""An edge in virtual time: the real follower, hub and lanes on a log, a store and transports in memory."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.routing import Route

from livecomments.following.follower import Follower
from livecomments.following.tail import TailBounds
from livecomments.history.reading import History
from livecomments.store.interface import StoredSlice
from livecomments.web.heads import parse_head
from livecomments_consumers.app import stream_claim, stream_route
from livecomments_consumers.durable import durable_route
from livecomments_consumers.hub import Hub
from livecomments_consumers.settings import HubSettings
from livecomments_schemas.errors import Rejected
from livecomments_schemas.events import Author, comment_created
from tests.consumers.sim.log import LogView, SimLog
from tests.consumers.sim.loop import VirtualLoop, clock, pass_time
from tests.consumers.sim.sockets import AsgiConnection, SimKernel, SimTransport
from tests.consumers.sim.store import SimStore

IDLE_S: Final = 60.0
"""Until a partition that is not assigned is let go."""
_BUFFERED_MAX: Final = 1 << 20


def virtually(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test in which waiting takes no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


class VirtualEdge:
    """See the module."""

    def __init__(self, settings: HubSettings, assigned: Collection[int]) -> None:
        self.log = SimLog(random.Random(1), Counter())
        self.view = LogView(self.log, max(assigned, default=0) + 1)
        self.store = SimStore(self.log, random.Random(1), Counter())
        self.follower = Follower(self.view, assigned, TailBounds(1_000, 1 << 20, 1e9), idle_s=IDLE_S, clock=clock)
        history = History(self.follower, self.store, clock=clock)
        self.kernel = SimKernel()
        self.history = history
        self.hub = Hub(
            self.follower,
            history,
            settings,
            write_to=self.kernel.write,
            clock=clock,
            cpu_s=lambda: 0.0,
            rng=random.Random(1),
        )
        self._claim = stream_claim(self.hub)
        self._route = stream_route(self.hub)
        self._durable = durable_route(self.hub, clock)

    def append(self, count: int, video_id: str = "v", text: str = "hi") -> None:
        """So many comments."""
        for _ in range(count):
            self.log.append(comment_created(video_id, text, Author("a", "A"), created_at_ms=0))

    async def store_all(self) -> None:
        """Everything so far is in the store, and no longer in memory."""
        self.store.stored = self.store.watermark_offset = self.log.end
        while self.follower.followed[0].next_offset < self.log.end:
            await pass_time(0.01)
        self.follower.followed[0].tail.forget(self.log.position(self.log.end - 1))

    def connect(self, video_id: str = "v", query: str = "", *lines: str) -> "Reader | None":
        """A stream of the fast lane, or None if that leaves the request to the route."""
        head = "\r\n".join([f"GET /comments/{video_id}/stream{query} HTTP/1.1", "host: h", *lines, "", ""])
        protocol = self._claim(parse_head(head.encode()), "198.51.100.7")
        if protocol is None:
            return None
        reader = Reader(self.kernel)
        reader.transport.set_protocol(protocol)
        protocol.connection_made(reader.transport)
        return reader

    async def respond(self, video_id: str = "v", query: str = "", *lines: tuple[bytes, bytes]) -> "Reader":
        """A stream of the ASGI lane, or an answer that ends, once its head is written. Raises what is refused."""
        reader = self._ask(self._route, "GET", f"/comments/{video_id}/stream", query, *lines)
        assert reader.serving is not None
        while not reader.said:
            await pass_time(0.001)
            if reader.serving.done() and isinstance(refused := reader.serving.exception(), Rejected):
                raise refused
        return reader

    def poll(self, query: str = "", *lines: tuple[bytes, bytes], video_id: str = "v", method: str = "GET") -> "Reader":
        """A request for the durable stream, which may still wait. Its `serving` raises what is refused."""
        return self._ask(self._durable, method, f"/streams/{video_id}", query, *lines)

    def _ask(self, route: Route, method: str, path: str, query: str, *lines: tuple[bytes, bytes]) -> "Reader":
        reader = Reader()
        connection = AsgiConnection(reader.transport)
        reader.transport.set_protocol(connection)
        scope = {"type": "http", "method": method, "path": path, "query_string": query.lstrip("?").encode()}
        scope |= {"headers": [(b"host", b"h"), *lines]}
        _, found = route.matches(scope)
        reader.serving = asyncio.create_task(route.handle({**scope, **found}, connection.receive, connection.send))
        return reader


class HeldStore(SimStore):
    """A store whose first answer takes until it is let go."""

    def __init__(self, edge: VirtualEdge) -> None:
        super().__init__(edge.log, random.Random(1), Counter())
        self.stored, self.watermark_offset = edge.store.stored, edge.store.watermark_offset
        self.let_go: asyncio.Event | None = asyncio.Event()

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        found = await super().read(video_id, after, through, limit, descending=descending)
        if self.let_go is not None:
            held, self.let_go = self.let_go, None
            await held.wait()
        return found


class EndedStore(SimStore):
    """A store that ends a read by raising what no store should."""

    def __init__(self, edge: VirtualEdge, error: BaseException) -> None:
        super().__init__(edge.log, random.Random(1), Counter())
        self.stored, self.watermark_offset = edge.store.stored, edge.store.watermark_offset
        self.error = error

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        raise self.error


class Reader:
    """A client that notes when it got what, unless it is stalled."""

    def __init__(self, kernel: SimKernel | None = None) -> None:
        self.transport = SimTransport(Counter(), _BUFFERED_MAX, lambda: 0, kernel)
        self.transport.on_bytes = self._read_soon
        self.said = b""
        self.is_stalled = False
        self.ended_at: float | None = None
        self.serving: asyncio.Task[None] | None = None

    def _read_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._read)

    def _read(self) -> None:
        while not self.is_stalled and self.transport.has_bytes:
            self.said += b"".join(data for data, _ in self.transport.take(1 << 20))
        if self.transport.is_ended and self.ended_at is None:
            self.ended_at = clock()


@asynccontextmanager
async def virtual_edge(settings: HubSettings, assigned: Collection[int] = (0,)) -> AsyncIterator[VirtualEdge]:
    """An edge that runs and has read its partitions."""
    edge = VirtualEdge(settings, assigned)
    tasks = [asyncio.create_task(work) for work in (edge.follower.run(), edge.hub.run())]
    for partition in assigned:
        await edge.follower.ready_partition(partition, 10.0)
    try:
        yield edge
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
