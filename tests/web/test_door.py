"""What a connection may ask for and how slowly, over raw sockets; also pins what we touch of uvicorn."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from livecomments.web.bounds import LINGER_BYTES_MAX, HttpLimits
from livecomments.web.server import DrainingServer, listening_socket

TIMEOUT_S: Final = 10.0
"""For an answer or an end that must come."""
LIMITS: Final = HttpLimits(head_bytes_max=1_000, headers_max=10, head_timeout_s=0.3, body_timeout_s=0.3)
GOOD: Final = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
OK: Final = b"HTTP/1.1 200 OK\r\n"

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


RESET_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: what is not sent is dropped, and the peer is told so."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without reading the body, unless it is asked for at `/body`."""
    if scope["path"] == "/body":
        while (message := await receive())["type"] != "http.disconnect" and message["more_body"]:
            pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Endless:
    """Never comes to an end of its answer, and begins none but at `/begun`."""

    def __init__(self) -> None:
        self.reached, self.left = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok", "more_body": True})
        self.reached.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


async def nothing() -> None:
    """Nothing to drain."""


@asynccontextmanager
async def serving(limits: HttpLimits, application: ASGIApp = app) -> AsyncIterator[Connect]:
    listening = listening_socket("127.0.0.1", 0)
    port = listening.getsockname()[1]
    started = asyncio.Event()
    server = DrainingServer(application, started.set, nothing, takes_signals=False, limits=limits)
    task = asyncio.create_task(server.serve([listening]))
    await started.wait()
    writers = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield connect
    finally:
        for writer in writers:
            writer.close()
        server.should_exit = True
        await task


async def answered(reader: asyncio.StreamReader) -> bytes:
    """The next whole answer of the app."""
    return await reader.readuntil(b"\r\n\r\nok")


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, in whatever way."""
    said = b""
    try:
        while chunk := await reader.read(65_536):
            said += chunk
    except ConnectionResetError:
        pass  # it was closed while we still wrote
    return said


TOO_LARGE = [
    (b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"a" * 2_000 + b"\r\n\r\n", b"head_too_large"),
    (b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"a" * 2_000, b"head_too_large"),
    (b"GET /" + b"a" * 2_000 + b" HTTP/1.1\r\nhost: h\r\n\r\n", b"target_too_long"),
    (b"GET / HTTP/1.1\r\nhost: h\r\n" + b"x: y\r\n" * 20 + b"\r\n", b"head_too_large"),
]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(("head", "code"), TOO_LARGE, ids=range(len(TOO_LARGE)))
async def test_a_head_is_bounded_on_every_request_of_a_connection(head: bytes, code: bytes, is_first: bool) -> None:
    async with serving(LIMITS) as connect:
        reader, writer = await connect()
        if not is_first:
            writer.write(GOOD)
            assert (await answered(reader)).startswith(OK)
        saying = asyncio.create_task(ended(reader))
        for at in range(0, len(head), 700):  # in pieces, as a network would
            writer.write(head[at : at + 700])
            await asyncio.sleep(0)
        said = await saying
        assert said.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 414 "))
        assert b'"code":"%b"' % code in said


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("beginning", [b"GET / HTTP/1.1\r\nhos", b"\r\n", b"\r\n\r\n", b"\n\n\r\n\r\n"])
async def test_a_head_that_trickles_is_cut_off(is_first: bool, beginning: bytes) -> None:
    async with serving(LIMITS) as connect:
        reader, writer = await connect()
        if not is_first:
            writer.write(GOOD)
            await answered(reader)
        writer.write(beginning)
        assert await ended(reader) == b""


async def test_a_body_that_nobody_reads_must_still_come_to_an_end() -> None:
    async with serving(LIMITS) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc")
        assert (await answered(reader)).startswith(OK)
        assert await ended(reader) == b""


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_body_that_somebody_waits_for_is_answered_when_it_is_late(is_first: bool) -> None:
    async with serving(LIMITS) as connect:
        reader, writer = await connect()
        if not is_first:
            writer.write(GOOD)
            await answered(reader)
        writer.write(b"POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc")
        said = await ended(reader)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"body_timeout"' in said


async def test_requests_behind_each_other_are_answered_in_their_order_and_stay_in_bounds() -> None:
    async with serving(LIMITS._replace(head_timeout_s=TIMEOUT_S, body_timeout_s=TIMEOUT_S)) as connect:
        reader, writer = await connect()
        writer.write(GOOD * 50 + GOOD[:10])  # together larger than one head may be
        for _ in range(50):
            assert (await answered(reader)).startswith(OK)
        writer.write(GOOD[10:])
        assert (await answered(reader)).startswith(OK)


@pytest.mark.parametrize(
    "request_",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"],
)
@pytest.mark.parametrize("is_first", [True, False])
async def test_what_is_no_request_is_a_problem_like_any_other(request_: bytes, is_first: bool) -> None:
    async with serving(LIMITS) as connect:
        reader, writer = await connect()
        if not is_first:
            writer.write(GOOD)
            await answered(reader)
        writer.write(request_)
        said = await ended(reader)
        assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b'"code":"invalid_request"' in said
        assert b"application/problem+json" in said


@pytest.mark.parametrize("path", [b"/silent", b"/begun"])
@pytest.mark.parametrize("how", ["behind a backlog", "half-closed", "closed behind a backlog"])
async def test_a_client_that_is_gone_is_noticed_though_nothing_is_read_from_it(path: bytes, how: str) -> None:
    """Whoever does not read is told of no end; and a stream to nobody would hold its place until it writes."""
    endless = Endless()
    async with serving(LIMITS._replace(look_interval_s=0.1), endless) as connect:
        reader, writer = await connect()
        writer.write(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % path)
        await endless.reached.wait()
        sock = writer.get_extra_info("socket")
        if how == "half-closed":
            writer.write_eof()
            await asyncio.sleep(0)
        else:
            writer.write(GOOD * 1_000)
            await writer.drain()
        if how == "closed behind a backlog" and path == b"/begun":
            await reader.readuntil(b"ok")  # what was not read would be answered by a reset
            writer.close()
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
            writer.transport.abort()
        await endless.left.wait()


async def test_a_client_that_waits_for_a_slow_answer_is_left_alone() -> None:
    async with serving(LIMITS._replace(look_interval_s=0.02), Endless()) as connect:
        reader, writer = await connect()
        writer.write(b"GET /begun HTTP/1.1\r\nHost: h\r\n\r\n" + GOOD * 1_000)
        await reader.readuntil(b"ok")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):  # many looks
                await reader.read()


async def test_what_is_sent_behind_a_last_answer_is_read_in_line_and_within_a_bound() -> None:
    """A client that looks at no answer before it has sent all gets its answer; one that sends for ever is cut off."""
    async with serving(LIMITS) as connect:
        reader, writer = await connect()
        writer.write(b"nonsense\r\n\r\n" + b"x" * (LINGER_BYTES_MAX // 2))
        await writer.drain()
        writer.write_eof()
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        reader, writer = await connect()
        writer.write(b"nonsense\r\n\r\n")
        with pytest.raises(ConnectionError):
            await send_for_ever(writer)


async def send_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * LINGER_BYTES_MAX)
        await writer.drain()
