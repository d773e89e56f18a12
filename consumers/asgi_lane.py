"""The ASGI lane: a viewer's bytes as a plain streaming response. Works on every server and on kept-alive connections.

One task takes the viewer's steps and writes; another waits for the client to leave. Writing waits for the client to
take what was written, so a slow viewer holds one block and no queue.
"""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from consumers.block import Block
from consumers.channel import Channel
from consumers.frames import heartbeat_frame, retry_line
from consumers.hub import Hub
from consumers.joining import Wanted, place
from consumers.viewer import Close, Fetch, Say, Wait, Write
from consumers.wire import Form, formed, opening
from livecomments.log.interface import LogUnavailable
from schemas.positions import comment_id

STREAM_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
    (b"vary", b"accept-encoding"),
)
GZIP_HEADERS: Final = (*STREAM_HEADERS, (b"content-encoding", b"gzip"))


class AsgiLane:
    """The response to one stream request: an ASGI application for one call, and a `Lane`."""

    def __init__(self, hub: Hub, channel: Channel, want: Wanted, form: Form) -> None:
        self.viewer = hub.make_viewer(channel)
        self._hub = hub
        self._channel = channel
        self._want = want
        self._form = form
        self._woken = asyncio.Event()
        self._writing_since: float | None = None
        self._pump: asyncio.Task[str] | None = None
        self._ended = "client"

    def take(self, block: Block, now: float) -> None:
        self._woken.set()

    def advance(self, now: float) -> None:
        self._woken.set()

    def abort_if_stuck(self, before: float) -> None:
        if self._writing_since is not None and self._writing_since < before and self._pump is not None:
            self._ended = "stuck"
            self._pump.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._hub.attach(self._channel, self)
        self._hub.metrics.opened("asgi")
        headers = GZIP_HEADERS if self._form & Form.GZIP else STREAM_HEADERS
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            self._pump = asyncio.create_task(self._take_steps(send))
            gone = asyncio.create_task(_disconnect(receive))
            await asyncio.wait({self._pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            for task in (self._pump, gone):
                task.cancel()
            with suppress(asyncio.CancelledError):
                self._ended = await self._pump
                await send(_body(b"", more=False))
        finally:
            self._hub.detach(self._channel, self, self._ended)

    async def _take_steps(self, send: Send) -> str:
        """Take steps until the server ends the stream; returns why it did."""
        hub, viewer, channel = self._hub, self.viewer, self._channel
        try:
            await self._begin(send)
        except LogUnavailable:
            return "error"  # whether the viewer's position exists cannot be told now; it comes back and asks again
        while True:
            self._woken.clear()
            step = viewer.step(channel, hub.now())
            if isinstance(step, Close):
                await self._send(formed(step.frame, self._form), send)
                return step.reason
            if isinstance(step, Wait):
                await self._woken.wait()
            else:
                await self._write(await hub.fetch(channel, viewer) if isinstance(step, Fetch) else step, send)

    async def _begin(self, send: Send) -> None:
        """The reconnect time, what comes before the live part, and an id to resume from at once."""
        await self._send(opening(retry_line(self._hub.retry_ms()), self._form), send)
        first = await place(self._hub.history, self._channel, self.viewer, self._want)
        if first is not None:
            await self._write(first, send)
        frame = heartbeat_frame(comment_id(self.viewer.position, self._channel.partition))
        await self._write(Say(frame, self.viewer.position), send)

    async def _write(self, write: Write | Say, send: Send) -> None:
        if isinstance(write, Say):
            await self._send(formed(write.frame, self._form), send)
            self.viewer.wrote(write.through, self._hub.now())
            return
        block = write.block
        if not block:
            self.viewer.moved(block.through)
            return
        data = block.form(self._form)
        await self._send(data, send)
        self.viewer.wrote(block.through, self._hub.now())
        self._hub.metrics.delivered += block.comments
        self._hub.metrics.bytes += len(data)

    async def _send(self, data: bytes, send: Send) -> None:
        self._writing_since = self._hub.now()
        await send(_body(data, more=True))
        self._writing_since = None


def _body(data: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
