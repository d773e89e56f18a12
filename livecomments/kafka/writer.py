"""Appends to Kafka: in batches of our own, with a deadline of our own, and no answer that is not earned.

Why not `producer.send()`: when its batch is full, all who wait for the next one race for it, and of 1,000 appends to
one partition some lost for five seconds. Here each partition has a queue: one batch under way, the next one made of all
that came meanwhile, first come first served; and what waits in the queue is known not to be written.

aiokafka 0.14's idempotent producer never gives a batch up, and after an error that it does not retry it may refuse a
partition for ever (aiokafka issue 1017). Hence three rules: a partition with an append past its deadline takes no more
until that one is settled; a batch that the broker refused for certain (`refusals`) is taken back, so that the partition
goes on, and is tried in halves until the record that is to blame is alone; and a producer that said any other error, or
is stuck, is replaced by a new one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from livecomments.kafka.connection import REQUEST_TIMEOUT_S, KafkaConnection, pace_metadata, stop
from livecomments.kafka.refusals import Refusal, Sendings, know_all_refusals, refusal_of, take_back
from livecomments.log.interface import AppendRefused, AppendUnavailable, AppendUnknown
from livecomments.runtime.expiry import Expiry
from livecomments.runtime.metrics import Counter
from livecomments.runtime.retrying import retrying
from livecomments_schemas.events import NewRecord, listed_headers

_BATCH_BYTES: Final = 128 * 1_024
"""One batch of a partition is in flight: 16 KiB at a round trip of 5 ms would be 11,000 records a second."""
RECORD_BYTES_MAX: Final = 100 * 1_024
"""Below the topics' max.message.bytes, overhead included: a refusal by the broker spoils the producer."""
_STUCK_S: Final = 30.0
"""A producer with an append late for this long is replaced; what it still holds is dropped."""
_TOLD_AGAIN_S: Final = 60.0
"""A refusal for the same reason is logged no more often: an access list that was altered refuses every append."""
_TOGETHER_MAX: Final = 1 << 20
"""More records than any batch holds."""
_TAKEN_BEFORE_MORE: Final = 16
"""Batches. Where the topic's limit is below what we send, one in so many is refused, and not every other one."""

_log = logging.getLogger("livecomments.log")
_refused = Counter("livecomments_log_appends_refused_total", "Records that Kafka refused for certain.", ["reason"])


class _Append:
    """A record on its way; `offset` is what its caller waits for."""

    __slots__ = ("is_handed_over", "offset", "record")

    def __init__(self, record: NewRecord, offset: asyncio.Future[int]) -> None:
        self.record = record
        self.offset = offset
        self.is_handed_over = False


class _Queue:
    """The appends to one partition."""

    __slots__ = ("late_since", "taken", "taken_before_more", "together_max", "waiting", "work")

    def __init__(self) -> None:
        self.waiting: deque[_Append] = deque()
        self.together_max = _TOGETHER_MAX
        """Records of the next batch. Halved while one of several is refused; doubled again once so many are taken."""
        self.taken = 0
        """Batches, since it was halved or doubled."""
        self.taken_before_more = 0
        self.work: asyncio.Task[None] | None = None
        self.late_since: float | None = None
        """When the batch under way passed a deadline."""

    def grow(self) -> None:
        self.together_max = min(self.together_max * 2, _TOGETHER_MAX)
        self.taken = 0


