"""The forms in which the same bytes go over the wire: plain or gzip, with or without HTTP/1.1 chunk framing.

Shared gzip: every connection gets the same ten-byte header, then raw deflate blocks that each end in a full flush, so
none refers to another: a viewer joins, skips and resumes at any of them, and each is compressed once for everybody.
Source: RFC 1951, 2.3 and 3.2.4 (stored blocks); RFC 1952, 2.3. Concatenated gzip members would be cheaper to explain,
but browsers stop after the first.

Each write ends in an empty stored block. RFC 1951 does not say when a decoder hands out what it has decoded: zlib does
so at once, Go's only where its window is full or an empty stored block says that a flush was meant. The stream is never
finished, since the checksum at its end would be each viewer's own: see docs/decisions/0006.
"""

import zlib
from enum import IntEnum
from typing import Final

GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
LAST_CHUNK: Final = b"0\r\n\r\n"
_DEFLATE_MIN: Final = 256
"""Bytes below which compression wins nothing: they go as a stored block, ten bytes longer."""
_STORED_MAX: Final = 65_535
FLUSHED: Final = b"\x00\x00\xff\xff"
"""How an empty stored block ends, and so everything that is written compressed."""


class Form(IntEnum):
    """What is done to the bytes of a block before they are written. Each number is the place of its form in a list."""

    PLAIN = 0
    GZIP = 1
    CHUNKED = 2
    CHUNKED_GZIP = 3

    @property
    def is_gzip(self) -> bool:
        return bool(self & 1)

    @property
    def is_chunked(self) -> bool:
        return bool(self & 2)


def formed(data: bytes, form: Form, *, compress: bool = False) -> bytes:
    """Return `data` in a form; empty data stays empty, since an empty chunk would end the response.

    Compressing pays only where many share the result: what is one viewer's own goes through gzip as stored blocks.
    """
    if not data:
        return b""
    if form.is_gzip:
        data = _deflated(data) if compress and len(data) >= _DEFLATE_MIN else _stored(data)
    return chunk(data) if form.is_chunked else data


def opening(data: bytes, form: Form) -> bytes:
    """Return the first bytes of a response body in a form. `data` is not empty."""
    body = GZIP_HEADER + formed(data, Form.GZIP) if form.is_gzip else data
    return chunk(body) if form.is_chunked else body


def chunk(data: bytes) -> bytes:
    """Make one chunk of an HTTP/1.1 chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    return deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)


def _stored(data: bytes) -> bytes:
    stored = []
    for start in range(0, len(data), _STORED_MAX):
        part = data[start : start + _STORED_MAX]
        size = len(part)
        stored += [b"\x00", size.to_bytes(2, "little"), (size ^ 0xFFFF).to_bytes(2, "little"), part]
    return b"".join([*stored, b"\x00", FLUSHED])
