"""The commands for people who look after records, on a real Kafka and a real CQL store, beside a running stream job."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from livecomments.cql.migrations import migrate
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import find_topics
from livecomments.log.topics import clean_topic
from livecomments.runtime.settings import PREFIX
from livecomments_command.records.export import Manifest
from livecomments_schemas.events import (
    COMMENT_DELETED,
    USER_BANNED,
    USER_UNBANNED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    Author,
    comment_created,
    comment_deleted,
    facts_of,
    user_event,
    video_changed,
    video_event,
)
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from tests.command.records.chain import digest_of, manifests, merge
from tests.live.stream import Deployment, comments, deployment, until, videos_of
from tests.live.test_data_topics import is_clean, read_all, start
from tests.store.examples import DATACENTER, drop_keyspace, new_keyspace, run_cql

pytestmark = pytest.mark.timeout(300)
COMMAND_S = 120.0
PARTITIONS = 2
VIDEOS = videos_of(PARTITIONS, 6)
SAID = {"title": 'a, "value":', "slowModeS": 0, "maxCommentsPerS": 9, "whoMayComment": "everyone"}


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
        [sys.executable, "-m", "livecomments_command", *arguments],
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


async def test_comments_and_facts_that_the_log_let_go_of_come_from_the_export(
    running: Deployment, cql_address: str, tmp_path: Path
) -> None:
    video, directory = VIDEOS[0], str(tmp_path / "export")
    facts = [
        video_changed(video, SAID, "owner"),
        user_event(USER_BANNED, video, "troll", "mod"),
        video_event(VIDEO_ENDED, video, "owner"),
    ]
    await running.append([*facts, *comments([video], 3, "void"), video_event(VIDEO_STARTED, video, "owner")])
    await asyncio.to_thread(command, running, "export", directory)
    await running.forget_before({number: end - 1 for number, end in (await running.ends()).items()})
    await running.append([*comments(VIDEOS, 100, "later"), user_event(USER_UNBANNED, video, "troll", "mod")])
    await until(running.is_complete, "the rest stored")
    keyspace = new_keyspace()
    await asyncio.to_thread(migrate, cql_address, keyspace=keyspace, datacenter=DATACENTER, replication_factor=1)
    try:
        rebuild = ("rebuild", "--from-export", directory)
        await asyncio.to_thread(command, running, *rebuild, cql_keyspace=keyspace)
        before, after = await running.stored(), await running.stored(keyspace)
        gone = {at for at, row in before.items() if row.deleted or row.kind == COMMENT_DELETED}
        kept = {at: row for at, row in before.items() if at not in gone}
        assert {at: row._replace(appended_at_ms=0) for at, row in after.items()} == {
            at: row._replace(appended_at_ms=0) for at, row in kept.items()
        }
        assert len([at for at in after if at[0] == facts_of(video)]) == 5
        for options in ((), ("--export", directory)):
            assert "no difference" in await asyncio.to_thread(
                command, running, "verify", *options, cql_keyspace=keyspace
            )
        where = f"video_id = '{facts_of(video)}' AND bucket = {running.epoch << 20}"
        lost = f"DELETE FROM {keyspace}.records_by_video WHERE {where}"
        await asyncio.to_thread(run_cql, cql_address, lost)
        verify = ("verify", "--export", directory, "--video", video)
        assert "4 not stored" in await asyncio.to_thread(command, running, *verify, code=1, cql_keyspace=keyspace)
    finally:
        await asyncio.to_thread(drop_keyspace, cql_address, keyspace)


async def test_a_dead_letter_gives_its_record_back_byte_for_byte_when_the_log_has_let_go_of_it(
    running: Deployment,
) -> None:
    (record,) = comments(VIDEOS, 1, "foreign")
    record = record._replace(headers={**record.headers, "traceparent": b"00-1", "theirs": b"\xff\x00", "empty": b""})
    home = partition_of(VIDEOS[0], PARTITIONS)
    offset = await running.append_foreign(1 - home, record.key, record.value, record.headers)
    await running.complete()
    await running.forget_before({1 - home: offset + 1})
    listed = await asyncio.to_thread(command, running, "dead-letters", "list", "--limit", "1000")
    origin = f"{running.topic}/{1 - home}/{offset}"
    (number,) = (line.replace("│", " ").split()[0] for line in listed.splitlines() if f"{origin} " in line)
    assert "replayed as" in await asyncio.to_thread(command, running, "dead-letters", "replay", number)
    end = (await running.ends())[home]
    (again,) = (await running.log.read(home, end - 1, end, 1)).records
    own = {name: value for name, value in again.headers.items() if not name.startswith("origin-")}
    assert (again.key, again.value, own) == (record.key, record.value, record.headers)


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


async def test_what_one_person_wrote_is_erased_beside_the_stream_job(running: Deployment) -> None:
    eve = Author("eve", "Eve")
    said = [comment_created(video, f"mine {number}", eve, created_at_ms=1) for number in range(40) for video in VIDEOS]
    await running.append([*said, *comments(VIDEOS, 100, "others")])
    told = await asyncio.to_thread(command, running, "erase", "--author", "eve")
    assert f"{len(said):,} comments of eve found" in told
    await running.complete()
    own = [row for row in (await running.stored()).values() if row.author_id == "eve"]
    assert len(own) == len(said)
    assert all(row.deleted and not row.value for row in own)
    assert "no difference" in await asyncio.to_thread(command, running, "verify")
    again = await asyncio.to_thread(command, running, "erase", "--author", "eve", "--dry-run")
    assert "0 comments of eve found" in again


async def test_what_one_person_wrote_leaves_the_clean_topic_a_feed_and_an_export_as_well(
    running: Deployment, tmp_path: Path
) -> None:
    start(running, "clean")
    eve, feed, full = Author("eve", "Eve"), str(tmp_path / "feed"), str(tmp_path / "full")
    mine = [comment_created(video, f"mine {number}", eve, created_at_ms=1) for number in range(20) for video in VIDEOS]
    for turn, part in enumerate((mine[::2], mine[1::2])):
        await running.append([*part, *comments(VIDEOS, 100, f"others-{turn}")])
        await asyncio.to_thread(command, running, "export", feed, "--changes", "--step-mb", "1")
    await asyncio.to_thread(command, running, "export", full)
    await until(partial(is_clean, running), "all clean")
    assert len(await shown_of(running, "eve")) == len(mine)
    told = await asyncio.to_thread(command, running, "erase", "--author", "eve", "--export", feed, "--export", full)
    assert "looked for again none is stored" in told
    assert told.replace("\n", " ").count(f": {len(mine)} comments removed.") == 2
    await until(partial(is_clean, running), "the deletes clean")
    assert await shown_of(running, "eve") == []
    assert "no difference" in await asyncio.to_thread(command, running, "verify", "--clean")
    assert not any(b'"id":"eve"' in content for content in contents(tmp_path))
    for steps in range(2):
        await asyncio.to_thread(command, running, "export", feed, "--changes")
        await asyncio.to_thread(command, running, "export", str(tmp_path / f"now-{steps}"))
        now = Manifest.load(tmp_path / f"now-{steps}")
        assert now is not None
        assert digest_of(merge(tmp_path / "feed", {})) == now.digest
        await asyncio.to_thread(command, running, "compact", feed, "--through-step", "99")
    assert len(manifests(tmp_path / "feed")) == 1
    assert "no difference" in await asyncio.to_thread(command, running, "verify", "--export", full)


def contents(directory: Path) -> list[bytes]:
    """Of all comments' files of feed and export."""
    return [path.read_bytes() for path in directory.glob("f*/day=*/*")]


async def shown_of(running: Deployment, author_id: str) -> list[bytes]:
    """What the clean topic has of somebody, as compaction keeps it."""
    async with KafkaLog(running.kafka, running.own.prefix + clean_topic(running.epoch), 0) as topic:
        kept = {record.key: record.value for number in range(PARTITIONS) for record in await read_all(topic, number)}
    return [value for value in kept.values() if value and f'"id":"{author_id}"'.encode() in value]
