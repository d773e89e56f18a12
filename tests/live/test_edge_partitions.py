"""An edge on a real Kafka that follows one partition takes on others with their viewers, and nobody misses a word."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from infra.local.epochs import own_epoch
from infra.local.ports import HOST, free_port
from livecomments.kafka.log import KafkaLog
from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, first_position, position_at
from tests.consumers.streams import Stream
from tests.live.stream import delete_topics, process_of, until

PARTITIONS: Final = 4
VISITS: Final = 40
COMMENTS: Final = 4_000
_AUTHOR: Final = Author("a", "A")


class Edge:
    """A process that is assigned partition 0, and the log it reads."""

    def __init__(self, url: str, log: KafkaLog) -> None:
        self.url = url
        self.log = log
        self.ids: dict[str, list[str]] = {}
        """Of every comment that was appended, by video."""

    async def append(self, video_id: str, text: str) -> None:
        partition = partition_of(video_id, PARTITIONS)
        offset = await self.log.append(partition, comment_created(video_id, text, _AUTHOR, created_at_ms=0))
        self.ids[video_id].append(comment_id(position_at(self.log.epoch, offset), partition))


@pytest.fixture
async def edge(kafka_address: str, tmp_path: Path) -> AsyncIterator[Edge]:
    topics, port = await own_epoch(kafka_address, PARTITIONS), free_port()
    own = {"KAFKA": kafka_address, "CQL": f"{HOST}:{free_port()}", "TOPIC_PREFIX": topics.prefix, "REPLICAS": "1"}
    own |= {"PORT": str(port), "INTERNAL_PORT": str(free_port()), "FOLLOW": "0", "PARTITION_IDLE_S": "0.2"}
    worker = process_of("edge", own, tmp_path / "edge")
    try:
        await until(worker.is_ready, "an edge that is ready")
        async with KafkaLog(kafka_address, topics.topic, topics.number, in_sync_replicas_min=1) as log:
            yield Edge(f"http://{HOST}:{port}", log)
    finally:
        worker.kill()
        await delete_topics(topics)


async def test_partitions_come_and_go_with_their_viewers_under_load_and_nothing_is_skipped(edge: Edge) -> None:
    videos = [next(f"v{n}" for n in range(999) if partition_of(f"v{n}", PARTITIONS) == p) for p in range(PARTITIONS)]
    edge.ids = {video: [] for video in videos}
    chance, rounds = random.Random(1), COMMENTS // PARTITIONS

    async def load() -> None:
        for n in range(rounds):
            await asyncio.gather(*(edge.append(video, f"m{n}") for video in videos))

    async def visit(client: aiohttp.ClientSession, video: str) -> None:
        """Comes and goes until it has seen them all; while it is away, its partition may be let go."""
        partition, seen = partition_of(video, PARTITIONS), [""]
        seen[0] = comment_id(first_position(edge.log.epoch) - 1, partition)
        while len(seen) <= rounds:
            async with client.get(f"{edge.url}/comments/{video}/stream", params={"after": seen[-1]}) as answer:
                count = min(rounds + 1 - len(seen), chance.randrange(1, 2 * rounds // VISITS))
                seen += await Stream(answer).ids(count)
            await until(lambda: bool(chance.random() < 0.2), "a while")
        assert seen[1:] == edge.ids[video]

    async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(load())
        for video in videos:
            tasks.create_task(visit(client, video))
