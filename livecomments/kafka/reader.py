"""Reading Kafka without a group: `KafkaReader` follows partitions as they grow, `KafkaRanges` reads ranges and bounds.

Two consumers, since a seek waits for the long poll of its own consumer: reading back must not hold up what is live.

aiokafka's `assign` forgets the positions of all partitions and gives up on the fetch under way, which the broker still
holds until its long poll ends: a few dozen in a row delay all that follows for seconds. So each consumer is assigned
every partition once, and partitions are taken on by `seek` and `resume`, and let go by `pause`. Without a reset policy
an offset that is gone raises instead of jumping.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError

from livecomments.kafka.connection import REQUEST_TIMEOUT_S, KafkaConnection, pace_metadata, stop
from livecomments.kafka.decoding import fetch_records
from livecomments.kafka.fetching import fetch_leanly
from livecomments.kafka.leaders import Leaders
from livecomments.kafka.probe import NO_LEADER, KafkaProbe
from livecomments.kafka.rest import Rest, Resting
from livecomments.kafka.topic_id import topic_id
from livecomments.log.interface import Bounds, LogUnavailable, OffsetUnavailable, Slice
from livecomments_schemas.events import Record

_POLL_WAIT_MS: Final = 500
_POLL_RECORDS: Final = 2_000
"""About 10 ms of decoding before the caller's loop gets to breathe."""
_LONG_POLL_MS: Final = 100
"""How long a seek may wait for the consumer's own long poll. Live records end a long poll at once."""
_FETCH_BYTES: Final = 256 * 1_024
"""Of a partition at once: with 64 partitions 16 MiB of memory, and nobody waits long for the others' turn."""

_READ_FETCH_BYTES: Final = 1_024 * 1_024
"""Of the one partition that is read back: a window is some five of these, and each waits for a broker."""
_BOUNDS_TIMEOUT_S: Final = 2.0
_READ_TIMEOUT_S: Final = 5.0
_READ_LONG_POLL_MS: Final = 10
_READ_POLL_MS: Final = 25
"""After this long without records a read asks for the end of the partition: maybe there are none."""
_END_TIMEOUT_S: Final = 0.5
"""Until a read whose broker says neither lets the next one have its turn."""

_log = logging.getLogger("livecomments.log")


async def _open_consumer(
    connection: KafkaConnection, all_: Iterable[TopicPartition], long_poll_ms: int, fetch_bytes: int = _FETCH_BYTES
) -> Any:
    """Open a consumer with all partitions, paused. Raises KafkaError or TimeoutError."""
    consumer = AIOKafkaConsumer(
        **connection.options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=long_poll_ms,
        fetch_min_bytes=1,
        max_partition_fetch_bytes=fetch_bytes,
    )
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await consumer.start()
    except BaseException:
        await stop(consumer, consumer._client)
        raise
    fetch_records(consumer)
    fetch_leanly(consumer)
    pace_metadata(consumer._client)
    connection.adopt(consumer._client)
    consumer.assign(list(all_))
    for one in all_:
        consumer.seek(one, 0)  # without any position it would look for a committed one
        consumer.pause(one)
    return consumer


