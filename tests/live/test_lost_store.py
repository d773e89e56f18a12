"""A store that is lost under a running deployment comes back from the log, by the commands of docs/OPERATING.md."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.live.stream import comments, deployment, videos_of
from tests.live.test_data_commands import command
from tests.store.examples import drop_keyspace

pytestmark = pytest.mark.timeout(600)
PARTITIONS = 2
VIDEOS = videos_of(PARTITIONS, 6)
BEFORE, MEANWHILE = 2_000, 200


async def test_a_lost_store_is_filled_again_from_the_log_once_its_tables_are_there(
    kafka_address: str, cql_address: str, tmp_path: Path
) -> None:
    async with deployment(kafka_address, cql_address, tmp_path, PARTITIONS) as made:
        await made.append(comments(VIDEOS, BEFORE, "before"))
        job = await made.start().started()
        await made.complete()
        before = await made.stored()
        await asyncio.to_thread(drop_keyspace, cql_address, made.keyspace)
        await made.append(comments(VIDEOS, MEANWHILE, "meanwhile"))
        assert await job.ended() == 70
        again = made.start()
        assert await again.ended() == 2
        assert "run `livecomments migrate`" in again.said
        began_at = time.monotonic()
        await asyncio.to_thread(command, made, "migrate")
        await made.start().started()
        await made.complete()
        print(f"filled {time.monotonic() - began_at:.1f} s after `migrate` began")
        assert "no difference" in await asyncio.to_thread(command, made, "verify")
        after = await made.stored()
        assert before.items() <= after.items()
        assert len(after) == BEFORE + MEANWHILE
