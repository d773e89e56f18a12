"""An edge on three brokers of which one is killed: who watches a video of its partition is told, and nobody else."""

import asyncio
import dataclasses
import re
import time
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from infra.local.ports import HOST, free_port
from infra.local.servers import KafkaCluster, why_unavailable
from infra.local.servers import running as running_servers
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import create_missing
from livecomments.log.interface import LogUnavailable
from livecomments.log.topics import comments_topic, load_topics
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_command.epochs import check_topics
from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.partitions import partition_of
from tests.consumers.streams import Stream
from tests.live.stream import Worker, process_of, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]  # three brokers start slowly on a busy machine

PARTITIONS: Final = 3
STALE_AFTER_S: Final = 5.0
WATCHED_S: Final = 10.0
_METRIC: Final = re.compile(r"^livecomments_log_silence_seconds (.+)$", re.MULTILINE)


async def make_topics(address: str) -> list[int]:
    """Comments on one replica a partition, the rest on all brokers; who leads which partition of the comments."""
    comments = dataclasses.replace(load_topics(1)[0].with_replicas(1), partitions=PARTITIONS)
    await create_missing(KafkaConnection(address), [comments])
    await create_missing(KafkaConnection(address), load_topics(1)[1:])
    await check_topics(ServerSettings(kafka=address, cql="none", replicas=1), create=True)
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        (found,) = await admin.describe_topics([comments.name])
    finally:
        await admin.close()
    return [part["leader"] for part in sorted(found["partitions"], key=lambda part: int(part["partition"]))]


def edge_of(address: str, port: int, directory: Path) -> Worker:
    own = {"KAFKA": address, "CQL": f"{HOST}:{free_port()}", "REPLICAS": "1", "PORT": str(port)}
    own |= {"INTERNAL_PORT": str(free_port()), "STALE_AFTER_S": str(STALE_AFTER_S), "HEARTBEAT_INTERVAL_S": "3"}
    return process_of("edge", own, directory)


async def silence_metric(worker: Worker) -> float:
    async with aiohttp.ClientSession(worker.internal_url) as client, client.get("/metrics") as answer:
        found = _METRIC.search(await answer.text())
    assert found is not None
    return float(found[1])


async def test_a_killed_brokers_partition_is_stale_to_its_viewers_alone_until_it_is_back(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    cluster, port = KafkaCluster(tmp_path_factory.mktemp("cluster"), heap_mb=192), free_port()
    with running_servers(cluster):
        leaders = await make_topics(cluster.address)
        silent, other = 0, next(number for number, leader in enumerate(leaders) if leader != leaders[0])
        videos = {
            n: next(f"v{i}" for i in range(99) if partition_of(f"v{i}", PARTITIONS) == n) for n in (silent, other)
        }
        broker = next(one for one in cluster.brokers if one.node_id == leaders[silent])
        worker = edge_of(cluster.address, port, tmp_path / "edge")
        try:
            await until(worker.is_ready, "an edge that is ready")
            async with (
                aiohttp.ClientSession(f"http://{HOST}:{port}") as client,
                client.get(f"/comments/{videos[silent]}/stream") as of_silent,
                client.get(f"/comments/{videos[other]}/stream") as of_other,
                KafkaLog(cluster.address, comments_topic(1), 1, in_sync_replicas_min=1) as log,
            ):
                told, untold = Stream(of_silent), Stream(of_other)

                async def append(number: int) -> None:
                    await log.append(number, comment_created(videos[number], "hi", Author("a", "A"), created_at_ms=0))

                for stream in (told, untold):
                    await stream.next(b"heartbeat")
                await asyncio.to_thread(broker.kill)
                killed_at = time.monotonic()
                await told.next(b"stale")
                assert time.monotonic() - killed_at > STALE_AFTER_S - 2.0
                while time.monotonic() < killed_at + STALE_AFTER_S + WATCHED_S:
                    assert (await untold.next(b"stale", b"heartbeat")).kind == b"heartbeat"
                await append(other)
                await untold.next(b"comment")
                reads = [asyncio.create_task(log.read(number, 0, 1, 1)) for number in (silent, silent, other)]
                assert len((await reads.pop()).records) == 1
                for found in await asyncio.gather(*reads, return_exceptions=True):
                    assert isinstance(found, LogUnavailable)
                assert await worker.is_ready()
                assert await silence_metric(worker) > STALE_AFTER_S
                await asyncio.to_thread(broker.start)
                await asyncio.to_thread(cluster.wait_ready)
                await told.next(b"heartbeat")
                await append(silent)
                await told.next(b"comment")
        finally:
            worker.kill()
