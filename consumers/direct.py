"""Writes straight to a transport's socket, where nothing waits before them.

A loop's own `write` notes each one, to make it at the end of the round: with thousands of viewers that is a good
part of what a write costs. What the kernel does not take goes to the transport, which waits for room, and
notices who has left.
"""

import asyncio
import os
import socket
from typing import Final

NOT_DIRECT: Final = -1
"""In place of a descriptor: every write is the transport's."""


def descriptor(transport: asyncio.Transport) -> int:
    """The descriptor of a transport that is nothing but a TCP or Unix socket, else `NOT_DIRECT`."""
    peer = transport.get_extra_info("socket")
    is_plain = peer is not None and peer.type == socket.SOCK_STREAM and not transport.get_extra_info("sslcontext")
    return int(peer.fileno()) if is_plain else NOT_DIRECT


def write(transport: asyncio.Transport, fd: int, data: bytes) -> None:
    """Write `data` after all that was written before; `fd` is what `descriptor` gave.

    What the kernel has no room for stays the bytes object that all viewers share.
    """
    # Closing: its descriptor may be somebody else's already, and of what waited something may have been thrown away.
    if fd == NOT_DIRECT or transport.get_write_buffer_size() or transport.is_closing():
        transport.write(data)
        return
    try:
        sent = os.write(fd, data)
    except OSError:  # it is full; or broken, as the transport will find
        sent = 0
    if sent < len(data):
        transport.write(memoryview(data)[sent:])
