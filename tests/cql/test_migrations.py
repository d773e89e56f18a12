"""Migrations: run twice, run together, and stores that are not laid out as this code writes."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from livecomments.cql.migrations import migrate, migration_names, statements_of
from livecomments.cql.store import CqlStore
from livecomments.store.interface import BUCKET_BITS
from livecomments_schemas.errors import StartRefused
from tests.store.examples import DATACENTER, END, START, comment, run_cql

RUN_S = 60.0


def migrated(address: str, keyspace: str, **others: Any) -> list[str]:
    wanted: dict[str, Any] = {"replication_factor": 1} | others
    return migrate(address, keyspace=keyspace, datacenter=DATACENTER, **wanted)


def opened(address: str, keyspace: str) -> CqlStore:
    return CqlStore(address, keyspace=keyspace, datacenter=DATACENTER)


async def test_a_second_run_applies_nothing(cql_address: str, empty_keyspace: str) -> None:
    assert migrated(cql_address, empty_keyspace) == migration_names()
    assert migrated(cql_address, empty_keyspace) == []
    async with opened(cql_address, empty_keyspace) as store:
        await store.write([comment("video", START)])
    migrated(cql_address, empty_keyspace)
    async with opened(cql_address, empty_keyspace) as store:
        assert len((await store.read("video", START - 1, END, 5, descending=True)).rows) == 1


async def test_two_processes_at_once_end_with_one_schema(cql_address: str, empty_keyspace: str) -> None:
    run = (
        "from livecomments.cql.migrations import migrate\n"
        f"print(migrate({cql_address!r}, keyspace={empty_keyspace!r}, datacenter={DATACENTER!r}, replication_factor=1))"
    )
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", run, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    async with asyncio.timeout(RUN_S):
        ends = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], ends
    assert migrated(cql_address, empty_keyspace) == []
    async with opened(cql_address, empty_keyspace) as store:
        await store.write([comment("video", START)])


async def test_a_migration_that_was_interrupted_is_finished_by_the_next_run(
    cql_address: str, empty_keyspace: str
) -> None:
    migrated(cql_address, empty_keyspace)
    run_cql(
        cql_address,
        f"DROP TABLE {empty_keyspace}.watermarks",
        f"DELETE FROM {empty_keyspace}.migrations WHERE name = '{migration_names()[-1]}'",
        f"DELETE FROM {empty_keyspace}.layout WHERE name = 'bucket_bits'",
    )
    with pytest.raises(StartRefused, match="run `livecomments migrate`"):
        await opened(cql_address, empty_keyspace).__aenter__()
    migrated(cql_address, empty_keyspace)
    async with opened(cql_address, empty_keyspace) as store:
        await store.advance_watermark(1, 0, START)


async def test_a_store_without_its_schema_is_refused_in_one_sentence(cql_address: str, empty_keyspace: str) -> None:
    with pytest.raises(StartRefused, match="run `livecomments migrate`"):
        await opened(cql_address, empty_keyspace).__aenter__()


async def test_a_newer_schema_is_fine(cql_address: str, empty_keyspace: str) -> None:
    migrated(cql_address, empty_keyspace)
    run_cql(cql_address, f"INSERT INTO {empty_keyspace}.migrations (name) VALUES ('9999_later')")
    async with opened(cql_address, empty_keyspace):
        pass


async def test_other_bucket_bits_are_refused_by_store_and_migration(cql_address: str, empty_keyspace: str) -> None:
    migrated(cql_address, empty_keyspace, bucket_bits=BUCKET_BITS - 2)
    with pytest.raises(StartRefused, match="18 bucket bits"):
        await opened(cql_address, empty_keyspace).__aenter__()
    with pytest.raises(StartRefused, match="18 bucket bits"):
        migrated(cql_address, empty_keyspace)


def test_a_replication_factor_below_one_is_refused() -> None:
    with pytest.raises(StartRefused, match="replication factor"):
        migrated("127.0.0.1:1", "any", replication_factor=0)


def test_statements_are_cut_at_semicolons_and_comments_left_out() -> None:
    assert statements_of("-- why; and so on\nA\n  (b);\n\n  -- more\nC;\n") == ["A\n  (b)", "C"]
