"""The ASGI lane: a viewer's bytes as a plain streaming response. Works on every server and on kept-alive connections.

One task takes the viewer's steps and writes; another waits for the client to leave. Writing waits for the client to
take what was written, so a slow viewer holds one block and no queue.
"""

import asyncio
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from livecomments_consumers.admission import Serve
from livecomments_consumers.block import Block
from livecomments_consumers.channel import Channel
from livecomments_consumers.hub import Hub
from livecomments_consumers.joining import beginning, place
from livecomments_consumers.request import StreamRequest
from livecomments_consumers.viewer import Close, Fetch, Say, State, Wait, Write
from livecomments_consumers.wanted import Wanted
from livecomments_consumers.wire import Form, formed, opening

_PIECE_BYTES: Final = 16_384
"""Within the time of a stuck viewer a modem takes as much."""
STREAM_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
    (b"vary", b"accept-encoding"),
)
GZIP_HEADERS: Final = (*STREAM_HEADERS, (b"content-encoding", b"gzip"))


class AsgiStream:
    """The response to one stream request: an ASGI application for one call."""

    def __init__(self, hub: Hub, asked: StreamRequest, admitted: Serve) -> None:
        self._hub = hub
        self._asked = asked
        self._admitted = admitted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hub, asked, admitted = self._hub, self._asked, self._admitted
        channel = hub.channel(asked.video_id, admitted.followed)
        form = Form.GZIP if admitted.takes_gzip else Form.PLAIN
        lane = AsgiLane(hub, channel, form, send, session=admitted.want.session, address=asked.address)
        hub.attach(channel, lane)
        try:
            headers = GZIP_HEADERS if form.is_gzip else STREAM_HEADERS
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await lane.serve(receive, admitted.want)
        finally:
            hub.detach(channel, lane, lane.ended)


class AsgiLane:
    """A `Lane` over one ASGI call."""

    kind = "asgi"

    def __init__(self, hub: Hub, channel: Channel, form: Form, send: Send, *, session: bytes, address: str) -> None:
        self.viewer = hub.make_viewer(channel)
        self.session = session
        self.address = address
        self.ended = "client"
        """Why the stream ended, a fixed word."""
        self._hub = hub
        self._channel = channel
        self._form = form
        self._send = send
        self._woken = asyncio.Event()
        self._writing_since: float | None = None
        self._pump: asyncio.Task[str] | None = None

    def take(self, block: Block, now: float) -> None:
        self._woken.set()

    def advance(self, now: float) -> None:
        self._woken.set()

    def abort_if_stuck(self, before: float) -> None:
        if self._writing_since is not None and self._writing_since < before:
            self.abort("stuck")

    def abort(self, reason: str) -> None:
        self.ended = reason
        if self._pump is not None:
            self._pump.cancel()

    async def serve(self, receive: Receive, want: Wanted) -> None:
        """Write what the viewer wants until it leaves, or the hub ends the stream."""
        pump = self._pump = asyncio.create_task(self._take_steps(want))
        await until_gone(pump, receive)
        if not pump.cancelled():
            self.ended = "error"
            self.ended = pump.result()  # raises what went wrong

    async def _take_steps(self, want: Wanted) -> str:
        """Take steps until the server ends the stream; returns why it did."""
        hub, viewer, channel = self._hub, self.viewer, self._channel
        await self._write(opening(beginning(hub, channel, want), self._form))
        step = await place(hub, channel, viewer, want)
        if not isinstance(step, Close):
            if step is not None:
                await self._do(step)
            step = viewer.greet(channel)
        while not isinstance(step, Close):
            await self._do(step)
            if self.viewer.state(channel) is State.BEHIND:
                await hub.turns.wait()  # while the client takes it all, writing does not wait
            step = await self._next()
        await self._write(formed(step.frame, self._form), more=False)
        return step.reason

    async def _next(self) -> Write | Say | Close:
        while True:
            self._woken.clear()
            step = self.viewer.step(self._channel, self._hub.now())
            if isinstance(step, Fetch):
                return await self._hub.backfill.fetch(self._channel, self.viewer)
            if not isinstance(step, Wait):
                return step
            await self._woken.wait()

    async def _do(self, step: Write | Say) -> None:
        if isinstance(step, Say):
            await self._write(formed(step.frame, self._form))
            self.viewer.wrote(step.through, self._hub.now())
            return
        block = step.block
        data = block.form(self._form)
        if not data:
            self.viewer.moved(block.through)
            return
        await self._write(data)
        self.viewer.wrote(block.through, self._hub.now())
        self._hub.metrics.wrote(block, self._form)
        self._hub.metrics.took(block, self.viewer.came_at_ms)

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        """Write in pieces: each that is taken shows that the viewer is slow and not stuck."""
        for start in range(0, len(data), _PIECE_BYTES):
            end = start + _PIECE_BYTES
            body = {"body": data[start:end], "more_body": more or end < len(data)}
            self._writing_since = self._hub.now()
            await self._send({"type": "http.response.body", **body})
        self._writing_since = None


async def until_gone(work: asyncio.Task[Any], receive: Receive) -> None:
    """Wait until `work` is done, or the client has left and it is cancelled. What it raised is left in it."""
    gone = asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:  # also when the server cancels this call
        work.cancel()
        gone.cancel()
        await asyncio.wait((work, gone))


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def without_length(response: Response) -> Response:
    """Take the length out of an answer to HEAD whose GET has another one, or none (RFC 9110, 8.6)."""
    del response.headers["content-length"]
    return response
