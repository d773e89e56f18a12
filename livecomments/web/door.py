"""The door: reads a connection's first head itself, within bounds uvicorn does not have, and decides who serves it.

A head that `claim` takes is served by whoever `claim` hands the transport to; everything else goes, byte for byte, to
uvicorn's own protocol, which `bounded_http` holds to the same bounds for the requests that follow. Touches of uvicorn:
the arguments it makes protocols with, `server_state.connections`, and that a protocol may be given a transport and its
first bytes by hand (held by tests/web/test_door.py).
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from livecomments.web.bounded_http import HTTP_LIMITS, BoundedHttp, HttpLimits, too_large

_END: Final = b"\r\n\r\n"

_SEND_BUFFER_BYTES: Final = 65_536
"""The kernel's, doubled by it: a stalled reader would pin megabytes."""
_USER_TIMEOUT_MS: Final = 30_000
"""What is not acknowledged, or not even taken, for so long means a dead peer; else the kernel tries for an hour."""
_KEEPALIVE_S: Final = 30
_OPTIONS: Final = [
    (level, getattr(socket, name), value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_SNDBUF", _SEND_BUFFER_BYTES),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", _KEEPALIVE_S),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
    )
    if hasattr(socket, name)  # macOS lacks the last two
]

Claim = Callable[[bytes, str], asyncio.Protocol | None]
"""Given a whole head and the address it comes from: the protocol that serves it and has the connection from its
`connection_made` on, or None."""


def claim_nothing(head: bytes, address: str) -> None:
    """Leaves every request to uvicorn."""


class Door(asyncio.Protocol):
    """The protocol of a new connection, until its first head is whole."""

    def __init__(
        self,
        claim: Claim,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: HttpLimits = HTTP_LIMITS,
    ) -> None:
        self._claim = claim
        self._limits = limits
        self._delegate = partial(BoundedHttp, config, server_state, app_state, _loop)
        self._connections: set[Any] = server_state.connections
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        self._connections.add(self)
        self._deadline = asyncio.get_running_loop().call_later(self._limits.head_timeout_s, self._transport.abort)
        _bound(self._transport)

    def data_received(self, data: bytes) -> None:
        self._head += data
        end, limits = self._head.find(_END), self._limits
        if end < 0 and len(self._head) <= limits.head_bytes_max:
            return
        self._leave()
        if end < 0 or end > limits.head_bytes_max or self._head.count(b"\n", 0, end) > limits.headers_max:
            self._transport.write(too_large())
            self._transport.close()
            return
        peer = self._transport.get_extra_info("peername")
        claimed = self._claim(self._head[: end + len(_END)], peer[0] if peer else "")
        if claimed is not None:
            self._transport.set_protocol(claimed)  # before it writes: if that fills the transport, it is told
            claimed.connection_made(self._transport)
            return
        inner = self._delegate()
        inner.limits = self._limits
        self._transport.set_protocol(inner)
        inner.connection_made(self._transport)
        inner.data_received(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def shutdown(self) -> None:
        """Called by uvicorn when it shuts down: a connection that has asked for nothing yet is closed."""
        self._transport.close()

    def _leave(self) -> None:
        self._deadline.cancel()
        self._connections.discard(self)


def _bound(transport: asyncio.Transport) -> None:
    """Bound what a connection costs whose peer takes nothing, or is gone without a word."""
    peer = transport.get_extra_info("socket")
    if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # it is gone already
            for option in _OPTIONS:
                peer.setsockopt(*option)
