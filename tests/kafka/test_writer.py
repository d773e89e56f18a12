"""What the writer does at moments no broker gives twice: in virtual time, on one in memory that does as it is told."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import pytest
from aiokafka import errors

from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.refusals import Refusal, UnsupportedCompressionTypeError, know_all_refusals, refusal_of
from livecomments.kafka.writer import KafkaWriter, _Producer
from livecomments.log.interface import AppendRefused, AppendUnavailable, AppendUnknown
from livecomments_schemas.events import NewRecord
from tests.consumers.edge import virtually

APPEND_TIMEOUT_S: Final = 5.0
TOPIC: Final = "comments-1"


class Placed(NamedTuple):
    """The broker's answer."""

    offset: int


class Batch:
    """A batch without an end."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, value: bytes, **_: Any) -> bool:
        self.values.append(value)
        return True

    def close(self) -> None:
        """Nothing is to be done."""

    def _build(self) -> None:
        """As aiokafka does for each request."""


class Client:
    """A producer, and its broker: appends what nothing is said against, if its number is the next."""

    def __init__(self) -> None:
        self.takes_s = 0.0
        self.log: list[bytes] = []
        self.refuses: Callable[[list[bytes]], BaseException | None] = lambda values: None
        self.sendings = 1
        self.batches: list[list[bytes]] = []
        self._next_number = 0
        self._sender = SimpleNamespace(sender_task=None)
        self._message_accumulator = SimpleNamespace(_batches={}, fail_all=lambda error: None)
        self._txn_manager = self
        self.client = self

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, _topic: str, *, partition: int) -> asyncio.Future[Placed]:
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[Placed] = loop.create_future()
        for _ in range(self.sendings):
            batch._build()
        self.batches.append(batch.values)
        number, self._next_number = self._next_number, self._next_number + len(batch.values)
        if (error := self.refuses(batch.values)) is not None:
            loop.call_later(self.takes_s, sent.set_exception, error)
        elif number != len(self.log):
            loop.call_later(self.takes_s, sent.set_exception, errors.OutOfOrderSequenceNumber())
        else:
            loop.call_later(self.takes_s, sent.set_result, Placed(len(self.log)))
            self.log += batch.values
        return sent

    def increment_sequence_number(self, _: Any, increment: int) -> None:
        self._next_number += increment

    async def stop(self) -> None:
        """Nothing is to be done."""


def record(text: str = "") -> NewRecord:
    return NewRecord(b"video", text.encode(), {})


def writer_on(client: Client) -> KafkaWriter:
    """A writer that will not connect anew when its producer is replaced."""
    writer = KafkaWriter(KafkaConnection("nowhere:1"), TOPIC, APPEND_TIMEOUT_S)
    writer._producer = _Producer(client, TOPIC)
    writer._closed = True
    return writer


def test_an_answer_that_comes_with_its_deadline_leaves_nobody_late() -> None:
    async def run() -> None:
        client = Client()
        writer = writer_on(client)
        assert await writer.append(0, record()) == 0
        client.takes_s = APPEND_TIMEOUT_S - 1e-12  # the loop takes both in one round, the answer first
        (late,) = await asyncio.gather(writer.append(0, record()), return_exceptions=True)
        assert isinstance(late, AppendUnknown)
        client.takes_s = 0.0
        assert await writer.append(0, record()) == 2

    virtually(run)


FOR_GOOD: Final = (2, 10, 17, 18, 29, 31, 32, 35, 42, 43, 44, 45, 47, 59, 76, 87)
"""What a broker answers to a batch that it has not appended, by the codes of Kafka's protocol."""


@pytest.mark.parametrize("code", FOR_GOOD)
def test_what_a_broker_says_of_a_batch_is_certain_the_first_time_and_never_after(code: int) -> None:
    know_all_refusals()
    error = errors.for_code(code)() if code != 47 else errors.ProducerFenced()  # as aiokafka raises it
    assert refusal_of(error, 1) is not Refusal.UNKNOWN
    assert refusal_of(error, 2) is Refusal.UNKNOWN


@pytest.mark.parametrize("code", [-1, 7, 20, 56])
def test_what_may_come_after_the_append_is_never_certain(code: int) -> None:
    assert refusal_of(errors.for_code(code)(), 1) is Refusal.UNKNOWN


def test_an_error_of_the_connection_is_never_certain() -> None:
    assert refusal_of(errors.KafkaConnectionError(), 1) is Refusal.UNKNOWN
    assert refusal_of(errors.CorrelationIdError(), 1) is Refusal.UNKNOWN


