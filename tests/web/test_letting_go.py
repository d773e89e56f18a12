"""A connection that has ended is let go of at once, with what it kept, and not when garbage is collected.

Clients that send much, leave and come again would else have the process grow by all that it has read for them. So
nothing that a door is part of may be a cycle when it ends, in whatever way.
"""

import asyncio
import gc
import logging
import socket
import struct
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, cast

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from livecomments.web.bounds import HttpLimits
from livecomments.web.heads import RequestHead
from livecomments.web.server import DrainingServer, listening_socket

TIMEOUT_S: Final = 10.0
"""For what must happen."""
ROUNDS: Final = 5
"""Of the loop, for what it calls last of a connection and of a task."""
LIMITS: Final = HttpLimits(idle_timeout_s=0.1)
RESET_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: what is not sent is dropped, and the peer is told so."""


def get(path: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"GET /%b HTTP/1.1" % path, b"Host: h", *fields, b"", b""])


def post(path: bytes, framing: bytes, body: bytes) -> bytes:
    return b"POST /%b HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n%b" % (path, framing, body)


class Taken(asyncio.Protocol):
    """What a connection is handed to."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"HTTP/1.1 200 OK\r\n\r\nok")


def claim_taken(head: RequestHead, address: str) -> asyncio.Protocol | None:
    return Taken() if head.path == "/taken" else None


class Application:
    """Answers as its path says; `reached` is set when a request has come to where it waits."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/fails":
            raise ValueError(path)
        if path == "/body":
            self.reached.set()
            while (message := await receive())["type"] != "http.disconnect" and message["more_body"]:
                pass
            if message["type"] == "http.disconnect":
                return
        more = path in ("/endless", "/full")
        length = [] if more else [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"ok", "more_body": more})
        while path == "/endless" and (await receive())["type"] != "http.disconnect":
            pass
        for _ in range(100 if path == "/full" else 0):
            self.reached.set()
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})


class Client(NamedTuple):
    """One connection, from outside."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    application: Application

    def leave(self) -> None:
        """Without a word."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
        self.writer.transport.abort()

    async def read_all(self) -> bytes:
        return await self.reader.read()

    async def see(self, mark: bytes) -> None:
        await self.reader.readuntil(mark)


async def served_and_gone(client: Client) -> None:
    client.writer.write(get(b"") * 2)
    await client.see(b"ok")
    await client.see(b"ok")
    client.writer.close()


async def served_last(client: Client) -> None:
    client.writer.write(get(b"", b"Connection: close"))
    assert b"200 OK" in await client.read_all()


async def silent(client: Client) -> None:
    client.writer.close()


async def in_a_head(client: Client) -> None:
    client.writer.write(get(b"") + get(b"")[:10])
    await client.see(b"ok")
    client.leave()


async def refused(client: Client) -> None:
    client.writer.write(b"nonsense\r\n\r\n")
    assert b" 400 " in await client.read_all()
    client.writer.close()


async def refused_for_its_size(client: Client) -> None:
    client.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 5_000)
    assert b" 431 " in await client.reader.readuntil(b"\r\n")
    client.leave()


async def refused_for_its_fields(client: Client) -> None:
    client.writer.write(get(b"", *[b"X: y"] * 200))
    assert b" 431 " in await client.read_all()
    client.writer.close()


async def refused_for_its_address(client: Client) -> None:
    client.writer.write(get(b"a" * 20_000))
    assert b" 414 " in await client.read_all()
    client.writer.close()


async def refused_in_a_body(client: Client) -> None:
    client.writer.write(post(b"body", b"Transfer-Encoding: chunked", b"zz\r\n"))
    assert b" 400 " in await client.read_all()
    client.writer.close()


async def gone_in_a_body(client: Client) -> None:
    client.writer.write(post(b"body", b"Content-Length: 100", b"abc"))
    await client.application.reached.wait()
    client.leave()


async def gone_in_a_chunk(client: Client) -> None:
    client.writer.write(post(b"body", b"Transfer-Encoding: chunked", b"5\r\nab"))
    await client.application.reached.wait()
    client.leave()


async def gone_in_a_body_nobody_reads(client: Client) -> None:
    client.writer.write(post(b"", b"Content-Length: 100", b"abc"))
    await client.see(b"ok")
    client.leave()


async def half_closed(client: Client) -> None:
    client.writer.write(get(b""))
    client.writer.write_eof()
    assert b"200 OK" in await client.read_all()


async def half_closed_in_a_head(client: Client) -> None:
    client.writer.write(get(b"")[:10])
    client.writer.write_eof()
    assert b" 400 " in await client.read_all()


async def in_an_answer_without_end(client: Client) -> None:
    client.writer.write(get(b"endless"))
    await client.see(b"ok")
    client.leave()


async def in_an_answer_that_it_does_not_take(client: Client) -> None:
    client.writer.write(get(b"full"))
    await client.application.reached.wait()
    client.leave()


async def behind_many_requests(client: Client) -> None:
    client.writer.write(get(b"") * 2_000)
    await client.see(b"ok")
    client.leave()


async def failed(client: Client) -> None:
    client.writer.write(get(b"fails"))
    assert b" 500 " in await client.read_all()
    client.writer.close()


async def handed_over(client: Client) -> None:
    """The door is let go of while what took its connection still has it."""
    client.writer.write(get(b"") + get(b"taken"))
    await client.see(b"ok")
    await client.see(b"ok")


async def too_long_silent(client: Client) -> None:
    """The server ends it."""
    client.writer.write(get(b""))
    assert b"200 OK" in await client.read_all()


ENDS: Final = [
    *(silent, served_and_gone, served_last, in_a_head, refused, refused_for_its_size, refused_for_its_fields),
    *(refused_for_its_address, refused_in_a_body, gone_in_a_body, gone_in_a_chunk),
    *(gone_in_a_body_nobody_reads, half_closed, half_closed_in_a_head, in_an_answer_without_end),
    *(in_an_answer_that_it_does_not_take, behind_many_requests, failed, handed_over, too_long_silent),
]


@contextmanager
def without_collection() -> Iterator[None]:
    """Only counting references frees anything. Nothing is logged: whoever runs tests keeps that, with tracebacks."""
    gc.collect()
    gc.disable()
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()


async def nothing() -> None:
    """Nothing to drain."""


async def is_let_go(end: Callable[[Client], Awaitable[None]]) -> None:
    listening, started, application = listening_socket("127.0.0.1", 0), asyncio.Event(), Application()
    port = listening.getsockname()[1]
    server = DrainingServer(application, started.set, nothing, claim=claim_taken, takes_signals=False, limits=LIMITS)
    serving = asyncio.create_task(server.serve([listening]))
    await started.wait()
    state, client = server.server_state, None
    try:
        with without_collection():
            async with asyncio.timeout(TIMEOUT_S):
                client = Client(*await asyncio.open_connection("127.0.0.1", port), application)
                await until(lambda: bool(state.connections))
                door = weakref.ref(next(iter(state.connections)))
                await end(client)
                await until(lambda: not (state.connections or state.tasks))
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
            assert door() is None, [type(one).__name__ for one in gc.get_referrers(door())]
    finally:
        if client is not None:
            client.writer.transport.abort()
        server.should_exit = True
        await serving


async def until(is_so: Callable[[], bool]) -> None:
    for _ in iter(is_so, True):
        await asyncio.sleep(0)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_a_connection_that_has_ended_is_freed_by_counting_references(end: Callable[[Client], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(is_let_go(end))
