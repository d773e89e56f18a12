"""A video's log as a durable stream, on a real edge in virtual time."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from livecomments.following.follower import PartitionUnavailable
from livecomments_consumers.protocol import CHUNK_ENTRIES, OffsetRejected
from livecomments_consumers.settings import HubSettings
from livecomments_schemas.events import VIDEO_ENDED, comment_deleted, video_changed, video_event
from livecomments_schemas.positions import comment_id, position_at
from livecomments_schemas.render import VIDEO_DEFAULTS
from tests.consumers.edge import Reader, VirtualEdge, virtual_edge, virtually
from tests.consumers.sim.loop import clock, pass_time
from tests.consumers.streams import counted, until
from tests.served import served

POLL: Final = "&live=long-poll"


class Answer:
    """What a request was answered, taken apart."""

    def __init__(self, said: bytes) -> None:
        head, _, self.body = said.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}

        if self.body == b"0\r\n\r\n":  # the end of no chunks, which a server leaves out
            self.body = b""
        assert not (self.body and self.status in (204, 304))

    @property
    def offset(self) -> str:
        return self.headers["stream-next-offset"]

    @property
    def cursor(self) -> str:
        return self.headers["stream-cursor"]

    @property
    def is_end(self) -> bool:
        return self.headers.get("stream-up-to-date") == "true"

    @property
    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = orjson.loads(self.body)
        return messages

    @property
    def texts(self) -> list[str]:
        return [message["message"] for message in self.messages]


async def answer(reader: Reader) -> Answer:
    """The whole answer; raises what was refused."""
    assert reader.serving is not None
    await reader.serving
    await pass_time(0)
    await pass_time(0)
    return Answer(reader.said)


def on_an_edge(run: Callable[[VirtualEdge], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Run a story on an edge with one partition."""

    async def story() -> None:
        async with virtual_edge(HubSettings(**settings)) as edge:
            await run(edge)

    virtually(story)


def test_the_log_is_read_from_the_beginning_in_pieces_and_then_waited_for() -> None:
    async def story(edge: VirtualEdge) -> None:
        count = CHUNK_ENTRIES * 2 + 7
        for number in range(count):
            edge.append(1, text=str(number))
            edge.append(1, "another")
            await pass_time(0.01)
        texts: list[str] = []
        found = await answer(edge.poll("?offset=-1"))
        while True:
            assert found.status == 200
            assert found.headers["content-type"] == "application/json"
            texts += found.texts
            if found.is_end:
                break
            assert found.headers["cache-control"] == "public, max-age=0, s-maxage=8"
            found = await answer(edge.poll(f"?offset={found.offset}"))
        assert texts == [str(number) for number in range(count)]
        assert "s-maxage=1" in found.headers["cache-control"]
        again = await answer(edge.poll(f"?offset={found.offset}"))
        assert (again.status, again.body, again.offset, again.is_end) == (200, b"[]", found.offset, True)
        waiting = edge.poll(f"?offset={found.offset}{POLL}&cursor={found.cursor}")
        await pass_time(0.1)
        assert not waiting.said
        edge.append(2, text="new")
        live = await answer(waiting)
        assert live.texts == ["new", "new"]
        assert live.is_end
        assert live.headers["cache-control"] == "public, max-age=0, s-maxage=8"
        assert int(live.cursor) > int(found.cursor)

    on_an_edge(story)


def test_what_the_tail_has_let_go_of_is_read_from_history() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(30)
        await edge.store_all()
        edge.append(2, text="new")
        found = await answer(edge.poll("?offset=-1"))
        while not found.is_end:
            texts = found.texts
            found = await answer(edge.poll(f"?offset={found.offset}"))
            found.body = orjson.dumps([{"message": text} for text in texts + found.texts])
        assert found.texts == ["hi"] * 30 + ["new"] * 2

    on_an_edge(story)


