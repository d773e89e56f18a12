"""Sockets: the deployment's address, kept-alive connections for questions, and one connection that streams.

Everything that goes wrong on the way is an `OSError` (refused, reset, timed out, cut, not HTTP): for a POST they all
mean the same, that nobody knows whether it was written.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

from livecomments_loadtest.http1 import Head, ResponseDecoder, ResponseMalformed

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 30.0
"""Longer than any server waits for its log before it says `append_unknown`."""

BODY_BYTES_MAX: Final = 4 << 20
"""An answer: a page of 100 of the longest comments is 2 MB; `/metrics` less."""


P = TypeVar("P", bound=asyncio.Protocol)


class NotHttp(OSError):
    """The peer sent what is no HTTP response."""


class Origin(NamedTuple):
    """Where the deployment is. `prefix` comes before every path, without a slash at its end."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    authority: str
    prefix: str

    def head(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
        """Return a whole request. It has no Accept-Encoding, since the checks compare the plain bytes."""
        lines = [f"{method} {self.prefix}{target} HTTP/1.1", f"host: {self.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if method in ("POST", "PUT"):
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        return "\r\n".join([*lines, "\r\n"]).encode("ascii") + body

    def target_of(self, link: str) -> str:
        """Return the path and query of a link this deployment gave, absolute or not, without the prefix."""
        parts = urlsplit(link)
        path = parts.path.removeprefix(self.prefix)
        return f"{path}?{parts.query}" if parts.query else path


def is_url(text: str) -> bool:
    """Tell whether this names a place that can be asked by HTTP."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def origin_of(url: str) -> Origin:
    """Return the origin of `--url`; https is verified against the system's authorities."""
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    return Origin(parts.hostname or "", port, tls, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"))


class Response(NamedTuple):
    """A whole answer: `body` without its framing, and without any content coding, since none is asked for."""

    head: Head
    body: bytes


class Wire(asyncio.Protocol):
    """One connection on which questions are asked one after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._decoder = ResponseDecoder()
        self._body: list[bytes] = []
        self._size = 0
        self._answer: asyncio.Future[Response] | None = None
        self.reusable = True

    async def ask(self, request: bytes, timeout_s: float) -> Response:
        """Send one request and wait at most `timeout_s` for the whole response.

        Raises:
            OSError: no answer (`TimeoutError` is one); the connection is closed then.
        """
        assert self._transport is not None
        assert self._answer is None
        if not self.reusable:
            raise ConnectionResetError("the connection was closed while idle")
        self._decoder, self._body, self._size = ResponseDecoder(), [], 0
        self._answer = asyncio.get_running_loop().create_future()
        self.reusable = False
        self._transport.write(request)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._answer
        finally:
            self._answer = None
            if not self.reusable:
                self._transport.abort()

    def abort(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by type, only by what it does

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()
            return
        try:
            self._body.append(self._decoder.feed(data))
        except ResponseMalformed as error:
            self._fail(NotHttp(str(error)))
            return
        self._size += len(data)
        if self._decoder.done:
            self._finish()
        elif self._size > BODY_BYTES_MAX:
            self._fail(NotHttp(f"an answer of more than {BODY_BYTES_MAX} bytes"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._answer is None or self._answer.done():
            return
        try:
            self._decoder.feed_eof()
        except ResponseMalformed:
            self._fail(ConnectionResetError("the connection was closed before the answer"))
        else:
            self._finish()

    def _finish(self) -> None:
        assert self._answer is not None
        assert self._decoder.head is not None
        self.reusable = self._decoder.keep_alive
        self._answer.set_result(Response(self._decoder.head, b"".join(self._body)))

    def _fail(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class Pool:
    """Kept-alive connections, at most `connections_max`; the one used last is used next."""

    def __init__(self, origin: Origin, connections_max: int) -> None:
        self.origin = origin
        self._slots = asyncio.Semaphore(connections_max)
        self._idle: list[Wire] = []

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """Yield a connection for one request; wait until one is free.

        Raises:
            OSError: it cannot be opened; nothing was sent.
        """
        async with self._slots:
            while self._idle and not self._idle[-1].reusable:
                self._idle.pop()
            wire = self._idle.pop() if self._idle else await connect(self.origin, Wire)
            try:
                yield wire
            finally:
                if wire.reusable:
                    self._idle.append(wire)
                else:
                    wire.abort()

    def close(self) -> None:
        """Close the idle connections; a connection in use is closed by whoever uses it."""
        for wire in self._idle:
            wire.abort()
        self._idle.clear()


async def connect(origin: Origin, protocol: Callable[[], P]) -> P:
    """Open a connection.

    Raises:
        OSError: refused, unreachable, TLS trouble, or not within `CONNECT_TIMEOUT_S`.
    """
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        _, made = await asyncio.get_running_loop().create_connection(
            protocol, origin.host, origin.port, ssl=origin.tls, server_hostname=origin.host if origin.tls else None
        )
    return made
