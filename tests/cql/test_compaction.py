"""After the store's grace period: tombstones and expired cells are purged, and a replay of the log brings nothing back.

The server flushes and compacts by the table's own options, so that no other tool is needed: no grace, a flush every
half second, a compaction of two files at a time. A compaction is over when the server's own history says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from livecomments.cql.migrations import migrate
from livecomments.cql.store import CqlStore
from livecomments.store.interface import Lifetime, Row
from tests.store.examples import (
    BUCKET,
    DATACENTER,
    END,
    START,
    comment,
    delete,
    drop_keyspace,
    emptied,
    new_keyspace,
    new_video,
    run_cql,
)

COMPACTED_WITHIN_S: Final = 60.0
GONE_WITHIN_S: Final = 20.0
TTL_S: Final = 1_000
POLL_S: Final = 0.2

pytestmark = pytest.mark.timeout(240, func_only=True)


class Table:
    """`records_by_video` of a keyspace whose server forgets as soon as it may."""

    def __init__(self, cql_address: str, keyspace: str) -> None:
        self._cql_address = cql_address
        self.keyspace = keyspace

    def store(self, lifetime: Lifetime | None = None) -> CqlStore:
        return CqlStore(self._cql_address, keyspace=self.keyspace, datacenter=DATACENTER, lifetime=lifetime)

    async def run(self, *statements: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(run_cql, self._cql_address, *statements)

    async def compacted(self, row: Row) -> None:
        """Wait until what was written before this call went through a compaction. Writes elsewhere, so that there is
        something to flush beside it."""
        before, deadline, at = await self._compactions(), time.monotonic() + COMPACTED_WITHIN_S, 0
        async with self.store() as store:
            while await self._compactions() < before + 2:  # the one under way, and the next
                assert time.monotonic() < deadline, "not compacted"
                at += 1
                await store.write([row._replace(video_id=f"other-{at}")])
                await asyncio.sleep(POLL_S)

    async def _compactions(self) -> int:
        done = await self.run("SELECT keyspace_name, columnfamily_name FROM system.compaction_history")
        return sum(one == (self.keyspace, "records_by_video") for one in map(tuple, done))


@pytest.fixture
async def table(cql_address: str) -> AsyncIterator[Table]:
    made = Table(cql_address, new_keyspace())
    await asyncio.to_thread(migrate, cql_address, keyspace=made.keyspace, datacenter=DATACENTER, replication_factor=1)
    try:
        await made.run(
            f"ALTER TABLE {made.keyspace}.records_by_video WITH gc_grace_seconds = 0 "
            "AND memtable_flush_period_in_ms = 500 "
            "AND compaction = {'class': 'SizeTieredCompactionStrategy', 'min_threshold': 2}"
        )
        yield made
    finally:
        await asyncio.to_thread(drop_keyspace, cql_address, made.keyspace)


async def test_a_replay_of_the_whole_log_after_the_grace_period_brings_nothing_back(table: Table) -> None:
    video = new_video()
    row, gone = comment(video, START), delete(video, START + BUCKET, START)
    async with table.store() as store:
        await store.write([row])
        await store.write([gone])
        await table.compacted(row)
        for log in ([row, gone], [row]):  # all of it, and as far as a replay that was cut short came
            await store.write(log)
            await table.compacted(row)
            assert (await store.read(video, START - 1, END, 10, descending=False)).rows == [emptied(row), gone]


async def test_a_replay_after_grace_and_lifetime_brings_nothing_back(table: Table) -> None:
    """Nor does one by a writer whose clock is six hours behind, for whom nothing is expired."""
    video = new_video()
    now_ms = int(time.time() * 1_000)
    row = comment(video, START)._replace(appended_at_ms=now_ms - (TTL_S - 4) * 1_000)
    gone = delete(video, START + 1, START)._replace(appended_at_ms=row.appended_at_ms)
    behind = Lifetime(TTL_S, clock=lambda: time.time() - 6 * 3_600)
    async with table.store(Lifetime(TTL_S)) as store, table.store(behind) as late:
        await store.write([comment(new_video(), START)._replace(appended_at_ms=now_ms)])  # it hears what time it is
        await store.write([row])
        await store.write([gone])
        deadline = time.monotonic() + GONE_WITHIN_S
        while await store.read_one(video, START + 1) is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(POLL_S)
        await table.compacted(comment(video, START))
        now = comment(new_video(), START)._replace(appended_at_ms=int(time.time() * 1_000))
        await store.write([row, gone, now])
        assert (await store.read(video, START - 1, END, 10, descending=False)).rows == []
        await late.write([row])
        await table.compacted(comment(video, START))
        assert await store.read_one(video, START) in (None, emptied(row))


async def test_a_delete_that_left_a_tombstone_would_be_undone(table: Table) -> None:
    """The planted bug: the same with NULL instead of empty bytes. So the server did purge what the others outlive."""
    video = new_video()
    row = comment(video, START)
    where = f"video_id = '{video}' AND bucket = {START // BUCKET} AND position = {START}"
    async with table.store() as store:
        await store.write([row])
        await table.run(
            f"UPDATE {table.keyspace}.records_by_video USING TIMESTAMP {START + 1} SET value = null WHERE {where}"
        )
        await store.write([row])
        assert await store.read_one(video, START) == row._replace(value=None)  # type: ignore[arg-type]  # a tombstone
        await table.compacted(row)
        await store.write([row])
        assert await store.read_one(video, START) == row
