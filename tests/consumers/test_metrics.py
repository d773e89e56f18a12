"""Each metric of the edge moves when what it counts happens."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from livecomments.runtime.metrics import REGISTRY
from livecomments_schemas.positions import comment_id, parse_comment_id
from tests.consumers.streams import Stream, counted, stream_of, until
from tests.served import Served, served

BOUND_S: Final = 20.0


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, viewers_max=2, tail_records_max=3) as deployment, asyncio.timeout(BOUND_S):
        yield deployment


async def posted(running: Served, count: int) -> list[str]:
    token = await running.token()
    return [(await running.post("v", f"m{n}", token))[1]["commentId"] for n in range(count)]


async def test_viewers_by_state_and_lane_and_what_they_were_given(running: Served) -> None:
    before = {name: counted(f"{name}_total") for name in ("delivered", "written_bytes")}
    results = {name: counted("connections_total", result=name) for name in ("joined", "full")}
    left = counted("disconnects_total", reason="client")
    async with aiohttp.ClientSession(running.url) as fresh, stream_of(fresh, "v") as fast:
        await fast.next(b"heartbeat")
        async with running.client.get("/comments/v/stream", headers=[("X", "1"), ("X", "2")]) as answer:
            asgi = Stream(answer)
            await asgi.next(b"heartbeat")
            await until(lambda: counted("viewers", state="live", lane="transport") == 1)
            await until(lambda: counted("viewers", state="live", lane="asgi") == 1)
            assert counted("viewers", state="behind", lane="asgi") == 0
            assert counted("videos") == 1
            assert 0.02 < counted("linger_seconds") <= 0.1
            async with fresh.get("/comments/v/stream") as refused:
                assert "\nretry: " in await refused.text()
            ids = await posted(running, 3)
            assert await fast.ids(3) == await asgi.ids(3) == ids
            await until(lambda: counted("delivered_total") == before["delivered"] + 6)
            assert counted("written_bytes_total") >= before["written_bytes"] + 600
    await until(lambda: counted("disconnects_total", reason="client") == left + 2)
    await until(lambda: counted("viewers", state="live", lane="transport") == 0)
    for name, count in (("joined", 2), ("full", 1)):
        assert counted("connections_total", result=name) == results[name] + count


async def test_gaps_by_reason_backfills_by_source_and_what_is_in_memory(running: Served) -> None:
    before = {
        "gaps": counted("gaps_total", reason="unknown_position"),
        "store": counted("backfills_total", source="store") + counted("backfills_total", source="log"),
        "resumed": counted("connections_total", result="resumed"),
    }
    ids = await posted(running, 20)
    async with stream_of(running.client, "v", after=ids[0]) as stream:
        assert await stream.ids(19) == ids[1:]
    position, partition = parse_comment_id(ids[-1])
    async with stream_of(running.client, "v", after=comment_id(position + 1_000, partition)) as stream:
        await stream.next(b"gap")
    assert counted("gaps_total", reason="unknown_position") == before["gaps"] + 1
    assert counted("backfills_total", source="store") + counted("backfills_total", source="log") > before["store"]
    assert counted("connections_total", result="resumed") == before["resumed"] + 2

    def of_the_log(name: str) -> float:
        return REGISTRY.get_sample_value(f"livecomments_log_{name}") or 0.0

    await until(lambda: of_the_log("tail_bytes") > 400)
    assert of_the_log("tail_bytes") < 400 * 20, "only three records are kept"
    assert 0.0 <= of_the_log("silence_seconds") < BOUND_S


async def test_each_comment_to_each_viewer_is_a_delivery(running: Served) -> None:
    before = counted("pass_seconds_count"), counted("delivery_seconds_count")
    async with aiohttp.ClientSession(running.url) as other, stream_of(running.client, "v") as stream:
        await stream.next(b"heartbeat")
        async with stream_of(other, "v") as second:
            await second.next(b"heartbeat")
            ids = await posted(running, 1)
            assert await stream.ids(1) == await second.ids(1) == ids
        await until(lambda: counted("pass_seconds_count") == before[0] + 1)
        assert counted("delivery_seconds_count") == before[1] + 2
    for name in ("delivery_seconds", "pass_seconds"):
        assert REGISTRY.get_sample_value(f"livecomments_edge_{name}_bucket", {"le": "0.2"}) is not None


async def test_who_resumes_waits_from_when_it_came(running: Served) -> None:
    ids = await posted(running, 3)
    before_ms = time.time_ns() // 1_000_000
    count, seconds = counted("delivery_seconds_count"), counted("delivery_seconds_sum")
    async with stream_of(running.client, "v", after=ids[0]) as stream:
        assert await stream.ids(2) == ids[1:]
    within_s = time.time() - before_ms / 1_000
    assert counted("delivery_seconds_count") == count + 2
    assert counted("delivery_seconds_sum") - seconds <= 2 * within_s, "they were appended long before"


async def test_a_request_to_an_edge_that_drains_is_counted_as_that_and_told_to_come_back(running: Served) -> None:
    before = counted("connections_total", result="draining")
    running.service.hub.begin_drain()
    async with running.client.get("/comments/v/stream") as answer:
        assert answer.status == 200
        assert "\nretry: " in await answer.text()
    assert counted("connections_total", result="draining") == before + 1
