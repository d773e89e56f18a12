"""What endpoints have in common: the video of a path, and answers in JSON."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]

_JSON_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class JsonAnswer(Response):
    """A JSON answer that no cache may keep.

    Its fixed headers are made once: Starlette makes them anew for each, at 5 µs.
    """

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = [*_JSON_HEADERS, (b"content-length", b"%d" % len(body))]


def video_id_of(request: Request) -> str:
    """Return the video id of the request's path, which `routing` has checked."""
    return str(request.path_params["video_id"])
