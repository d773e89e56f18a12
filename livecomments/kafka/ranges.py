"""Ranges and bounds of a topic in Kafka, read by aiokafka's consumer.

Its `assign` forgets the positions of all partitions and gives up on the fetch under way, which the broker still holds
until its long poll ends: a few dozen in a row delay all that follows for seconds. So it is assigned every partition
once, and partitions are taken on by `seek` and `resume`, and let go by `pause`. Without a reset policy an offset that
is gone raises instead of jumping.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError

from livecomments.kafka.connection import REQUEST_TIMEOUT_S, KafkaConnection, pace_metadata, stop
from livecomments.kafka.decoding import fetch_records
from livecomments.kafka.probe import NO_LEADER, KafkaProbe
from livecomments.kafka.topic_id import topic_id
from livecomments.log.interface import Bounds, LogUnavailable, OffsetUnavailable, Slice
from livecomments_schemas.events import Record

_FETCH_BYTES: Final = 1_024 * 1_024
"""Of the one partition that is read: a window is some five of these, and each waits for a broker."""
_BOUNDS_TIMEOUT_S: Final = 2.0
_READ_TIMEOUT_S: Final = 5.0
_LONG_POLL_MS: Final = 10
_POLL_MS: Final = 25
"""After this long without records a read asks for the end of the partition: maybe there are none."""
_END_TIMEOUT_S: Final = 0.5
"""Until a read whose broker says neither lets the next one have its turn."""


class KafkaRanges:
    """Ranges and bounds of one topic. Reads take turns; one that goes on where the last ended uses what is fetched."""

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection = connection
        self._topic = topic
        self._probe = KafkaProbe(topic)
        self._turn = asyncio.Lock()
        self._consumer: Any = None
        self._at: tuple[TopicPartition, int] | None = None
        """Where the last read ended, if more may be fetched already."""

    async def start(self, partition_count: int) -> None:
        """Connect. Raises KafkaError or TimeoutError."""
        partitions = [TopicPartition(self._topic, number) for number in range(partition_count)]
        self._consumer = await _open_consumer(self._connection, partitions)

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        """See `CommentLog.bounds`."""
        consumer = self._opened()
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        try:
            async with asyncio.timeout(_BOUNDS_TIMEOUT_S):
                starts, ends = await asyncio.gather(consumer.beginning_offsets(wanted), consumer.end_offsets(wanted))
        except (KafkaError, TimeoutError) as error:
            raise LogUnavailable(f"Kafka does not answer: {error!r}.") from error
        return {one.partition: Bounds(starts[one], ends[one]) for one in wanted}

    async def answering(self, partitions: Iterable[int]) -> set[int]:
        """See `CommentLog.answering`."""
        return await self._probe.answering(self._consumer._client, partitions) if self._consumer else set()

    async def identity(self) -> str:
        """See `CommentLog.identity`: the topic's id, which is another when a topic of the same name is created."""
        try:
            async with asyncio.timeout(_BOUNDS_TIMEOUT_S):
                return await topic_id(self._opened()._client, self._topic)
        except (KafkaError, TimeoutError) as error:
            raise LogUnavailable(f"Kafka does not answer: {error!r}.") from error

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        """See `CommentLog.read`."""
        consumer = self._opened()
        if start >= end:
            return Slice([], start)
        wanted = TopicPartition(self._topic, partition)
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                while consumer._client.cluster.leader_for_partition(wanted) in NO_LEADER:
                    await consumer._client.force_metadata_update()  # not in its turn, which others may use
                async with self._turn:
                    found, following = await self._read(consumer, wanted, start, limit)
        except OffsetOutOfRangeError as error:
            sentence = f"Partition {partition} does not hold offset {start}."
            raise OffsetUnavailable(sentence, partition=partition, offset=start) from error
        except (KafkaError, ConsumerStoppedError, TimeoutError) as error:
            raise LogUnavailable(f"Kafka does not answer: {error!r}.") from error
        return Slice([one for one in found if one.offset < end], min(following, end))

    async def aclose(self) -> None:
        """Close it. May be called twice."""
        consumer, self._consumer = self._consumer, None
        await self._probe.aclose()
        if consumer is not None:
            await stop(consumer, consumer._client)

    def _opened(self) -> Any:
        if self._consumer is None:
            raise LogUnavailable("The log is closed.")
        return self._consumer

    async def _read(self, consumer: Any, wanted: TopicPartition, start: int, limit: int) -> tuple[list[Record], int]:
        at, self._at = self._at, None
        if at != (wanted, start):
            if at is not None:
                consumer.seek(*at)  # drops what is fetched already, which would hold up other fetches
            consumer.seek(wanted, start)
        consumer.resume(wanted)
        try:
            while True:
                found = await consumer.getmany(wanted, timeout_ms=_POLL_MS, max_records=limit)
                following = await consumer.position(wanted)  # beyond markers that are no records, too
                if found or following > start:
                    self._at = (wanted, following)
                    return found.get(wanted, []), following
                async with asyncio.timeout(_END_TIMEOUT_S):
                    end = (await consumer.end_offsets([wanted]))[wanted]
                if start > end:
                    raise OffsetOutOfRangeError({wanted: start})
                if start == end:
                    return [], start
        finally:
            consumer.pause(wanted)  # or it would go on fetching


async def _open_consumer(connection: KafkaConnection, all_: Iterable[TopicPartition]) -> Any:
    """Open a consumer with all partitions, paused. Raises KafkaError or TimeoutError."""
    consumer = AIOKafkaConsumer(
        **connection.options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=_LONG_POLL_MS,
        fetch_min_bytes=1,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await consumer.start()
    except BaseException:
        await stop(consumer, consumer._client)
        raise
    fetch_records(consumer)
    pace_metadata(consumer._client)
    connection.adopt(consumer._client)
    consumer.assign(list(all_))
    for one in all_:
        consumer.seek(one, 0)  # without any position it would look for a committed one
        consumer.pause(one)
    return consumer
