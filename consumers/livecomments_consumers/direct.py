"""Writes straight to a transport's socket, where nothing waits before them.

A loop's own `write` notes each one, to make it at the end of the round. What the kernel does not take goes to the
transport, which waits for room, and notices who has left.
"""

import asyncio
import socket
from typing import Final

from livecomments_consumers.cohort import WriteTo

NOT_DIRECT: Final = -1
"""In place of a descriptor: every write is the transport's."""


def descriptor(transport: asyncio.Transport) -> int:
    """Return the descriptor of a transport that is nothing but a TCP or Unix socket, else `NOT_DIRECT`."""
    peer = transport.get_extra_info("socket")
    is_plain = peer is not None and peer.type == socket.SOCK_STREAM and not transport.get_extra_info("sslcontext")
    return int(peer.fileno()) if is_plain else NOT_DIRECT


def is_clear(transport: asyncio.Transport, fd: int) -> bool:
    """Tell whether bytes may be written past the transport now; `fd` is what `descriptor` gave.

    Of one that is closing the descriptor may be somebody else's already, and what waited may have been thrown away.
    """
    return fd != NOT_DIRECT and not transport.get_write_buffer_size() and not transport.is_closing()


def write(transport: asyncio.Transport, fd: int, data: bytes, write_to: WriteTo) -> None:
    """Write `data` after all that was written before."""
    sent = 0
    if is_clear(transport, fd):
        try:
            sent = write_to(fd, data)
        except OSError:  # it is full; or broken, as the transport will find
            pass
    write_rest(transport, data, sent)


def write_rest(transport: asyncio.Transport, data: bytes, sent: int) -> None:
    """Leave what was not sent of `data` to the transport; it stays the one object that all viewers share."""
    if sent < len(data):
        transport.write(memoryview(data)[sent:] if sent else data)
