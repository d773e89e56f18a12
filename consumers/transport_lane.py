"""The transport lane: a viewer's bytes written to its transport by the hub itself, the same bytes object to everybody.

A viewer here is this object, a `Viewer` and a transport: no task, no queue, no ASGI. While its transport is full it
simply stays where it is; when it takes bytes again it goes on from its position.
"""

import asyncio
import socket
from typing import Final

from consumers.asgi_lane import GZIP_HEADERS, STREAM_HEADERS
from consumers.block import Block
from consumers.channel import Channel
from consumers.frames import heartbeat_frame, retry_line
from consumers.hub import Hub
from consumers.joining import Wanted, place, place_at_once
from consumers.viewer import Close, Fetch, Say, Wait, Write
from consumers.wire import LAST_CHUNK, Form, formed, opening
from livecomments.log.interface import LogUnavailable
from schemas.positions import comment_id

_STEPS_MAX: Final = 4
"""Blocks written to one viewer behind before others have their turn."""
_WRITE_BUFFER_BYTES: Final = 65_536
_SEND_BUFFER_BYTES: Final = 65_536
"""The kernel's, doubled by it: a stalled viewer would pin megabytes."""
_USER_TIMEOUT_MS: Final = 30_000
"""Unacknowledged bytes for so long mean a dead peer; without it the kernel tries for a quarter of an hour."""
_KEEPALIVE_S: Final = 30


def _head(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    lines = [b"HTTP/1.1 200 OK", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([*lines, b"transfer-encoding: chunked", b"connection: close", b"", b""])


_HEADS: Final = {Form.CHUNKED: _head(STREAM_HEADERS), Form.CHUNKED | Form.GZIP: _head(GZIP_HEADERS)}


class TransportLane(asyncio.Protocol):
    """The protocol of a connection that is nothing but a stream any more, and a `Lane`."""

    __slots__ = ("_channel", "_ended", "_form", "_full_since", "_hub", "_is_open", "_task", "_transport", "viewer")

    def __init__(self, hub: Hub, channel: Channel, transport: asyncio.Transport, form: Form) -> None:
        self.viewer = hub.make_viewer(channel)
        self._hub = hub
        self._channel = channel
        self._transport = transport
        self._form = form
        self._is_open = False
        """Whether the next step may be taken: begun, no read under way, the transport takes bytes."""
        self._full_since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = "client"

    def begin(self, want: Wanted) -> None:
        """Answer the request and go on from what it asks for."""
        hub = self._hub
        hub.attach(self._channel, self)
        hub.metrics.opened("transport")
        _bound_socket(self._transport)
        self._transport.write(_HEADS[self._form] + opening(retry_line(hub.retry_ms()), self._form))
        if place_at_once(self._channel, self.viewer, want):
            self._greet()
        else:
            self._task = asyncio.get_running_loop().create_task(self._place(want))

    def take(self, block: Block, now: float) -> None:
        viewer = self.viewer
        if self._is_open and viewer.is_for(block):
            data = block.form(self._form)
            self._transport.write(data)
            viewer.wrote(block.through, now)
            metrics = self._hub.metrics
            metrics.delivered += block.comments
            metrics.bytes += len(data)
        elif self._is_open:
            self.advance(now)

    def advance(self, now: float) -> None:
        for _ in range(_STEPS_MAX):
            if not self._is_open:
                return
            step = self.viewer.step(self._channel, now)
            if isinstance(step, Wait):
                return
            if isinstance(step, Fetch):
                self._is_open = False
                self._task = asyncio.get_running_loop().create_task(self._fetch())
            elif isinstance(step, Close):
                self._close(formed(step.frame, self._form), step.reason)
            else:
                self._write(step, now)
        asyncio.get_running_loop().call_soon(self._go_on)

    def abort_if_stuck(self, before: float) -> None:
        if self._full_since is not None and self._full_since < before:
            self._ended = "stuck"
            self._transport.abort()

    def pause_writing(self) -> None:
        self._full_since = self._hub.now()
        self._is_open = False

    def resume_writing(self) -> None:
        self._full_since = None
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """A client has nothing more to say; what it says is not kept."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_open = False
        if self._task is not None:
            self._task.cancel()
        self._hub.detach(self._channel, self, self._ended)

    def _go_on(self) -> None:
        if self._full_since is None and self._task is None and not self._transport.is_closing():
            self._is_open = True
            self.advance(self._hub.now())

    def _greet(self) -> None:
        """An id to resume from at once, then the stream."""
        frame = heartbeat_frame(comment_id(self.viewer.position, self._channel.partition))
        self._write(Say(frame, self.viewer.position), self._hub.now())
        self._go_on()

    async def _place(self, want: Wanted) -> None:
        try:
            first = await place(self._hub.history, self._channel, self.viewer, want)
        except LogUnavailable:
            self._close(b"", "error")  # whether its position exists cannot be told now; it comes back and asks again
            return
        self._task = None
        if first is not None:
            self._write(first, self._hub.now())
        self._greet()

    async def _fetch(self) -> None:
        write = await self._hub.fetch(self._channel, self.viewer)
        self._task = None
        self._write(write, self._hub.now())
        self._go_on()

    def _write(self, write: Write | Say, now: float) -> None:
        if isinstance(write, Say):
            self._transport.write(formed(write.frame, self._form))
            self.viewer.wrote(write.through, now)
            return
        block = write.block
        if not block:
            self.viewer.moved(block.through)
            return
        data = block.form(self._form)
        self._transport.write(data)
        self.viewer.wrote(block.through, now)
        self._hub.metrics.delivered += block.comments
        self._hub.metrics.bytes += len(data)

    def _close(self, data: bytes, reason: str) -> None:
        self._is_open = False
        self._ended = reason
        self._transport.write(data + LAST_CHUNK)
        self._transport.close()


def _bound_socket(transport: asyncio.Transport) -> None:
    """Bound what a stalled or dead viewer costs."""
    transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
    peer = transport.get_extra_info("socket")
    if peer is None or peer.family not in (socket.AF_INET, socket.AF_INET6):
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
