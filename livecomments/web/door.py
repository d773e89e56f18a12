"""The door: the protocol of every connection. It reads one request after the other, and hands each to who serves it.

A head that `claim` takes is served by whoever `claim` hands the transport to; every other request is an exchange with
the application. One at a time: until it is answered and its body has come to its end, what follows stays in a buffer,
and behind a bounded backlog reading pauses. So a connection costs its buffer and one request, whatever it sends.

uvicorn runs the server and makes one of these for each connection. Touches of it: the arguments it makes protocols
with, `shutdown`, and the connections, tasks and requests that `ServerState` counts (held by tests/web/).
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from livecomments.web.bodies import Body, body_of
from livecomments.web.bounds import (
    BACKLOG_BYTES_MAX,
    HTTP_LIMITS,
    LINGER_BYTES_MAX,
    UNREAD_BYTES_MAX,
    HttpLimits,
    has_sent_all,
    is_gone,
)
from livecomments.web.cors import NO_CORS, CorsRules
from livecomments.web.deadline import Deadline
from livecomments.web.exchange import Exchange, say_what_is_allowed
from livecomments.web.head_reader import HeadReader
from livecomments.web.heads import RequestHead, RequestRejected
from livecomments.web.line import Line
from livecomments.web.problems import problem
from livecomments.web.raw import last_answer, origin_of
from livecomments.web.waiting import WaitingFor, seconds_for
from livecomments_schemas.errors import Rejected

Claim = Callable[[RequestHead, str], asyncio.Protocol | None]
"""Given a head and the address it comes from: the protocol that serves it and has the connection from its
`connection_made` on, or None. What comes behind the head is not for it."""


def claim_nothing(head: RequestHead, address: str) -> None:
    """Leave every request to the application."""


class Door(asyncio.Protocol):
    """A connection's requests, one at a time, each within `limits`. An exchange's `Connection`."""

    def __init__(
        self,
        claim: Claim,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        line: Line,
        exits: Line,
        limits: HttpLimits = HTTP_LIMITS,
        cors: CorsRules = NO_CORS,
    ) -> None:
        self.is_full = False
        self._line = line
        self._exits = exits
        self._claim = claim
        self._app: ASGIApp = cast(Any, config.app)  # past its layer that would log what people send
        self._state = server_state
        self._connections: set[Any] = server_state.connections
        self._limits = limits
        self._cors = cors
        self._loop = _loop or asyncio.get_running_loop()
        self._buffer = bytearray()
        self._heads = HeadReader(limits)
        self._exchange: Exchange | None = None
        """The request that is being answered; None between two."""
        self._body: Body | None = None
        """The body that is being read, even if its request is answered already; None between two."""
        self._is_new = True
        self._is_last = False
        """No further request is read."""
        self._has_ended = False
        """The client sends nothing more, and may still read."""
        self._unread_bytes = 0
        self._is_paused = False
        self._is_in_line = False
        """It stands in one of the lines: for a turn to go on with what has come, or to be refused and leave."""
        self._last_words = b""
        """The answer that refuses the client, kept until its turn in the line of exits."""
        self._writable: asyncio.Event | None = None
        self._wait: WaitingFor | None = None
        self._deadline = Deadline(self._loop, self._come_to_its_time)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        self._connections.add(self)
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        self._server = (str(own[0]), int(own[1])) if isinstance(own, tuple) else None
        self._wait_for(WaitingFor.HEAD)

    def data_received(self, data: bytes) -> None:
        if self._wait is WaitingFor.LEAVE:
            self._drop(len(data))
            return
        self._buffer += data
        if not self._is_in_line:
            self._advance()

    def eof_received(self) -> bool:
        """Answer what was sent whole by a client that sends nothing more (RFC 9112, 9.6).

        Only in the middle of an answer it has left: who half-closes does so behind its request, and to keep the streams
        of those who close would hold their places until a write fails.
        """
        self._has_ended = True
        if self._wait is WaitingFor.LEAVE or (self._exchange is not None and self._exchange.has_started):
            return False
        if not self._is_in_line:
            self._advance()
        return not self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._is_in_line:
            self._line.leave(self._take_turn)
            self._exits.leave(self._take_turn)
        self.resume_writing()
        exchange, self._exchange, self._body = self._exchange, None, None
        self._buffer.clear()
        if exchange is not None:
            exchange.disconnect()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._writable is not None:
            self._writable.set()

    def shutdown(self) -> None:
        """Answer what is under way, and nothing behind it: uvicorn shuts down."""
        self._is_last = True
        if self._exchange is None:
            self._say_last_words()
            self._transport.close()

    def write(self, data: bytes) -> None:
        """Do as `exchange.Connection` says; so do the next five."""
        if data and not self._transport.is_closing():
            self._transport.write(data)

    async def writable(self) -> None:
        if self._writable is None:
            self._writable = asyncio.Event()
        self._writable.clear()
        if self.is_full:
            await self._writable.wait()

    def may_go_on(self) -> bool:
        exchange, body = self._exchange, self._body
        if exchange is None or self._is_last or not exchange.head.keeps_alive:
            return False
        return body is None or not (exchange.holds_body_back or body.is_long)

    def answered(self, *, goes_on: bool) -> None:
        self._exchange = None
        self._state.total_requests += 1
        if not goes_on or self._is_last:
            self._end(is_all_read=self._body is None and not self._buffer)
        elif self._buffer:
            if not self._is_in_line:
                self._get_in(self._line)  # who did not wait for its answer waits for its turn
            self._pace()
            self._look_forward()
        else:
            self._advance()

    def broke_off(self) -> None:
        self._refuse("internal", "This is our fault, and it has been logged. Try again later.")

    def wants_body(self) -> None:
        self._pace()

    def _advance(self) -> None:
        """Go on as far as what has come allows: through a body, then to the next request."""
        if self._transport.is_closing():
            return
        if self._wait is WaitingFor.LEAVE:
            if self._last_words:
                self._say_last_words()
                self._end(is_all_read=False)
            else:
                self._resume()
            return
        try:
            if self._body is not None:
                self._read_body(self._body)
            if self._body is None and self._exchange is None:
                head = self._heads.take(self._buffer, has_ended=self._has_ended)
                if head is not None:
                    if self._is_claimed(head):
                        return
                    self._begin(head)
                elif self._has_ended:
                    self._end(is_all_read=True)
                    return
        except Rejected as error:
            self._refuse(error.code, str(error))
            return
        self._pace()
        self._look_forward()

    def _get_in(self, line: Line) -> None:
        self._is_in_line = True
        line.join(self._take_turn)

    def _take_turn(self) -> None:
        self._is_in_line = False
        self._advance()

    def _drop(self, size: int) -> None:
        """Drop what a client sends behind its last answer; more of it is read when it is its turn."""
        self._unread_bytes += size
        if self._unread_bytes > LINGER_BYTES_MAX:
            self._transport.close()
        elif not (self._is_in_line or self._transport.is_closing()):
            self._pause()
            self._get_in(self._exits)

    def _say_last_words(self) -> None:
        words, self._last_words = self._last_words, b""
        self.write(words)

    def _pause(self) -> None:
        if not (self._is_paused or self._has_ended):
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def _is_claimed(self, head: RequestHead) -> bool:
        """Tell whether somebody takes the connection over with this request."""
        transport = self._transport
        if head.method != "GET" or head.length or transport.get_write_buffer_size():
            return False
        if self._has_ended or has_sent_all(transport):  # who is handed a transport takes its end for the viewer's
            return False
        claimed = self._claim(head, self._client[0] if self._client else "")
        if claimed is None:
            return False
        self._leave()
        if self._is_paused:
            transport.resume_reading()
        transport.set_protocol(claimed)  # before it writes: if that fills the transport, it is told
        claimed.connection_made(transport)
        return True

    def _begin(self, head: RequestHead) -> None:
        self._is_new = False
        self._unread_bytes = 0
        exchange = self._exchange = Exchange(self, head)
        if head.length:
            self._body = body_of(head.length)
            self._read_body(self._body)
        else:
            exchange.feed(b"", is_whole=True)
        app = self._app if head.path != "*" else say_what_is_allowed
        task = self._loop.create_task(exchange.run(app, self._client, self._server))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _read_body(self, body: Body) -> None:
        """Give the exchange what has come of its body. Once that is answered, read on only while it is little."""
        data = body.take(self._buffer)
        if self._exchange is not None:
            self._exchange.feed(data, is_whole=body.is_whole)
        else:
            self._unread_bytes += len(data)
            if self._unread_bytes > UNREAD_BYTES_MAX:
                raise RequestRejected("Send a body within the bounds of what you call.")
        if body.is_whole:
            self._body = None
        elif body.has_more:
            self._get_in(self._line)
        elif self._has_ended:
            raise RequestRejected("Send the whole body.")

    def _refuse(self, code: str, detail: str) -> None:
        """Answer with a problem, when it is its turn to leave, and end the connection.

        Only end it where an answer has begun.
        """
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.disconnect()
            if exchange.has_started:
                self._transport.close()
                return
        if exchange is None and self._body is not None:  # it is answered
            self._end(is_all_read=False)
            return
        origin = origin_of(bytes(self._buffer)) if exchange is None else exchange.head.value(b"origin")
        self._last_words = last_answer(problem(code, detail), self._cors.headers(origin))
        self._body = None
        self._buffer.clear()
        self._pause()
        self._wait_for(WaitingFor.LEAVE)
        if not self._is_in_line:
            self._get_in(self._exits)

    def _end(self, *, is_all_read: bool) -> None:
        """End the connection behind what was written. What the client still sends is read, and dropped."""
        transport = self._transport
        self._body = None
        self._buffer.clear()
        if is_all_read or self._has_ended or transport.is_closing():
            transport.close()
            return
        self._unread_bytes = 0
        self._resume()
        transport.write_eof()
        self._wait_for(WaitingFor.LEAVE)

    def _pace(self) -> None:
        """Read on only while little of what came waits."""
        if self._has_ended or self._transport.is_closing():
            return
        exchange = self._exchange
        waiting = len(self._buffer) + (exchange.unread if exchange is not None else 0)
        is_busy = exchange is not None or self._body is not None
        should_pause = self._is_in_line or (is_busy and waiting > BACKLOG_BYTES_MAX)
        if should_pause is not self._is_paused:
            self._is_paused = should_pause
            if should_pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _look_forward(self) -> None:
        if self._body is not None:
            self._wait_for(WaitingFor.BODY)
        elif self._exchange is not None:
            self._wait_for(WaitingFor.ANSWER)
        elif self._buffer or self._heads.empty_bytes or self._is_new:
            self._wait_for(WaitingFor.HEAD)
        else:
            self._wait_for(WaitingFor.REQUEST)

    def _wait_for(self, wait: WaitingFor) -> None:
        if wait is not self._wait:
            self._wait = wait
            self._deadline.set(seconds_for(wait, self._limits))

    def _come_to_its_time(self) -> None:
        if self._wait is WaitingFor.BODY and self._is_paused:  # we do not read, so it cannot come
            self._deadline.set(self._limits.body_timeout_s)
        elif self._wait is WaitingFor.BODY and self._exchange is not None and not self._exchange.has_started:
            self._refuse("body_timeout", "Send the whole body at once.")
        elif self._wait is WaitingFor.ANSWER and not self._has_left():
            self._deadline.set(self._limits.look_interval_s)
        elif self._wait in (WaitingFor.HEAD, WaitingFor.BODY, WaitingFor.ANSWER):
            self._transport.abort()
        else:
            self._say_last_words()
            self._transport.close()

    def _has_left(self) -> bool:
        """Tell whether the client of an answer is gone, which nobody tells who does not read. As in `eof_received`."""
        has_started = self._exchange is not None and self._exchange.has_started
        return has_sent_all(self._transport) if has_started else is_gone(self._transport)

    def _leave(self) -> None:
        self._deadline.close()
        self._connections.discard(self)
