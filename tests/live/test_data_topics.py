"""The jobs that make topics of the log, on a real Kafka: killed, and with their topics made anew under them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from infra.local.ports import free_port
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import create_missing, find_topics
from livecomments.log.counts import RecentCounts
from livecomments.log.topics import COUNTS_TOPIC, clean_topic, load_topics
from livecomments.runtime.settings import PREFIX
from livecomments_schemas.counts import MINUTE_MS, count_of
from livecomments_schemas.events import COMMENT_CREATED, Record, comment_deleted
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from livecomments_schemas.window import Window
from tests.live.stream import (
    Deployment,
    Worker,
    comments,
    delete_topic,
    deployment,
    process_of,
    until,
    videos_of,
)

pytestmark = pytest.mark.timeout(300)
PARTITIONS: Final = 2
VIDEOS: Final = videos_of(PARTITIONS, 6)


@pytest.fixture
async def running(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A log with comments and retries."""
    async with deployment(kafka_address, cql_address, tmp_path, PARTITIONS) as made:
        await made.append(comments(VIDEOS, 2_000, "a"))
        await made.append(comments(VIDEOS, 200, "a"))
        yield made


def start(running: Deployment, job: str) -> Worker:
    """One more process, in no group."""
    said = {name.removeprefix(PREFIX): value for name, value in running.environ.items() if name.startswith(PREFIX)}
    said = {name: value for name, value in said.items() if name != "GROUP"} | {"INTERNAL_PORT": str(free_port())}
    worker = process_of(job, said, running.directory / f"{job}-{len(running.workers)}")
    running.workers.append(worker)
    return worker


async def test_counts_are_those_of_the_log_over_a_kill(running: Deployment) -> None:
    for turn in range(2):
        worker = start(running, "counts")
        await running.append(comments(VIDEOS, 300, f"counted-{turn}"))
        await until(partial(are_told, running), "all counted")
        worker.kill()
    last = start(running, "counts")
    await until(lambda: last.has_logged("ready"), "ready")
    assert await are_told(running)
    assert await last.stop() == 0


async def test_the_clean_topic_is_what_the_log_says_over_a_kill(running: Deployment) -> None:
    for turn in range(2):
        worker = start(running, "clean")
        target = comment_id(position_at(running.epoch, 5 + turn), partition_of(VIDEOS[0], PARTITIONS))
        await running.append([comment_deleted(VIDEOS[0], target, "mod"), *comments(VIDEOS, 300, f"clean-{turn}")])
        await until(partial(is_clean, running), "all clean")
        worker.kill()
    await verify_clean(running)


async def test_a_topic_of_counts_made_anew_ends_its_job_and_gateways_read_the_new_one(running: Deployment) -> None:
    job = start(running, "counts")
    await until(partial(are_told, running), "all counted")
    name = running.own.prefix + COUNTS_TOPIC
    ticks = count(step=60)
    async with KafkaLog(running.kafka, name, 0) as topic:
        known = RecentCounts(topic, monotonic=lambda: next(ticks))
        reading = asyncio.create_task(known.run())
        await until(lambda: known.is_ready, "read")
        before = sum(one.comments for video in VIDEOS for one in known.of(video))
        assert before
        await make_anew(running, COUNTS_TOPIC)
        await running.append(comments(VIDEOS, 300, "later"))
        assert await job.ended() == 2, job.logged
        assert job.said == (
            "livecomments: The topic of counts was made anew. Start this again: all that the log holds is counted."
        )
        again = start(running, "counts")
        await until(lambda: again.has_logged("ready"), "ready")
        await until(partial(are_told, running), "all counted again")
        await until(lambda: sum(one.comments for video in VIDEOS for one in known.of(video)) > before, "read again")
        reading.cancel()
        await asyncio.wait([reading])
    assert await again.stop() == 0


async def test_a_clean_topic_made_anew_ends_its_job_and_is_written_whole_by_the_next(running: Deployment) -> None:
    job = start(running, "clean")
    await running.append(comments(VIDEOS, 300, "earlier"))
    await until(partial(is_clean, running), "all clean")
    await make_anew(running, clean_topic(running.epoch))
    await running.append(comments(VIDEOS, 300, "later"))
    assert await job.ended() == 2, job.logged
    assert f"The clean topic of epoch {running.epoch} was made anew while it was written." in job.said
    again = start(running, "clean")
    await until(lambda: again.has_logged("ready"), "ready")
    await until(partial(is_clean, running), "all clean again")
    await verify_clean(running)
    assert await again.stop() == 0


async def make_anew(running: Deployment, topic: str) -> None:
    """Another topic of the same name and settings, as somebody makes it who removed one by mistake."""
    (wanted,) = (one for one in load_topics(running.epoch) if one.name == topic)
    name = running.own.prefix + topic
    partitions = 1 if topic == COUNTS_TOPIC else PARTITIONS
    await delete_topic(running.kafka, name)
    again = replace(wanted.with_replicas(1), name=name, partitions=partitions)
    assert await create_missing(KafkaConnection(running.kafka), [again]) == [name]


async def verify_clean(running: Deployment) -> None:
    """By the command."""
    command = [sys.executable, "-m", "livecomments_command", "verify", "--clean"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=running.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, "no difference" in done.stdout) == (0, True), done.stdout + done.stderr


async def is_clean(running: Deployment) -> bool:
    """Whether the clean topic is as far as the log, whose last records are all sure to be in it."""
    name = running.own.prefix + clean_topic(running.epoch)
    if name not in await find_topics(KafkaConnection(running.kafka), [name]):
        return False
    async with KafkaLog(running.kafka, name, 0) as topic:
        newest = [[*await read_all(topic, number)][-1:] for number in range(PARTITIONS)]
    ends = await running.ends()
    return all(
        [int(one.headers["origin-offset"]) for one in last] == [ends[number] - 1] for number, last in enumerate(newest)
    )


async def are_told(running: Deployment) -> bool:
    """Whether the topic of counts, as compaction keeps it, says what a loop over the log counts."""
    writers: dict[tuple[str, int], list[bytes]] = {}
    for partition in range(PARTITIONS):
        records = await read_all(running.log, partition)
        window = Window(running.epoch, partition, PARTITIONS, since=0, whole=True)
        for record in records:
            verdict = judge(record, window)
            if verdict.kind is Kind.ACCEPTED and record.headers["type"] == COMMENT_CREATED:
                minute = record.appended_at_ms // MINUTE_MS
                writers.setdefault((verdict.video_id, minute), []).append(record.headers["author"])
    name = running.own.prefix + COUNTS_TOPIC
    if name not in await find_topics(KafkaConnection(running.kafka), [name]):
        return False
    async with KafkaLog(running.kafka, name, 0) as topic:
        told = [one for one in map(count_of, await read_all(topic, 0)) if one is not None]
    newest = {(one.video_id, one.minute): (one.comments, one.writers) for one in told}
    return newest == {key: (len(each), len(set(each))) for key, each in writers.items()}


async def read_all(log: KafkaLog, partition: int) -> list[Record]:
    """All records of a partition."""
    following, end = (await log.bounds([partition]))[partition]
    found = []
    while following < end:
        records, following = await log.read(partition, following, end, 5_000)
        found += records
    return found
