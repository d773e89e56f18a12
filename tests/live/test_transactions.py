"""What a foreign transactional producer writes is read as it lies: open, committed and aborted, by everybody alike."""

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from livecomments.kafka.log import KafkaLog
from livecomments_schemas.events import NewRecord, Record, listed_headers
from livecomments_schemas.partitions import partition_of
from tests.live.stream import Deployment, comments, deployment, videos_of

VIDEO = videos_of(2)[0]
HOME = partition_of(VIDEO, 2)


@asynccontextmanager
async def transactional(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"foreign-{secrets.token_hex(4)}")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def produce(producer: AIOKafkaProducer, topic: str, records: list[NewRecord]) -> None:
    for key, value, headers in records:
        await producer.send_and_wait(topic, value, key=key, partition=HOME, headers=list(listed_headers(headers)))


async def all_of(log: KafkaLog) -> list[Record]:
    start, end = (await log.bounds([HOME]))[HOME]
    found: list[Record] = []
    while start < end:
        records, start = await log.read(HOME, start, end, 100)
        found += records
    return found


async def test_an_open_and_an_aborted_transaction_hide_nothing_and_nothing_behind_them(
    kafka_address: str, cql_address: str, tmp_path: Path
) -> None:
    async with deployment(kafka_address, cql_address, tmp_path) as deployed:
        worker = await deployed.start().started()
        async with transactional(deployed.kafka) as producer, transactional(deployed.kafka) as other:
            await producer.begin_transaction()
            await produce(producer, deployed.topic, comments([VIDEO], 2, "committed"))
            await producer.commit_transaction()
            await producer.begin_transaction()
            await produce(producer, deployed.topic, comments([VIDEO], 2, "aborted"))
            await producer.abort_transaction()
            await other.begin_transaction()
            await produce(other, deployed.topic, comments([VIDEO], 2, "open"))
            await deployed.append(comments([VIDEO], 2, "behind"))
            wanted = [f"{of} {number}" for of in ("committed", "aborted", "open", "behind") for number in range(2)]
            read = [json.loads(record.value or b"")["message"] for record in await all_of(deployed.log)]
            reader = deployed.log.follow()
            reader.assign({HOME: 0})
            followed: list[Record] = []
            async with asyncio.timeout(20):
                while len(followed) < len(wanted):
                    followed += await reader.poll()
            assert read == [json.loads(record.value or b"")["message"] for record in followed] == wanted
            await deployed.complete()  # the store has what judge says of every record, markers passed over
            assert await exported(deployed) == wanted
            await other.abort_transaction()
        await deployed.append(comments([VIDEO], 1, "last"))
        await deployed.complete()
        assert await deployed.dead_letters() == {}
        assert await worker.stop() == 0, worker.logged


async def exported(deployed: Deployment) -> list[str]:
    place = deployed.directory / "export"
    command = [sys.executable, "-m", "livecomments_command", "export", str(place)]
    await asyncio.to_thread(subprocess.run, command, env=deployed.environ, capture_output=True, timeout=100, check=True)
    lines = [
        json.loads(line) for file in sorted(place.glob("day=*/*.jsonl")) for line in file.read_bytes().splitlines()
    ]
    return [line["message"] for line in lines if line["videoId"] == VIDEO]
