"""Whatever goes wrong in a batch, and whoever ends it: all who wait hear of it at once, not at their deadlines."""

import asyncio
from typing import Any, Final, NamedTuple, Self

import pytest

from livecomments.kafka.writer import _Append, _Producer, _Queue
from livecomments.log.interface import AppendUnavailable, AppendUnknown
from livecomments_schemas.events import NewRecord
from tests.consumers.edge import virtually

RECORD: Final = NewRecord(b"video", b"{}", {})


class Bug(BaseException):
    """Not an Exception, as a cancellation is none."""


class Placed(NamedTuple):
    """The broker's answer."""

    offset: int


class Client:
    """A producer, and its batches, in which one call raises."""

    def __init__(self, call: str, error: BaseException) -> None:
        self._raising = call, error
        self._appended = 0

    def create_batch(self) -> Self:
        self._come_to("create_batch")
        return self

    def append(self, **_: Any) -> bool:
        self._appended += 1
        if self._appended == 3:
            self._come_to("append")
        return True

    def close(self) -> None:
        """Of a batch."""

    def _build(self) -> None:
        """Of a batch."""

    async def send_batch(self, *_: object, **__: object) -> asyncio.Future[Placed]:
        self._come_to("send_batch")
        sent: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(sent.set_exception, self._raising[1])
        return sent

    def _come_to(self, call: str) -> None:
        if call == self._raising[0]:
            raise self._raising[1]


@pytest.mark.parametrize("call", ["create_batch", "append", "send_batch", "answer"])
@pytest.mark.parametrize("error", [Bug(), KeyError("x"), asyncio.CancelledError()])
def test_whatever_a_batch_raises_reaches_all_who_wait_at_once(call: str, error: BaseException) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        producer, queue = _Producer(Client(call, error), "comments-1"), _Queue()
        appends = [_Append(RECORD, loop.create_future()) for _ in range(5)]
        queue.waiting.extend(appends)
        working = asyncio.create_task(producer.work(0, queue))
        began_at = loop.time()
        found = await asyncio.gather(*(append.offset for append in appends), return_exceptions=True)
        assert loop.time() == began_at
        (raised,) = await asyncio.gather(working, return_exceptions=True)
        assert type(raised) is type(error)
        expected = {AppendUnknown} if call in ("send_batch", "answer") else {RuntimeError, AppendUnavailable}
        assert {type(one) for one in found} <= expected
        assert not queue.waiting

    virtually(run)