def test_a_window_is_one_answer_wherever_it_is_waited_for() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(1)
        await pass_time(1)
        begin = await answer(edge.poll("?offset=-1"))
        waiting = [edge.poll(f"?offset={begin.offset}{POLL}") for _ in range(3)]
        waiting.append(edge.poll(f"?offset=now{POLL}"))
        until = clock()
        await pass_time(0.2 - until % 0.2 + 0.01)
        for _ in range(9):
            edge.append(1)
            await pass_time(0.02)
        answers = [await answer(one) for one in waiting]
        assert len({(one.offset, one.cursor, one.body) for one in answers}) == 1
        assert len(answers[0].messages) == 9

    on_an_edge(story)


def test_a_silence_ends_at_one_moment_for_all_and_they_go_on_together() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(100, "another")
        await pass_time(1)
        ids = [comment_id(position_at(edge.view.epoch, offset), 0) for offset in (20, 50, 99)]
        waiting = []
        for offset in ids:
            waiting.append(edge.poll(f"?offset={offset}{POLL}"))
            await pass_time(0.3)
        answers = [await answer(one) for one in waiting]
        assert {one.status for one in answers} == {204}
        assert {one.headers["cache-control"] for one in answers} == {"public, max-age=0, s-maxage=1"}
        assert len({(one.offset, one.cursor) for one in answers}) == 1
        assert all(one.is_end and not one.body for one in answers)
        (one, *_) = answers
        following = await answer(edge.poll(f"?offset={one.offset}{POLL}&cursor={one.cursor}"))
        assert following.status == 204
        assert int(following.cursor) > int(one.cursor)
        waiting = [edge.poll(f"?offset={one.offset}{POLL}&cursor={one.cursor}")]
        edge.append(1)
        assert len((await answer(waiting[0])).messages) == 1

    on_an_edge(story)


def test_deletes_and_videos_are_messages_of_their_own_and_a_deleted_text_is_gone() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(2, text="secret")
        await pass_time(1)
        found = await answer(edge.poll("?offset=-1"))
        first, second = found.messages
        assert first["type"] == "comment"
        assert second["commentId"] == found.offset
        same = await answer(edge.poll("?offset=-1", (b"if-none-match", found.headers["etag"].encode())))
        assert (same.status, same.body, same.offset) == (304, b"", found.offset)
        edge.log.append(comment_deleted("v", first["commentId"], "a"))
        edge.log.append(video_changed("v", {**VIDEO_DEFAULTS, "title": "T"}, "a"))
        edge.log.append(video_event(VIDEO_ENDED, "v", "a"))
        await pass_time(1)
        changed = await answer(edge.poll("?offset=-1", (b"if-none-match", found.headers["etag"].encode())))
        assert changed.status == 200
        assert changed.body.count(b"secret") == 1
        assert [message["type"] for message in changed.messages] == ["comment", "delete", "video", "video"]
        assert changed.messages[1]["commentId"] == first["commentId"]
        assert changed.messages[2]["title"] == "T"
        assert changed.messages[3] == {"type": "video", "videoId": "v", "state": "ended"}
        assert "stream-closed" not in changed.headers
        ended = await answer(edge.poll(f"?offset={changed.offset}{POLL}"))
        assert ended.status == 204, "it may start again"

    on_an_edge(story)


def test_whoever_has_a_text_is_not_told_that_it_is_the_same_without_it() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(1, text="secret")
        await pass_time(2**13 * 0.2 - clock())  # the roundest moment in reach: an answer ends there
        edge.append(CHUNK_ENTRIES)
        await pass_time(1)
        whole = await answer(edge.poll("?offset=-1"))
        edge.log.append(comment_deleted("v", whole.offset, "a"))
        await pass_time(1)
        less = await answer(edge.poll("?offset=-1", (b"if-none-match", whole.headers["etag"].encode())))
        assert (whole.texts, less.status, less.body, less.offset) == (["secret"], 200, b"[]", whole.offset)

    on_an_edge(story)


