"""`livecomments replay` on a real Kafka: all of a topic, beside a running worker, in no group and in bounded memory."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from schemas.partitions import partition_of
from schemas.positions import comment_id, position_at
from tests.live.stream import Deployment, comments, deployment, videos_of

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


async def test_memory_does_not_grow_with_the_topic(deployed: Deployment) -> None:
    await deployed.append(comments(videos_of(2), COUNT))
    ends = await deployed.ends()
    few = await peak_mb(deployed, "--from-offset", f"0:{ends[0] - 10}")
    assert await peak_mb(deployed) - few < GROWTH_MB_MAX


async def replay(deployed: Deployment, *options: str) -> list[dict[str, Any]]:
    done = await asyncio.to_thread(_run, deployed, ["-m", "livecomments.cli", "replay", *options])
    return [json.loads(line) for line in done.stdout.splitlines()]


async def peak_mb(deployed: Deployment, *options: str) -> float:
    """The most memory that a replay took."""
    text = (
        "import resource, sys; from livecomments.cli.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    done = await asyncio.to_thread(_run, deployed, ["-c", text, "replay", *options])
    return int(done.stderr.split()[-1]) / 1_024


def _run(deployed: Deployment, arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, *arguments], env=deployed.environ, capture_output=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done
