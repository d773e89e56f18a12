"""uvicorn's HTTP protocol with the bounds it lacks: how large a head is, and how slowly a request may come.

The door reads only a connection's first head; this holds every later one of a kept-alive connection to the same.
Touches of uvicorn: the parser's callbacks, `send_400_response`, that all is written by `transport.write`, how an answer
under way learns that its connection is gone, and that a callback that raises makes the parser refuse the request (held
by tests/web/test_door.py).
"""

import asyncio
from enum import Enum
from http import HTTPStatus
from typing import Any, Final, NamedTuple, cast

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from livecomments.web.problems import problem
from livecomments_schemas.limits import BODY_TIMEOUT_S


class HttpLimits(NamedTuple):
    """Bounds of one request, the same for the first and for later ones of a connection."""

    head_bytes_max: int = 16_384
    """Twice the longest token, and room for cookies of others."""
    headers_max: int = 100
    head_timeout_s: float = 5.0
    """From the first byte of a head (of a first request: from the connection) to its end."""
    body_timeout_s: float = BODY_TIMEOUT_S
    """From a head to the end of its body, read or not."""


class _Part(Enum):
    NONE = "between requests"
    HEAD = "head"
    BODY = "body"


class HeadTooLarge(Exception):
    """Raised inside the parser, which then refuses the request."""


class WholeAnswers:
    """A transport that writes the head of an answer together with what follows it in the same tick.

    uvicorn writes them apart, and uvloop writes at once: a system call more for each answer, and a peer woken twice.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes | memoryview) -> None:
        """Write soon if it is a head, now if not."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
            return
        if data[:9] == b"HTTP/1.1 ":
            self._head = bytes(data)
            asyncio.get_running_loop().call_soon(self._write_head)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close behind what was written."""
        self._write_head()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _write_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


class BoundedHttp(HttpToolsProtocol):
    """A connection's requests, each within `limits`. Set by its maker before the first byte."""

    limits: HttpLimits = HttpLimits()
    _part = _Part.NONE
    _timed = _Part.NONE
    """The part that the deadline is for."""
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _begun = 0
    """Heads begun in one piece of data."""
    _is_too_large = False
    _under_way: RequestResponseCycle | None = None
    """Whose answer is being written; requests behind it wait."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, WholeAnswers(cast(asyncio.Transport, transport))))

    def data_received(self, data: bytes) -> None:
        began_with, self._begun = self._part, 0
        super().data_received(data)
        # What another request's end stands before in the same piece is not counted, but is at most one piece.
        if self._begun == (began_with is _Part.NONE):
            self._head_bytes += len(data)
        if self._part is _Part.HEAD and self._head_bytes > self.limits.head_bytes_max:
            self._is_too_large = True
            self.send_400_response("")
        # A request that comes in one piece, as almost all do, costs no timer.
        part = _Part.HEAD if self._is_idle else self._part
        if part is not self._timed:
            self._time(part)

    @property
    def _is_idle(self) -> bool:
        """Bytes came, but no request: blank lines, or the end of a body that was answered before. uvicorn has stopped
        its keep-alive timer for them and starts none."""
        return self._part is _Part.NONE and (self.cycle is None or self.cycle.response_complete)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part, self._head_bytes = _Part.HEAD, 0
        self._begun += 1

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.head_bytes_max or len(self.headers) > self.limits.headers_max:
            self._is_too_large = True
            raise HeadTooLarge
        self._part = _Part.BODY
        super().on_headers_complete()
        if self._under_way is None:
            self._under_way = self.cycle

    def on_message_complete(self) -> None:
        self._part = _Part.NONE
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._under_way = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._time(_Part.NONE)
        self._tell_under_way()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request we serve, as a problem; behind an answer under way only the connection ends."""
        self._part = _Part.NONE
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(too_large() if self._is_too_large else invalid_request())
        else:
            self._tell_under_way()  # a write to what is closed would raise
        self.transport.close()

    def _tell_under_way(self) -> None:
        """Tell the response under way that its connection is gone. uvicorn tells the newest request's, which may only
        wait behind it: whoever sent a second request behind a stream would have stayed for ever."""
        if self._under_way is not None:
            self._under_way.disconnected = True
            self._under_way.message_event.set()

    def _time(self, part: _Part) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._timed = part
        if part is not _Part.NONE:
            limit = self.limits.head_timeout_s if part is _Part.HEAD else self.limits.body_timeout_s
            self._deadline = self.loop.call_later(limit, self._end)

    def _end(self) -> None:
        if self.flow.read_paused:  # we do not read, so it cannot come
            self._time(self._part)
            return
        is_next = self.cycle is not None and not self.cycle.response_started and not self.pipeline
        if self._timed is _Part.BODY and is_next:
            self.transport.write(_raw(problem("body_timeout", "Send the whole body at once.")))
            self.transport.close()  # which tells whoever waits for the body
        else:
            self.transport.abort()


def too_large() -> bytes:
    """The answer to a head beyond the bounds, whole."""
    return _raw(problem("head_too_large", "Send fewer or shorter headers."))


def invalid_request() -> bytes:
    """The answer to what is no HTTP/1.1 request, whole."""
    return _raw(problem("invalid_request", "Send a well-formed HTTP/1.1 request."))


def _raw(response: Response) -> bytes:
    status = HTTPStatus(response.status_code)
    lines = [b"HTTP/1.1 %d %b" % (status, status.phrase.encode("ascii")), b"connection: close"]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(response.body)])


HTTP_LIMITS: Final = HttpLimits()