def test_now_is_the_end_and_is_shared_with_nobody() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(5)
        await pass_time(1)
        now = await answer(edge.poll("?offset=now"))
        assert (now.status, now.body, now.is_end) == (200, b"[]", True)
        assert "no-store" in now.headers["cache-control"]
        assert "etag" not in now.headers
        head = await answer(edge.poll(method="HEAD"))
        assert (head.status, head.body, head.offset) == (200, b"", now.offset)
        assert head.headers["cache-control"] == "no-store"
        named = await answer(edge.poll("?offset=-1", (b"authorization", b"Bearer x")))
        assert "no-store" in named.headers["cache-control"]

    on_an_edge(story)


def test_an_offset_that_the_log_does_not_have_is_gone() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(5)
        await pass_time(1)
        for position in (position_at(1, 5), position_at(1, 10**9), position_at(2, 0)):
            with pytest.raises(OffsetRejected):
                await answer(edge.poll(f"?offset={comment_id(position, 0)}{POLL}"))

    on_an_edge(story)


def test_a_reader_waits_for_what_another_edge_has_told_already() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(5)
        await pass_time(1)
        edge.view.lag_s = 1.0
        edge.append(2, text="ahead")
        waiting = edge.poll(f"?offset={comment_id(position_at(1, 5), 0)}{POLL}")
        assert (await answer(waiting)).texts == ["ahead"]

    on_an_edge(story)


def test_a_log_that_lost_its_end_is_begun_anew() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(5)
        await pass_time(1)
        waiting = edge.poll(f"?offset={comment_id(position_at(1, 4), 0)}{POLL}")
        await pass_time(0.1)
        edge.log.lose_end(2)
        await pass_time(3)
        edge.append(9)
        with pytest.raises((OffsetRejected, PartitionUnavailable)):
            await answer(waiting)

    on_an_edge(story)


def test_who_waits_is_a_viewer_and_who_was_answered_or_left_is_nobody() -> None:
    async def story(edge: VirtualEdge) -> None:
        await pass_time(1)
        before, left = (
            counted("polls_total", live="long-poll", result="full"),
            counted("disconnects_total", reason="client"),
        )
        one, other = edge.poll(f"?offset=now{POLL}"), edge.poll(f"?offset=now{POLL}")
        await pass_time(0.1)
        refused = await answer(edge.poll(f"?offset=now{POLL}"))
        assert (refused.status, refused.headers["cache-control"]) == (503, "no-store")
        assert 1 <= int(refused.headers["retry-after"]) <= 4
        assert counted("polls_total", live="long-poll", result="full") == before + 1
        one.transport.abort()
        await pass_time(0.1)
        assert counted("disconnects_total", reason="client") == left + 1
        edge.append(1)
        assert (await answer(other)).status == 200
        await edge.hub.drained(1.0)
        assert not edge.hub._channels

    on_an_edge(story, viewers_max=2)


def test_who_takes_nothing_of_events_is_cut_off() -> None:
    """Of a whole answer the kernel says so: nothing taken for half a minute ends a connection (`bounds`)."""

    async def story(edge: VirtualEdge) -> None:
        edge.append(CHUNK_ENTRIES, text="x" * 500)
        await pass_time(1.0)
        before = counted("disconnects_total", reason="stuck")
        reader = edge.poll("?offset=-1&live=sse")
        reader.is_stalled = True
        await pass_time(19.0)
        assert reader.serving is not None
        assert not reader.serving.done()
        await pass_time(5.0)
        assert reader.serving.done()
        assert counted("disconnects_total", reason="stuck") == before + 1

    on_an_edge(story, viewer_stuck_s=20.0)


def test_a_drain_answers_who_waits_at_once_with_what_is_there() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(1)
        await pass_time(1)
        empty = edge.poll(f"?offset=now{POLL}")
        await pass_time(1.2 - clock() % 0.2)
        begin = await answer(edge.poll("?offset=now"))
        some = edge.poll(f"?offset={begin.offset}{POLL}", video_id="v")
        await pass_time(0.001)
        drained_at = clock()
        await edge.hub.drain(0.0)
        assert (await answer(empty)).status == 204
        assert (await answer(some)).status in (200, 204)
        assert clock() - drained_at < 1
        assert (await answer(edge.poll("?offset=-1"))).status == 503

    on_an_edge(story)


