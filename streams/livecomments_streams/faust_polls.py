"""What Faust delivers as one message: all that one poll fetched. Faust spends a tenth of a millisecond on each message,
in eleven callbacks and four tasks, and a stream job has thousands of records a second.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from livecomments.kafka.connection import pace_metadata
from livecomments.kafka.decoding import fetch_records
from livecomments.kafka.leaders import Leaders
from livecomments_schemas.events import Record

_TAKE_WORTHWHILE: Final = 200
_GATHER_S: Final = 0.05
"""After a poll that brought less, the next one waits for more to come. Nobody waits for the store: what is not in it is
read from the log."""
_FETCH_WAIT_MS: Final = 100
"""How long a broker may hold a fetch that finds nothing. aiokafka has one fetch a broker under way: while it waits for
the quiet partitions, nothing comes of the busy one. Faust's own 1.5 s held a hot video to a record a millisecond."""


class Poll(ConsumerMessage):  # type: ignore[misc]  # Faust has no types
    """All that was fetched at once, as one message. To Faust it stands where its first partition's part ends."""

    __slots__ = ("lasts", "led_anew", "records")

    def __init__(self, fetched: Mapping[TP, Sequence[Record]], generation: int, leaders: Leaders) -> None:
        self.records = [record for of_partition in fetched.values() for record in of_partition]
        self.lasts = {TP(*tp): of_partition[-1].offset for tp, of_partition in fetched.items()}
        self.led_anew = {tp.partition for tp, last in self.lasts.items() if leaders.take_change(tp, last)}
        """Partitions of which these are the first records under another leader."""
        tp, last = next(iter(self.lasts.items()))
        super().__init__(*tp, last, 0.0, 0, None, None, None, None, tp=tp, generation_id=generation)


class WholePolls:
    """Faust's buffer of fetched records, in place of one that yields them one by one in turns of partitions."""

    def iterate(self, fetched: Mapping[TP, Sequence[Record]]) -> Iterator[tuple[TP, Mapping[TP, Sequence[Record]]]]:
        """Yield all that was fetched at once, under the first of its partitions."""
        found = {tp: records for tp, records in fetched.items() if records}
        if found:
            yield next(iter(found)), found


class ImpatientThread(AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust has no types
    """Faust's thread of the consumer, whose fetches wait `_FETCH_WAIT_MS`: Faust has no setting for it."""

    async def on_start(self) -> None:
        """Start the consumer, and let it give out our records: one that cannot be decoded must not end them all."""
        await super().on_start()
        self.leaders = Leaders()
        self.leaders.watch(self._consumer)
        fetch_records(self._consumer)
        pace_metadata(self._consumer._client)

    @property
    def group_error(self) -> Exception | None:
        """What the group refused this process for; nothing but a new process will ask again.

        aiokafka keeps it for whoever polls next, and Faust polls nothing before it has partitions.
        """
        coordinator = getattr(self._consumer, "_coordinator", None)
        if (working := getattr(coordinator, "_coordination_task", None)) is not None and working.done():
            return None if working.cancelled() else working.exception()
        return getattr(coordinator, "_pending_exception", None)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        return consumer


class PollConsumer(Consumer):  # type: ignore[misc]  # Faust has no types
    """Faust's consumer, for messages that are whole polls. There is one agent, which acks them in their order."""

    _pause_s = 0.0

    @property
    def group_error(self) -> Exception | None:
        """The error by which the group refused this process, if it did."""
        error: Exception | None = self._thread.group_error
        return error

    @property
    def kafka_consumer(self) -> Any:
        """aiokafka's own consumer, None before it started."""
        return getattr(self._thread, "_consumer", None)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Poll]]:
        """Poll once, after a pause if the last one was hardly worth a take."""
        await self.sleep(self._pause_s)
        async for found in super().getmany(timeout):
            yield found

    def _new_consumer_thread(self) -> ImpatientThread:
        return ImpatientThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, fetched: Mapping[TP, Sequence[Record]]) -> Poll:
        poll = Poll(fetched, self.app.consumer_generation_id, self._thread.leaders)
        self._pause_s = 0.0 if len(poll.records) >= _TAKE_WORTHWHILE else _GATHER_S
        return poll

    def ack(self, message: Poll) -> bool:
        """Note that all of a poll is stored."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        for tp, last in message.lasts.items():
            self._acked[tp] = [last]
        notify(self._waiting_for_ack)
        return True

    def _new_offset(self, tp: TP) -> int | None:
        """Return what is behind the last ack: a persister leaves no gap before what is stored, and asks no group."""
        acked = self._acked.pop(tp, None)
        return acked[0] + 1 if acked else None

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Add none: between the offsets of two polls there is no gap."""

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: a poll waits until the one before it is taken, and no partition is to blame."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave it to `Progress` to see what is not delivered."""
