"""A crowd behind the recommended caches, as real programs: everything once, in order, in few requests of an edge."""

import asyncio
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from infra.local.caches import CACHES, Cache
from infra.local.ports import HOST, free_port
from livecomments_schemas.positions import comment_id, position_at
from tests.consumers.streams import counted
from tests.infra.crowds import FollowingPoller, cache_before
from tests.served import Served, served

POLLERS: Final = 40
COMMENTS: Final = 60
RESTARTED_AT: Final = 35
MANY: Final = 1_100
"""More than ten bits count."""
ROUNDS: Final = 3
"""Times that an answer is asked of the edge: first, and when it was too old."""
AT_ONCE_MAX: Final = 2
"""Of those who come together some may be before the end of nginx's ten seconds, and some after."""
WITHIN_S: Final = 300.0


def polled() -> float:
    """How often an edge was asked so far."""
    asked = ((live, result) for live in ("no", "long-poll") for result in ("data", "empty"))
    return sum(counted("polls_total", live=live, result=result) for live, result in asked)


@pytest.mark.parametrize("program", CACHES)
async def test_a_crowd_is_a_few_requests_and_misses_nothing_when_the_cache_is_restarted(
    program: str, tmp_path: Path
) -> None:
    port = free_port()
    async with served(tmp_path / "data") as running:
        edge = int(running.url.rpartition(":")[2])
        with cache_before(program, tmp_path / program, port, (edge, edge)) as cache:
            async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession(f"http://{HOST}:{port}") as client:
                await _tell_a_crowd(running, cache, client)


async def _tell_a_crowd(running: Served, cache: Cache, client: aiohttp.ClientSession) -> None:
    token = await running.token()

    async def post(text: str) -> str:
        return str((await running.post("v", text, token))[1]["commentId"])

    ids = [await post(str(n)) for n in range(10)]
    pollers = [FollowingPoller(client, "v", "-1" if n % 2 else ids[n % 10]) for n in range(POLLERS)]
    begun = polled()

    async def follow(poller: FollowingPoller) -> None:
        def has_all() -> bool:
            return len(ids) == COMMENTS and poller.ids[-1:] == ids[-1:]

        while not has_all():
            try:
                await poller.ask()
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)  # as a client does

    async def write() -> None:
        for n in range(len(ids), COMMENTS):
            if n == RESTARTED_AT:
                await asyncio.to_thread(cache.stop)
                await asyncio.to_thread(cache.start)
            ids.append(await post(str(n)))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        for poller in pollers:
            tasks.create_task(follow(poller))
    for n, poller in enumerate(pollers):
        assert poller.ids == (ids if n % 2 else ids[n % 10 + 1 :])
    answered = sum(poller.answers for poller in pollers)
    assert (polled() - begun) * 2 < answered, "the crowd asked the edge by itself"


