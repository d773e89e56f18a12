"""What the contract suite needs of an implementation, and the helpers its tests share."""

import asyncio
import contextlib
import dataclasses
import itertools
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.record.util import calc_crc32c

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import create_missing, find_topics
from livecomments.log.interface import CommentLog, LogReader
from livecomments.log.topics import Topic, load_topics
from livecomments.sqlite import DurableFile
from livecomments_schemas.events import NewRecord, Record

WAIT_S = 20.0
"""Bound of every wait in these tests."""


class LogMaker(Protocol):
    """Makes logs of one implementation. Each log has a topic of its own."""

    async def open(self, partition_count: int) -> CommentLog:
        """An empty log; it is closed after the test."""

    async def append_foreign(
        self, log: CommentLog, partition: int, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]
    ) -> int:
        """Append what our own producers never would; returns the offset."""

    async def forget_before(self, log: CommentLog, partition: int, offset: int) -> CommentLog:
        """As retention would; returns the log to go on with."""


class EmbeddedMaker:
    """Embedded logs, each in a directory of its own."""

    def __init__(self, directory: Path, stack: contextlib.AsyncExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._names = (str(number) for number in itertools.count())
        self._files: dict[int, DurableFile] = {}

    async def open(self, partition_count: int) -> EmbeddedLog:
        file = await self._stack.enter_async_context(DurableFile(self._directory / next(self._names), TABLES))
        return await self._open(file, partition_count)

    async def append_foreign(
        self, log: CommentLog, partition: int, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]
    ) -> int:
        return await log.append(partition, NewRecord(cast(bytes, key), cast(bytes, value), headers))

    async def forget_before(self, log: CommentLog, partition: int, offset: int) -> EmbeddedLog:
        file = self._files[id(log)]
        place = ((1 << 12) + partition) << 40
        await file.write(
            lambda connection: connection.execute(
                "DELETE FROM log_records WHERE place >= ? AND place < ?", (place, place + offset)
            )
        )
        return await self._open(file, log.partition_count)

    async def _open(self, file: DurableFile, partition_count: int) -> EmbeddedLog:
        log = await self._stack.enter_async_context(EmbeddedLog(file, "comments-3", 3, partition_count))
        self._files[id(log)] = file
        return log


class KafkaMaker:
    """Logs in a running Kafka, each a topic of its own."""

    def __init__(self, address: str, stack: contextlib.AsyncExitStack) -> None:
        self._address = address
        self._stack = stack
        self._topics: dict[int, str] = {}

    async def open(self, partition_count: int) -> KafkaLog:
        topic = await new_topic(self._address, partition_count)
        log = await self._stack.enter_async_context(KafkaLog(self._address, topic, 3))
        self._topics[id(log)] = topic
        return log

    async def append_foreign(
        self, log: CommentLog, partition: int, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]
    ) -> int:
        topic = self._topics[id(log)]
        async with AIOKafkaProducer(bootstrap_servers=self._address) as producer:
            placed = await producer.send_and_wait(topic, value, key, partition, headers=list(headers.items()))
        return int(placed.offset)

    async def forget_before(self, log: CommentLog, partition: int, offset: int) -> CommentLog:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._address)
        await admin.start()
        await admin.delete_records({TopicPartition(self._topics[id(log)], partition): RecordsToDelete(offset)})
        await admin.close()
        return log


async def append_undecodable(address: str, topic: str, partition: int, records: Sequence[NewRecord], bad: int) -> None:
    """Append a batch in which the record at index `bad` has a header whose name is not UTF-8."""
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        batch = producer.create_batch()
        for number, (key, value, headers) in enumerate(records):
            more = [("bad", b"")] if number == bad else []
            batch.append(key=key, value=value, timestamp=None, headers=[*headers.items(), *more])
        batch._buffer = _with_header_name(bytes(batch._build()), b"bad", b"\xff\xfe\xfd")
        await (await producer.send_batch(batch, topic, partition=partition))


