"""The edge's route, `GET /comments/{videoId}/stream`, and its claim at the door.

A native `EventSource` never comes back after an answer other than 200. So what may pass (overload, drain, a partition
that is still being read) is 200 with a `retry:` and the end; only what is final is an error.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from livecomments.following.follower import PartitionUnavailable
from livecomments.web.cors import NO_CORS, CorsRules
from livecomments.web.door import Claim
from livecomments_consumers.asgi_lane import STREAM_HEADERS, AsgiStream
from livecomments_consumers.frames import retry_answer
from livecomments_consumers.hub import Hub
from livecomments_consumers.joining import Wanted, wanted
from livecomments_consumers.request import stream_request
from livecomments_consumers.sessions import SessionEndedRejected
from livecomments_consumers.transport_lane import TransportLane
from livecomments_consumers.wire import Form, accepts_gzip
from livecomments_schemas.errors import Rejected
from livecomments_schemas.partitions import parse_video_id, partition_of

_PARTITION_TIMEOUT_S: Final = 5.0
"""How long a first viewer waits for a partition to be taken on, before it is told to come back."""


def stream_route(hub: Hub) -> Route:
    """The stream's route on this hub: the ASGI lane, and every refusal."""

    async def open_stream(request: Request) -> ASGIApp:
        video_id = parse_video_id(request.path_params["video_id"])
        follower = hub.history.follower
        partition = partition_of(video_id, follower.log.partition_count)
        want = wanted(request.headers, request.query_params, partition)
        if hub.sessions.is_revoked(want.session):
            hub.metrics.connected("revoked")
            raise SessionEndedRejected("This session has ended. Open a new one by POST /sessions, or read without.")
        if request.method == "HEAD":
            return _stream_response(b"")
        address = request.client.host if request.client is not None else ""
        refusal = _refusal(hub, address)
        if refusal is None:
            try:
                followed = await follower.ready_partition(partition, _PARTITION_TIMEOUT_S)
                refusal = _refusal(hub, address)  # others came while this one waited
            except PartitionUnavailable:
                refusal = "not_ready"
        if refusal is None and hub.endings.is_over(followed, video_id, want.after):
            hub.metrics.connected("ended")
            return Response(status_code=204)
        if refusal is not None:
            hub.metrics.connected(refusal)
            return _stream_response(retry_answer(hub.retry_ms()))
        _count(hub, want)
        gzip = accepts_gzip(",".join(request.headers.getlist("accept-encoding")))
        return AsgiStream(hub, video_id, followed, want, Form.GZIP if gzip else Form.PLAIN, address)

    return Route("/comments/{video_id}/stream", open_stream, methods=["GET"])


def stream_claim(hub: Hub, cors: CorsRules = NO_CORS) -> Claim:
    """Takes stream requests that can be served at once into the transport lane; leaves all others to the route."""

    def claim(head: bytes, address: str) -> TransportLane | None:
        request = stream_request(head)
        if request is None or _refusal(hub, address) is not None:
            return None
        follower = hub.history.follower
        partition = partition_of(request.video_id, follower.log.partition_count)
        followed = follower.followed.get(partition)
        if followed is None:
            return None
        try:
            want = wanted(request.headers, request.query, partition)
        except Rejected:
            return None
        if hub.endings.is_over(followed, request.video_id, want.after) or hub.sessions.is_revoked(want.session):
            return None
        _count(hub, want)
        gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        form = Form.CHUNKED_GZIP if gzip else Form.CHUNKED
        return TransportLane(
            hub,
            hub.channel(request.video_id, followed),
            want,
            form,
            address,
            cors.headers(request.headers.get("origin", "").encode("latin-1")),
        )

    return claim


def _count(hub: Hub, want: Wanted) -> None:
    hub.metrics.connected("resumed" if want.after is not None else "joined")


def _refusal(hub: Hub, address: str) -> str | None:
    """Why no viewer is taken now; None if one is."""
    if hub.is_full:
        return "draining" if hub.is_draining else "full"
    return "address_full" if hub.addresses.is_full(address) else None


def _stream_response(content: bytes) -> Response:
    response = Response(content)
    response.raw_headers += STREAM_HEADERS
    return response
