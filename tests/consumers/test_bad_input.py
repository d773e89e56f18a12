"""What a stream answers to requests that are wrong, odd or hostile: each within its bound, and never with a 5xx."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.topics import comments_topic
from livecomments.sqlite import DurableFile
from livecomments.web.bounds import HTTP_LIMITS
from livecomments_schemas.events import Author, NewRecord, comment_created
from livecomments_schemas.limits import RECORD_VALUE_BYTES_MAX
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, first_position, parse_comment_id
from tests.consumers.streams import counted, stream_of
from tests.served import Served, served

BOUND_S: Final = 20.0
HOST: Final = "Host: h"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as deployment, asyncio.timeout(60):
        yield deployment


class Connection:
    """A raw connection to the service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *lines: str | bytes, path: str = "/comments/v/stream", method: str = "GET") -> None:
        """A request with these header lines."""
        head = [f"{method} {path} HTTP/1.1".encode()]
        head += [line if isinstance(line, bytes) else line.encode() for line in lines]
        self.writer.write(b"\r\n".join([*head, b"", b""]))

    async def until(self, *wanted: bytes) -> bytes:
        """Everything up to the first of these."""
        said = b""
        while not any(one in said for one in wanted):
            more = await self.reader.read(65_536)
            assert more, f"the connection ended after {said!r}"
            said += more
        return said

    async def rest(self) -> bytes:
        """Everything until the connection ends."""
        said = b""
        try:
            while more := await self.reader.read(65_536):
                said += more
        except ConnectionResetError:
            pass  # it was closed while we still wrote
        return said


