"""A stream request: what the fast lane may take of a head, read without a framework, or what the framework has read.

Of a head it takes only what is plainly right. Whatever is unusual (escapes, bodies, folded or repeated headers) is left
to the server's own parser, and so is every refusal. An offer to upgrade is ignored, as RFC 9110, 7.8 allows: the JDK's
client and `curl --http2` make one with each request. Pure.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import Request

from livecomments_schemas.partitions import parse_video_id

_LINE: Final = re.compile(rb"GET /comments/([A-Za-z0-9._~-]{1,64})/stream(?:\?([!-~]*))? HTTP/1\.1")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_NOT_FOR_US: Final = frozenset(("content-length", "transfer-encoding", "expect"))


class StreamRequest(NamedTuple):
    """What a stream request says."""

    video_id: str
    query: list[tuple[str, str]]
    """Names and values, decoded, in their order."""
    headers: dict[str, str]
    """By name in lower case, as ISO 8859-1."""
    address: str
    """Where it comes from; empty if that is not known."""


def stream_request(head: bytes, address: str) -> StreamRequest | None:
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
    query = parse_qsl((match[2] or b"").decode("ascii"), keep_blank_values=True)
    return StreamRequest(match[1].decode("ascii"), query, headers, address)


def asgi_request(request: Request) -> StreamRequest:
    """The stream request that the framework has read. Raises VideoIdRejected."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        joint = "; " if name == "cookie" else ", "
        headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
    address = request.client.host if request.client is not None else ""
    video_id = parse_video_id(request.path_params["video_id"])
    return StreamRequest(video_id, request.query_params.multi_items(), headers, address)
