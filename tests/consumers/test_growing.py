"""Streams while the epoch grows into the next: they stay open, and whoever comes back goes on where it was."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from livecomments.embedded.log import EmbeddedLog
from livecomments_schemas.events import EPOCH_FENCE, epoch_event
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, first_position, parse_comment_id
from tests.consumers.streams import Stream, stream_of
from tests.served import Served, served

OLD, NEW = 2, 4
VIDEO = next(f"v{n}" for n in range(99) if partition_of(f"v{n}", NEW) >= OLD)
BOUND_S = 60.0


class Growing:
    """A deployment whose epoch can grow."""

    def __init__(self, running: Served, old: EmbeddedLog, new: EmbeddedLog) -> None:
        self.running, self.old, self.new = running, old, new

    async def grow(self) -> None:
        fences = [await self.old.append(number, epoch_event(EPOCH_FENCE, 1)) for number in range(OLD)]
        store = self.running.service.hub.history._store
        for number, fence in enumerate(fences):
            while await store.watermark(1, number) < first_position(1) + fence:  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0.01)
        await self.running.service.follower.move_on(self.new, fences, range(NEW))

    async def posted(self, count: int) -> list[str]:
        token = await self.running.token()
        answers = [await self.running.post(VIDEO, f"m{n}", token) for n in range(count)]
        return [answer["commentId"] for _, answer in answers]


@asynccontextmanager
async def growing(directory: Path, **values: Any) -> AsyncIterator[Growing]:
    async with served(directory, partitions=OLD, **values) as running, asyncio.timeout(BOUND_S):
        old = running.service.follower.log
        assert isinstance(old, EmbeddedLog)
        async with EmbeddedLog(old._file, "comments-2", 2, NEW) as new:
            yield Growing(running, old, new)


async def next_event(stream: Stream) -> tuple[bytes, str]:
    event = await stream.next(b"comment", b"delete", b"gap", b"stale", b"bye")
    return event.kind or b"", (event.id or b"").decode()


async def test_a_stream_stays_open_and_misses_nothing_on_both_sides_of_the_seam(tmp_path: Path) -> None:
    async with growing(tmp_path) as it:
        before = await it.posted(3)
        async with (
            stream_of(it.running.client, VIDEO, after=before[0]) as early,
            stream_of(it.running.client, VIDEO) as live,
        ):
            assert await early.ids(2) == before[1:]
            await live.next(b"heartbeat")
            last = await it.posted(2)
            await it.grow()
            after = await it.posted(3)
            assert [parse_comment_id(one) for one in after] == [
                (first_position(2) + n, partition_of(VIDEO, NEW)) for n in range(3)
            ]
            assert [*before, *last, *after] == sorted([*before, *last, *after])
            for stream in (early, live):
                assert [await next_event(stream) for _ in range(5)] == [(b"comment", one) for one in [*last, *after]]


async def test_who_comes_back_with_an_id_of_before_goes_on_there_and_history_has_both(tmp_path: Path) -> None:
    async with growing(tmp_path) as it:
        before = await it.posted(4)
        await it.grow()
        after = await it.posted(2)
        async with stream_of(it.running.client, VIDEO, last_event_id=before[1]) as back:
            assert await back.ids(4) == [*before[2:], *after]
        async with stream_of(it.running.client, VIDEO, history=3) as joined:
            assert await joined.ids(3) == [before[3], *after]
        page = await it.running.page(VIDEO, pageSize=4)
        assert [one["commentId"] for one in page["comments"]] == [*after[::-1], before[3], before[2]]
        assert page["nextCursor"] == before[2]
        older = await it.running.page(VIDEO, cursor=page["nextCursor"])
        assert [one["commentId"] for one in older["comments"]] == before[1::-1]


async def test_a_comment_of_before_is_deleted_for_who_watches_and_who_comes(tmp_path: Path) -> None:
    async with growing(tmp_path) as it:
        token = await it.running.token()
        victim = (await it.running.post(VIDEO, "gone", token))[1]["commentId"]
        async with stream_of(it.running.client, VIDEO, history=1) as live:
            assert await live.ids(1) == [victim]
            await it.grow()
            headers = {"Authorization": f"Bearer {token}"}
            async with it.running.client.delete(f"/comments/{VIDEO}/{victim}", headers=headers) as answer:
                assert answer.status == 204
            deleted = await live.next(b"delete")
            assert orjson.loads(deleted.data or b"") == {"commentId": victim}
        page = await it.running.page(VIDEO, include="deletes")
        assert (page["comments"], page["deletes"]) == ([], [victim])


async def test_heartbeats_over_the_seam_carry_ids_that_are_taken_back(tmp_path: Path) -> None:
    async with growing(tmp_path, heartbeat_interval_s=0.1) as it:
        (first,) = await it.posted(1)
        async with stream_of(it.running.client, VIDEO) as silent:
            assert ((await silent.next(b"heartbeat")).id or b"").decode() == first
            await it.grow()
            beat = b""
            while parse_comment_id(beat.decode() or first)[0] < first_position(2) - 1:
                beat = (await silent.next(b"heartbeat")).id or b""
        (after,) = await it.posted(1)
        async with stream_of(it.running.client, VIDEO, last_event_id=beat.decode()) as back:
            assert await next_event(back) == (b"comment", after)


async def test_an_id_of_the_next_epoch_is_told_to_come_back_and_not_taken_for_nothing(tmp_path: Path) -> None:
    async with growing(tmp_path) as it:
        await it.posted(1)
        ahead = comment_id(first_position(2), partition_of(VIDEO, NEW))
        async with stream_of(it.running.client, VIDEO, last_event_id=ahead) as unknown:
            assert (await next_event(unknown))[0] == b"gap"  # nobody tells of such an epoch
        it.running.service.hub.history.is_told = _always
        async with it.running.client.get(f"/comments/{VIDEO}/stream", headers={"Last-Event-ID": ahead}) as answer:
            assert answer.status == 200
            assert (await answer.read()).startswith(b":\nretry: ")
        await it.grow()
        await it.posted(1)
        (second,) = await it.posted(1)
        async with stream_of(it.running.client, VIDEO, last_event_id=ahead) as back:
            assert await next_event(back) == (b"comment", second)


async def _always(_epoch: int) -> bool:
    return True