def test_events_are_slices_and_where_each_ends_and_last_a_minute() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(2)
        await pass_time(1)
        began_at, reader = clock(), edge.poll("?offset=-1&live=sse")
        await pass_time(1)
        edge.append(1, text="live")
        edge.append(1, "another")
        assert reader.serving is not None
        await reader.serving
        assert 59 < clock() - began_at < 62
        await pass_time(0)
        head, _, chunks = reader.said.partition(b"\r\n\r\n")
        assert b"content-type: text/event-stream\r\n" in head
        body = b"".join(re.split(rb"(?:^|\r\n)[0-9a-f]+\r\n", chunks))
        events = [block.split(b"\ndata:") for block in body.split(b"\n\n") if b"\ndata:" in block]
        kinds = [kind.rpartition(b"event: ")[2] for kind, _ in events]
        assert kinds[:4] == [b"data", b"control", b"data", b"control"]
        assert set(kinds[4:]) == {b"control"}, "a silence is told, so that nobody takes it for a dead connection"
        assert orjson.loads(events[2][1])[0]["message"] == "live"
        controls = [orjson.loads(data) for kind, data in events if kind.endswith(b"control")]
        assert all(control["upToDate"] for control in controls)
        assert len({control["streamNextOffset"] for control in controls[1:]}) == 1
        cursors = [int(control["streamCursor"]) for control in controls]
        assert cursors == sorted(set(cursors))

    on_an_edge(story)


async def test_it_is_served_over_http_on_one_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        token = await running.token()
        for text in ("one", "two"):
            assert (await running.post("v", text, token))[0] == 201
        async with running.client.get("/streams/v", params={"offset": "-1"}) as found:
            assert [message["message"] for message in await found.json()] == ["one", "two"]
            assert found.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            assert found.headers["X-Content-Type-Options"] == "nosniff"
            offset, etag = found.headers["Stream-Next-Offset"], found.headers["ETag"]
        async with running.client.get("/streams/v?offset=-1", headers={"If-None-Match": etag}) as same:
            assert (same.status, await same.read()) == (304, b"")
        async with running.client.head("/streams/v") as head:
            assert (head.status, head.headers["Stream-Next-Offset"]) == (200, offset)
            assert "Content-Length" not in head.headers, "it would be that of the messages"
        waiting = asyncio.create_task(running.client.get("/streams/v", params={"offset": offset, "live": "long-poll"}))
        await until(lambda: bool(running.service.hub._channels))
        assert (await running.post("v", "three", token))[0] == 201
        async with await waiting as live:
            assert [message["message"] for message in await live.json()] == ["three"]
        for query, code in (("offset=x", "invalid_cursor"), ("offset=-1&live=true", "invalid_live")):
            async with running.client.get(f"/streams/v?{query}") as refused:
                assert (refused.status, (await refused.json())["code"]) == (400, code)
                assert refused.headers["Cache-Control"] == "no-store"


def test_pollers_that_come_and_go_at_every_moment_leave_nothing_behind() -> None:
    async def story(edge: VirtualEdge) -> None:
        edge.append(30)
        await edge.store_all()
        for round_s in range(60):
            readers = [
                edge.poll(f"?offset={offset}{live}")
                for offset in ("-1", "now", comment_id(position_at(1, round_s % 30), 0))
                for live in (POLL, "&live=sse", "")
            ]
            edge.append(round_s % 2)
            await pass_time(round_s * 0.007)
            for reader in readers:
                reader.transport.abort()
        await pass_time(1)
        assert not edge.hub._channels
        left = [task for task in asyncio.all_tasks() if "_StreamAnswer" in repr(task)]
        assert not left

    on_an_edge(story)
