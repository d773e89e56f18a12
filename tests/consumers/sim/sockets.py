"""A transport with no network: a small kernel buffer, a small buffer of its own, and a reader who takes its time."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from itertools import count
from socket import SOCK_STREAM
from typing import Final

from starlette.types import Message

KERNEL_BYTES: Final = 900
HIGH_BYTES: Final = 400
"""In place of the real limit, as small as the blocks are."""
LOW_BYTES: Final = 100

Piece = tuple[bytes, int]
"""Bytes of one write, and a stamp of when it was made."""


class SimKernel:
    """Descriptors, and writes past the transports they are of."""

    def __init__(self) -> None:
        self._transports: dict[int, SimTransport] = {}

    def open(self, transport: "SimTransport") -> int:
        """The lowest descriptor that is free."""
        fd = next(fd for fd in count(3) if fd not in self._transports)
        self._transports[fd] = transport
        return fd

    def close(self, fd: int) -> None:
        del self._transports[fd]

    def write(self, fd: int, data: bytes) -> int:
        """As `os.write`."""
        return self._transports[fd].write_past(data)


class _Socket:
    """What a transport says of its socket."""

    type = SOCK_STREAM

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd


class SimTransport(asyncio.Transport):
    """The server's end. The client's end are `take`, `cut` and `on_bytes`."""

    def __init__(
        self, seen: Counter[str], buffered_max: int, stamp: Callable[[], int], kernel: SimKernel | None = None
    ) -> None:
        """Without a kernel of descriptors nobody can write past it."""
        super().__init__({} if kernel is None else {"socket": _Socket(kernel.open(self))})
        self._descriptors = kernel
        self._high_bytes, self._low_bytes = HIGH_BYTES, LOW_BYTES
        self.on_bytes: Callable[[], None] = _nothing
        """Called when there is something to take, or nothing will come any more."""
        self._seen = seen
        self._buffered_max = buffered_max
        self.stamp = stamp
        self._kernel: deque[Piece] = deque()
        self._kernel_bytes = 0
        self._buffer: deque[Piece] = deque()
        self._buffer_bytes = 0
        self._paused = False
        self._closing = False
        self._lost = False
        self._is_cut = False
        self._protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return self._buffer_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0, "any other would have to be scaled to the schedule's small comments"
        self._high_bytes = self._low_bytes = high

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.write_stamped(bytes(data), self.stamp())

    def write_stamped(self, data: bytes, stamp: int) -> None:
        """Write what was made when the stamp was."""
        if self._lost or not data:
            return
        self._buffer.append((data, stamp))
        self._buffer_bytes += len(data)
        self._fill()
        assert self._buffer_bytes <= self._buffered_max, f"{self._buffer_bytes} bytes wait for one viewer"
        if self._buffer_bytes > self._high_bytes and not self._paused:
            self._paused = True
            self._seen["paused"] += 1
            self.get_protocol().pause_writing()
        self.on_bytes()

    def write_past(self, data: bytes) -> int:
        """Write straight to the kernel's buffer. Raises OSError: it is full, or the client has left."""
        assert not self._buffer, "it was written past what waits"
        if self._lost:
            raise BrokenPipeError
        room = KERNEL_BYTES - self._kernel_bytes
        if room <= 0:
            self._seen["direct: full"] += 1
            raise BlockingIOError
        self._seen["direct: part" if room < len(data) else "direct"] += 1
        taken = data[:room]
        self._kernel.append((taken, self.stamp()))
        self._kernel_bytes += len(taken)
        self.on_bytes()
        return len(taken)

    def close(self) -> None:
        self._closing = True
        self._end_if_flushed()

    def abort(self) -> None:
        self._seen["aborted"] += not self._lost and not self._is_cut
        self._buffer.clear()
        self._buffer_bytes = 0
        self._kernel.clear()
        self._lose(None)

    def take(self, count: int) -> list[Piece]:
        """The client reads up to `count` bytes: pieces, none of two writes."""
        taken = []
        while count and self._kernel:
            data, at = self._kernel.popleft()
            if len(data) > count:
                self._kernel.appendleft((data[count:], at))
                data = data[:count]
            taken.append((data, at))
            count -= len(data)
            self._kernel_bytes -= len(data)
        if not self._lost:
            self._fill()
            if self._paused and self._buffer_bytes <= self._low_bytes:
                self._paused = False
                self.get_protocol().resume_writing()
            self._end_if_flushed()
        return taken

    def cut(self) -> None:
        """The network breaks: what was under way is gone."""
        self._is_cut = True
        self.abort()
        self.on_bytes()

    @property
    def is_ended(self) -> bool:
        """Whether the client has been given all it will ever get."""
        return self._lost and not self._kernel

    @property
    def has_bytes(self) -> bool:
        """Whether there is something to take."""
        return bool(self._kernel)

    def _fill(self) -> None:
        while self._buffer and self._kernel_bytes < KERNEL_BYTES:
            data, at = self._buffer.popleft()
            room = KERNEL_BYTES - self._kernel_bytes
            if len(data) > room:
                self._buffer.appendleft((data[room:], at))
                data = data[:room]
            self._kernel.append((data, at))
            self._kernel_bytes += len(data)
            self._buffer_bytes -= len(data)

    def _end_if_flushed(self) -> None:
        if self._closing and not self._buffer:
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        asyncio.get_running_loop().call_soon(self._say_lost, error)
        self.on_bytes()

    def _say_lost(self, error: Exception | None) -> None:
        self.get_protocol().connection_lost(error)
        if self._descriptors is not None:
            self._descriptors.close(self.get_extra_info("socket").fileno())


class AsgiConnection(asyncio.Protocol):
    """What a server does for an ASGI response: heads, chunks, waiting while the client takes nothing."""

    def __init__(self, transport: SimTransport) -> None:
        self._transport = transport
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self._requested = False
        self._is_chunked = True

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._writable.set()

    def close(self) -> None:
        """The application has returned."""
        self._transport.close()

    async def receive(self) -> Message:
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        stamp = self._transport.stamp()
        await self._writable.wait()
        if self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            lines = [b"HTTP/1.1 %d OK" % message["status"]]
            lines += [name + b": " + value for name, value in message["headers"]]
            self._is_chunked = not any(name == b"content-length" for name, _ in message["headers"])
            if self._is_chunked:
                lines.append(b"transfer-encoding: chunked")
            self._transport.write(b"\r\n".join([*lines, b"", b""]))
            return
        body = message.get("body", b"")
        if body:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked else body
            self._transport.write_stamped(chunk, stamp)
        if not message.get("more_body", False):
            if self._is_chunked:
                self._transport.write(b"0\r\n\r\n")
            self._transport.close()


def _nothing() -> None:
    """Nobody listens yet."""
