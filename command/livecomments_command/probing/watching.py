"""One viewer of a video at one edge: what it has heard, and when. It comes back when its stream ends, as a browser."""

import asyncio
import time
from typing import Final, NoReturn

import orjson

from livecomments.web.routed import ANY_ROUTE, ROUTE_HEADER
from livecomments_command.probing.edges import Edge
from livecomments_loadtest.client import connect
from livecomments_loadtest.sse import parse_block
from livecomments_loadtest.wire import StreamWire

_BACK_S: Final = 0.2
"""Before it comes back, and between attempts: a browser waits longer, but a turn has an end."""


class Watch:
    """Watches the stream at `target` of an edge, from the moment that `run` is awaited until it is cancelled."""

    def __init__(self, edge: Edge, target: str) -> None:
        self.edge = edge
        self.trouble = "nothing was answered"
        """Why nothing has come, as far as anything is known."""
        self.twice = ""
        """The id of a comment that came a second time; empty if none did."""
        self._target = target
        self._last_id = b""
        self._heard: dict[tuple[bytes, str], float] = {}
        self.has_begun = False
        """Whether the edge has sent a first event."""
        self._news = asyncio.Event()

    async def run(self) -> NoReturn:
        """Watch, and come back whenever the stream ends."""
        while True:
            wire: StreamWire | None = None
            try:
                wire = await connect(self.edge.origin, self._wire)
                self.trouble = f"the stream was ended: {await wire.ended}"
            except OSError as error:
                self.trouble = str(error) or type(error).__name__
            finally:
                if wire is not None:
                    wire.end("left")
            await asyncio.sleep(_BACK_S)

    async def begun(self) -> None:
        """Wait until the edge has sent a first event."""
        while not self.has_begun:
            await self._more()

    async def heard(self, kind: bytes, comment_id: str) -> float:
        """Wait for this event of this comment; return when it came, as `time.perf_counter` counts."""
        while (kind, comment_id) not in self._heard:
            await self._more()
        return self._heard[kind, comment_id]

    def has_heard(self, kind: bytes, comment_id: str) -> bool:
        """Tell whether this event of this comment has come."""
        return (kind, comment_id) in self._heard

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _wire(self) -> StreamWire:
        headers = {"accept": "text/event-stream", "cache-control": "no-cache", ROUTE_HEADER: ANY_ROUTE}
        if self._last_id:
            headers["last-event-id"] = self._last_id.decode("ascii", "replace")
        return StreamWire(self.edge.origin.head("GET", self._target, headers), self._take)

    def _take(self, blocks: list[bytes]) -> None:
        now = time.perf_counter()
        for event in map(parse_block, blocks):
            if event.data is None:
                continue
            self.has_begun, self.trouble = True, "the event did not come"
            self._last_id = self._last_id if event.id is None else event.id
            if event.kind == b"gap":
                self.trouble = "a gap was told"
            if event.kind in (b"comment", b"delete"):
                self._note(event.kind, _comment_of(event.data), now)
        self._news.set()

    def _note(self, kind: bytes, comment_id: str, now: float) -> None:
        if kind == b"comment" and (kind, comment_id) in self._heard:
            self.twice = comment_id
        self._heard.setdefault((kind, comment_id), now)


def _comment_of(data: bytes) -> str:
    try:
        return str(orjson.loads(data)["commentId"])
    except (ValueError, KeyError, TypeError):
        return ""
