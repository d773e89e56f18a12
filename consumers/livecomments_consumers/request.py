"""A stream request's head, read without a framework: what the fast lane may take. Pure.

It takes only what is plainly right. Whatever is unusual (escapes, bodies, upgrades, folded or repeated headers) is left
to the server's own parser, and so is every refusal.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

_LINE: Final = re.compile(rb"GET /comments/([A-Za-z0-9._~-]{1,64})/stream(?:\?([!-~]*))? HTTP/1\.1")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_NOT_FOR_US: Final = frozenset(("content-length", "transfer-encoding", "upgrade", "expect"))


class StreamRequest(NamedTuple):
    """What a stream request says. Header names in lower case, their values as ISO 8859-1."""

    video_id: str
    query: dict[str, str]
    headers: dict[str, str]


def stream_request(head: bytes) -> StreamRequest | None:
    """The stream request that a head (with its final blank line) plainly is, or None."""
    line, *rest = head.split(b"\r\n")
    match = _LINE.fullmatch(line)
    if match is None or match[1] in (b".", b".."):
        return None
    headers: dict[str, str] = {}
    for text in rest[:-2]:
        header = _HEADER.fullmatch(text)
        if header is None:
            return None
        name = header[1].decode("ascii").lower()
        if name in headers or name in _NOT_FOR_US:
            return None
        headers[name] = header[2].decode("latin-1")
    if "host" not in headers:
        return None
    pairs = parse_qsl((match[2] or b"").decode("ascii"), keep_blank_values=True)
    query = dict(pairs)
    return StreamRequest(match[1].decode("ascii"), query, headers) if len(query) == len(pairs) else None
