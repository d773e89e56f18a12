"""The body of a message, out of its framing, and where it ends. Pure: takes from a buffer, and leaves the rest.

A body is framed by its own length or chunks and by nothing else, whether anybody reads it or not; so what follows it in
the buffer is the next message. Chunk extensions and trailers are dropped unread, within bounds of their own.
"""

import re
from typing import Final, Protocol

from livecomments.web.bounds import UNREAD_BYTES_MAX
from livecomments.web.heads import HeadTooLargeRejected, RequestRejected, parse_fields
from livecomments_schemas.limits import BODY_BYTES_MAX

_LINE_BYTES_MAX: Final = 1_024
"""Of a line that begins a chunk, its extensions included."""
_FRAMING_BYTES_MAX: Final = 65_536
"""Of all such lines of a body: the longest body that is taken may come a byte at a time."""
_TRAILER_BYTES_MAX: Final = 8_192
"""Nobody here reads trailers; what a tracing proxy adds is a line or two."""
_STEPS: Final = 256
"""Two a chunk. After so many others come to their turn: single bytes would hold them up for tens of milliseconds."""
_STEPPED_BYTES: Final = 4_096
"""Of lines that begin chunks, likewise: extensions take longer than all else. Either costs what a request does that is
refused, some 0.4 ms, so many connections that do this hold others up no longer than as many requests."""
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*+;[ \t]*+"
    + _TOKEN
    + rb"(?:[ \t]*+=[ \t]*+(?:"
    + _TOKEN
    # A quoted string, RFC 9110, 5.6.4.
    + rb'|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"))?)*+\r\n'
)


class Body(Protocol):
    """The rest of one message's body."""

    is_whole: bool
    """Nothing more belongs to it."""
    has_more: bool
    """Another step could take something without new bytes."""

    @property
    def is_long(self) -> bool:
        """Whether more of it comes, as far as is known, than is worth reading once its request is answered."""

    def take(self, buffer: bytearray) -> bytes:
        """Take from the front of `buffer` what belongs to the body, as much as one step may, and return what it holds.

        Raises:
            RequestRejected, HeadTooLargeRejected: it is not framed as it must be.
        """


class LengthBody:
    """A body of so many bytes."""

    has_more = False

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_whole = not length

    @property
    def is_long(self) -> bool:
        return self._left > UNREAD_BYTES_MAX

    def take(self, buffer: bytearray) -> bytes:
        taken = bytes(buffer[: self._left])
        del buffer[: self._left]
        self._left -= len(taken)
        self.is_whole = not self._left
        return taken


class ChunkedBody:
    """A body in chunks (RFC 9112, 7.1)."""

    def __init__(self) -> None:
        self.is_whole = False
        self.has_more = False
        self._taken = 0
        """Bytes of content so far."""
        self._left = 0
        """Of the chunk that has begun, with the line break behind it."""
        self._framing = 0
        self._is_last = False
        """The chunk of no bytes has come; trailers follow."""

    @property
    def is_long(self) -> bool:
        # Only its next chunk is known. What is longer already than any call takes mostly goes on for long.
        return not self._is_last and (self._left > UNREAD_BYTES_MAX or self._taken > BODY_BYTES_MAX)

    def take(self, buffer: bytearray) -> bytes:
        data: list[bytes] = []
        framed_max = self._framing + _STEPPED_BYTES
        for _ in range(_STEPS):
            step = self._end if self._is_last else self._take_chunk if self._left else self._begin_chunk
            self.has_more = bool(buffer) and not self.is_whole and step(buffer, data)
            if not self.has_more or self._framing > framed_max:
                break
        return b"".join(data)

    def _begin_chunk(self, buffer: bytearray, _: list[bytes]) -> bool:
        """Begin a chunk. Each of these returns whether it came to its end."""
        end = buffer.find(b"\n", 0, _LINE_BYTES_MAX)
        if end < 0:
            if len(buffer) >= _LINE_BYTES_MAX:
                raise RequestRejected("Send chunks without long extensions.")
            return False
        match = _CHUNK_LINE.fullmatch(buffer, 0, end + 1)
        self._framing += end + 3
        if match is None or self._framing > _FRAMING_BYTES_MAX:
            raise RequestRejected("Send chunks that begin by their size, few enough for what they hold.")
        size = int(match[1], 16)
        del match  # it holds the buffer
        self._left, self._is_last = size + 2 if size else 0, not size
        del buffer[: end + 1]
        return True

    def _take_chunk(self, buffer: bytearray, data: list[bytes]) -> bool:
        size = self._left - 2
        if size > 0:
            data.append(bytes(buffer[:size]))
            del buffer[:size]
            self._left -= len(data[-1])
            self._taken += len(data[-1])
        if self._left > 2 or len(buffer) < 2:
            if self._left == 2 and bytes(buffer[:2]) not in (b"", b"\r"):
                raise RequestRejected("Send chunks as long as they say.")
            return False
        if not buffer.startswith(b"\r\n"):
            raise RequestRejected("Send chunks as long as they say.")
        del buffer[:2]
        self._left = 0
        return True

    def _end(self, buffer: bytearray, _: list[bytes]) -> bool:
        """Drop the trailers. They are looked at, since who would end them elsewhere may find a request in them."""
        end = buffer.find(b"\r\n\r\n", 0, _TRAILER_BYTES_MAX)
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
        elif end >= 0:
            parse_fields(bytes(buffer[:end]).split(b"\r\n"))
            del buffer[: end + 4]
        elif len(buffer) >= _TRAILER_BYTES_MAX:
            raise HeadTooLargeRejected("Send fewer or shorter trailers.")
        elif buffer.count(b"\n") > buffer.count(b"\r\n"):
            raise RequestRejected("End each line of a trailer by CR and LF.")
        else:
            return False
        self.is_whole = True
        return True


def body_of(length: int) -> Body:
    """Make the body that a head announces."""
    return ChunkedBody() if length < 0 else LengthBody(length)
