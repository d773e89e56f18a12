"""How long rows are kept is counted by the log's clock: none is lost to one of ours that runs ahead."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.history.log_time import lifetime_of
from livecomments.log.interface import CommentLog, LogUnavailable
from livecomments.sqlite import DurableFile
from livecomments.store.interface import Lifetime, Row
from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.positions import first_position
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.job import Job
from tests.log.faults import ClockedLog, WatchedLog

DAY_S = 86_400
TTL_S = 7 * DAY_S
FIRST = first_position(1)


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[DurableFile]:
    async with DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as opened:
        yield opened


async def stored(log: CommentLog, file: DurableFile, lifetime: Lifetime) -> list[Row]:
    """What a job of its own, with such a lifetime, makes of the log."""
    async with EmbeddedLog(file, "letters", 1, 1) as letters, EmbeddedStore(file, lifetime=lifetime) as store:
        job = Job(log, store, DeadLetters(letters, "comments-1"))
        end = (await log.bounds([0]))[0].end
        for offset in range(end):  # one by one, as a busy log brings them
            await job.take((await log.read(0, offset, offset + 1, 1)).records)
        await job.advance_watermarks()
        assert await store.watermark(1, 0) == FIRST + end - 1
        return (await store.read("v", FIRST - 1, FIRST + 99, 99, descending=False)).rows


async def append(log: CommentLog, count: int) -> None:
    for number in range(count):
        await log.append(0, comment_created("v", f"{number}", Author("a", "A"), created_at_ms=1))


async def test_a_job_whose_clock_is_ahead_stores_all_that_the_log_calls_new(file: DurableFile) -> None:
    async with EmbeddedLog(file, "comments-1", 1, 1) as log:
        await append(log, 5)
        ahead = Lifetime(TTL_S, clock=lambda: time.time() + 10 * DAY_S)
        assert len(await stored(log, file, ahead)) == 5
        assert len(await stored(log, file, Lifetime(TTL_S))) == 5


async def test_what_expired_by_the_log_s_newest_record_is_not_new_to_whoever_fills_a_store(file: DurableFile) -> None:
    """Six records, two days between two: the first two are more than a week before the last."""
    now_ms = int(time.time() * 1_000)
    async with EmbeddedLog(file, "comments-1", 1, 1) as inner:
        log = ClockedLog(inner, lambda offset: now_ms - (10 - 2 * offset) * DAY_S * 1_000)
        await append(log, 6)
        lifetime = await lifetime_of(log, TTL_S)
        assert [row.position - FIRST for row in await stored(log, file, lifetime)] == [2, 3, 4, 5]


async def test_a_log_that_is_away_is_asked_again_and_without_a_lifetime_not_at_all(file: DurableFile) -> None:
    calls: list[str] = []

    async def around(name: str) -> None:
        calls.append(name)
        if len(calls) == 1:
            raise LogUnavailable("away")

    async with EmbeddedLog(file, "comments-1", 1, 1) as inner:
        log = WatchedLog(inner, around)
        await append(inner, 1)
        assert (await lifetime_of(log, 0)).expired_before_ms < 0
        assert calls == []
        assert (await lifetime_of(log, TTL_S)).left_s(int(time.time() * 1_000)) == TTL_S
        assert calls.count("bounds") == 2
