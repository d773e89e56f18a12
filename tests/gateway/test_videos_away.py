"""A store that is away or hangs holds up nobody: what it would say of a video counts as not said, and is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.history.reading import History
from livecomments.log.interface import CommentLog
from livecomments.runtime.metrics import REGISTRY
from livecomments.sqlite import DurableFile
from livecomments.store.interface import Row, StoredSlice, StoreUnavailable
from livecomments_gateway.videos import READS_MAX, Videos
from livecomments_schemas.events import USER_BANNED, facts_of, user_event
from livecomments_schemas.positions import position_at
from tests.gateway.test_sessions import Clock
from tests.gateway.test_videos import following

TIMEOUT_S: Final = 20.0


class HangingStore(EmbeddedStore):
    """Answers no read until it is let go; then it may be broken."""

    def __init__(self, file: DurableFile) -> None:
        super().__init__(file)
        self.goes_on = asyncio.Event()
        self.is_broken = False

    async def __aenter__(self) -> "HangingStore":
        await super().__aenter__()
        return self

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        await self.goes_on.wait()
        if self.is_broken:
            raise StoreUnavailable("broken")
        return await super().read(video_id, after, through, limit, descending=descending)


@asynccontextmanager
async def banned_in_store(directory: Path) -> AsyncIterator[tuple[CommentLog, HangingStore]]:
    """A log and a store that says of `rude` what the log's tail does not."""
    async with (
        DurableFile(directory, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        HangingStore(file) as store,
    ):
        ban = user_event(USER_BANNED, "v", "rude", "mod")
        position = position_at(1, await log.append(0, ban))
        await store.write([Row(video, position, USER_BANNED, "mod", ban.value, 0) for video in ("v", facts_of("v"))])
        await store.advance_watermark(1, 0, position)
        yield log, store


def unread() -> float:
    return REGISTRY.get_sample_value("livecomments_gateway_videos_unread_total") or 0.0


async def test_a_store_that_hangs_or_is_away_is_taken_as_open_and_counted_until_it_is_read(tmp_path: Path) -> None:
    clock = Clock()
    async with banned_in_store(tmp_path) as (log, store), following(log) as follower:
        followed = follower.followed[0]
        followed.tail.forget(followed.judged_through)  # what retention and bounds leave to the store
        videos, before = Videos(follower, History(follower, store), wait_s=0.01, clock=clock), unread()
        async with asyncio.timeout(TIMEOUT_S):
            facts = await asyncio.gather(*(videos.facts("v") for _ in range(10)))
            assert not any(each.is_banned("rude") for each in facts)
            assert unread() == before + 1
            store.is_broken = True
            store.goes_on.set()
            clock.now += 10
            assert not (await videos.facts("v")).is_banned("rude")
            assert unread() > before + 1
            store.is_broken = False
            assert not (await videos.facts("v")).is_banned("rude")  # it is not tried again at once
            while not (await videos.facts("v")).is_banned("rude"):
                clock.now += 10


async def test_no_more_videos_are_kept_than_may_be(tmp_path: Path) -> None:
    async with banned_in_store(tmp_path) as (log, store), following(log) as follower:
        store.goes_on.set()
        videos = Videos(follower, History(follower, store), videos_max=10)
        for n in range(50):
            await videos.facts(f"v{n}")
        assert len(videos) == 10
        assert (await videos.facts("v")).is_banned("rude")


@pytest.mark.parametrize("videos_max", [10, 20_000])
async def test_reads_under_way_are_bounded_however_many_videos_are_asked_for(tmp_path: Path, videos_max: int) -> None:
    async with banned_in_store(tmp_path) as (log, store), following(log) as follower:
        followed = follower.followed[0]
        followed.tail.forget(followed.judged_through)
        videos = Videos(follower, History(follower, store), wait_s=0.001, videos_max=videos_max)
        before = asyncio.all_tasks()
        asked = [asyncio.create_task(videos.facts(f"v{n}")) for n in range(500)]
        await asyncio.wait(asked)
        under_way = [str(task.get_coro()) for task in asyncio.all_tasks() - before]
        assert len([one for one in under_way if "Videos." in one]) == min(READS_MAX, videos_max), under_way
        assert not any(one.result().is_whole for one in asked)
        waiting = asyncio.create_task(videos.facts("v"))  # which finds no room
        await asyncio.sleep(0)
        store.goes_on.set()
        assert not (await waiting).is_banned("rude") or (await waiting).is_whole
        patient = Videos(follower, History(follower, store), wait_s=60.0, videos_max=videos_max)
        found = await asyncio.gather(*(patient.facts(f"v{n}") for n in range(500)), patient.facts("v"))
        assert all(one.is_whole for one in found)  # those beyond the bound had their turn
        assert found[-1].is_banned("rude")
