"""Videos that are over: the rest, a word, and then nobody comes back for nothing."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson
import pytest

from livecomments.following.follower import Follower
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry, Tail, TailBounds
from livecomments.history.reading import History
from livecomments_consumers.endings import VIDEOS_MAX, Endings
from livecomments_schemas.events import VIDEO_ENDED, VIDEO_STARTED
from livecomments_schemas.positions import comment_id, parse_comment_id
from livecomments_schemas.window import Window
from tests.consumers.sim.log import LogView, SimLog
from tests.consumers.sim.store import SimStore
from tests.consumers.streams import Stream, counted, stream_of
from tests.gateway.test_answers import JWT, signed
from tests.served import Served, served

BOUND_S: Final = 20.0
OWNER: Final = {"Authorization": f"Bearer {signed(sub='own', roles=['own', 'moderate'])}"}


async def say(running: Served, state: str) -> None:
    async with running.client.put("/videos/v", json={"title": "T", "state": state}, headers=OWNER) as answer:
        assert answer.status == 200, await answer.text()


async def posted(running: Served, count: int) -> list[str]:
    token = await running.token()
    return [(await running.post("v", f"m{n}", token))[1]["commentId"] for n in range(count)]


async def status_of(running: Served, last_event_id: str) -> int:
    async with running.client.get("/comments/v/stream", headers={"Last-Event-ID": last_event_id}) as answer:
        return answer.status


async def rest_of(stream: Stream, ids: Sequence[str]) -> str:
    """The last id of a stream that gives these comments, and ends because the video is over."""
    assert await stream.ids(len(ids)) == list(ids)
    last_id = b""
    while True:
        event = await stream.next(b"heartbeat", b"bye", b"comment", b"gap")
        last_id = event.id or last_id
        if event.kind == b"bye":
            assert orjson.loads(event.data or b"") == {"reason": "ended"}
            assert event.id is None
            assert event.retry_ms
            with pytest.raises(EOFError):
                await stream.next()
            return last_id.decode()
        assert event.kind == b"heartbeat"


async def test_when_a_video_ends_its_viewers_get_the_rest_and_a_bye_and_204_when_they_come_back(tmp_path: Path) -> None:
    before = counted("disconnects_total", reason="ended"), counted("connections_total", result="ended")
    async with served(tmp_path, **JWT) as running, asyncio.timeout(BOUND_S):
        async with stream_of(running.client, "v") as stream:
            await stream.next(b"heartbeat")
            ids = await posted(running, 3)
            await say(running, "ended")
            last_id = await rest_of(stream, ids)
        assert await status_of(running, last_id) == 204
        async with stream_of(running.client, "v", last_event_id=ids[0]) as back:  # not all of it yet
            assert await rest_of(back, ids[1:]) == last_id
        async with stream_of(running.client, "v", history=2) as late:
            assert await rest_of(late, ids[1:]) == last_id
        position, partition = parse_comment_id(last_id)
        assert await status_of(running, comment_id(position + 1, partition)) == 200  # nobody was ever given that
    assert counted("disconnects_total", reason="ended") >= before[0] + 3
    assert counted("connections_total", result="ended") == before[1] + 1


async def test_a_video_that_starts_again_has_viewers_again(tmp_path: Path) -> None:
    async with served(tmp_path, **JWT) as running, asyncio.timeout(BOUND_S):
        async with stream_of(running.client, "v") as stream:
            await stream.next(b"heartbeat")
            await say(running, "ended")
            last_id = await rest_of(stream, [])
        assert await status_of(running, last_id) == 204
        await say(running, "live")
        async with stream_of(running.client, "v", last_event_id=last_id) as stream:
            await stream.next(b"heartbeat")
            ids = await posted(running, 2)
            assert await stream.ids(2) == ids


@pytest.mark.parametrize("tail_records_max", [1, 50_000])
async def test_an_edge_that_was_started_after_the_end_ends_too(tmp_path: Path, tail_records_max: int) -> None:
    async with served(tmp_path, **JWT) as running, asyncio.timeout(BOUND_S):
        (first, *rest) = await posted(running, 3)
        await say(running, "ended")
    async with served(tmp_path, tail_records_max=tail_records_max, **JWT) as running, asyncio.timeout(BOUND_S):
        if tail_records_max == 1:  # then the end is in the store alone
            token = await running.token()
            for n in range(8):
                await running.post(f"other{n}", "m", token)
        async with stream_of(running.client, "v", last_event_id=first) as stream:
            last_id = await rest_of(stream, rest)
        assert await status_of(running, last_id) == 204


def followed_partition() -> FollowedPartition:
    tail = Tail(TailBounds(10, 1_000_000, 60.0), 0)
    return FollowedPartition(1, Window(1, 0, 1, since=0, whole=True, size=10), tail, 0)


def fact(kind: bytes, position: int, video_id: str = "v") -> Entry:
    return Entry(position, comment_id(position, 0), kind, video_id, "own", b"{}")


@pytest.fixture
def endings() -> Endings:
    """Of an edge with an empty log; nothing is read unless it runs."""
    log = SimLog(random.Random(0), Counter())
    follower = Follower(LogView(log), (), TailBounds(10, 1_000, 60.0), clock=lambda: 0.0)
    return Endings(follower, History(follower, SimStore(log, random.Random(0), Counter())))


def test_what_was_said_later_in_the_log_holds_in_whatever_order_it_is_learned(endings: Endings) -> None:
    followed = followed_partition()
    endings.hear(followed, fact(VIDEO_STARTED, 7))
    endings.hear(followed, fact(VIDEO_ENDED, 5))
    assert endings.ended_at(followed, "v") is None
    endings.hear(followed, fact(VIDEO_ENDED, 9))
    assert endings.ended_at(followed, "v") == 9


def test_a_partition_that_was_taken_on_anew_may_have_gone_on_meanwhile(endings: Endings) -> None:
    before, after = followed_partition(), followed_partition()
    endings.hear(before, fact(VIDEO_ENDED, 5))
    assert endings.ended_at(after, "v") is None
    endings.hear(after, fact(VIDEO_STARTED, 3))  # the log went back: its positions say nothing of those before
    assert endings.ended_at(after, "v") is None


def test_a_million_videos_are_remembered_no_longer_than_there_is_room(endings: Endings) -> None:
    followed = followed_partition()
    for n in range(VIDEOS_MAX + 10):
        endings.hear(followed, fact(VIDEO_ENDED, n + 1, f"v{n}"))
    assert endings.ended_at(followed, "v9") is None
    assert endings.ended_at(followed, "v10") == 11
    assert len(endings._known) == VIDEOS_MAX


def test_no_more_videos_are_asked_for_at_once_than_there_is_room(endings: Endings) -> None:
    followed = followed_partition()
    for n in range(VIDEOS_MAX + 10):
        endings.look(followed, f"v{n}")
    assert (len(endings._asked), endings._wanted.qsize()) == (VIDEOS_MAX, VIDEOS_MAX)
