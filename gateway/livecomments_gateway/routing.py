"""Routes made from the table of calls: one for each path, with all its methods, each call counted and timed."""

import time
from collections.abc import Mapping
from typing import Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from livecomments.following.follower import Follower
from livecomments.runtime.metrics import SECONDS_BUCKETS, Counter, Histogram
from livecomments.web.routed import count_routed, said_route
from livecomments_gateway.answers import Endpoint
from livecomments_gateway.calls import CALLS, Call
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.partitions import parse_video_id, partition_of

_requests = Counter("livecomments_gateway_requests_total", "Requests, by call and code.", ["call", "result"])
_seconds = Histogram(
    "livecomments_gateway_request_seconds",
    "A request that was answered as asked, body included; a refusal's speed is nobody's promise.",
    ["call"],
    buckets=SECONDS_BUCKETS,
)


class _Anything(Convertor[str]):
    """The rest of a path, of any characters. Starlette's `path` stops at a line break, which a user id may contain."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _CommentId(Convertor[str]):
    """Any one segment but `stream`: `/comments/{videoId}/stream` is a route of its own."""

    regex = r"(?!stream$)[^/]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())
register_url_convertor("comment", _CommentId())

_TAKE_ON_S: Final = 1.0
"""How long the first request for a partition waits until it is followed; longer than that is a fault."""
_PARAMETERS: Final = {
    "{videoId}": "{video_id}",
    "{commentId}": "{comment_id:comment}",
    "{userId}": "{user_id:anything}",
}
"""Path parameters: as the OpenAPI document names them → as Starlette does."""


def call_routes(endpoints: Mapping[Call, Endpoint], follower: Follower) -> list[Route]:
    """Make a route for each path of the table, with its endpoints.

    A request that names a video is refused where that is no video id. It waits until the video's partition is followed,
    for `_TAKE_ON_S` at most.
    """
    assert endpoints.keys() == set(CALLS)
    by_path: dict[str, dict[str, _Measured]] = {}
    for call, endpoint in endpoints.items():
        by_path.setdefault(call.path, {})[call.method] = _Measured(call, endpoint, follower)
    return [Route(_routed(path), _ByMethod(calls), methods=list(calls)) for path, calls in by_path.items()]


def _routed(path: str) -> str:
    for documented, ours in _PARAMETERS.items():
        path = path.replace(documented, ours)
    return path


class _ByMethod:
    """The calls of one path as one route, chosen by method: Starlette would try a route for each method in turn."""

    def __init__(self, calls: Mapping[str, "_Measured"]) -> None:
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        await self._calls["GET" if method == "HEAD" else method](scope, receive, send)


class _Measured:
    """An endpoint as an application of its own, its requests counted and timed."""

    def __init__(self, call: Call, endpoint: Endpoint, follower: Follower) -> None:
        self._endpoint = endpoint
        self._follower = follower
        self._call = call.name
        self._done = _requests.labels(call.name, "done")
        self._seconds = _seconds.labels(call.name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_at = time.perf_counter()
        result = "internal"  # what is none of ours to raise
        request = Request(scope, receive, send)
        try:
            if (video_id := request.path_params.get("video_id")) is not None:
                await self._home(parse_video_id(video_id), said_route(scope["headers"]))
            response = await self._endpoint(request)
            result = "done"
            self._seconds.observe(time.perf_counter() - began_at)
        except (Rejected, Unavailable) as error:
            result = error.code
            raise
        finally:
            (self._done if result == "done" else _requests.labels(self._call, result)).inc()
        await response(scope, receive, send)

    async def _home(self, video_id: str, route: str | None) -> None:
        """Wait until the video's partition is followed. Raises PartitionUnavailable after `_TAKE_ON_S`."""
        count = self._follower.log.partition_count
        number = partition_of(video_id, count)
        count_routed(route, number, count)
        if number not in self._follower.followed:
            await self._follower.ready_partition(number, _TAKE_ON_S)
