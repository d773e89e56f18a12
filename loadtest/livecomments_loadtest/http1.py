"""One HTTP/1.1 response out of bytes: head, body, end. Pure: no sockets.

Source: RFC 9112. Written here because a viewer must be able to stop in the middle of an event, and because hundreds of
streams and a thousand posts a second have to fit in half a core. No content coding: none is ever asked for.
"""

import re
from enum import Enum, auto
from typing import Final, NamedTuple

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?")
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?")

HEAD_BYTES_MAX: Final = 65_536
LINE_BYTES_MAX: Final = 4_096
"""A chunk's size line with extensions, or one trailer line."""


class ResponseMalformed(ValueError):
    """Bytes that are no HTTP/1.1 response, or one that ended before its end."""


class Head(NamedTuple):
    """Status and headers; names in lower case, of repeated ones the last."""

    status: int
    headers: dict[bytes, bytes]

    def retry_after_s(self) -> float:
        """Return `Retry-After` in seconds; 0 when absent or a date."""
        value = self.headers.get(b"retry-after", b"")
        return float(value) if value.isdigit() else 0.0


class _At(Enum):
    HEAD = auto()
    LENGTH = auto()
    UNTIL_CLOSE = auto()
    CHUNK_SIZE = auto()
    CHUNK_DATA = auto()
    CHUNK_END = auto()
    TRAILERS = auto()
    DONE = auto()


class ResponseDecoder:
    """Feed it what the socket gives. `head` is there as soon as it is known; `done` when the last body byte was fed."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.keep_alive = False
        self._at = _At.HEAD
        self._pending = b""
        self._left = 0

    @property
    def done(self) -> bool:
        return self._at is _At.DONE

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes in `data`, framing removed.

        Raises:
            ResponseMalformed: as its name says; the connection is of no more use.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        if self._at is _At.HEAD:
            data = self._feed_head(data)
            if self._at is _At.HEAD:
                return b""
        if self._at is _At.UNTIL_CLOSE:
            return data
        if self._at is _At.LENGTH:
            return self._feed_length(data)
        if self._at is _At.DONE:
            return self._refuse_surplus(data, 0)
        return self._feed_chunks(data)

    def feed_eof(self) -> None:
        """Take note that the peer has closed the connection.

        Raises:
            ResponseMalformed: before the response was complete.
        """
        if self._at is _At.UNTIL_CLOSE:
            self._at = _At.DONE
        if self._at is not _At.DONE:
            raise ResponseMalformed("the response ended before its end")

    def _feed_head(self, data: bytes) -> bytes:
        """Read the head, skipping interim (1xx) ones; return the bytes behind it. Keep all while it is incomplete."""
        while True:
            text, end, rest = data.partition(b"\r\n\r\n")
            if len(text) > HEAD_BYTES_MAX:
                raise ResponseMalformed(f"a head of more than {HEAD_BYTES_MAX} bytes")
            if not end:
                self._pending = data
                return b""
            status_line, *lines = text.split(b"\r\n")
            match = _STATUS_LINE.fullmatch(status_line)
            if match is None:
                raise ResponseMalformed("no HTTP/1.1 status line")
            status = int(match[2])
            if status >= 200:
                break
            data = rest
        headers = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise ResponseMalformed("a header line without a name")
            headers[name.lower()] = value.strip()
        self.head = Head(status, headers)
        self._at = self._framing(self.head)
        connection = headers.get(b"connection", b"").lower()
        self.keep_alive = match[1] == b"1" and b"close" not in connection and self._at is not _At.UNTIL_CLOSE
        return rest

    def _framing(self, head: Head) -> _At:
        """Tell how the body ends, as RFC 9112 section 6.3 says. HEAD and CONNECT are never sent."""
        if head.status in (204, 304):
            return _At.DONE
        coding = head.headers.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked":
                raise ResponseMalformed("a transfer coding that was not asked for")
            return _At.CHUNK_SIZE
        length = head.headers.get(b"content-length")
        if length is None:
            return _At.UNTIL_CLOSE
        if not length.isdigit():
            raise ResponseMalformed("a Content-Length that is no number")
        self._left = int(length)
        return _At.LENGTH if self._left else _At.DONE

    def _feed_length(self, data: bytes) -> bytes:
        body = data[: self._left]
        self._left -= len(body)
        if not self._left:
            self._at = _At.DONE
            self._refuse_surplus(data, len(body))
        return body

    def _feed_chunks(self, data: bytes) -> bytes:
        pieces = []
        at, end = 0, len(data)
        while at < end:
            if self._at is _At.CHUNK_DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._at = _At.CHUNK_END
            elif self._at is _At.DONE:
                self._refuse_surplus(data, at)
            else:
                line_end = data.find(b"\r\n", at)
                if line_end < 0:
                    if end - at > LINE_BYTES_MAX:
                        raise ResponseMalformed(f"a line of more than {LINE_BYTES_MAX} bytes between chunks")
                    self._pending = data[at:]
                    break
                self._end_line(data[at:line_end])
                at = line_end + 2
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _end_line(self, line: bytes) -> None:
        """Go on by one line of the chunked coding: a size, the end of a chunk, or a trailer."""
        if self._at is _At.CHUNK_END:
            if line:
                raise ResponseMalformed("a chunk longer than its size")
            self._at = _At.CHUNK_SIZE
        elif self._at is _At.CHUNK_SIZE:
            match = _CHUNK_SIZE.fullmatch(line)
            if match is None:
                raise ResponseMalformed("a chunk size that is no number")
            self._left = int(match[1], 16)
            self._at = _At.CHUNK_DATA if self._left else _At.TRAILERS
        elif not line:
            self._at = _At.DONE

    def _refuse_surplus(self, data: bytes, at: int) -> bytes:
        if len(data) > at:
            raise ResponseMalformed("bytes after the end of the response")
        return b""
