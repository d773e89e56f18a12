"""A stream request: what the fast lane may take of a head, read without a framework, or what the framework has read.

Of a head it takes only what is plainly right. Whatever is unusual (escapes, bodies, repeated headers) is left to the
route, and so is every refusal.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import Request

from livecomments.web.heads import RequestHead
from livecomments_schemas.partitions import parse_video_id

_PATH: Final = re.compile(rb"/comments/([A-Za-z0-9._~-]{1,64})/stream")


class StreamRequest(NamedTuple):
    """What a stream request says."""

    video_id: str
    query: list[tuple[str, str]]
    """Names and values, decoded, in their order."""
    headers: dict[str, str]
    """By name in lower case, as ISO 8859-1."""
    address: str
    """Where it comes from; empty if that is not known."""


def stream_request(head: RequestHead, address: str) -> StreamRequest | None:
    """Return the stream request that a head plainly is; None if it is anything else."""
    match = _PATH.fullmatch(head.raw_path)
    if match is None or match[1] in (b".", b".."):
        return None
    if head.method != "GET" or not head.minor or head.length:
        return None
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.fields}
    if len(headers) < len(head.fields):
        return None
    query = parse_qsl(head.query.decode("ascii"), keep_blank_values=True) if head.query else []
    return StreamRequest(match[1].decode("ascii"), query, headers, address)


def asgi_request(request: Request) -> StreamRequest:
    """Return the stream request that the framework has read. Raises VideoIdRejected."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        joint = "; " if name == "cookie" else ", "
        headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
    address = request.client.host if request.client is not None else ""
    video_id = parse_video_id(request.path_params["video_id"])
    return StreamRequest(video_id, request.query_params.multi_items(), headers, address)