def _with_header_name(batch: bytes, name: bytes, other: bytes) -> bytes:
    """The encoded batch with the last occurrence of `name`, a header's, replaced, and its checksum made right."""
    at = batch.rindex(b"\x06" + name) + 1  # behind its length, a zigzag varint
    rest = batch[21:at] + other + batch[at + len(name) :]
    checksum: int = calc_crc32c(rest)
    return batch[:17] + checksum.to_bytes(4, "big") + rest


async def make_anew(address: str, topic: str, partition_count: int) -> None:
    """Delete a topic and create it again."""
    await delete_topic(address, topic)
    await new_topic(address, partition_count, topic)


async def delete_topic(address: str, topic: str) -> None:
    """Delete a topic, and wait until it is gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.delete_topics([topic])
    await admin.close()
    async with asyncio.timeout(WAIT_S):
        while not await is_gone(address, topic):  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


async def is_gone(address: str, topic: str) -> bool:
    """Whether the topic does not exist, or no more."""
    return not await find_topics(KafkaConnection(address), [topic])


async def new_topic(address: str, partition_count: int, name: str | None = None, **settings: str | None) -> str:
    """A comments topic under a name of its own, on one replica; a setting that is None is the broker's."""
    pattern = load_topics(3)[0].with_replicas(1)
    topic: Topic = dataclasses.replace(
        pattern,
        name=name or f"test-{uuid.uuid4().hex}",
        partitions=partition_count,
        settings=_settings_of(pattern, settings),
    )
    await create_missing(KafkaConnection(address), [topic])
    return topic.name


async def alter_topic(address: str, topic: str, **settings: str | None) -> None:
    """Alter a topic of `new_topic` to other settings, under whoever uses it, and wait until the broker tells them.

    The controller takes them, and answers before the broker has heard of it.
    """
    whole = _settings_of(load_topics(3)[0].with_replicas(1), settings)  # all of them: what is not named is reset
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    answer = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, whole)])
    await admin.close()
    assert [code for one in answer for code, *_ in one.resources] == [0]
    async with asyncio.timeout(20.0):
        while not whole.items() <= (await find_topics(KafkaConnection(address), [topic]))[topic].settings.items():
            pass


def _settings_of(pattern: Topic, settings: Mapping[str, str | None]) -> dict[str, str]:
    wanted = {**pattern.settings, **{key.replace("_", "."): value for key, value in settings.items()}}
    return {key: value for key, value in wanted.items() if value is not None}


@contextlib.asynccontextmanager
async def kafka_maker(address: str) -> AsyncIterator[KafkaMaker]:
    async with contextlib.AsyncExitStack() as stack:
        yield KafkaMaker(address, stack)


@contextlib.asynccontextmanager
async def embedded_maker(directory: Path) -> AsyncIterator[EmbeddedMaker]:
    async with contextlib.AsyncExitStack() as stack:
        yield EmbeddedMaker(directory, stack)


def new_record(text: str, **headers: bytes) -> NewRecord:
    return NewRecord(b"video", text.encode(), headers or {"type": b"comment.created"})


async def append_all(log: CommentLog, partition: int, texts: list[str]) -> list[int]:
    """Append one after the other; the offsets."""
    return [await log.append(partition, new_record(text)) for text in texts]


async def read_all(log: CommentLog, partition: int, start: int, end: int) -> list[Record]:
    """Everything from `start` to `end`, however small the slices come."""
    found: list[Record] = []
    while start < end:
        records, following = await log.read(partition, start, end, 10_000)
        assert following > start
        found += records
        start = following
    return found


async def poll_until(reader: LogReader, count: int) -> list[Record]:
    """Poll until `count` records came."""
    found: list[Record] = []
    async with asyncio.timeout(WAIT_S):
        while len(found) < count:
            found += await reader.poll()
    return found


def texts_of(records: list[Record]) -> list[str]:
    return [record.value.decode() for record in records if record.value is not None]
