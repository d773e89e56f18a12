"""The edge's route `GET /streams/{videoId}`: a video's log as a durable stream, for pollers and for caches before them.

Catch-up answers with what is there, `live=long-poll` waits for more, `live=sse` tells it as events for a minute. What
the rules are stands in `protocol`.
"""

import asyncio
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from livecomments.following.partition import FollowedPartition
from livecomments.web.problems import problem, request_id
from livecomments.web.routed import ROUTE_HEADER, count_routed
from livecomments_consumers.admission import PARTITION_TIMEOUT_S
from livecomments_consumers.asgi_lane import until_gone, without_length
from livecomments_consumers.channel import Channel
from livecomments_consumers.hub import Hub
from livecomments_consumers.messages import messages_of
from livecomments_consumers.poll import Poller, Portion
from livecomments_consumers.protocol import (
    CHUNK_LIFE,
    END_LIFE,
    UNSHARED,
    Asked,
    Live,
    asked,
    cursor_after,
    rest_of,
    silence_ms,
)
from livecomments_consumers.request import StreamRequest, asgi_request
from livecomments_consumers.sessions import SessionEndedRejected
from livecomments_consumers.slices import Slices
from livecomments_schemas.errors import Rejected, Unavailable

_EVENTS_LIFE_S: Final = 60.0
"""A stream of events ends after so long, and its client comes back: so the draft has it, for caches."""
_BROWSERS: Final = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin"}

_EVENT_HEADERS: Final = [
    (name.lower().encode(), value.encode())
    for name, value in {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache, no-store, no-transform",
        "X-Accel-Buffering": "no",
        **_BROWSERS,
    }.items()
]

Clock = Callable[[], float]


