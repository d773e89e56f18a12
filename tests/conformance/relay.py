"""A TCP relay between viewers and a load balancer, which cuts streams in the middle of an event when told to."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from infra.local.ports import HOST

RESET: Final = "reset"
END: Final = "end"
"""The connection ends without the response's last chunk."""
BEGUN: Final = "begun"
"""Likewise, right after the beginning of the stream that follows a reset: what was cut then is not to count now."""

_STREAM: Final = re.compile(rb"GET /comments/[^/ ]+/stream\?\S*viewer=([\w-]+)")
_LAST_EVENT_ID: Final = re.compile(rb"\r\nlast-event-id: *(\S+)", re.IGNORECASE)
_ACCEPT_ENCODING: Final = re.compile(rb"\r\naccept-encoding:[^\r]*", re.IGNORECASE)
_BEGINNING: Final = re.compile(rb"event: begin\n[^\n]*\n[^\n]*\n\n")
_INSIDE: Final = b'"message":"'
_PIECE_MIN: Final = 150
"""A compressed piece of at least so many bytes holds more than a heartbeat, so its middle is inside an event."""
_SLICED_BYTES: Final = 4_096
_SLICE_BYTES: Final = 7
"""The beginning of each stream comes in slices so small that most characters of several bytes lie on their borders."""


@dataclass
class Opened:
    """One stream that a viewer has asked for."""

    viewer: str
    last_event_id: str
    head: str = ""
    """Of the answer, in lower case, once it is whole."""
    cut_by: str | None = None
    """How it is to be cut, at the next event."""
    cuts: list[str] = field(default_factory=list)
    sliced: int = 0
    _received: bytes = b""

    @property
    def is_no_stream(self) -> bool:
        """Whether the answer only says when to come back, by the load balancer or by an edge that is leaving."""
        return "content-length" in self.head

    @property
    def is_own_page(self) -> bool:
        """Whether the load balancer itself has answered: what an edge sends depends on what its client takes."""
        return self.is_no_stream and "\r\nvary:" not in self.head

    @property
    def is_gzip(self) -> bool:
        return "content-encoding: gzip" in self.head

    def receive(self, piece: bytes) -> None:
        """Note the answer's head."""
        if not self.head:
            self._received += piece
            head, end, _ = self._received.partition(b"\r\n\r\n")
            if end:
                self.head = head.decode("latin-1").lower()

    def cut_at(self, piece: bytes) -> int:
        """How much of a piece to send before the cut; 0: it has no place for it that is known for sure."""
        if self.cut_by == BEGUN:
            beginning = _BEGINNING.search(piece)  # one viewer's own, so never compressed
            return beginning.end() if beginning else 0
        if self.is_gzip:
            return len(piece) // 2 if len(piece) >= _PIECE_MIN else 0
        inside = piece.find(_INSIDE)
        return inside + len(_INSIDE) + 1 if inside >= 0 else 0


class Relay:
    """A relay to `upstream`, host:port. `is_plain`: hides from it that viewers take gzip."""

    def __init__(self, upstream: str, *, is_plain: bool) -> None:
        self.opened: list[Opened] = []
        self.port = 0
        self._upstream = upstream.split(":")
        self._is_plain = is_plain
        self._open: dict[asyncio.StreamWriter, Opened] = {}

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.port}"

    def of(self, viewer: str) -> list[Opened]:
        """What this viewer has asked for, in order."""
        return [stream for stream in self.opened if stream.viewer == viewer]

    def cut(self, how: str) -> list[Opened]:
        """Cut every open stream at its next event; returns those."""
        streams = [stream for stream in self._open.values() if not stream.is_no_stream]
        for stream in streams:
            stream.cut_by = how
        return streams

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        """Listening; all connections end when it is left."""
        links: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            link = asyncio.create_task(self._link(reader, writer))
            links.add(link)
            link.add_done_callback(links.discard)

        server = await asyncio.start_server(connected, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for link in list(links):
                link.cancel()
            await asyncio.gather(*links, return_exceptions=True)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.transport.abort()
            return
        pumps = {
            asyncio.create_task(self._up(reader, up_writer, writer)),
            asyncio.create_task(self._down(up_reader, writer)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._open.pop(writer, None)
            for each in (writer, up_writer):
                each.close()

    async def _up(
        self, reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        """Requests, none of which has a body."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not reader.at_eof():
                head = await reader.readuntil(b"\r\n\r\n")
                if asked := _STREAM.match(head):
                    seen = _LAST_EVENT_ID.search(head)
                    stream = Opened(asked[1].decode(), seen[1].decode() if seen else "")
                    before = self.of(stream.viewer)
                    stream.cut_by = BEGUN if before and RESET in before[-1].cuts else None
                    self.opened.append(stream)
                    self._open[writer] = stream
                if self._is_plain:
                    head = _ACCEPT_ENCODING.sub(b"", head)
                up_writer.write(head)
                await up_writer.drain()

    async def _down(self, up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await up_reader.read(65_536):
                stream = self._open.get(writer)
                if stream is None:
                    writer.write(piece)
                elif await self._passed(stream, piece, writer):
                    return
                await writer.drain()

    async def _passed(self, stream: Opened, piece: bytes, writer: asyncio.StreamWriter) -> bool:
        """Pass on a piece of a stream; whether that was cut with it."""
        stream.receive(piece)
        if stream.cut_by is not None and stream.head and (at := stream.cut_at(piece)):
            writer.write(piece[:at])
            await writer.drain()
            stream.cuts.append(stream.cut_by)
            if stream.cut_by == RESET:
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            return True
        while piece and stream.sliced < _SLICED_BYTES:
            writer.write(piece[:_SLICE_BYTES])
            await writer.drain()
            piece = piece[_SLICE_BYTES:]
            stream.sliced += _SLICE_BYTES
        writer.write(piece)
        return False
