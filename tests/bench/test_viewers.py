"""The crowd of the benchmarks sees what an edge does wrong: it is given planted faults, plain and as shared gzip."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.viewers import Crowd, Saw, floor
from livecomments_consumers.frames import gap_frame, heartbeat_frame
from livecomments_consumers.wire import Form, formed, opening
from livecomments_schemas.positions import comment_id, position_at

PARTITION = 3
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BOUND_S = 10.0


def identifier(offset: int) -> str:
    return comment_id(position_at(1, offset), PARTITION)


def comment(offset: int, stamp_ms: int = 0) -> bytes:
    data = b'{"message":"%s","videoTimeMs":%d}' % (b"x" * 300, stamp_ms)
    return b"event: comment\nid: %b\ndata: %b\n\n" % (identifier(offset).encode(), data)


class Edge:
    """Greets every viewer at offset 9 of its own, and gives all of them what it is told to give."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.port = 0
        self._writers: list[tuple[asyncio.StreamWriter, Form]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        form = Form.CHUNKED_GZIP if b"gzip" in head else Form.CHUNKED
        writer.write(HEAD + opening(heartbeat_frame(identifier(9), 15), form))
        self._writers.append((writer, form))

    def give(self, data: bytes) -> None:
        for writer, form in self._writers:
            writer.write(formed(data, form, compress=True))

    def end(self) -> None:
        for writer, _ in self._writers:
            writer.close()


@asynccontextmanager
async def edge() -> AsyncIterator[tuple[Edge, Crowd]]:
    serving = Edge()
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Crowd.running(f"127.0.0.1:{port}", 0) as crowd:
        yield serving, crowd
        serving.end()


async def seen(crowd: Crowd, group: int, comments: int) -> Saw:
    """What was seen until so many comments were."""
    saw = await crowd.saw(group)
    async with asyncio.timeout(BOUND_S):
        while saw.comments < comments:
            saw = saw.and_then(await crowd.saw(group))
    return saw


@pytest.mark.parametrize("gzip", [False, True])
async def test_what_is_in_order_is_counted_and_nothing_is_held_against_it(gzip: bool) -> None:
    async with edge() as (serving, crowd):
        group = await crowd.open(10, "v", every=2, gzip=gzip)
        serving.give(comment(10) + comment(11))
        serving.give(comment(12))
        saw = await seen(crowd, group, 15)
        assert (saw.open, saw.readers, saw.comments, saw.offset_min, saw.faults) == (10, 5, 15, 12, 0)
        assert saw.others == 0


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (comment(10) + comment(12), "holes"),
        (comment(10) + heartbeat_frame(identifier(11), 15) + comment(12), "holes"),
        (comment(10) + comment(10), "disordered"),
        (comment(11) + comment(10), "disordered"),
        (comment(10) + gap_frame(identifier(10), identifier(10), "retention") + comment(11), "gaps"),
    ],
)
@pytest.mark.parametrize("gzip", [False, True])
async def test_what_an_edge_must_not_do_is_noticed(gzip: bool, given: bytes, fault: str) -> None:
    async with edge() as (serving, crowd):
        group = await crowd.open(2, "v", every=1, gzip=gzip)
        serving.give(given)
        saw = await seen(crowd, group, 4)
        assert getattr(saw, fault) == 2
        assert saw.faults >= 2


async def test_a_stream_that_ends_is_noticed_of_viewers_that_are_not_read_too() -> None:
    async with edge() as (serving, crowd):
        group = await crowd.open(4, "v", every=2)
        serving.end()
        saw = await crowd.saw(group)
        async with asyncio.timeout(BOUND_S):
            while saw.open:
                saw = saw.and_then(await crowd.saw(group))
        assert saw.closed == 4


async def test_who_comes_back_names_the_last_id_it_had_and_notices_what_was_missed() -> None:
    async with edge() as (serving, crowd):
        group = await crowd.open(2, "v", every=2)
        serving.give(comment(10) + comment(11))
        await seen(crowd, group, 2)
        await crowd.away(group)
        serving.end()
        serving.asked.clear()
        await crowd.back(group)
        assert [head.count(b"Last-Event-ID: " + identifier(11).encode()) for head in serving.asked] == [1, 1]
        serving.give(comment(13))
        assert (await seen(crowd, group, 1)).holes == 1


async def test_the_age_of_a_comment_is_told_from_the_time_it_carries() -> None:
    async with edge() as (serving, crowd):
        group = await crowd.open(1, "v", every=1)
        now_ms = round(asyncio.get_running_loop().time())  # any time long after 1970
        serving.give(comment(10, now_ms) + comment(11, now_ms + 3_600_000))
        saw = await seen(crowd, group, 2)
        assert saw.max_ms - saw.p50_ms == pytest.approx(3_600_000, rel=0.2)


async def test_the_floor_sends_what_a_viewer_got_to_as_many(tmp_path: Path) -> None:
    file = tmp_path / "blocks"
    async with edge() as (serving, crowd):
        group = await crowd.open(3, "v", every=1)
        await crowd.record(group, file)
        blocks = [comment(10) + comment(11), comment(12)]
        for block in blocks:
            serving.give(block)
        await seen(crowd, group, 9)
        assert await crowd.recorded() == 3
    chunks = b"".join(formed(block, Form.CHUNKED) for block in blocks)
    sent = await floor(file, 5, frozenset((0,)))
    assert (sent.sends, sent.bytes) == (10, 5 * len(chunks))
