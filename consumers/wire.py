"""The forms in which the same bytes go over the wire: plain or gzip, with or without HTTP/1.1 chunk framing.

Shared gzip: every connection gets the same ten-byte header, then raw deflate blocks that each end in a full flush, so
none refers to another: a viewer joins, skips and resumes at any of them, and each is compressed once for everybody.
Source: RFC 1951, 2.3 and 3.2.4 (stored blocks); RFC 1952, 2.3. The stream is never finished: decoders hand out what
they have. Concatenated gzip members would be cheaper to explain, but browsers stop after the first.
"""

import re
import zlib
from enum import IntFlag
from typing import Final

GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
LAST_CHUNK: Final = b"0\r\n\r\n"
_DEFLATE_MIN: Final = 256
"""Bytes below which compression wins nothing: they go as a stored block, five bytes longer."""
_STORED_MAX: Final = 65_535
_GZIP: Final = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q\s*=\s*(?P<q>[0-9.]+))?\s*(?=,|$)", re.IGNORECASE)


class Form(IntFlag):
    """What is done to the bytes of a block before they are written."""

    PLAIN = 0
    GZIP = 1
    CHUNKED = 2


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3)."""
    found = _GZIP.search(accept_encoding)
    return found is not None and (found["q"] is None or found["q"].strip("0.") != "")


def formed(data: bytes, form: Form, *, compress: bool = False) -> bytes:
    """`data` in a form; empty data stays empty, since an empty chunk would end the response.

    Compressing pays only where many share the result: what is one viewer's own goes through gzip as stored blocks.
    """
    if not data:
        return b""
    if form & Form.GZIP:
        data = _deflated(data) if compress and len(data) >= _DEFLATE_MIN else _stored(data)
    return chunk(data) if form & Form.CHUNKED else data


def opening(data: bytes, form: Form) -> bytes:
    """The first bytes of a response body in a form."""
    body = GZIP_HEADER + formed(data, Form.GZIP) if form & Form.GZIP else data
    return chunk(body) if form & Form.CHUNKED else body


def chunk(data: bytes) -> bytes:
    """One chunk of an HTTP/1.1 chunked body."""
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
    return b"".join(stored)
