"""What the writer does at moments no broker gives twice: in virtual time, on a producer that confirms when told."""

import asyncio
from typing import Any, Final, NamedTuple, Self

from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.writer import KafkaWriter, _Producer
from livecomments.log.interface import AppendUnknown
from livecomments_schemas.events import NewRecord
from tests.consumers.edge import virtually

APPEND_TIMEOUT_S: Final = 5.0
RECORD: Final = NewRecord(b"video", b"{}", {})


class Placed(NamedTuple):
    """The broker's answer."""

    offset: int
    timestamp_type: int = 1


class Client:
    """A producer in memory: the broker's answer comes after `takes_s`. Also its own, endless batches."""

    def __init__(self) -> None:
        self.takes_s = 0.0
        self.end = 0

    def create_batch(self) -> Self:
        return self

    def append(self, **_: Any) -> bool:
        self.end += 1
        return True

    def close(self) -> None:
        """Of a batch."""

    async def send_batch(self, _batch: Self, _topic: str, *, partition: int) -> asyncio.Future[Placed]:
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[Placed] = loop.create_future()
        loop.call_later(self.takes_s, sent.set_result, Placed(self.end - 1))
        return sent


def test_an_answer_that_comes_with_its_deadline_leaves_nobody_late() -> None:
    async def run() -> None:
        writer, client = KafkaWriter(KafkaConnection("nowhere:1"), "comments-1", APPEND_TIMEOUT_S), Client()
        writer._producer = _Producer(client, "comments-1")
        assert await writer.append(0, RECORD) == 0
        client.takes_s = APPEND_TIMEOUT_S - 1e-12  # the loop takes both in one round, the answer first
        (late,) = await asyncio.gather(writer.append(0, RECORD), return_exceptions=True)
        assert isinstance(late, AppendUnknown)
        client.takes_s = 0.0
        assert await writer.append(0, RECORD) == 2

    virtually(run)
