"""The edge's route, `GET /comments/{videoId}/stream`, and its claim at the door.

A native `EventSource` never comes back after an answer other than 200. So what may pass (overload, drain, a partition
that is still being read) is 200 with a `retry:` and the end; only what is final is an error.
"""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from consumers.asgi_lane import STREAM_HEADERS, AsgiLane
from consumers.frames import retry_line
from consumers.hub import Hub
from consumers.joining import Wanted, wanted
from consumers.request import stream_request
from consumers.transport_lane import TransportLane
from consumers.wire import Form, accepts_gzip
from livecomments.log.follower import PartitionUnavailable
from livecomments.runtime.door import Claim
from schemas.errors import Rejected
from schemas.partitions import parse_video_id, partition_of

_PARTITION_TIMEOUT_S: Final = 5.0
"""How long a first viewer waits for a partition to be taken on, before it is told to come back."""


def stream_route(hub: Hub) -> Route:
    """The stream's route on this hub: the ASGI lane, and every refusal."""

    async def open_stream(request: Request) -> ASGIApp:
        video_id = parse_video_id(request.path_params["video_id"])
        follower = hub.history.follower
        partition = partition_of(video_id, follower.log.partition_count)
        want = wanted(request.headers.get("last-event-id"), request.query_params, partition)
        if hub.is_full:
            return _come_back(hub, "draining" if hub.is_draining else "full")
        try:
            followed = await follower.ready_partition(partition, _PARTITION_TIMEOUT_S)
        except PartitionUnavailable:
            return _come_back(hub, "not_ready")
        _count(hub, want)
        form = Form.GZIP if accepts_gzip(request.headers.get("accept-encoding", "")) else Form.PLAIN
        return AsgiLane(hub, hub.channel(video_id, followed), want, form)

    return Route("/comments/{video_id}/stream", open_stream, methods=["GET"])


def stream_claim(hub: Hub) -> Claim:
    """Takes stream requests that can be served at once into the transport lane; leaves all others to the route."""

    def claim(head: bytes, transport: asyncio.Transport) -> TransportLane | None:
        request = stream_request(head)
        if request is None or hub.is_full:
            return None
        follower = hub.history.follower
        partition = partition_of(request.video_id, follower.log.partition_count)
        followed = follower.followed.get(partition)
        if followed is None:
            return None
        try:
            last_event_id = request.headers.get(b"last-event-id", b"").decode("ascii")
            want = wanted(last_event_id, request.query, partition)
        except (Rejected, UnicodeDecodeError):
            return None
        _count(hub, want)
        gzip = accepts_gzip(request.headers.get(b"accept-encoding", b"").decode("latin-1"))
        form = Form.CHUNKED | Form.GZIP if gzip else Form.CHUNKED
        lane = TransportLane(hub, hub.channel(request.video_id, followed), transport, form)
        lane.begin(want)
        return lane

    return claim


def _count(hub: Hub, want: Wanted) -> None:
    hub.metrics.connected("resumed" if want.after is not None else "joined")


def _come_back(hub: Hub, result: str) -> Response:
    hub.metrics.connected(result)
    response = Response(retry_line(hub.retry_ms()))
    response.raw_headers += STREAM_HEADERS
    return response
