"""The pollers of the benchmarks see what a cache does wrong: answers with planted faults, whole and in chunks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from bench.pollers import Polled, Pollers
from livecomments_schemas.positions import comment_id, position_at
from tests.infra.waiting import wait_until

PARTITION = 3
FIRST = 9
BOUND_S = 60.0
END = b"Stream-Up-To-Date: true\r\n"


def identifier(offset: int) -> str:
    return comment_id(position_at(1, offset), PARTITION)


def comment(offset: int, stamp_ms: int = 0) -> bytes:
    text = b'{"type":"comment","commentId":"%b","message":"{\\"type\\":\\"comment\\"","videoTimeMs":%d}'
    return text % (identifier(offset).encode(), stamp_ms)


def delete(offset: int) -> bytes:
    return b'{"type":"delete","commentId":"%b"}' % identifier(offset).encode()


def answer(through: int, messages: Sequence[bytes], *, chunked: bool = False, headers: bytes = END) -> bytes:
    body = b"[" + b",".join(messages) + b"]"
    head = b"HTTP/1.1 200 OK\r\n%bStream-Cursor: 7\r\nStream-Next-Offset: %b\r\n"
    head %= (headers, identifier(through).encode())
    if not chunked:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    pieces = (body[:7], body[7:])
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@asynccontextmanager
async def polling(*answers: bytes, away_ms: int = 0) -> AsyncIterator[tuple[Pollers, list[bytes]]]:
    """One poller of a server that gives these answers, one a request (an empty one: it hangs up), and then none."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b" HTTP")[0])
                if len(asked) > len(answers):
                    await reader.read()
                if not (said := answers[len(asked) - 1 :][:1]) or not said[0]:
                    break
                writer.write(said[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Pollers.running(server.sockets[0].getsockname()[1], 0, away_ms) as pollers:
        await pollers.open(1, "v", [identifier(FIRST)])
        yield pollers, asked


async def seen(pollers: Pollers, asked: list[bytes], requests: int) -> Polled:
    """What it saw, once it has sent so many requests."""
    await asyncio.to_thread(wait_until, lambda: len(asked) >= requests, BOUND_S)
    return await pollers.saw()


@pytest.mark.parametrize(("chunked", "away_ms"), [(False, 0), (True, 0), (False, 5)])
async def test_what_is_whole_has_no_fault_and_is_gone_on_from(chunked: bool, away_ms: int) -> None:
    first = answer(11, [comment(10), comment(11)], chunked=chunked)
    second = answer(14, [delete(10), comment(13), delete(3)], chunked=chunked)
    async with polling(first, second, away_ms=away_ms) as (pollers, asked):
        saw = await seen(pollers, asked, 3)
    assert (saw.comments, saw.deletes, saw.answers) == (3, 2, 2)
    assert (saw.faults, saw.refused, saw.closed, saw.offset_min) == (0, 0, 0, 14)
    assert asked[1].endswith(f"/streams/v?cursor=7&live=long-poll&offset={identifier(11)}".encode())


@pytest.mark.parametrize(
    ("messages", "holes", "disordered"),
    [
        ([comment(11)], 1, 0),
        ([comment(10), comment(13)], 2, 0),
        ([delete(3), comment(12)], 1, 0),
        ([comment(10), comment(10)], 0, 1),
        ([comment(11), comment(10)], 1, 1),
        ([comment(9)], 0, 1),
    ],
)
async def test_what_is_missing_twice_or_late_is_seen(messages: list[bytes], holes: int, disordered: int) -> None:
    async with polling(answer(13, messages)) as (pollers, asked):
        saw = await seen(pollers, asked, 2)
    assert (saw.holes, saw.disordered) == (holes, disordered)


async def test_refusals_and_connections_that_break_are_counted_and_asked_again() -> None:
    refused = b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"
    async with polling(refused, b"", answer(10, [comment(10)])) as (pollers, asked):
        saw = await seen(pollers, asked, 4)
    assert (saw.refused, saw.closed, saw.comments) == (1, 1, 1)
    assert asked[0] == asked[1] == asked[2] != asked[3]


async def test_the_age_is_of_what_came_to_who_waited() -> None:
    behind = answer(10, [comment(10)], headers=b"")
    async with polling(behind, answer(11, [comment(11)]), answer(12, [comment(12, 3_600_000)])) as (pollers, asked):
        saw = await seen(pollers, asked, 4)
    assert saw.comments == 3
    assert saw.p50_ms == saw.max_ms > 0
