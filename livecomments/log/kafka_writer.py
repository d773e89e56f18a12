"""Appends to Kafka: one idempotent producer at a time, a deadline of our own, and no answer that is not earned.

aiokafka 0.14's idempotent producer never gives a batch up, and after an error that it does not retry it may refuse a
partition for ever (aiokafka issue 1017). Hence the two rules here: a partition with an append past its deadline takes
no more until that one is settled; and a producer that said such an error, or is stuck, is replaced by a new one.
"""

import asyncio
import functools
import logging
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from livecomments.log.interface import AppendUnavailable, AppendUnknown
from livecomments.log.kafka_connection import REQUEST_TIMEOUT_S, KafkaConnection, stop
from schemas.events import NewRecord

_BATCH_BYTES: Final = 128 * 1_024
"""aiokafka has one batch of a partition in flight: 16 KiB at a round trip of 5 ms would be 11,000 records a second.
Also the bound of one record, below the topics' max.message.bytes: a refusal by the broker spoils the producer."""
_STUCK_S: Final = 30.0
"""A producer whose oldest late append is still open after this long is replaced; what it still holds is dropped."""
_START_AGAIN_S: Final = 0.5
_LOG_APPEND_TIME: Final = 1

_NOT_OF_THE_PRODUCER: Final = (
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
"""Errors of `send` after which the producer is as good as before."""

_log = logging.getLogger("livecomments.log")


class _Producer:
    """An aiokafka producer and its appends past their deadline, by partition."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.late: Counter[int] = Counter()
        self.late_since = 0.0

    async def stop(self, flush_s: float) -> None:
        """Let what it holds be written for at most `flush_s`, and drop the rest."""
        stopping = asyncio.ensure_future(stop(self.client, self.client.client))
        await asyncio.wait([stopping], timeout=flush_s)
        # Without this its stop would wait for the broker for ever: it flushes without a bound.
        self.client._message_accumulator.fail_all(ProducerClosed())
        await stopping


class KafkaWriter:
    """Appends to one topic."""

    def __init__(self, connection: KafkaConnection, topic: str, append_timeout_s: float) -> None:
        self._connection = connection
        self._topic = topic
        self._append_timeout_s = append_timeout_s
        self._producer: _Producer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Connect. Raises KafkaError or TimeoutError."""
        self._closed = False
        await self._start()

    async def append(self, partition: int, record: NewRecord) -> int:
        """See `CommentLog.append`."""
        producer = self._producer
        if producer is None or producer.late[partition]:
            self._refuse(producer)
        sent: asyncio.Future[Any] | None = None
        try:
            async with asyncio.timeout(self._append_timeout_s):
                sent = await producer.client.send(
                    self._topic, record.value, record.key, partition, headers=list(record.headers.items())
                )
                placed = await asyncio.shield(sent)
        except TimeoutError as error:
            if sent is None:
                raise AppendUnavailable("Kafka did not take the record in time; it was not sent.") from error
            self._await_late(producer, partition, sent)
            raise AppendUnknown("Kafka did not confirm the record in time.") from error
        except KafkaError as error:
            if sent is None:  # not even buffered
                if not isinstance(error, _NOT_OF_THE_PRODUCER):
                    self._replace(producer, error)
                raise AppendUnavailable(f"Kafka does not take the record: {error!r}.") from error
            self._replace(producer, error)
            raise AppendUnknown(f"Kafka did not confirm the record: {error!r}.") from error
        # A duplicate whose place the broker has forgotten is confirmed without a time, with offsets from −1 on up.
        if placed.timestamp_type != _LOG_APPEND_TIME or placed.offset < 0:
            raise AppendUnknown("Kafka confirmed the record without saying where it is.")
        return int(placed.offset)

    async def aclose(self) -> None:
        """Give appends under way their time, then let go. May be called twice."""
        self._closed = True
        while self._producer is not None or self._tasks:
            producer, self._producer = self._producer, None
            if producer is not None:
                self._spawn(producer.stop(self._append_timeout_s))
            await asyncio.wait(self._tasks)

    async def _start(self) -> None:
        client = AIOKafkaProducer(
            **self._connection.options(),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_BATCH_BYTES,
        )
        producer = _Producer(client)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await client.start()
                await client.partitions_for(self._topic)  # or the first appends would wait for it
        except BaseException:
            await producer.stop(0)
            raise
        self._producer = producer

    def _refuse(self, producer: _Producer | None) -> None:
        if producer is not None and asyncio.get_running_loop().time() - producer.late_since > _STUCK_S:
            self._replace(producer, None)
        raise AppendUnavailable("Kafka does not confirm appends just now.")

    def _await_late(self, producer: _Producer, partition: int, sent: asyncio.Future[Any]) -> None:
        if not producer.late.total():
            producer.late_since = asyncio.get_running_loop().time()
        producer.late[partition] += 1
        sent.add_done_callback(functools.partial(self._settle_late, producer, partition))

    def _settle_late(self, producer: _Producer, partition: int, sent: asyncio.Future[Any]) -> None:
        producer.late[partition] -= 1
        if not sent.cancelled() and (error := sent.exception()) is not None:
            self._replace(producer, error)

    def _replace(self, producer: _Producer, reason: BaseException | None) -> None:
        if self._producer is not producer:
            return  # already done
        _log.error("producer replaced", extra={"reason": repr(reason) if reason else "no confirmation"})
        self._producer = None
        self._spawn(producer.stop(self._append_timeout_s if reason else 0))
        self._spawn(self._start_again())

    async def _start_again(self) -> None:
        while not self._closed:
            try:
                await self._start()
            except (KafkaError, TimeoutError, OSError):
                await asyncio.sleep(_START_AGAIN_S)
            else:
                break

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
