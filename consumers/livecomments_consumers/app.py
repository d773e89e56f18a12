"""The edge's route, `GET /comments/{videoId}/stream`, and its claim at the door.

A native `EventSource` never comes back after an answer other than 200. So what may pass (overload, drain, a partition
that is still being read) is 200 with a `retry:` and the end; only what is final is an error.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from livecomments.following.follower import PartitionUnavailable
from livecomments.log.interface import LogUnavailable
from livecomments.web.cors import NO_CORS, CorsRules
from livecomments.web.door import Claim
from livecomments.web.heads import RequestHead
from livecomments.web.routed import ROUTE_HEADER, count_routed
from livecomments_consumers.admission import PARTITION_TIMEOUT_S, Admission, Ahead, ComeBack, NotYet, Over, Serve, admit
from livecomments_consumers.asgi_lane import STREAM_HEADERS, AsgiStream, without_length
from livecomments_consumers.frames import retry_answer
from livecomments_consumers.hub import Hub
from livecomments_consumers.request import StreamRequest, asgi_request, stream_request
from livecomments_consumers.sessions import SessionEndedRejected
from livecomments_consumers.transport_lane import TransportLane
from livecomments_schemas.errors import Rejected


def stream_route(hub: Hub) -> Route:
    """Return the stream's route on this hub, which serves the ASGI lane and answers every refusal."""

    async def open_stream(request: Request) -> ASGIApp:
        asked = asgi_request(request)
        try:
            admission = admit(asked, hub)
        except SessionEndedRejected:
            hub.metrics.connected("revoked")
            raise
        if isinstance(admission, Ahead):
            admission = await _admit_ahead(asked, hub, admission.epoch)
        if request.method == "HEAD":
            return Response(status_code=204) if isinstance(admission, Over) else without_length(_stream_response(b""))
        if isinstance(admission, NotYet):
            admission = await _admit_when_ready(asked, hub, admission.partition)
        if isinstance(admission, Serve):
            _count(asked, admission, hub)
            return AsgiStream(hub, asked, admission)
        if isinstance(admission, Over):
            hub.metrics.connected("ended")
            return Response(status_code=204)
        reason = admission.reason if isinstance(admission, ComeBack) else "not_ready"
        hub.metrics.connected(reason)
        answer = _stream_response(retry_answer(hub.retry_ms()))
        if reason == "full":  # who waits holds no open file meanwhile, which others need to come in at all
            answer.headers["connection"] = "close"
        return answer

    return Route("/comments/{video_id}/stream", open_stream, methods=["GET"])


def stream_claim(hub: Hub, cors: CorsRules = NO_CORS) -> Claim:
    """Return the claim that serves stream requests in the transport lane, if they can be served at once.

    All other requests, refused ones included, are left to the route.
    """

    def claim(head: RequestHead, address: str) -> TransportLane | None:
        asked = stream_request(head, address)
        if asked is None:
            return None
        try:
            admission = admit(asked, hub)
        except Rejected:
            return None
        if not isinstance(admission, Serve):
            return None
        _count(asked, admission, hub)
        return TransportLane(hub, asked, admission, cors.headers(asked.headers.get("origin", "").encode("latin-1")))

    return claim


def _count(asked: StreamRequest, admitted: Serve, hub: Hub) -> None:
    hub.metrics.admitted(is_resumed=admitted.want.after is not None)
    count_routed(asked.headers.get(ROUTE_HEADER), admitted.followed.number, hub.follower.log.partition_count)


async def _admit_when_ready(asked: StreamRequest, hub: Hub, partition: int) -> Admission:
    """Wait until the partition has been taken on, and ask again: others came while this one waited."""
    try:
        await hub.follower.ready_partition(partition, PARTITION_TIMEOUT_S)
    except PartitionUnavailable:
        return ComeBack("not_ready")
    return admit(asked, hub, is_known=True)


async def _admit_ahead(asked: StreamRequest, hub: Hub, epoch: int) -> Admission:
    """Ask again once it is known whether there is such an epoch; if so, the viewer comes back when we are there."""
    try:
        is_told = await hub.history.is_told(epoch)
    except LogUnavailable:
        is_told = True
    return ComeBack("epoch") if is_told else admit(asked, hub, is_known=True)


def _stream_response(content: bytes) -> Response:
    response = Response(content)
    response.raw_headers += STREAM_HEADERS
    return response
