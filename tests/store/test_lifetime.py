"""How long rows are kept: each until its age is over, whenever it is written; and what was deleted stays deleted."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from livecomments.cql.store import CqlStore
from livecomments.embedded.store import TABLES, EmbeddedStore
from livecomments.sqlite import DurableFile
from livecomments.store.interface import CommentStore, Lifetime, Row
from tests.store.examples import BUCKET, DATACENTER, END, START, comment, delete, emptied, new_video, run_cql

TTL_S = 1_000
GONE_WITHIN_S = 20.0
POLL_S = 0.1

Open = Callable[[Lifetime], AbstractAsyncContextManager[CommentStore]]


def aged(row: Row, age_s: float) -> Row:
    """`row`, appended so long ago."""
    return row._replace(appended_at_ms=int((time.time() - age_s) * 1000))


def fresh() -> Row:
    """A row of just now, by which the store hears what time it is for the log."""
    return aged(comment(new_video(), START), 0)


class LifetimeContract:
    """What every store with a time to live promises. `open_store` opens the same rows with one or another."""

    async def test_a_row_is_kept_for_the_rest_of_its_age(self, open_store: Open) -> None:
        video = new_video()
        rows = [aged(comment(video, START + 1), TTL_S + 1), aged(comment(video, START + 2), TTL_S - 2)]
        rows.append(aged(comment(video, START + 3), TTL_S - 600))
        async with open_store(Lifetime(TTL_S)) as store:
            await store.write([fresh()])
            await store.write(rows)
            assert await store.read_one(video, START + 1) is None
            deadline = time.monotonic() + GONE_WITHIN_S
            while await store.read_one(video, START + 2) is not None:
                assert time.monotonic() < deadline
                await asyncio.sleep(POLL_S)
                await store.write([fresh()])
            assert (await store.read(video, START - 1, END, 10, descending=False)).rows == rows[2:]

    async def test_without_one_rows_of_any_age_are_kept(self, open_store: Open) -> None:
        video = new_video()
        rows = [comment(video, START + n)._replace(appended_at_ms=ms) for n, ms in enumerate((0, 1, 4_102_444_800_000))]
        async with open_store(Lifetime()) as store:
            await store.write(rows)
            assert (await store.read(video, START - 1, END, 10, descending=False)).rows == rows

    async def test_a_record_of_the_year_2100_is_written(self, open_store: Open) -> None:
        row = comment(new_video(), START)._replace(appended_at_ms=4_102_444_800_000)
        async with open_store(Lifetime(TTL_S)) as store:
            await store.write([row])
            assert await store.read_one(row.video_id, START) == row

    @pytest.mark.parametrize("ttl_s", [0, TTL_S])
    async def test_no_order_of_replays_brings_a_deleted_text_back(self, open_store: Open, ttl_s: int) -> None:
        for writes in itertools.permutations(("comment", "delete", "comment")):
            video = new_video()
            row = aged(comment(video, START), TTL_S - 100)
            gone = aged(delete(video, START + BUCKET, START), TTL_S - 200)
            async with open_store(Lifetime(ttl_s)) as store:
                for one in writes:
                    await store.write([row if one == "comment" else gone])
                assert (await store.read(video, START - 1, END, 10, descending=False)).rows == [emptied(row), gone]

    async def test_a_writer_whose_clock_is_behind_brings_nothing_back(self, open_store: Open) -> None:
        video = new_video()
        row, gone = aged(comment(video, START), TTL_S - 2), aged(delete(video, START + 1, START), TTL_S - 3)
        async with (
            open_store(Lifetime(TTL_S)) as store,
            open_store(Lifetime(TTL_S, clock=lambda: time.time() - 6 * 3_600)) as behind,
        ):
            await store.write([row, gone, fresh()])
            deadline = time.monotonic() + GONE_WITHIN_S
            while await store.read_one(video, START + 1) is not None:
                assert time.monotonic() < deadline
                await asyncio.sleep(POLL_S)
                await store.write([fresh()])
            await behind.write([row])  # for six hours, by its clock
            found = await behind.read_one(video, START)
            assert found is None or found == emptied(row)


class TestEmbeddedLifetime(LifetimeContract):
    """On one SQLite file."""

    @pytest.fixture
    async def open_store(self, tmp_path: Path) -> AsyncIterator[Open]:
        """A new file."""
        async with DurableFile(tmp_path, TABLES) as file:
            yield lambda lifetime: EmbeddedStore(file, lifetime=lifetime)

    async def test_what_expired_is_removed_when_the_store_is_entered(self, tmp_path: Path) -> None:
        async with DurableFile(tmp_path, TABLES) as file:
            async with EmbeddedStore(file) as store:
                await store.write([aged(comment("video", START), TTL_S + 9), aged(comment("video", START + 1), 0)])
            async with EmbeddedStore(file, lifetime=Lifetime(TTL_S)):
                pass
            async with EmbeddedStore(file) as store:
                assert await store.read_one("video", START) is None
                assert await store.read_one("video", START + 1) is not None

    async def test_a_start_with_a_clock_ahead_removes_nothing_and_what_is_stored_meanwhile_is_there(
        self, tmp_path: Path
    ) -> None:
        def ahead() -> float:
            return time.time() + 10 * TTL_S

        rows = [
            comment("video", START + number)._replace(appended_at_ms=int(time.time() * 1_000)) for number in range(9)
        ]
        async with DurableFile(tmp_path, TABLES) as file:
            async with EmbeddedStore(file, lifetime=Lifetime(TTL_S)) as store:
                await store.write(rows[:5])
            for clock, count in ((ahead, 7), (time.time, 8), (ahead, 9)):
                async with EmbeddedStore(file, lifetime=Lifetime(TTL_S, clock)) as store:
                    await store.write(rows[:count])
                    assert (await store.read("video", START - 1, END, 99, descending=False)).rows == rows[:count]


class TestCqlLifetime(LifetimeContract):
    """On a CQL server."""

    @pytest.fixture
    def open_store(self, cql_address: str, cql_keyspace: str) -> Open:
        """A new connection; the keyspace is that of the run."""

        @asynccontextmanager
        async def opened(lifetime: Lifetime) -> AsyncIterator[CommentStore]:
            store = CqlStore(cql_address, keyspace=cql_keyspace, datacenter=DATACENTER, lifetime=lifetime)
            async with store:
                yield store

        return opened

    async def test_the_mark_of_a_delete_outlives_any_replay_of_its_target(
        self, open_store: Open, cql_address: str, cql_keyspace: str
    ) -> None:
        video = new_video()
        row, gone = aged(comment(video, START), 500), aged(delete(video, START + 1, START), 400)
        async with open_store(Lifetime(TTL_S)) as store:
            for rows in ([fresh()], [row], [gone], [row]):
                await store.write(rows)
        ((kind_s, value_s, deleted_s, value),) = run_cql(
            cql_address,
            f"SELECT ttl(kind), ttl(value), ttl(deleted), value FROM {cql_keyspace}.records_by_video "
            f"WHERE video_id = '{video}' AND bucket = {START // BUCKET} AND position = {START}",
        )
        assert kind_s <= 500
        assert min(value_s, deleted_s) > kind_s + 86_000
        assert value == b""  # a live cell: no grace period ends it
        indexed = run_cql(cql_address, f"SELECT bucket FROM {cql_keyspace}.buckets_by_video WHERE video_id = '{video}'")
        assert len(indexed) == 1


def test_the_rest_of_a_lifetime_is_counted_from_the_append() -> None:
    lifetime = Lifetime(100, clock=lambda: 1_000.0)
    assert lifetime.left_s(1_000_000) == 100
    assert lifetime.left_s(901_000) == 1
    assert lifetime.left_s(900_000) is None
    assert lifetime.left_s(0) is None
    assert lifetime.left_s(10**15) == 100
    assert lifetime.mark_left_s == 86_500
    assert (Lifetime().left_s(0), Lifetime().mark_left_s) == (0, 0)


def test_now_is_the_smaller_of_our_clock_and_what_was_heard_of_the_log_s() -> None:
    clock = 2_000.0
    lifetime = Lifetime(100, clock=lambda: clock)
    lifetime.hear(1_000_000)
    lifetime.hear(999_000)  # what is older says nothing new
    assert lifetime.left_s(900_001) is None
    assert lifetime.left_s(901_000) == 1
    lifetime.hear(10**15)
    assert lifetime.left_s(1_901_000) == 1
    assert lifetime.left_s(1_900_000) is None
