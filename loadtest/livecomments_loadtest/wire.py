"""One streaming connection: from the request to its end, whoever ends it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast

from livecomments_loadtest.http1 import Head, ResponseDecoder, ResponseMalformed
from livecomments_loadtest.sse import SseBlocks, StreamMalformed

SILENCE_S_MAX: Final = 40.0
"""Two heartbeats (15 s each) and some: nobody is there any more."""


class StreamWire(asyncio.Protocol):
    """Hands each piece's complete SSE blocks to `on_blocks`; `ended` becomes the reason when it is over.

    A cut can be asked for in the middle of an event: then the next piece of data is read only in part, so that its last
    event stays unfinished, and the connection is aborted.
    """

    def __init__(self, request: bytes, on_blocks: Callable[[list[bytes]], None]) -> None:
        self._request = request
        self._on_blocks = on_blocks
        self._decoder = ResponseDecoder()
        self._blocks = SseBlocks()
        self._transport: asyncio.Transport | None = None
        self._cut_mid_event = False
        self._heard_at = time.perf_counter()
        self.retry_ms: int | None = None
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def head(self) -> Head | None:
        return self._decoder.head

    @property
    def is_open(self) -> bool:
        """Whether the stream has begun and not ended."""
        return self.head is not None and self.head.status == 200 and not self.ended.done()

    def is_silent(self, now: float) -> bool:
        return now - self._heard_at > SILENCE_S_MAX

    def cut(self, *, mid_event: bool) -> None:
        """Drop the connection: now, or in the middle of the next event that comes."""
        if mid_event and self.is_open:
            self._cut_mid_event = True
        else:
            self.end("dropped")

    def end(self, reason: str) -> None:
        """Close at once, without a word to the peer; later data is ignored. The first `reason` given is kept."""
        if not self.ended.done():
            self.ended.set_result(reason)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by type, only by what it does
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.ended.done():
            return
        self._heard_at = time.perf_counter()
        try:
            body = self._decoder.feed(data)
            head = self._decoder.head
            if head is None:
                return
            if head.status != 200:
                self.end(f"status {head.status}")
                return
            if self._cut_mid_event and len(body) > 1:
                self._cut_in(body)
                return
            blocks = self._blocks.feed(body)
        except (ResponseMalformed, StreamMalformed) as error:
            self.end(f"malformed: {error}")
            return
        if blocks:
            self._on_blocks(blocks)
        if self._decoder.done:
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self._close()

    def _cut_in(self, body: bytes) -> None:
        """Read about half of `body`, or on to where an event is unfinished, and drop the connection."""
        read = len(body) // 2
        blocks = self._blocks.feed(body[:read])
        while not self._blocks.is_mid_event() and read < len(body) - 1:
            blocks += self._blocks.feed(body[read : read + 1])
            read += 1
        if blocks:
            self._on_blocks(blocks)
        self.end("dropped in an event" if self._blocks.is_mid_event() else "dropped")

    def _close(self) -> None:
        """End the stream after the peer has ended it, whether properly or in the middle."""
        retry_ms = self._blocks.feed_eof()
        self.retry_ms = self.retry_ms if retry_ms is None else retry_ms
        self.end("closed")
