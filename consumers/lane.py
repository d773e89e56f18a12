"""The ASGI lane: a viewer's bytes as a plain streaming response. Works on every server and kept-alive connection.

One task takes the viewer's steps and writes; another waits for the client to leave. Writing waits for the client to
take what was written, so a slow viewer holds one block and no queue.
"""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from consumers.channel import Channel
from consumers.frames import heartbeat_frame, retry_line
from consumers.hub import Hub
from consumers.joining import Wanted, place
from consumers.viewer import Close, Fetch, Viewer, Wait, Write
from livecomments.log.interface import LogUnavailable
from livecomments.log.partition import FollowedPartition
from schemas.positions import comment_id

STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
    (b"vary", b"accept-encoding"),
]


class EventStream:
    """The response to one stream request: an ASGI application for one call."""

    def __init__(self, hub: Hub, video_id: str, followed: FollowedPartition, want: Wanted) -> None:
        self._hub = hub
        self._video_id = video_id
        self._followed = followed
        self._want = want

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_disconnect(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            reason = pump.result() if pump.done() else "client"
            self._hub.disconnected(reason)
            if reason == "bye":
                await send(_body(b"", more=False))
        finally:
            for task in (pump, gone):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _pump(self, send: Send) -> str:
        """Take steps until the stream ends; returns why."""
        hub = self._hub
        with hub.attached(self._video_id, self._followed) as (channel, viewer, woken):
            try:
                await self._begin(channel, viewer, send)
                while True:
                    woken.clear()
                    step = viewer.step(channel, hub.now())
                    if isinstance(step, Close):
                        await self._send(step.data, send)
                        return "bye"
                    if isinstance(step, Wait):
                        await woken.wait()
                        continue
                    write = await hub.fetch(channel, viewer) if isinstance(step, Fetch) else step
                    await self._write(viewer, write, send)
            except TimeoutError:
                return "stuck"
            except LogUnavailable:
                return "bye"  # whether the viewer's position exists cannot be told now; it comes back and asks again

    async def _begin(self, channel: Channel, viewer: Viewer, send: Send) -> None:
        """The reconnect time, what comes before the live part, and an id to resume from at once."""
        await self._send(retry_line(self._hub.retry_ms()), send)
        first = await place(self._hub, channel, viewer, self._want)
        if first is not None:
            await self._write(viewer, first, send)
        await self._send(heartbeat_frame(comment_id(viewer.position, channel.partition)), send)

    async def _write(self, viewer: Viewer, write: Write, send: Send) -> None:
        if write.data:
            await self._send(write.data, send)
        self._hub.written(viewer, write)

    async def _send(self, data: bytes, send: Send) -> None:
        async with asyncio.timeout(self._hub.settings.viewer_stuck_s):
            await send(_body(data, more=True))


def _body(data: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
