"""A session that ends on a real Kafka ends its streams on edges that are processes of their own."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import orjson
import pytest

from infra.local.epochs import OwnEpoch, own_epoch
from infra.local.ports import HOST, free_port
from livecomments.kafka.log import KafkaLog
from livecomments.log.revocations import Revocations
from livecomments.log.session_names import session_name
from livecomments.log.topics import REVOCATIONS_TOPIC
from tests.consumers.streams import Stream
from tests.live.stream import delete_topics, process_of, until

EDGES: Final = 2
BOUND_S: Final = 30.0


@pytest.fixture
async def edges(kafka_address: str, tmp_path: Path) -> AsyncIterator[tuple[OwnEpoch, list[str]]]:
    """Addresses of edges that are ready, and their topics. There is no store: nothing of it is needed."""
    topics = await own_epoch(kafka_address, 1)
    workers, urls = [], []
    for n in range(EDGES):
        port = free_port()
        own = {"KAFKA": kafka_address, "CQL": f"{HOST}:{free_port()}", "TOPIC_PREFIX": topics.prefix, "REPLICAS": "1"}
        own |= {"PORT": str(port), "INTERNAL_PORT": str(free_port())}
        workers.append(process_of("edge", own, tmp_path / f"edge-{n}"))
        urls.append(f"http://{HOST}:{port}")
    try:
        for worker in workers:
            await until(worker.is_ready, "an edge that is ready")
        yield topics, urls
    finally:
        for worker in workers:
            worker.kill()
        await delete_topics(topics)


async def test_a_revoked_sessions_streams_end_on_every_edge_and_are_not_let_in_again(
    kafka_address: str, edges: tuple[OwnEpoch, list[str]]
) -> None:
    topics, urls = edges
    token = f"lcs_{os.urandom(8).hex()}"
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as client,
        KafkaLog(kafka_address, topics.prefix + REVOCATIONS_TOPIC, 1, in_sync_replicas_min=1) as log,
        asyncio.timeout(BOUND_S),
    ):
        revocations = Revocations(log)
        reading = asyncio.create_task(revocations.run())
        await revocations.ready(BOUND_S)
        streams = [Stream(await client.get(f"{url}/comments/v/stream", headers=headers)) for url in urls]
        for stream in streams:
            await stream.next(b"heartbeat")
        await revocations.revoke(session_name(token), int(time.time()) + 600, "tests")
        for stream in streams:
            bye = await stream.next(b"bye")
            assert orjson.loads(bye.data or b"") == {"reason": "revoked"}
            with pytest.raises(EOFError):
                await stream.next()
        for url in urls:
            async with client.get(f"{url}/comments/v/stream", headers=headers) as answer:
                assert answer.status == 401
            async with client.get(f"{url}/comments/v/stream") as answer:
                await Stream(answer).next(b"heartbeat")
        reading.cancel()
