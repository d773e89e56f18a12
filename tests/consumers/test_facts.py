"""What is so of a video: its viewers are told; when it is over they get the rest, a word, and nobody comes back."""

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
from livecomments_consumers.facts import SETTINGS_BYTES_MAX, VIDEOS_MAX, Facts
from livecomments_consumers.settings import HubSettings
from livecomments_schemas.events import (
    USER_BANNED,
    VIDEO_CHANGED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    comment_pinned,
    comment_unpinned,
    user_event,
    video_changed,
    video_event,
)
from livecomments_schemas.positions import comment_id, first_position, parse_comment_id
from livecomments_schemas.window import Window
from tests.consumers.edge import HeldStore, Reader, VirtualEdge, virtual_edge, virtually
from tests.consumers.sim.log import LogView, SimLog
from tests.consumers.sim.loop import clock, pass_time
from tests.consumers.sim.store import SimStore
from tests.consumers.streams import Stream, counted, stream_of
from tests.gateway.test_answers import JWT, signed
from tests.served import Served, served

BOUND_S: Final = 20.0
START: Final = first_position(1)
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


SETTINGS: Final = {"title": "T", "whoMayComment": "everyone", "slowModeS": 5, "maxCommentsPerS": 0}
LANES: Final = ("transport", "asgi")


def videos(reader: Reader | None) -> list[dict[str, object]]:
    """What a client was told of its video, in order."""
    assert reader is not None
    frames = [frame for frame in reader.said.split(b"\n\n") if b"event: video\n" in frame]
    return [orjson.loads(frame.partition(b"data: ")[2]) for frame in frames]


async def watching(edge: VirtualEdge, lane: str) -> Reader:
    reader = edge.connect() if lane == "transport" else await edge.respond()
    await pass_time(1.0)
    assert reader is not None
    return reader


@pytest.mark.parametrize("lane", LANES)
def test_what_is_so_of_a_video_is_told_at_the_beginning_and_whenever_it_changes(lane: str) -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            usual = {"videoId": "v", "state": "live", "title": "", "whoMayComment": "everyone", "slowModeS": 0}
            first = await watching(edge, lane)
            assert videos(first) == [{**usual, "maxCommentsPerS": 0}]
            edge.append(1, text="before")
            edge.log.append(video_changed("v", SETTINGS, "own"))
            edge.append(1, text="after")
            edge.log.append(user_event(USER_BANNED, "v", "u", "own"))
            await pass_time(1.0)
            second = await watching(edge, lane)
            edge.log.append(video_event(VIDEO_STARTED, "v", "own"))  # it is live already: nothing new
            await pass_time(1.0)
            edge.log.append(video_event(VIDEO_ENDED, "v", "own"))
            await pass_time(1.0)
            live, ended = ({"videoId": "v", "state": state, **SETTINGS} for state in ("live", "ended"))
            assert videos(first)[1:] == [live, ended]
            assert videos(second) == [live, ended]
            for reader in (first, second):
                assert reader.said.index(b'"state":"ended"') < reader.said.index(b"event: bye")
            assert first.said.index(b"before") < first.said.index(b'"slowModeS":5')

    virtually(run)


def test_viewers_are_told_what_is_pinned_and_when_nothing_is_any_more() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(1)
            pinned = comment_id(START, 0)
            edge.log.append(comment_pinned("v", pinned, "mod"))
            await edge.store_all()
            edge.hub.facts._known.clear()  # as if it had been started since
            reader = await watching(edge, "transport")
            edge.log.append(video_changed("v", SETTINGS, "own"))
            await pass_time(1.0)
            edge.log.append(comment_unpinned("v", "mod"))
            await pass_time(1.0)
            told = [(video["title"], video.get("pinnedCommentId")) for video in videos(reader)]
            assert told[-3:] == [("", pinned), (SETTINGS["title"], pinned), (SETTINGS["title"], None)]

    virtually(run)


@pytest.mark.parametrize("lane", LANES)
def test_what_was_set_before_the_edge_listened_is_told_as_soon_as_it_is_read(lane: str) -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.log.append(video_changed("v", SETTINGS, "own"))
            edge.append(3)
            await edge.store_all()
            edge.hub.facts._known.clear()  # as if it had been started since
            edge.store.away_until = clock() + 10.0
            first = await watching(edge, lane)
            assert videos(first) == [], "nobody can tell"
            await pass_time(11.0)
            assert videos(first) == [{"videoId": "v", "state": "live", **SETTINGS}]

    virtually(run)


@pytest.mark.parametrize("lane", LANES)
def test_settings_heard_of_a_video_whose_end_is_not_read_yet_do_not_say_that_it_goes_on(lane: str) -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.log.append(video_event(VIDEO_ENDED, "v", "own"))
            edge.append(3)
            await edge.store_all()
            edge.hub.facts._known.clear()  # as if it had been started since
            edge.store.away_until = clock() + 10.0
            first = await watching(edge, lane)
            edge.log.append(video_changed("v", SETTINGS, "own"))
            await pass_time(1.0)
            assert videos(first) == [], "nobody can tell"
            await pass_time(11.0)
            assert videos(first) == [{"videoId": "v", "state": "ended", **SETTINGS}]

    virtually(run)


def test_what_was_read_is_told_at_once_and_not_at_the_next_tick() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.log.append(video_changed("v", SETTINGS, "own"))
            edge.append(3)
            await edge.store_all()
            for _ in range(3):  # a tick may fall into one of them
                edge.hub.facts._known.clear()  # as if it had been started since
                reader = edge.connect()
                assert reader is not None
                await pass_time(0.15)
                assert videos(reader)
                reader.transport.cut()
                await pass_time(0.03)

    virtually(run)