class _Producer:
    """An aiokafka producer and its queues."""

    def __init__(self, client: Any, topic: str) -> None:
        self.client = client
        self.queues: dict[int, _Queue] = {}
        self.error: BaseException | None = None
        """Why it cannot be used any more."""
        self._topic = topic
        self._told: dict[str, float] = {}
        """By reason, when a refusal may be logged again."""

    async def work(self, partition: int, queue: _Queue) -> None:
        """Append what waits in the queue, batch by batch, until nothing does. Whatever it raises, all who wait hear."""
        appends: list[_Append] = []
        try:
            while queue.waiting and self.error is None:
                batch = self.client.create_batch()
                appends = []
                _fill(batch, queue.waiting, appends, queue.together_max)
                if appends:
                    await self._append(partition, queue, batch, appends)
                    queue.late_since = None
        except BaseException as error:
            self.error = self.error or error
            sent = [append for append in appends if append.is_handed_over]
            _refuse(sent, AppendUnknown, "Kafka was not heard to its end: the record may be written.")
            _refuse(appends, RuntimeError, f"The append failed: {error!r}.")
            raise
        finally:
            _refuse(queue.waiting, AppendUnavailable, f"Kafka takes no appends just now: {self.error!r}.")
            queue.waiting.clear()

    async def _append(self, partition: int, queue: _Queue, batch: Any, appends: list[_Append]) -> None:
        sendings = Sendings(batch)
        for append in appends:  # before it waits, for a topic that is away: it may send long after a deadline
            append.is_handed_over = True
        try:
            sent = await self.client.send_batch(batch, self._topic, partition=partition)
        except KafkaError as error:  # not even buffered
            self.error = error
            _refuse(appends, AppendUnavailable, f"Kafka does not take the record: {error!r}.")
            return
        try:
            placed = await sent
        except KafkaError as error:
            self._settle(partition, queue, appends, error, refusal_of(error, sendings.count))
            return
        # A duplicate whose place the broker has forgotten is confirmed without a place.
        if placed.offset < 0:
            _refuse(appends, AppendUnknown, "Kafka confirmed the record without saying where it is.")
            return
        queue.taken += 1
        if queue.taken > queue.taken_before_more:
            queue.grow()
        for offset, append in enumerate(appends, placed.offset):
            if not append.offset.done():  # else its caller was cancelled, or told AppendUnknown
                append.offset.set_result(offset)

    def _settle(
        self, partition: int, queue: _Queue, appends: list[_Append], error: KafkaError, refusal: Refusal
    ) -> None:
        """Answer those whose batch came to nothing, or put it back to be sent in halves."""
        if refusal is Refusal.UNKNOWN:
            self.error = error
            _refuse(appends, AppendUnknown, f"Kafka did not confirm the record: {error!r}.")
        elif refusal is Refusal.OF_THE_PRODUCER:
            self.error = error
            _refuse(appends, AppendUnavailable, f"Kafka takes no appends just now: {error!r}.")
        elif refusal is Refusal.OF_A_RECORD and len(appends) > 1:
            take_back(self.client, TopicPartition(self._topic, partition), len(appends))
            for append in appends:
                append.is_handed_over = False
            queue.waiting.extendleft(reversed(appends))
            queue.together_max = len(appends) // 2
            queue.taken, queue.taken_before_more = 0, _TAKEN_BEFORE_MORE
        else:
            take_back(self.client, TopicPartition(self._topic, partition), len(appends))
            queue.taken_before_more = 0  # who was to blame is out
            queue.grow()
            _refused.labels(error.message.lower()).inc(len(appends))
            self._tell(error, partition)
            _refuse(appends, AppendRefused, f"Kafka refuses the record for good, {error.message}: it is not written.")

    def _tell(self, error: KafkaError, partition: int) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._told.get(error.message, now):
            self._told[error.message] = now + _TOLD_AGAIN_S
            _log.error(
                "append refused: look at the topic's settings and access lists",
                extra={"topic": self._topic, "partition": partition, "reason": error.message},
            )

    async def stop(self, flush_s: float) -> None:
        """Let what was handed over be confirmed for at most `flush_s`, and drop the rest.

        aiokafka's own stop would wait for ever for a broker that is away: it flushes without a bound.
        """
        works = [queue.work for queue in self.queues.values() if queue.work is not None]
        if works and flush_s:
            await asyncio.wait(works, timeout=flush_s)
        if (sending := self.client._sender.sender_task) is not None:
            sending.cancel()
            await asyncio.wait([sending], timeout=REQUEST_TIMEOUT_S)
        held = self.client._message_accumulator
        for batch in [batch for batches in held._batches.values() for batch in batches]:
            held._pending_batches.add(batch)  # from which it will remove itself, even where it is not in it
            batch._drain_waiter.cancel()  # nobody waits for it, and its exception would be logged
        held.fail_all(KafkaError("stopped"))
        await stop(self.client, self.client.client)