@pytest.mark.parametrize(
    "error", [errors.MessageSizeTooLargeError, errors.TopicAuthorizationFailedError, UnsupportedCompressionTypeError]
)
def test_a_record_refused_for_certain_is_answered_so_and_the_producer_goes_on(error: type[Exception]) -> None:
    async def run() -> None:
        client = Client()
        writer = writer_on(client)
        producer = writer._producer
        assert await writer.append(0, record("a")) == 0
        client.refuses = lambda values: error()
        with pytest.raises(AppendRefused, match="not written"):
            await writer.append(0, record("b"))
        client.refuses = lambda values: None
        assert await writer.append(0, record("c")) == 1  # or its number would be out of order
        assert writer._producer is producer
        assert client.log == [b"a", b"c"]

    virtually(run)


def test_a_refusal_of_what_may_have_been_written_before_is_unknown() -> None:
    async def run() -> None:
        client = Client()
        writer = writer_on(client)
        client.sendings, client.refuses = 2, lambda values: errors.MessageSizeTooLargeError()
        told = await asyncio.gather(*(writer.append(0, record(one)) for one in "ab"), return_exceptions=True)
        assert [type(one) for one in told] == [AppendUnknown] * 2
        assert len(client.batches) == 1  # what may be written is not sent again in parts
        assert writer._producer is None

    virtually(run)


def test_a_batch_that_another_producer_might_write_is_not_written_and_not_refused_for_good() -> None:
    async def run() -> None:
        client = Client()
        writer = writer_on(client)
        client.refuses = lambda values: errors.OutOfOrderSequenceNumber()
        (told,) = await asyncio.gather(writer.append(0, record()), return_exceptions=True)
        assert type(told) is AppendUnavailable
        assert writer._producer is None

    virtually(run)


@pytest.mark.parametrize("bad", [{7}, {0, 99}, {3, 4, 50}, set(range(100))])
def test_of_many_records_only_those_to_blame_are_refused_and_the_rest_keeps_its_order(bad: set[int]) -> None:
    async def run() -> None:
        client = Client()
        writer = writer_on(client)
        spoilt = {b"%d" % number for number in bad}
        client.refuses = lambda values: errors.MessageSizeTooLargeError() if spoilt.intersection(values) else None
        told = await asyncio.gather(
            *(writer.append(0, record(str(number))) for number in range(100)), return_exceptions=True
        )
        assert {number for number, one in enumerate(told) if type(one) is AppendRefused} == bad
        assert client.log == [b"%d" % number for number in range(100) if number not in bad]
        assert [one for one in told if isinstance(one, int)] == list(range(100 - len(bad)))
        assert len(client.batches) <= 250
        client.refuses = lambda values: None
        await asyncio.gather(*(writer.append(0, record("more")) for _ in range(100)))
        assert len(client.batches[-1]) > 1  # and they are joined again

    virtually(run)


async def test_a_bug_in_what_nobody_awaits_is_heard_by_who_appends_next() -> None:
    """Not `AppendUnavailable` for ever, by which a process looks as healthy as one whose Kafka is away."""
    writer = KafkaWriter(KafkaConnection("127.0.0.1:1"), "comments", 1.0)

    async def bug() -> None:
        raise ValueError("ours")

    writer._spawn(bug())
    await asyncio.wait(writer._tasks)
    with pytest.raises(RuntimeError) as raised:
        await writer.append(0, record("late"))
    assert isinstance(raised.value.__cause__, ValueError)


class Asked(KafkaConnection):
    """Counts who asks how to connect: whoever makes a producer."""

    count = 0

    def options(self) -> dict[str, Any]:
        self.count += 1
        return super().options()


async def test_first_appends_that_come_together_wait_for_one_producer_and_not_in_line() -> None:
    connection = Asked("127.0.0.1:1")
    writer = KafkaWriter(connection, "comments", 1.0)
    told = await asyncio.gather(*(writer.append(0, record(str(n))) for n in range(20)), return_exceptions=True)
    assert [type(one) for one in told] == [AppendUnavailable] * 20
    assert connection.count == 1


async def test_a_first_append_to_a_silent_kafka_is_refused_with_its_own_deadline_and_not_the_connection_s() -> None:
    """As a frozen broker is: it takes connections and answers nothing."""

    async def hear_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(hear_out, "127.0.0.1", 0)
    async with silent:
        host, port = silent.sockets[0].getsockname()
        writer = KafkaWriter(Asked(f"{host}:{port}"), "comments", 0.1)
        for _ in range(2):
            with pytest.raises(AppendUnavailable, match="TimeoutError"):
                await writer.append(0, record("m"))
        await writer.aclose()