def test_what_is_heard_while_older_facts_are_read_is_not_forgotten() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.log.append(video_changed("v", {**SETTINGS, "title": "old"}, "own"))
            edge.append(3)
            await edge.store_all()
            edge.hub.facts._known.clear()  # as if it had been started since
            store = edge.history._store = HeldStore(edge)
            held = store.let_go
            assert held is not None
            first = edge.connect()
            await pass_time(0.5)
            assert store.let_go is None, "the facts are being read"
            edge.log.append(video_changed("v", SETTINGS, "own"))
            await pass_time(0.5)
            held.set()
            await pass_time(1.0)
            assert videos(first)[-1]["title"] == "T"

    virtually(run)


def test_a_crowd_is_told_of_a_change_by_the_same_bytes() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            readers = [edge.connect() for _ in range(100)]
            await pass_time(2.0)
            (cohort,) = edge.hub._channels["v"].cohorts
            members = dict(cohort.members)
            edge.log.append(video_changed("v", SETTINGS, "own"))
            await pass_time(0.5)
            assert [videos(reader)[-1]["slowModeS"] for reader in readers] == [5] * 100
            assert list(edge.hub._channels["v"].cohorts) == [cohort]
            assert cohort.members == members, "nobody had to step out"

    virtually(run)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(("kind", "state"), [(VIDEO_STARTED, "live"), (VIDEO_ENDED, "ended")])
def test_who_heard_all_that_can_be_said_of_a_video_need_not_read(lane: str, kind: bytes, state: str) -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(3)
            await edge.store_all()
            edge.store.away_until = clock() + 1_000.0
            reader = await watching(edge, lane)
            edge.log.append(video_changed("v", SETTINGS, "own"))
            await pass_time(0.2)
            assert videos(reader) == []
            edge.log.append(comment_unpinned("v", "own"))
            await pass_time(0.2)
            assert videos(reader) == []
            edge.log.append(video_event(kind, "v", "own"))
            await pass_time(0.2)
            assert videos(reader) == [{"videoId": "v", "state": state, **SETTINGS}]

    virtually(run)


def test_the_settings_of_all_videos_together_are_bounded(facts: Facts) -> None:
    followed, large = followed_partition(), b'{"title":"%b"}' % (b"x" * 16_000)
    for n in range(SETTINGS_BYTES_MAX // len(large) + 100):
        entry = Entry(START + n, 0, VIDEO_CHANGED, f"v{n}", "own", large)
        facts.hear(followed, entry)
    assert facts._settings_bytes == sum(len(known.state.settings) for known in facts._known.values())
    assert SETTINGS_BYTES_MAX - 2 * len(large) < facts._settings_bytes <= SETTINGS_BYTES_MAX


async def test_a_stream_says_of_a_video_what_a_get_says(tmp_path: Path) -> None:
    async with served(tmp_path, **JWT) as running, asyncio.timeout(BOUND_S):
        await say(running, "live")
        async with running.client.get("/videos/v") as answer:
            body = await answer.read()
        async with stream_of(running.client, "v") as stream:
            event = await stream.next(b"video")
            assert event.data == body
            assert event.id


def followed_partition() -> FollowedPartition:
    tail = Tail(TailBounds(10, 1_000_000, 60.0), 0)
    return FollowedPartition(1, Window(1, 0, 1, since=0, whole=True, size=10), tail, 0)


def fact(kind: bytes, position: int, video_id: str = "v") -> Entry:
    position += START
    return Entry(position, 0, kind, video_id, "own", b"{}")


@pytest.fixture
def facts() -> Facts:
    """Of an edge with an empty log; nothing is read unless it runs."""
    log = SimLog(random.Random(0), Counter())
    follower = Follower(LogView(log), (), TailBounds(10, 1_000, 60.0), clock=lambda: 0.0)
    return Facts(follower, History(follower, SimStore(log, random.Random(0), Counter())))


def test_what_was_said_later_in_the_log_holds_in_whatever_order_it_is_learned(facts: Facts) -> None:
    followed = followed_partition()
    facts.hear(followed, fact(VIDEO_STARTED, 7))
    facts.hear(followed, fact(VIDEO_ENDED, 5))
    assert facts.ended_at(followed, "v") is None
    facts.hear(followed, fact(VIDEO_ENDED, 9))
    assert facts.ended_at(followed, "v") == START + 9


def test_a_partition_that_was_taken_on_anew_may_have_gone_on_meanwhile(facts: Facts) -> None:
    before, after = followed_partition(), followed_partition()
    facts.hear(before, fact(VIDEO_ENDED, 5))
    assert facts.ended_at(after, "v") is None
    facts.hear(after, fact(VIDEO_STARTED, 3))  # the log went back: its positions say nothing of those before
    assert facts.ended_at(after, "v") is None


def test_a_million_videos_are_remembered_no_longer_than_there_is_room(facts: Facts) -> None:
    followed = followed_partition()
    for n in range(VIDEOS_MAX + 10):
        facts.hear(followed, fact(VIDEO_ENDED, n + 1, f"v{n}"))
    assert facts.ended_at(followed, "v9") is None
    assert facts.ended_at(followed, "v10") == START + 11
    assert len(facts._known) == VIDEOS_MAX


def test_no_more_videos_are_asked_for_at_once_than_there_is_room(facts: Facts) -> None:
    followed = followed_partition()
    for n in range(VIDEOS_MAX + 10):
        facts.look(followed, f"v{n}")
    assert (len(facts._asked), facts._wanted.qsize()) == (VIDEOS_MAX, VIDEOS_MAX)
