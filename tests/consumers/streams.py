"""Reading event streams and the edge's metrics in tests."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from livecomments.runtime.metrics import REGISTRY
from livecomments_loadtest.sse import SseBlocks, SseEvent, parse_block


class Stream:
    """The events of one open response, one at a time."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self._blocks = SseBlocks()
        self._events: list[SseEvent] = []

    async def next(self, *kinds: bytes) -> SseEvent:
        """The next event of one of these kinds, or of any kind but heartbeat; `EOFError` at the end of the stream."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if event.data is not None and (event.kind in kinds if kinds else event.kind != b"heartbeat"):
                    return event
            data = await self.answer.content.readany()
            if not data:
                raise EOFError
            self._events += [parse_block(block) for block in self._blocks.feed(data)]

    async def ids(self, count: int) -> list[str]:
        """The ids of the next `count` comments."""
        return [((await self.next(b"comment")).id or b"").decode() for _ in range(count)]


@asynccontextmanager
async def stream_of(
    client: aiohttp.ClientSession, video_id: str, last_event_id: str | None = None, **query: str | int
) -> AsyncIterator[Stream]:
    """An open stream of a video."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with client.get(f"/comments/{video_id}/stream", params=query, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        yield Stream(answer)


def counted(name: str, **labels: str) -> float:
    """A metric of this process, 0 if it was never told."""
    return REGISTRY.get_sample_value(f"livecomments_edge_{name}", labels) or 0.0


async def until(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for a condition. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.01)
