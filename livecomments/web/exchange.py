"""One request and its answer, as ASGI: what the application is given, and how what it says becomes bytes.

Source: the ASGI specification, HTTP 2.3; RFC 9112, 6 and 7.1; RFC 9110, 6.4.1 and 10.1.1.
"""

import asyncio
import logging
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from livecomments.web.heads import RequestHead
from livecomments.web.raw import STATUS_LINES, date_line

_log = logging.getLogger("livecomments.http")

_BODILESS: Final = frozenset((204, 304))
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_ALLOWED: Final = [(b"allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS")]
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


Address = tuple[str, int]


class Connection(Protocol):
    """What an exchange needs of the connection it takes place on."""

    is_full: bool
    """The client does not take what was written."""

    def write(self, data: bytes) -> None:
        """Write soon; nothing if the connection is closing."""

    async def writable(self) -> None:
        """Wait until it is not full."""

    def may_go_on(self) -> bool:
        """Tell whether another request may follow, as far as is known when the answer begins."""

    def answered(self, *, goes_on: bool) -> None:
        """Note that the answer has ended."""

    def broke_off(self) -> None:
        """Give up an answer that the application left unfinished, or never began: our fault."""

    def wants_body(self) -> None:
        """Note that the application waits for more of the body."""


class Exchange:
    """Made when a head has come; fed with the body as that comes."""

    __slots__ = (
        "_body",
        "_connection",
        "_goes_on",
        "_has_told_end",
        "_is_body_whole",
        "_is_chunked",
        "_is_disconnected",
        "_left",
        "_start",
        "_waiting",
        "has_ended",
        "has_started",
        "head",
        "holds_body_back",
    )

    def __init__(self, connection: Connection, head: RequestHead) -> None:
        self.head = head
        self.has_started = False
        """Some of the answer was written."""
        self.has_ended = False
        self.holds_body_back = head.expects_continue
        """Whether the client may wait to be told to go on, and then never send its body."""
        self._connection = connection
        self._body = b""
        self._is_body_whole = False
        self._has_told_end = False
        self._is_disconnected = False
        self._waiting: asyncio.Event | None = None
        self._start: Message | None = None
        """The message that began the answer, whose head is written in one piece with the first bytes of its body."""
        self._goes_on = False
        self._is_chunked = False
        self._left: int | None = None
        """Bytes of the answer's body that are still to come; None if its length was not said."""

    @property
    def unread(self) -> int:
        """Bytes of the body that wait for the application."""
        return len(self._body)

    def feed(self, data: bytes, *, is_whole: bool) -> None:
        """Take more of the body, which has come."""
        if data:
            self.holds_body_back = False
            self._body = self._body + data if self._body else data
        self._is_body_whole = is_whole
        self._wake()

    def disconnect(self) -> None:
        """Note that nobody is there any more to be answered."""
        self._is_disconnected = True
        self._wake()

    async def run(self, app: ASGIApp, client: Address | None, server: Address | None) -> None:
        """Let the application answer. Whatever it does, the exchange ends."""
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1" if self.head.minor else "1.0",
            "method": self.head.method,
            "scheme": "http",
            "path": self.head.path,
            "raw_path": self.head.raw_path,
            "query_string": self.head.query,
            "root_path": "",
            "headers": self.head.fields,
            "client": client,
            "server": server,
        }
        try:
            await app(scope, self._receive, self._send)
        except Exception as error:
            if not self.has_ended:  # else it was told as our fault, and logged
                _log.error("unhandled error", exc_info=error)
        finally:
            if not (self.has_ended or self._is_disconnected):
                self._connection.broke_off()

    async def _receive(self) -> Message:
        while not (self._body or (self._is_body_whole and not self._has_told_end)):
            if self._is_disconnected or self.has_ended:
                return {"type": "http.disconnect"}
            if self.holds_body_back:
                self.holds_body_back = False
                self._connection.write(_CONTINUE)
            self._connection.wants_body()
            if self._waiting is None:
                self._waiting = asyncio.Event()
            self._waiting.clear()
            await self._waiting.wait()
        if self._is_disconnected or self.has_ended:
            return {"type": "http.disconnect"}
        body, self._body = self._body, b""
        self._has_told_end = self._is_body_whole
        return {"type": "http.request", "body": body, "more_body": not self._is_body_whole}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._start is not None:
                raise RuntimeError("An answer was begun twice.")
            self._start = message
            return
        if self._start is None or self.has_ended:
            raise RuntimeError("There is no answer that this is the body of.")
        if self._connection.is_full:
            await self._connection.writable()
        if self._is_disconnected:
            return
        more = message.get("more_body", False)
        head = b"" if self.has_started else self._begin(self._start)
        data = self._framed(message.get("body", b""), more)
        self.has_started = True
        self._connection.write(head + data if head else data)
        if not more:
            if self._left:
                raise RuntimeError("An answer ended before its length.")
            self.has_ended = True
            self._wake()
            self._connection.answered(goes_on=self._goes_on)

    def _begin(self, start: Message) -> bytes:
        """Write the head of the answer, and settle how its body is framed."""
        status, minor = start["status"], self.head.minor
        lines, length, closes = [STATUS_LINES[status], date_line()], None, False
        for name, value in start.get("headers", ()):
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and value == b"close":
                closes = True
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        if self.head.method == "HEAD" or status in _BODILESS:
            self._left = 0
        elif length is not None:
            self._left = length
        elif minor:
            self._is_chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        else:
            closes = True  # which is how its end is told
        self._goes_on = not closes and self._connection.may_go_on()
        if not self._goes_on:
            lines.append(b"connection: close\r\n")
        elif not minor:
            lines.append(b"connection: keep-alive\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("A field of an answer holds a line break.")
        return head + b"\r\n"

    def _framed(self, body: bytes, more: bool) -> bytes:
        if self._is_chunked:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return data if more else data + b"0\r\n\r\n"
        if self._left is None:
            return body
        if self.head.method == "HEAD":
            return b""
        if len(body) > self._left:
            raise RuntimeError("An answer is longer than its length.")
        self._left -= len(body)
        return body

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.set()


async def say_what_is_allowed(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer `OPTIONS *`, which asks for nothing in particular (RFC 9110, 9.3.7)."""
    await send({"type": "http.response.start", "status": 204, "headers": _ALLOWED})
    await send({"type": "http.response.body", "body": b""})