@asynccontextmanager
async def connected(running: Served) -> AsyncIterator[Connection]:
    port = int(running.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def answer_of(running: Served, *lines: str | bytes, path: str = "/comments/v/stream") -> bytes:
    """The beginning of an answer: its head, and the first event of a stream or the code of a problem."""
    async with connected(running) as connection:
        connection.send(HOST, *lines, path=path)
        return await connection.until(b"event: heartbeat", b'"code":')


async def posted(running: Served, count: int, video_id: str = "v") -> list[str]:
    token = await running.token()
    return [(await running.post(video_id, f"m{n}", token))[1]["commentId"] for n in range(count)]


REFUSED: Final = {
    "64 KB": (b"Last-Event-ID: " + b"a" * 65_536, 431, b"head_too_large"),
    "as much as a head may have": (b"Last-Event-ID: " + b"0" * 15_000, 400, b"invalid_cursor"),
    "a NUL": (b"Last-Event-ID: a\0b", 400, b"invalid_request"),
    "no ASCII": ("Last-Event-ID: é".encode(), 400, b"invalid_cursor"),
    "no id": (b"Last-Event-ID: yesterday", 400, b"invalid_cursor"),
    "300 headers": (b"\r\n".join(b"X-%d: a" % n for n in range(300)), 431, b"head_too_large"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_last_event_id_or_a_head_that_cannot_be_is_refused_for_good(running: Served, what: str) -> None:
    line, status, code = REFUSED[what]
    async with connected(running) as connection:
        connection.send(HOST, line)
        said = await connection.until(b'"code":"')
        said += await connection.rest() if status == 431 else b""
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert code in said


@pytest.mark.parametrize("lane", [(), ("X: 1", "X: 2")], ids=["fast", "asgi"])
async def test_an_id_of_another_partition_is_refused(running: Served, lane: tuple[str, ...]) -> None:
    other = next(f"w{n}" for n in range(99) if partition_of(f"w{n}", 2) != partition_of("v", 2))
    (foreign,) = await posted(running, 1, other)
    said = await answer_of(running, f"Last-Event-ID: {foreign}", *lane)
    assert b"HTTP/1.1 400 " in said
    assert b"invalid_cursor" in said


@pytest.mark.parametrize("epochs", [0, 1, 7])
async def test_an_id_of_the_future_or_of_an_epoch_to_come_is_a_gap_and_then_live(running: Served, epochs: int) -> None:
    (only,) = await posted(running, 1)
    position, partition = parse_comment_id(only)
    ahead = comment_id(position + 5 if not epochs else first_position(1 + epochs) + 5, partition)
    async with stream_of(running.client, "v", last_event_id=ahead) as stream, asyncio.timeout(BOUND_S):
        gap = await stream.next(b"gap")
        assert gap.id == only.encode()
        (live,) = await posted(running, 1)
        assert await stream.ids(1) == [live]


async def test_an_id_of_an_epoch_before_is_given_all_that_came_since(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, comments_topic(3), 3, 2):
        pass  # a data directory that was in its third epoch
    async with served(tmp_path) as running, asyncio.timeout(BOUND_S):
        ids = await posted(running, 2)
        _, partition = parse_comment_id(ids[0])
        async with stream_of(running.client, "v", last_event_id=comment_id(first_position(2) + 9, partition)) as stream:
            assert await stream.ids(2) == ids


@pytest.mark.parametrize("after", ["nonsense", "", "0" * 9_000])
async def test_beside_a_last_event_id_an_after_is_not_even_looked_at(running: Served, after: str) -> None:
    ids = await posted(running, 3)
    async with stream_of(running.client, "v", last_event_id=ids[1], after=after) as stream:
        assert await stream.ids(1) == [ids[2]]


@pytest.mark.parametrize("query", ["history=-1", "history=1e9", "history=٣", "history=999999", "history=", "after=x"])
async def test_parameters_that_cannot_be_are_refused(running: Served, query: str) -> None:
    async with running.client.get(f"/comments/v/stream?{query}") as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] in ("invalid_history", "invalid_cursor")


@pytest.mark.parametrize("query", ["after=a&after=b", "history=1&history=2", "a=%zz&%=1&=&&", "x=" + "y" * 8_000])
async def test_odd_queries_have_an_answer(running: Served, query: str) -> None:
    said = await answer_of(running, path=f"/comments/v/stream?{query}")
    assert said[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 400")


async def test_half_a_request_and_silence_is_cut_off_without_a_word(running: Served) -> None:
    assert HTTP_LIMITS.head_timeout_s == 5.0
    async with connected(running) as connection:
        connection.writer.write(b"GET /comments/v/stream HTTP/1.1\r\nHost: h\r\nLast-")
        assert await connection.rest() == b""


async def test_a_stream_as_the_second_request_of_a_connection_is_served_by_the_fast_lane_too(running: Served) -> None:
    before = counted("lanes_total", lane="transport")
    (first,) = await posted(running, 1)
    async with connected(running) as connection:
        connection.send(HOST, path="/comments/v?pageSize=1")
        assert first.encode() in await connection.until(b'"nextCursor"')
        connection.send(HOST)
        assert b"HTTP/1.1 200 OK" in await connection.until(b"event: heartbeat")
        (live,) = await posted(running, 1)
        assert live.encode() in await connection.until(live.encode())
    assert counted("lanes_total", lane="transport") == before + 1


@pytest.mark.parametrize("lane", [(), ("X: 1", "X: 2")], ids=["fast", "asgi"])
async def test_what_is_sent_after_a_streams_request_is_neither_kept_nor_answered(
    tmp_path: Path, lane: tuple[str, ...]
) -> None:
    async with served(tmp_path, heartbeat_interval_s=0.2) as running, asyncio.timeout(BOUND_S):
        async with connected(running) as connection:
            connection.send(HOST, *lane)
            connection.send(HOST, path="/comments/v")  # in the same breath
            await connection.until(b"event: heartbeat")
            for _ in range(16):
                connection.send(HOST, "X: " + "x" * 10_000, path="/comments/v")
                await asyncio.sleep(0)
            (live,) = await posted(running, 1)
            assert b'"nextCursor"' not in await connection.until(live.encode())
        await running.service.hub.drained(BOUND_S)  # nothing is read of it any more: a write tells that it has left


@pytest.mark.parametrize("lane", [(), ("X: 1", "X: 2")], ids=["fast", "asgi"])
async def test_noise_after_a_streams_request_ends_no_other_stream_and_is_no_error_of_ours(
    running: Served, lane: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with stream_of(running.client, "v") as other:
        await other.next(b"heartbeat")
        async with connected(running) as connection:
            connection.send(HOST, *lane)
            await connection.until(b"event: heartbeat")
            connection.writer.write(b"\0 noise\r\n\r\n" * 100)
            (live,) = await posted(running, 1)
            await connection.until(live.encode())
        assert await other.ids(1) == [live]
    await running.service.hub.drained(BOUND_S)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


FOREIGN: Final = {
    "a line break": b'{"videoId":"v","message":"a\n\ndata: forged"}',
    "a carriage return": b'{"videoId":"v","message":"a\rid: forged"}',
    "a megabyte": b'{"videoId":"v","message":"' + b"a" * 2**20 + b'"}',
    "no JSON": b'{"forged"',
    "nothing": b"",
}


@pytest.mark.parametrize("what", FOREIGN)
async def test_what_others_write_into_the_log_forges_nothing_and_stops_nobody(running: Served, what: str) -> None:
    assert len(FOREIGN["a megabyte"]) > RECORD_VALUE_BYTES_MAX
    log = running.service.follower.log
    good = comment_created("v", "hi", Author("a", "A"), created_at_ms=0)
    async with connected(running) as connection:
        connection.send(HOST)
        await connection.until(b"event: heartbeat")
        partition = partition_of("v", log.partition_count)
        await log.append(partition, NewRecord(good.key, FOREIGN[what], good.headers))
        (live,) = await posted(running, 1)
        said = await connection.until(live.encode() + b"\ndata: ")
        assert b"forged" not in said
        assert said.count(b"event: comment") == 1
        assert len(said) < 2_000
