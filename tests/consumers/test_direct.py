"""Writes past the loop, on real sockets and both loops."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

import pytest
import uvloop

from livecomments_consumers.direct import NOT_DIRECT, descriptor, write

_ROUNDS: Final = 200
_MANY: Final = b"0123456789abcdef" * 1_024


class Writer(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self) -> None:
        self.pauses = 0
        self.writable = asyncio.Event()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.fd = descriptor(self.transport)
        self.transport.set_write_buffer_limits(high=1_000)
        self.writable.set()

    def pause_writing(self) -> None:
        self.pauses += 1
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def connected() -> tuple[Writer, socket.socket]:
    """A writer, and a client with little room."""
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    there.setblocking(False)
    _, writer = await loop.create_connection(Writer, sock=here)
    return writer, there


async def received(client: socket.socket, count: int) -> bytes:
    """The next `count` bytes."""
    got = bytearray()
    while len(got) < count:
        data = await asyncio.get_running_loop().sock_recv(client, 65_536)
        assert data, "it has ended"
        got += data
    return bytes(got)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], None]:
    """Runs a test on one of the loops."""

    def run_on(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test())

    return run_on


Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


def test_what_the_kernel_takes_has_left_before_the_loop_goes_on(run: Run) -> None:
    async def test() -> None:
        writer, client = await connected()
        write(writer.transport, writer.fd, b"at once", os.write)
        assert client.recv(100) == b"at once"
        writer.transport.close()
        client.close()

    run(test)


def test_what_the_kernel_does_not_take_follows_in_order_however_it_is_cut(run: Run) -> None:
    async def test() -> None:
        writer, client = await connected()
        sent = bytearray()
        taking = asyncio.create_task(received(client, _ROUNDS * len(_MANY)))
        for number in range(_ROUNDS):
            data = number.to_bytes(4, "big") + _MANY[4:]
            write(writer.transport, writer.fd, data, os.write)
            sent += data
            await writer.writable.wait()
        assert await taking == bytes(sent)
        assert writer.pauses > 1, "it was never cut"
        writer.transport.close()
        client.close()

    run(test)


def test_nothing_is_written_past_a_transport_that_is_closing(run: Run) -> None:
    async def test() -> None:
        writer, client = await connected()
        write(writer.transport, writer.fd, _MANY, os.write)
        write(writer.transport, writer.fd, _MANY, os.write)
        writer.transport.abort()
        write(writer.transport, writer.fd, b"too late", os.write)
        await writer.lost
        rest = bytearray()
        while data := await asyncio.get_running_loop().sock_recv(client, 65_536):
            rest += data
        assert b"too late" not in rest
        assert len(rest) < 2 * len(_MANY)
        client.close()

    run(test)


def test_a_client_that_has_left_is_noticed_by_the_transport(run: Run) -> None:
    async def test() -> None:
        writer, client = await connected()
        client.close()
        write(writer.transport, writer.fd, b"anybody?", os.write)
        await asyncio.wait_for(writer.lost, 5.0)

    run(test)


def test_what_is_no_plain_socket_is_left_to_its_transport() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert descriptor(asyncio.Transport({"socket": here})) == here.fileno()
        assert descriptor(asyncio.Transport({"socket": here, "sslcontext": object()})) == NOT_DIRECT
        assert descriptor(asyncio.Transport()) == NOT_DIRECT
