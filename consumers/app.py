"""The edge's route: `GET /comments/{videoId}/stream`.

A native `EventSource` never comes back after an answer other than 200. So what may pass (overload, drain, a partition
that is still being read) is 200 with a `retry:` and the end; only what is final is an error.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from consumers.frames import retry_line
from consumers.hub import Hub
from consumers.joining import wanted
from consumers.lane import STREAM_HEADERS, EventStream
from livecomments.log.follower import PartitionUnavailable
from livecomments.runtime.metrics import Counter
from schemas.partitions import parse_video_id, partition_of

_PARTITION_TIMEOUT_S: Final = 5.0
"""How long a first viewer waits for a partition to be taken on, before it is told to come back."""

_connections = Counter("livecomments_edge_connections_total", "Stream requests, by what became of them.", ["result"])


def stream_route(hub: Hub) -> Route:
    """The stream's route on this hub."""

    async def open_stream(request: Request) -> ASGIApp:
        video_id = parse_video_id(request.path_params["video_id"])
        follower = hub.history.follower
        partition = partition_of(video_id, follower.log.partition_count)
        query = request.query_params
        want = wanted(request.headers.get("last-event-id"), query.get("after"), query.get("history"), partition)
        if hub.is_full:
            return _come_back(hub, "draining" if hub.is_draining else "full")
        try:
            followed = await follower.ready_partition(partition, _PARTITION_TIMEOUT_S)
        except PartitionUnavailable:
            return _come_back(hub, "not_ready")
        _connections.labels("resumed" if want.after is not None else "joined").inc()
        return EventStream(hub, video_id, followed, want)

    return Route("/comments/{video_id}/stream", open_stream, methods=["GET"])


def _come_back(hub: Hub, result: str) -> Response:
    _connections.labels(result).inc()
    response = Response(retry_line(hub.retry_ms()))
    response.raw_headers += STREAM_HEADERS
    return response
