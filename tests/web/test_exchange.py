"""One request and its answer: backpressure, and a body that its client may hold back."""

import asyncio
from typing import Final

from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from livecomments.web.door import Door, claim_nothing
from livecomments.web.exchange import Exchange
from livecomments.web.heads import parse_head
from livecomments.web.line import Line
from tests.corpus.messages import NEXT, first
from tests.web.driven import QUIET_ROUNDS, Wire, driven
from tests.web.echo import Echo

EXPECT: Final = first(b"Expect: 100-continue", b"Content-Length: 5")


class Stalled:
    """A `Connection` whose client takes nothing until `take`."""

    def __init__(self) -> None:
        self.is_full = True
        self.written = b""
        self._room = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.written += data

    async def writable(self) -> None:
        await self._room.wait()

    def take(self) -> None:
        self.is_full = False
        self._room.set()

    def may_go_on(self) -> bool:
        return True

    def answered(self, *, goes_on: bool) -> None:
        assert goes_on

    def broke_off(self) -> None:
        raise AssertionError("it is answered whole")

    def wants_body(self) -> None:
        """Nothing to read."""


async def _in_pieces(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for more in (True, True, False):
        await send({"type": "http.response.body", "body": b"piece", "more_body": more})


async def test_an_answer_waits_for_a_client_that_takes_nothing() -> None:
    connection = Stalled()
    exchange = Exchange(connection, parse_head(first(method=b"GET")))
    answer = asyncio.create_task(exchange.run(_in_pieces, None, None))
    for _ in range(QUIET_ROUNDS):
        await asyncio.sleep(0)
    assert not connection.written
    connection.take()
    await answer
    assert connection.written.count(b"piece") == 3


async def test_who_waits_to_be_told_to_go_on_is_told_and_who_has_gone_on_is_not() -> None:
    for pieces, is_told in (([EXPECT, b"hello" + NEXT], True), ([EXPECT + b"he", b"llo" + NEXT], False)):
        echo, wire = await driven(pieces)
        assert [(one.path, one.content) for one in echo.reached] == [("/first", b"hello"), ("/next", b"")]
        assert wire.written.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ") is is_told
        assert (b" 100 " in wire.written) is is_told


async def test_a_server_that_shuts_down_answers_what_is_under_way_and_nothing_behind_it() -> None:
    state, wire, echo = ServerState(), Wire(), Echo()
    rest = Line(rest_s=0)
    door = Door(claim_nothing, Config(echo, log_config=None), state, {}, line=rest, exits=rest)
    door.connection_made(wire)
    door.data_received(first(method=b"GET") + NEXT)
    door.shutdown()
    await asyncio.gather(*state.tasks)
    assert [one.path for one in echo.reached] == ["/first"]
    assert b"\r\nconnection: close\r\n" in wire.written
    door.connection_lost(None)
