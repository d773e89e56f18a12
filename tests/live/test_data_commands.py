"""The commands for people who look after records, on a real Kafka and a real CQL store, beside a running stream job."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from livecomments.cli.export import Manifest
from livecomments.log.kafka_connection import KafkaConnection
from livecomments.log.topics import find_topics
from livecomments.runtime.settings import PREFIX
from livecomments.store.migrations import migrate
from schemas.events import comment_deleted
from schemas.partitions import partition_of
from schemas.positions import comment_id, position_at
from tests.live.stream import Deployment, comments, deployment, videos_of
from tests.store.examples import DATACENTER, drop_keyspace, new_keyspace, run_cql

pytestmark = pytest.mark.timeout(300)
COMMAND_S = 120.0
PARTITIONS = 2
VIDEOS = videos_of(PARTITIONS, 6)


@pytest.fixture
async def running(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A stream job that has stored comments, retries and deletes."""
    async with deployment(kafka_address, cql_address, tmp_path, PARTITIONS) as made:
        await made.append(comments(VIDEOS, 2_000, "a"))
        await made.append(comments(VIDEOS, 200, "a"))
        video = VIDEOS[0]
        target = comment_id(position_at(made.epoch, 0), partition_of(video, PARTITIONS))
        await made.append([comment_deleted(video, target, "mod")])
        await made.start().started()
        await made.complete()
        yield made


def command(made: Deployment, *arguments: str, code: int = 0, **settings: str) -> str:
    """Run a command; its output."""
    environ: Mapping[str, str] = made.environ | {PREFIX + name.upper(): value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "livecomments.cli", *arguments],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


async def test_a_new_store_is_filled_while_comments_come_in(running: Deployment, cql_address: str) -> None:
    keyspace = new_keyspace()
    await asyncio.to_thread(migrate, cql_address, keyspace=keyspace, datacenter=DATACENTER, replication_factor=1)
    try:
        coming = asyncio.create_task(running.append(comments(VIDEOS, 1_000, "b")))
        said = await asyncio.to_thread(command, running, "rebuild", cql_keyspace=keyspace)
        assert "records stored, 0 of them invalid" in said
        await coming
        await asyncio.to_thread(command, running, "rebuild", cql_keyspace=keyspace)
        assert "no difference" in await asyncio.to_thread(command, running, "verify", cql_keyspace=keyspace)
        await running.complete()
        assert "no difference" in await asyncio.to_thread(command, running, "verify")
        lost = (
            f"DELETE FROM {keyspace}.records_by_video WHERE video_id = '{VIDEOS[1]}' AND bucket = {running.epoch << 20}"
        )
        await asyncio.to_thread(run_cql, cql_address, lost)
        said = await asyncio.to_thread(command, running, "verify", code=1, cql_keyspace=keyspace)
        assert "not stored" in said
    finally:
        await asyncio.to_thread(drop_keyspace, cql_address, keyspace)


async def test_an_export_is_the_same_again_and_agrees_with_the_store(running: Deployment, tmp_path: Path) -> None:
    digests = set()
    for form in ("jsonl", "csv", "parquet"):
        if form == "parquet":
            pytest.importorskip("pyarrow")
        await asyncio.to_thread(command, running, "export", str(tmp_path / form), "--format", form)
        manifest = Manifest.load(tmp_path / form)
        assert manifest is not None
        assert manifest.is_finished
        digests.add(manifest.digest)
        assert manifest.comments == 2_000 + 200 - 67 - 1  # a third of the 200 had keys
    assert len(digests) == 1
    said = await asyncio.to_thread(command, running, "verify", "--export", str(tmp_path / "jsonl"))
    assert "no difference" in said


async def test_a_dead_letter_is_replayed_into_its_partition(running: Deployment) -> None:
    (record,) = comments(VIDEOS, 1, "foreign")
    elsewhere = (partition_of(VIDEOS[0], PARTITIONS) + 1) % PARTITIONS
    offset = await running.append_foreign(elsewhere, record.key, record.value, record.headers)
    await running.complete()
    origin = f"{running.topic}/{elsewhere}/{offset}"
    listed = await asyncio.to_thread(command, running, "dead-letters", "list", "--limit", "1000")
    (number,) = (line.replace("│", " ").split()[0] for line in listed.splitlines() if f"{origin} " in line)
    said = await asyncio.to_thread(command, running, "dead-letters", "replay", number)
    assert "replayed as" in said
    assert not await asyncio.to_thread(command, running, "dead-letters", "replay", number)
    await running.complete()
    assert "no difference" in await asyncio.to_thread(command, running, "verify")
    assert running.topic in await find_topics(KafkaConnection(running.kafka), [running.topic])
