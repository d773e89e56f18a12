"""Streams over a real server: joining, resuming, deletes, gaps, drain."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from livecomments_schemas.positions import comment_id, parse_comment_id
from tests.consumers.streams import stream_of
from tests.served import Served, served

BOUND_S = 10.0


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as deployment, asyncio.timeout(60):
        yield deployment


async def posted(running: Served, count: int, video_id: str = "v") -> list[str]:
    """Ids of `count` new comments."""
    token = await running.token()
    return [(await running.post(video_id, f"m{n}", token))[1]["commentId"] for n in range(count)]


async def test_a_viewer_sees_what_is_written_byte_for_byte_as_the_writer_was_answered(running: Served) -> None:
    async with stream_of(running.client, "v") as stream:
        await stream.next(b"heartbeat")
        token = await running.token()
        async with running.client.post(
            "/comments/v", json={"message": "hi\u2028 <b>"}, headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            body = await answer.read()
        event = await stream.next(b"comment")
        assert event.data == body
        assert event.id == orjson.loads(body)["commentId"].encode()


async def test_a_stream_begins_with_an_id_to_resume_from(running: Served) -> None:
    (first,) = await posted(running, 1)
    async with stream_of(running.client, "v") as stream:
        event = await stream.next(b"heartbeat")
        assert (event.id or b"").decode() == first


async def test_history_comes_oldest_first_and_then_live(running: Served) -> None:
    ids = await posted(running, 5)
    async with stream_of(running.client, "v", history=3) as stream:
        assert await stream.ids(3) == ids[2:]
        (live,) = await posted(running, 1)
        assert await stream.ids(1) == [live]


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_viewer_resumes_exactly_where_it_was(running: Served, by_header: bool) -> None:
    ids = await posted(running, 6)
    cursor = {"last_event_id": ids[2]} if by_header else {"after": ids[2]}
    async with stream_of(running.client, "v", **cursor) as stream:
        assert await stream.ids(3) == ids[3:]
        (live,) = await posted(running, 1)
        assert await stream.ids(1) == [live]


async def test_with_a_last_event_id_the_urls_own_parameters_mean_nothing(running: Served) -> None:
    ids = await posted(running, 4)
    async with stream_of(running.client, "v", last_event_id=ids[2], after=ids[0], history=4) as stream:
        assert await stream.ids(1) == ids[3:]


async def test_a_delete_reaches_live_viewers_and_those_who_come_back(running: Served) -> None:
    token = await running.token()
    ids = [(await running.post("v", f"m{n}", token))[1]["commentId"] for n in range(3)]
    async with stream_of(running.client, "v") as live:
        await live.next(b"heartbeat")
        async with running.client.delete(
            f"/comments/v/{ids[1]}", headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            assert answer.status == 204
        event = await live.next(b"delete")
        assert orjson.loads(event.data or b"") == {"commentId": ids[1]}
    async with stream_of(running.client, "v", after=ids[0]) as back:
        assert await back.ids(1) == [ids[2]]
        assert orjson.loads((await back.next(b"delete")).data or b"") == {"commentId": ids[1]}
    async with stream_of(running.client, "v", history=10) as joined:
        assert await joined.ids(2) == [ids[0], ids[2]]


async def test_an_id_ahead_of_the_log_is_a_gap_and_then_live(running: Served) -> None:
    (only,) = await posted(running, 1)
    position, partition = parse_comment_id(only)
    ahead = comment_id(position + 1_000, partition)
    async with stream_of(running.client, "v", last_event_id=ahead) as stream:
        gap = await stream.next(b"gap")
        assert orjson.loads(gap.data or b"") == {"from": ahead, "to": only, "reason": "unknown_position"}
        assert gap.id == only.encode()
        (live,) = await posted(running, 1)
        assert await stream.ids(1) == [live]


async def test_heartbeats_of_a_silent_video_carry_a_fresh_position(tmp_path: Path) -> None:
    async with (
        served(tmp_path, partitions=1, heartbeat_interval_s=0.2) as running,
        stream_of(running.client, "silent") as stream,
        asyncio.timeout(BOUND_S),
    ):
        first = await stream.next(b"heartbeat")
        ids = await posted(running, 3, "other")
        while (await stream.next(b"heartbeat")).id != ids[-1].encode():
            pass
        assert (first.id or b"") < ids[-1].encode()


async def test_resuming_crosses_store_log_and_tail(tmp_path: Path) -> None:
    async with served(tmp_path, partitions=1, tail_records_max=5, persist_delay_s=0.5) as running:
        ids = await posted(running, 30)
        async with stream_of(running.client, "v", after=ids[0]) as stream, asyncio.timeout(BOUND_S):
            assert await stream.ids(29) == ids[1:]
        newest = await running.page("v", pageSize=30)
        assert [comment["commentId"] for comment in newest["comments"]] == ids[::-1]


async def test_a_full_edge_tells_a_viewer_to_come_back_and_not_that_it_failed(tmp_path: Path) -> None:
    async with served(tmp_path, viewers_max=1) as running, stream_of(running.client, "v") as first:
        await first.next(b"heartbeat")
        async with running.client.get("/comments/v/stream") as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            line = (await answer.read()).decode()
            assert line.startswith(":\nretry: ")
            assert 1_000 <= int(line.split()[2]) <= 5_000


async def test_a_drain_says_bye_and_ends_every_stream(tmp_path: Path) -> None:
    async with served(tmp_path) as running, stream_of(running.client, "v") as stream, asyncio.timeout(BOUND_S):
        await stream.next(b"heartbeat")
        running.server.should_exit = True
        event = await stream.next(b"bye")
        assert orjson.loads(event.data or b"") == {"reason": "drain"}
        assert event.id is None
        assert event.retry_ms
        with pytest.raises(EOFError):
            await stream.next()


async def test_a_viewer_that_leaves_is_forgotten(running: Served) -> None:
    async with stream_of(running.client, "v") as stream:
        await stream.next(b"heartbeat")
    async with asyncio.timeout(BOUND_S):
        await running.service.hub.drained(BOUND_S)