class KafkaReader:
    """See `LogReader`. Connects at its first poll, and again when its consumer broke.

    The last record of each partition is kept, and read once more where another leader has written the next one. If it
    is another one by then the log lost its end and grew beyond it: the next offset of what was read is not in it.
    """

    def __init__(self, connection: KafkaConnection, topic: str, partition_count: int, rest: Rest) -> None:
        self._connection = connection
        self._partitions = [TopicPartition(topic, number) for number in range(partition_count)]
        self._next: dict[int, int] = {}
        self._leaders = Leaders()
        self._last: dict[int, Record] = {}
        """By partition: the last record that was handed out since it was assigned."""
        self._read_again: set[int] = set()
        """Partitions whose last record comes once more."""
        self._lost: set[int] = set()
        """Partitions whose last record is not in the log any more."""
        self._assigned = asyncio.Event()
        self._was_told = False
        """The last poll raised what was lost."""
        self._resting = Resting(rest, 0.0)
        self._rest_until = 0.0
        self._consumer: Any = None
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, for good."""
        return self._closed

    def assign(self, offsets: Mapping[int, int]) -> None:
        for number in [one for one, at in self._next.items() if offsets.get(one) != at]:
            self._last.pop(number, None)
            self._read_again.discard(number)
            self._lost.discard(number)
        if self._consumer is not None:
            self._let_go(self._next.keys() - offsets.keys())
            self._take_on({number: at for number, at in offsets.items() if self._next.get(number) != at})
        self._next = dict(offsets)
        self._assigned.set()

    async def poll(self) -> list[Record]:
        consumer = await self._connected()
        self._tell_lost()
        try:
            if not self._next:
                return await self._wait_for_assignment()
            if (rest_s := self._rest_until - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(rest_s)
            found = await consumer.getmany(timeout_ms=_POLL_WAIT_MS, max_records=_POLL_RECORDS)
        except OffsetOutOfRangeError as error:
            return self._out_of_range(error)
        except ConsumerStoppedError as error:
            raise LogUnavailable("The log is closed.") from error
        except Exception as error:
            # aiokafka went past records that it then did not hand over: go back to ours.
            _log.exception("records not readable")
            self._take_on_all()
            raise LogUnavailable(f"Kafka's records cannot be read: {error!r}.") from error
        if not found and consumer._fetcher.error_future.done():
            self._check_open()
            self._consumer = None
            await stop(consumer, consumer._client)
            raise LogUnavailable("The connection to Kafka broke.")
        return self._taken(found)

    async def aclose(self) -> None:
        """Close it. May be called twice."""
        self._closed = True
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer, consumer._client)

    def _take_on(self, offsets: Mapping[int, int]) -> None:
        for number, offset in offsets.items():
            self._consumer.seek(self._partitions[number], offset)
            self._consumer.resume(self._partitions[number])

    def _take_on_all(self) -> None:
        again = {number: self._last[number].offset for number in self._read_again}
        self._take_on({**self._next, **again})

    def _let_go(self, numbers: Iterable[int]) -> None:
        self._consumer.pause(*(self._partitions[number] for number in numbers))

    def _taken(self, found: Mapping[Any, list[Record]]) -> list[Record]:
        """Take the records of what is assigned now, from the next offset on; leave those of an earlier assignment."""
        records: list[Record] = []
        for topic_partition, of_partition in found.items():
            following = self._next.get(topic_partition.partition)
            if following is None or not self._is_of_the_log_read(topic_partition, of_partition):
                continue
            taken = of_partition
            if taken[0].offset < following:
                taken = [one for one in of_partition if one.offset >= following]
            if taken:
                self._last[topic_partition.partition] = taken[-1]
                self._next[topic_partition.partition] = taken[-1].offset + 1
                records += taken
        self._rest_until = self._resting.after(len(records), asyncio.get_running_loop().time())
        return records

    def _is_of_the_log_read(self, topic_partition: TopicPartition, found: list[Record]) -> bool:
        """Tell whether what was found may be taken. Under a new leader the last record taken is asked for first."""
        number = topic_partition.partition
        if number in self._lost:
            return False
        is_new = self._leaders.take_change(topic_partition, found[-1].offset)
        last = self._last.get(number)
        if number in self._read_again:
            self._read_again.discard(number)
            if found[0] == last:
                return True
            self._lost.add(number)
            self._consumer.pause(topic_partition)
            return False
        if last is None or not is_new:
            return True
        self._read_again.add(number)
        self._consumer.seek(topic_partition, last.offset)
        return False

    def _tell_lost(self) -> None:
        """Raise OffsetUnavailable every other time, as long as there is something to tell: the rest is read between."""
        self._was_told = bool(self._lost) and not self._was_told
        if self._was_told:
            number = min(self._lost)
            sentence = f"Partition {number} has other records before {self._next[number]} than were read."
            raise OffsetUnavailable(sentence, partition=number, offset=self._next[number])

    def _out_of_range(self, error: Any) -> list[Record]:
        for (_, number), offset in error.args[0].items():
            if number in self._read_again and self._last[number].offset == offset:
                self._read_again.discard(number)  # retention took it, or the end was lost: the next offset tells
                self._take_on({number: self._next[number]})
                continue
            if self._next.get(number) == offset:
                sentence = f"Partition {number} does not hold {offset}."
                raise OffsetUnavailable(sentence, partition=number, offset=offset) from error
        return []  # of an assignment that has gone

    async def _wait_for_assignment(self) -> list[Record]:
        self._assigned.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._assigned.wait(), _POLL_WAIT_MS / 1_000)
        return []

    def _check_open(self) -> None:
        if self._closed:
            raise LogUnavailable("The log is closed.")

    async def _connected(self) -> Any:
        self._check_open()
        if self._consumer is None:
            try:
                consumer = await _open_consumer(self._connection, self._partitions, _LONG_POLL_MS)
            except (KafkaError, TimeoutError, OSError) as error:
                raise LogUnavailable(f"Kafka does not answer: {error!r}.") from error
            if self.is_closed:  # meanwhile
                await stop(consumer, consumer._client)
            self._check_open()
            self._leaders.watch(consumer)
            self._consumer = consumer
            self._take_on_all()
        return self._consumer


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
        self._consumer = await _open_consumer(self._connection, partitions, _READ_LONG_POLL_MS, _READ_FETCH_BYTES)

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
                found = await consumer.getmany(wanted, timeout_ms=_READ_POLL_MS, max_records=limit)
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