def durable_route(hub: Hub, wall: Clock = time.time) -> Route:
    """Return the route on this hub; `wall` tells the time of the day, Unix seconds, by which silences end."""
    slices = Slices(hub.history)

    async def read(request: Request) -> ASGIApp:
        said = asgi_request(request)
        home, followed = hub.home(said.video_id)
        want = asked(said.headers, request.scope["query_string"].decode("latin-1"), home)
        if hub.is_revoked(want.session):
            raise SessionEndedRejected
        refusal = hub.refusal(said.address)
        if refusal is not None:
            hub.metrics.polled(want.live.value, refusal)
            later = {"Retry-After": str(hub.retry_ms() // 1_000)}
            return problem("overloaded", "Come back in a few seconds.", later, request_id(request))
        if followed is None:
            followed = await hub.follower.ready_partition(home.partition, PARTITION_TIMEOUT_S)
        if request.method == "HEAD":
            return _Heads(said.video_id, want, wall).tail(followed)
        if want.offset is not None:
            await slices.check(followed, want.offset)
        count_routed(said.headers.get(ROUTE_HEADER), followed.number, hub.follower.log.partition_count)
        return _StreamAnswer(hub, slices, said, want, followed, wall)

    return Route("/streams/{video_id}", read, methods=["GET"])


class _StreamAnswer:
    """The answer to one request: an ASGI application for one call."""

    def __init__(
        self, hub: Hub, slices: Slices, said: StreamRequest, want: Asked, followed: FollowedPartition, wall: Clock
    ) -> None:
        self._hub = hub
        self._slices = slices
        self._said = said
        self._want = want
        self._followed = followed
        self._wall = wall
        self._heads = _Heads(said.video_id, want, wall)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hub, said = self._hub, self._said
        channel = hub.channel(said.video_id, self._followed)
        poll = Poller(hub, channel, self._slices, session=self._want.session, address=said.address)
        hub.attach(channel, poll)
        try:
            work = self._tell if self._want.live is Live.SSE else self._answer
            poll.work = asyncio.create_task(work(poll, channel, scope, receive, send))
            await until_gone(poll.work, receive)
            if poll.work.cancelled():
                poll.ended = "client" if poll.ended == "answered" else poll.ended
            else:
                poll.work.result()  # raises what went wrong, or was refused
        finally:
            hub.detach(channel, poll, poll.ended)

    async def _answer(self, poll: Poller, channel: Channel, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer once: with what is there, or what comes while it waits."""
        want, after = self._want, self._begin()
        if want.live is Live.LONG_POLL:
            found = await poll.wait(after, self._silent_until())
        elif want.offset is None:
            found = Portion((), after, is_end=True)
        else:
            found = await poll.read(after)
        response = self._heads.answer(found, channel.id_at(found.through), self._said.headers.get("if-none-match"))
        self._count(found, len(response.body))
        await response(scope, receive, send)

    async def _tell(self, poll: Poller, channel: Channel, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Tell events, each slice and where it ends, for a minute. What fails later ends them."""
        hub, after, cursor = self._hub, self._begin(), self._want.cursor
        ends_at = hub.now() + _EVENTS_LIFE_S
        found = await poll.read(after) if self._want.offset is not None else Portion((), after, is_end=True)
        await send({"type": "http.response.start", "status": 200, "headers": _EVENT_HEADERS})
        more = True
        while more:
            cursor = cursor_after(self._heads.time_ms(found), cursor)
            frames = _event_frames(found, channel.id_at(found.through), cursor)
            more = not poll.viewer.is_leaving and hub.now() < ends_at
            await poll.write(send, frames, more=more)
            self._count(found, len(frames))
            try:
                found = await poll.wait(found.through, min(self._silent_until(), ends_at)) if more else found
            except (Rejected, Unavailable):
                more = False
                await poll.write(send, b"", more=False)

    def _begin(self) -> int:
        followed, offset = self._followed, self._want.offset
        if offset is not None:
            return offset
        through = followed.judged_through
        return rest_of(followed.tail, self._said.video_id, through, through)

    def _silent_until(self) -> float:
        return self._hub.now() + silence_ms(self._said.video_id, int(self._wall() * 1_000)) / 1_000

    def _count(self, found: Portion, size: int) -> None:
        metrics = self._hub.metrics
        metrics.polled(self._want.live.value, "data" if found.entries else "empty")
        metrics.delivered += sum(entry.is_shown for entry in found.entries)
        metrics.bytes += size


def _event_frames(found: Portion, next_offset: str, cursor: int) -> bytes:
    """Return the events of one slice: its messages if there are any, and where to go on.

    The public suite wants no space behind a colon, and the media type bare.
    """
    body = messages_of(found.entries)
    data = b"event: data\ndata:%b\n\n" % body if body != b"[]" else b""
    end = {"upToDate": True} if found.is_end else {}
    control = {"streamNextOffset": next_offset, "streamCursor": str(cursor), **end}
    return data + b"event: control\ndata:%b\n\n" % orjson.dumps(control)


class _Heads:
    """What the answers to one request say beside their bodies."""

    def __init__(self, video_id: str, want: Asked, wall: Clock) -> None:
        self._video_id = video_id
        self._want = want
        self._wall = wall

    def time_ms(self, found: Portion) -> int:
        """Return the time that an answer is of: the log's where it gives something of it."""
        return found.entries[-1].appended_at_ms if found.entries else int(self._wall() * 1_000)

    def tail(self, followed: FollowedPartition) -> Response:
        """Answer HEAD: where the stream ends now."""
        through = followed.judged_through
        rest = rest_of(followed.tail, self._video_id, through, through)
        headers = {"Stream-Next-Offset": followed.id_at(self._video_id, rest), "Cache-Control": "no-store"}
        return without_length(Response(b"", 200, {**_BROWSERS, **headers}, "application/json"))

    def answer(self, found: Portion, next_offset: str, if_none_match: str | None) -> Response:
        """Answer GET: 204 to who waited in vain, 304 to who has it, else the messages."""
        want = self._want
        headers = {
            **_BROWSERS,
            "Stream-Next-Offset": next_offset,
            "Stream-Cursor": str(cursor_after(self.time_ms(found), want.cursor)),
            "Cache-Control": self._life(found),
        }
        if found.is_end:
            headers["Stream-Up-To-Date"] = "true"
        if want.live is Live.LONG_POLL and not found.entries:
            return Response(b"", 204, headers)
        body = messages_of(found.entries)
        if want.offset is not None:
            etag = f'"{blake2b(body, digest_size=12, salt=next_offset.encode()).hexdigest()}"'
            headers["ETag"] = etag
            named = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
            if etag in named or named == ["*"]:
                return Response(b"", 304, headers)
        return Response(body, 200, headers, "application/json")

    def _life(self, found: Portion) -> str:
        if self._want.offset is None or not self._want.is_shared:
            return UNSHARED
        is_closed = found.entries and (self._want.live is Live.LONG_POLL or not found.is_end)
        return CHUNK_LIFE if is_closed else END_LIFE