@pytest.mark.parametrize("program", CACHES)
async def test_who_is_somebody_is_answered_by_an_edge_and_pages_of_any_site_may_read(
    program: str, tmp_path: Path
) -> None:
    port = free_port()
    async with served(tmp_path / "data", cors_origins="https://a.example") as running:
        edge = int(running.url.rpartition(":")[2])
        with cache_before(program, tmp_path / program, port, (edge, edge)):
            async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession(f"http://{HOST}:{port}") as client:
                token = await running.token()
                await running.post("v", "hi", token)
                own = {"Authorization": f"Bearer {token}"}
                for headers in (own, {"Origin": "https://b.example"}, {}, own):
                    async with client.get("/streams/v?utm_x=1&offset=-1", headers=headers) as answer:
                        assert (answer.status, len(await answer.json())) == (200, 1)
                        assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"]
                        assert ("no-store" in answer.headers["Cache-Control"]) == ("Authorization" in headers)
                lies = (
                    {"Range": "bytes=0-3"},
                    {"If-None-Match": "*"},
                    {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
                )
                for number, lie in enumerate(lies):
                    url = f"/streams/v?cursor={number}&offset=-1"
                    for headers in (lie, {}):
                        async with client.get(url, headers=headers) as answer:
                            assert answer.status == 200 or headers
                            assert len(await answer.read()) > 4 or headers, f"what {lie} was answered is kept"
                for coding in ("gzip", "br, gzip", "identity;q=0", ""):
                    async with client.get(
                        "/streams/v?cursor=9&offset=-1", headers={"Accept-Encoding": coding}
                    ) as answer:
                        assert len(await answer.json()) == 1
                        assert not {"Content-Encoding", "Vary"} & set(answer.headers), "one form for all"
                home = running.service.hub.home("v")[0].partition
                for offset, status in (
                    (comment_id(position_at(1, 10**9), home), 410),  # of the future, and of another epoch
                    (comment_id(position_at(900, 0), home), 410),
                    (comment_id(position_at(1, 0), 1 - home), 400),  # of another partition
                    ("x", 400),
                ):
                    for live in ("", "&live=long-poll", "&live=true"):
                        async with client.get(f"/streams/v?offset={offset}{live}") as refused:
                            assert refused.status == (400 if live == "&live=true" else status)
                            assert "no-store" in refused.headers["Cache-Control"]
                async with client.get("/streams/v?offset=now") as now:
                    assert "no-store" in now.headers["Cache-Control"]
                async with client.get("/streams/v?offset=x") as refused:
                    assert refused.status == 400


@pytest.mark.parametrize("program", CACHES)
async def test_a_crowd_that_comes_to_an_answer_just_too_old_is_one_request(program: str, tmp_path: Path) -> None:
    port = free_port()
    async with served(tmp_path / "data") as running:
        edge = int(running.url.rpartition(":")[2])
        await running.post("v", "hi", await running.token())
        with cache_before(program, tmp_path / program, port, (edge, edge)):
            async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession(f"http://{HOST}:{port}") as client:

                async def join() -> None:
                    async with client.get("/streams/v?offset=-1") as answer:
                        assert len(await answer.json()) == 1

                asked: list[float] = []
                while sum(map(bool, asked)) < ROUNDS:  # it lives for a second
                    before = polled()
                    await asyncio.gather(*(join() for _ in range(POLLERS)))
                    asked.append(polled() - before)
    assert max(asked) <= AT_ONCE_MAX


@pytest.mark.parametrize("program", CACHES)
async def test_where_an_edge_is_away_the_other_answers(program: str, tmp_path: Path) -> None:
    port = free_port()
    async with served(tmp_path / "data") as running:
        edge = int(running.url.rpartition(":")[2])
        await running.post("v", "hi", await running.token())
        with cache_before(program, tmp_path / program, port, (free_port((port,)), edge)):
            async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession(f"http://{HOST}:{port}") as client:
                for cursor in range(6):  # each is another answer, of the one edge or the other
                    async with client.get(f"/streams/v?cursor={cursor}&offset=-1") as answer:
                        assert (answer.status, len(await answer.json())) == (200, 1)


async def test_of_more_than_nginx_counts_nobody_asks_an_edge_by_himself(tmp_path: Path) -> None:
    """It counts in ten bits who waits for an answer; `proxy_cache_min_uses 0` has it not look at what it counted."""
    port = free_port()
    async with served(tmp_path / "data") as running:
        edge = int(running.url.rpartition(":")[2])
        token = await running.token()
        offset = (await running.post("v", "hi", token))[1]["commentId"]
        with cache_before("nginx", tmp_path / "nginx", port, (edge, edge)):
            before = polled()
            async with asyncio.timeout(WITHIN_S):
                connections = [await asyncio.open_connection(HOST, port) for _ in range(MANY)]
                for _, writer in connections:
                    writer.write(f"GET /streams/v?live=long-poll&offset={offset} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
                async with aiohttp.ClientSession(f"http://{HOST}:{port}") as client:
                    await client.get("/streams/v?offset=x")  # behind all of them
                await running.post("v", "there", token)
                statuses = [await reader.readline() for reader, _ in connections]
                for _, writer in connections:
                    writer.close()
    assert {status.split()[1] for status in statuses} <= {b"200", b"204"}
    assert polled() - before == len(set(statuses)), "one request, or one more if a silence ended meanwhile"
