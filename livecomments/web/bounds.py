"""What a connection may cost: bounds in bytes and seconds, and those that the kernel keeps for us."""

import asyncio
import select
import socket
from typing import Final, NamedTuple

from livecomments_schemas.limits import BODY_BYTES_MAX, BODY_TIMEOUT_S


class HttpLimits(NamedTuple):
    """Bounds of one request, the same for each of a connection."""

    head_bytes_max: int = 16_384
    """Twice the longest token, and room for cookies of others."""
    headers_max: int = 100
    head_timeout_s: float = 5.0
    """From the first byte of a head (of a first request: from the connection) to its end."""
    body_timeout_s: float = BODY_TIMEOUT_S
    """From a head to the end of its body, read or not."""
    look_interval_s: float = 10.0
    """While a request is answered and nothing is read: how often it is looked whether its client is still there."""
    idle_timeout_s: float = 75.0
    """Between requests. More than the 60 s of load balancers, or a request of theirs would cross our end of the
    connection; change with infra/nginx/nginx.conf, which keeps less than that (held by tests/infra)."""


HTTP_LIMITS: Final = HttpLimits()

EMPTY_BYTES_MAX: Final = 64
"""Of empty lines before a request, which old clients send behind a body (RFC 9112, 2.2)."""
BACKLOG_BYTES_MAX: Final = 16_384
"""Of what is kept of requests that come while another one is answered: as much as a head. Beyond it nothing is read
(backpressure), so the rest waits at the client, where it costs us nothing."""
UNREAD_BYTES_MAX: Final = 8 * BODY_BYTES_MAX
"""Of a body that is still read when its request is answered already, so that its connection can be used again."""
LINGER_S: Final = 2.0
"""After a last answer, for the client to read it: what it still sends would make the kernel throw the answer away
(RFC 9112, 9.6)."""
LINGER_BYTES_MAX: Final = 1_048_576
"""Read and dropped meanwhile: of a body that is refused, by a client that looks at no answer before it has sent it."""

_SEND_BUFFER_BYTES: Final = 65_536
"""The kernel's, doubled by it: a stalled reader would pin megabytes."""
_RECEIVE_BUFFER_BYTES: Final = 65_536
"""Likewise, of what waits behind a request."""
_USER_TIMEOUT_MS: Final = 30_000
"""What is not acknowledged, or not even taken, for so long means a dead peer; else the kernel tries for an hour."""
_KEEPALIVE_S: Final = 30
_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
_CLOSED: Final = 7
"""The first byte of the kernel's `tcp_info` on Linux: nobody is there any more."""
_HANG_UP: Final[int | None] = getattr(select, "POLLRDHUP", None)
"""That the peer has closed its side. Linux's."""
_OPTIONS: Final = [
    (level, getattr(socket, name), value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_SNDBUF", _SEND_BUFFER_BYTES),
        (socket.SOL_SOCKET, "SO_RCVBUF", _RECEIVE_BUFFER_BYTES),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", _KEEPALIVE_S),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
    )
    if hasattr(socket, name)  # macOS lacks the last two
]


def bound_connections(listening: socket.socket) -> None:
    """Bound what each connection costs whose peer takes nothing, or is gone without a word.

    Connections inherit it from the socket that listens: set on each, it would cost more than reading a request's head.
    """
    for option in _OPTIONS:
        listening.setsockopt(*option)


def has_sent_all(transport: asyncio.Transport) -> bool:
    """Tell whether the peer has closed its side already, as far as the kernel can be asked; the loop tells it later."""
    peer = transport.get_extra_info("socket")
    if peer is None or _HANG_UP is None:
        return False
    kernel = select.poll()
    kernel.register(peer, _HANG_UP)
    return bool(kernel.poll(0))


def is_gone(transport: asyncio.Transport) -> bool:
    """Tell whether the peer has ended both sides, as far as the kernel can be asked; the loop tells whoever reads."""
    peer = transport.get_extra_info("socket")
    if peer is None or _TCP_INFO is None or peer.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        return int(peer.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]) == _CLOSED
    except OSError:  # it is gone already
        return True