class KafkaWriter:
    """Appends to one topic."""

    def __init__(self, connection: KafkaConnection, topic: str, append_timeout_s: float) -> None:
        self._connection = connection
        self._topic = topic
        self._append_timeout_s = append_timeout_s
        self._producer: _Producer | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._bug: BaseException | None = None
        """What one of the tasks raised: without a producer there will be none any more."""
        self._closed = False
        self._has_begun = False
        self._beginning: asyncio.Task[Exception | None] | None = None
        """One for all who wait; ends with why it came to nothing."""
        self._expiry = Expiry()

    async def start(self) -> None:
        """Make the producer now, and not with the first append. Raises KafkaError, TimeoutError or OSError.

        Kafka makes none for who may write to no topic: whoever only reads must not ask for one.
        """
        self._closed = False
        know_all_refusals()
        await self._start()
        self._has_begun = True

    async def append(self, partition: int, record: NewRecord) -> int:
        """See `CommentLog.append`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._append_timeout_s
        if not (self._has_begun or self._closed or self._bug):
            await self._begun_by(deadline)
        producer = self._producer
        if producer is None:
            if self._bug is not None:
                raise RuntimeError("A new producer could not be made.") from self._bug
            raise AppendUnavailable("Kafka takes no appends just now.")
        queue = producer.queues.get(partition) or producer.queues.setdefault(partition, _Queue())
        if queue.late_since is not None:
            self._refuse_behind(producer, queue.late_since)
        if size_of(record) > RECORD_BYTES_MAX:
            raise AppendRefused(f"The record is larger than {RECORD_BYTES_MAX} bytes: it is not written.")
        append = _Append(record, loop.create_future())
        queue.waiting.append(append)
        if (
            queue.work is None or queue.work.done()
        ):  # it starts in the loop's next tick and takes all that came until then
            queue.work = asyncio.create_task(producer.work(partition, queue))
            queue.work.add_done_callback(lambda work: self._after(producer, work))
        self._expiry.add(append.offset, deadline - loop.time())
        try:
            return await append.offset
        except TimeoutError as error:
            if not append.is_handed_over:
                raise AppendUnavailable("Kafka did not take the record in time; it was not sent.") from error
            if not queue.work.done():  # else the answer came with the deadline, and nothing is under way to settle
                queue.late_since = queue.late_since or loop.time()
            _refuse(queue.waiting, AppendUnavailable, "Kafka does not confirm appends just now.")
            raise AppendUnknown("Kafka did not confirm the record in time.") from error

    async def aclose(self) -> None:
        """Give appends under way their time, then let go. May be called twice."""
        self._closed = True
        while self._producer is not None or self._tasks:
            producer, self._producer = self._producer, None
            if producer is not None:
                self._spawn(producer.stop(self._append_timeout_s))
            await asyncio.wait(self._tasks)

    async def _begun_by(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        if self._beginning is None or self._beginning.done():
            self._beginning = loop.create_task(self._begin())
            self._beginning.add_done_callback(self._note_end)
            self._tasks.add(self._beginning)
        done, _ = await asyncio.wait([self._beginning], timeout=deadline - loop.time())  # it goes on for the next
        error = self._beginning.result() if done else TimeoutError()
        if error is not None:
            raise AppendUnavailable(f"Kafka takes no appends just now; the record was not sent: {error!r}.") from error

    async def _begin(self) -> Exception | None:
        know_all_refusals()
        try:
            await self._start()
        except (KafkaError, TimeoutError, OSError) as error:
            return error
        self._has_begun = True
        return None

    async def _start(self) -> None:
        client = AIOKafkaProducer(
            **self._connection.options(),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
        )
        producer = _Producer(client, self._topic)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await client.start()
                await client.partitions_for(self._topic)  # or the first appends would wait for it
        except BaseException:
            await producer.stop(0)
            raise
        pace_metadata(client.client)
        self._connection.adopt(client.client)
        self._producer = producer

    def _refuse_behind(self, producer: _Producer, late_since: float) -> None:
        if asyncio.get_running_loop().time() - late_since > _STUCK_S:
            producer.error = producer.error or TimeoutError()
            self._replace(producer, 0)
        raise AppendUnavailable("Kafka does not confirm appends just now.")

    def _after(self, producer: _Producer, work: asyncio.Task[None]) -> None:
        if not work.cancelled() and (bug := work.exception()) is not None:
            producer.error = producer.error or bug
        if producer.error is not None:
            self._replace(producer, self._append_timeout_s)

    def _replace(self, producer: _Producer, flush_s: float) -> None:
        if self._producer is not producer:
            return  # already done
        _log.error("producer replaced", extra={"reason": repr(producer.error)})
        self._producer = None
        self._spawn(producer.stop(flush_s))
        self._spawn(self._start_again())

    async def _start_again(self) -> None:
        async def start() -> None:
            if not self._closed:
                await self._start()

        await retrying(start, on=(KafkaError, TimeoutError, OSError))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_end)
        self._tasks.add(task)

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        """Forget a task that has ended. What it raised is our bug, of which whoever appends must hear."""
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            _log.error("unhandled error", exc_info=bug)
            self._bug = bug


def _fill(batch: Any, waiting: deque[_Append], appends: list[_Append], together_max: int) -> None:
    """Move appends that are still waited for into the batch and `appends`, until it is full or has so many."""
    while waiting and len(appends) < together_max:
        append = waiting[0]
        if not append.offset.done():
            key, value, headers = append.record
            if batch.append(key=key, value=value, timestamp=None, headers=list(listed_headers(headers))) is None:
                break
            appends.append(append)
        waiting.popleft()
    batch.close()


def _refuse(appends: Iterable[_Append], kind: type[Exception], text: str) -> None:
    for append in appends:
        if not append.offset.done():
            append.offset.set_exception(kind(text))


def size_of(record: NewRecord) -> int:
    """Measure a record as RECORD_BYTES_MAX bounds it, in bytes; a key or value may be missing, as others write it."""
    own = len(record.key or b"") + len(record.value or b"")
    return own + sum(len(name) + len(value or b"") for name, value in listed_headers(record.headers))
