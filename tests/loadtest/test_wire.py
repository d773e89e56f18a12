"""One streaming connection over a real socket: cut where it was asked to be, and ended for the right reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from livecomments_loadtest.client import Pool, Wire, connect, origin_of
from livecomments_loadtest.wire import StreamWire

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


class Line(asyncio.Transport):
    """A transport to nobody: what was written, and whether it was aborted."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.aborted = True


class Peer(asyncio.Protocol):
    """Answers every request with the same bytes, and closes then if asked to."""

    def __init__(self, answer: bytes, *, close: bool) -> None:
        self.answer = answer
        self.close = close

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.answer)
        if self.close:
            self.transport.close()


@asynccontextmanager
async def peer(answer: bytes, *, close: bool) -> AsyncIterator[str]:
    peers: list[Peer] = []

    def meet() -> Peer:
        peers.append(Peer(answer, close=close))
        return peers[-1]

    server = await asyncio.get_running_loop().create_server(meet, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for each in peers:
            each.transport.close()
        server.close()
        await asyncio.sleep(0)


async def test_a_cut_in_an_event_leaves_it_unfinished() -> None:
    got, line = list[bytes](), Line()
    wire = StreamWire(b"GET", got.extend)
    wire.connection_made(line)
    wire.data_received(HEAD + b"data: 0\n\n")
    wire.cut(mid_event=True)
    assert wire.is_open
    wire.data_received(b"data: 1\n\ndata: 2\n\n")
    wire.data_received(b"data: 3\n\n")
    assert got == [b"data: 0", b"data: 1"]
    assert wire.ended.result() == "dropped in an event"
    assert line.aborted
    assert line.written == b"GET"


async def test_a_cut_between_events_is_at_once() -> None:
    line = Line()
    wire = StreamWire(b"", lambda blocks: None)
    wire.connection_made(line)
    wire.data_received(HEAD)
    wire.cut(mid_event=False)
    assert wire.ended.result() == "dropped"
    assert line.aborted
    assert not wire.is_open


async def watch(url: str) -> tuple[list[bytes], StreamWire, str]:
    origin, got = origin_of(url), list[bytes]()
    wire = await connect(origin, lambda: StreamWire(origin.head("GET", "/", {}), got.extend))
    async with asyncio.timeout(5):
        return got, wire, await wire.ended


async def test_a_closed_stream_discards_what_is_unfinished() -> None:
    async with peer(HEAD + b"data: 1\n\nretry: 70\ndata: 2\n", close=True) as url:
        got, wire, reason = await watch(url)
    assert (got, reason, wire.retry_ms) == ([b"data: 1"], "closed", 70)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 503 x\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n", "status 503"),
        (b"no http\r\n\r\n", "malformed: no HTTP/1.1 status line"),
        (HEAD[:-2] + b"transfer-encoding: chunked\r\n\r\nzz\r\n", "malformed: a chunk size that is no number"),
    ],
)
async def test_a_stream_ends_for_the_reason_there_is(answer: bytes, expected: str) -> None:
    async with peer(answer, close=True) as url:
        _, wire, reason = await watch(url)
    assert reason == expected
    assert not wire.is_open


async def test_an_answer_that_is_cut_off_is_an_os_error() -> None:
    async with peer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", close=True) as url:
        wire = await connect(origin_of(url), Wire)
        with pytest.raises(OSError, match="closed before the answer"):
            await wire.ask(b"GET / HTTP/1.1\r\n\r\n", 5)
    assert not wire.reusable


async def test_a_connection_that_was_answered_in_full_is_used_again() -> None:
    async with peer(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", close=False) as url:
        pool = Pool(origin_of(url), 1)
        async with pool.wire() as wire:
            assert (await wire.ask(b"GET / HTTP/1.1\r\n\r\n", 5)).body == b"abc"
        async with pool.wire() as again:
            assert again is wire
        pool.close()


def test_an_address_may_have_a_path_in_front() -> None:
    origin = origin_of("http://user@example.org:81/api/")
    assert (origin.host, origin.port, origin.authority, origin.prefix) == ("example.org", 81, "example.org:81", "/api")
    assert origin.head("GET", "/x", {"a": "b"}) == b"GET /api/x HTTP/1.1\r\nhost: example.org:81\r\na: b\r\n\r\n"
    assert origin.target_of("http://example.org:81/api/comments/v?after=1") == "/comments/v?after=1"
    assert origin_of("https://example.org").port == 443
