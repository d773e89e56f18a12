"""`livecomments replay` on a real Kafka: all of a topic, beside a running worker, in no group and in bounded memory."""

import asyncio
import dataclasses
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import create_missing
from livecomments.log.topics import Topic
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from tests.live.stream import Deployment, comments, delete_topic, deployment, videos_of

COUNT = 20_000
GROWTH_MB_MAX = 60
"""Of the process from a replay of a few records to one of many. A chunk is 5,000 records, some 10 MB as objects."""


@pytest.fixture
async def deployed(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path) as made:
        yield made


async def test_a_topic_is_replayed_from_wherever_one_asks(deployed: Deployment) -> None:
    videos = videos_of(2)
    await deployed.append(comments(videos, 600, "early"))
    await deployed.append_foreign(0, None, b"\xff", {"type": b"comment.created"})
    middle = await deployed.ends()
    await deployed.append(comments(videos, 300, "late"))
    ends = await deployed.ends()
    whole = await replay(deployed)
    assert [(line["partition"], line["offset"]) for line in whole] == [(p, n) for p in (0, 1) for n in range(ends[p])]
    assert [line["verdict"] for line in whole].count("invalid") == 1
    late = [line for line in whole if line["offset"] >= middle[line["partition"]]]
    offsets = [option for p in (0, 1) for option in ("--from-offset", f"{p}:{middle[p]}")]
    assert await replay(deployed, *offsets) == late
    home = partition_of(videos[0], 2)
    of_video = [line for line in late if line["key"] == videos[0]]
    start = comment_id(position_at(deployed.epoch, middle[home]), home)
    assert await replay(deployed, "--video", videos[0], "--from-id", start) == of_video
    since = late[0]["appendedAt"]
    expected = [line for line in whole if line["appendedAt"] >= since]
    assert await replay(deployed, "--from-time", since) == expected
    assert await replay(deployed, "--until", since) == [line for line in whole if line["appendedAt"] < since]
    assert await deployed.group_state() == "Dead"  # what Kafka says of a group that nobody ever joined


async def test_another_topic_gets_the_records_at_their_pace_and_kcat_reads_them(deployed: Deployment) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("kcat is not installed")
    videos, other = videos_of(2), f"copy-{secrets.token_hex(6)}"
    await deployed.append(comments(videos, 300, "early"))
    await deployed.append_foreign(0, None, b"\xff", {"type": b"comment.created"})
    copy = dataclasses.replace(deployed.own.wanted(2), name=other)
    await create_missing(KafkaConnection(deployed.kafka), [copy])
    try:
        marks = str(deployed.directory / "checkpoint")
        onward = ("--to-topic", other, "--pace", "50", "--checkpoint", marks)
        await replay(deployed, *onward)
        await deployed.append(comments(videos, 100, "late"))
        await replay(deployed, *onward)
        original = [line for line in await kcat(deployed, deployed.topic) if line["key"] is not None]
        copies = await kcat(deployed, other)
        for line in copies:
            del line["headers"][line["headers"].index("origin-topic") :]
        assert copies == original
        assert len(original) == 400
        assert json.loads(original[0]["payload"])["message"].startswith("early")
        assert await deployed.group_state() == "Dead"
        refused = ["-m", "livecomments_command", "replay", "--to-topic", deployed.topic]
        assert b"Name another" in (await asyncio.to_thread(_run, deployed, refused, code=2)).stderr
    finally:
        await delete_topic(deployed.kafka, other)


async def test_an_ordinary_topic_is_taken_as_it_is_and_one_that_is_missing_said_with_what_makes_it(
    deployed: Deployment,
) -> None:
    other = f"copy-{secrets.token_hex(6)}"
    await deployed.append(comments(videos_of(2), 300))
    command = ["-m", "livecomments_command", "replay", "--to-topic", other]
    refused = await asyncio.to_thread(_run, deployed, command, code=2)
    assert f"--create --topic {other}".encode() in refused.stderr
    ordinary = Topic(other, "", "", 1, 1, (), (), {"message.timestamp.type": "CreateTime", "compression.type": "lz4"})
    await create_missing(KafkaConnection(deployed.kafka), [ordinary])
    try:
        await replay(deployed, "--to-topic", other)
        async with KafkaLog(deployed.kafka, other, 1, is_ours=False) as log:
            assert (await log.bounds([0]))[0].end == 300
            copies = (await log.read(0, 0, 300, 300)).records
            for copy in copies:
                number, offset = int(copy.headers["origin-partition"]), int(copy.headers["origin-offset"])
                (record,) = (await deployed.log.read(number, offset, offset + 1, 1)).records
                assert (copy.key, copy.value) == (record.key, record.value)
                assert int(copy.headers["origin-appended-at-ms"]) == record.appended_at_ms
    finally:
        await delete_topic(deployed.kafka, other)


async def test_memory_does_not_grow_with_the_topic(deployed: Deployment) -> None:
    await deployed.append(comments(videos_of(2), COUNT))
    ends = await deployed.ends()
    few = await peak_mb(deployed, "--from-offset", f"0:{ends[0] - 10}")
    assert await peak_mb(deployed) - few < GROWTH_MB_MAX


async def replay(deployed: Deployment, *options: str) -> list[dict[str, Any]]:
    done = await asyncio.to_thread(_run, deployed, ["-m", "livecomments_command", "replay", *options])
    return [json.loads(line) for line in done.stdout.splitlines()]


async def kcat(deployed: Deployment, topic: str) -> list[dict[str, Any]]:
    """All records of a topic as kcat shows them, in their order, but for when they were appended."""
    command = ["kcat", "-C", "-b", deployed.kafka, "-t", topic, "-J", "-e", "-q"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=True)
    shown = done.stdout.decode("latin-1")  # headers that are no text stand in its JSON as they are
    lines = [json.loads(line) for line in shown.split("\n") if line]
    lines.sort(key=lambda line: (line["partition"], line["offset"]))
    return [{name: line[name] for name in ("partition", "headers", "key", "payload")} for line in lines]


async def peak_mb(deployed: Deployment, *options: str) -> float:
    """The most memory that a replay took."""
    text = (
        "import resource, sys; from livecomments_command.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    done = await asyncio.to_thread(_run, deployed, ["-c", text, "replay", *options])
    return int(done.stderr.split()[-1]) / 1_024


def _run(deployed: Deployment, arguments: list[str], code: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, *arguments], env=deployed.environ, capture_output=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    return done
