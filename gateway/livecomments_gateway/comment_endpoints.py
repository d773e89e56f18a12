"""The endpoints of `/comments`: written, read in pages and one by one, deleted."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from livecomments.following.partition import FollowedPartition
from livecomments.history.pages import Page, newest_first, oldest_first
from livecomments.history.reading import History
from livecomments.runtime.single_flight import SingleFlight
from livecomments.runtime.tracing import Tracing
from livecomments_gateway.answers import Endpoint, JsonAnswer, video_id_of
from livecomments_gateway.calls import DELETE_COMMENT, POST_COMMENT, READ_COMMENT, READ_PAGE, Call
from livecomments_gateway.etags import is_unchanged, validator
from livecomments_gateway.identity import Tokens
from livecomments_gateway.posting import NewComment, Posting
from livecomments_gateway.queries import parameters_of
from livecomments_gateway.requests import (
    CURSOR,
    IDEMPOTENCY_AFTER,
    INCLUDE,
    MESSAGE,
    PAGE_SIZE,
    SORT,
    VIDEO_TIME_MS,
    IdempotencyKeyRejected,
    headers_of,
    idempotency_key,
    json_body,
    listed,
    traceparent,
)
from livecomments_gateway.tracing import PostTrace
from livecomments_schemas.limits import PAGE_SIZE_DEFAULT
from livecomments_schemas.positions import BEFORE_EVERYTHING, parse_cursor
from livecomments_schemas.text import clean_message
from livecomments_schemas.traces import trace_context

_GROWING_PAGE_S: Final = 1
_FULL_PAGE_S: Final = 10
"""How long a shared cache may keep a page: one that may grow, and one to which nothing is added any more. For as long a
deleted comment may still be shown. Browsers keep nothing (`max-age=0`), so that people see what they wrote."""


class _PageAsked(NamedTuple):
    """The parameters of a page: requests with equal ones, of one moment, share one read."""

    video_id: str
    cursor: int | None
    limit: int
    descending: bool
    with_deletes: bool


def comment_endpoints(
    history: History, posting: Posting, tokens: Tokens, tracing: Tracing | None = None
) -> dict[Call, Endpoint]:
    """Make an endpoint for each call about comments; `tracing` makes spans of POSTs."""
    reads = SingleFlight[tuple[_PageAsked, int], tuple[bytes, bool]]()

    async def post_comment(request: Request) -> Response:
        headers = headers_of(request)
        if tracing is None:
            return await post(request, headers, traceparent(headers))
        asked = trace_context(headers.get("traceparent"))
        if not tracing.is_chosen():  # and nobody else is to trace it, whatever the caller says
            return await post(request, headers, str(asked._replace(is_sampled=False)) if asked else None)
        with PostTrace(tracing, video_id_of(request), asked) as trace:
            return await post(request, headers, None, trace)

    async def post(
        request: Request, headers: Mapping[str, str], joined: str | None, trace: PostTrace | None = None
    ) -> Response:
        video_id = video_id_of(request)
        identity = tokens.identify(headers.get("authorization"))
        key, after = idempotency_key(headers), IDEMPOTENCY_AFTER.of(headers)
        if after is not None and key is None:
            raise IdempotencyKeyRejected("Idempotency-After goes with the Idempotency-Key of the first try.")
        body = await json_body(request, headers)
        new = NewComment(clean_message(MESSAGE.required_of(body)), VIDEO_TIME_MS.of(body), key, after, joined, trace)
        return JsonAnswer(await posting.post(video_id, identity, new), 201)

    async def read_page(request: Request) -> Response:
        followed = history.home(video_id := video_id_of(request))
        asked = _asked(request, video_id, followed)
        body, is_settled = await reads.join(
            (asked, followed.judged_through), lambda: _read_page(history, followed, asked)
        )
        etag = validator(body)
        headers = {
            "Cache-Control": f"public, max-age=0, s-maxage={_FULL_PAGE_S if is_settled else _GROWING_PAGE_S}",
            "X-Content-Type-Options": "nosniff",
            "ETag": etag,
        }
        if is_unchanged(listed(request, "if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        return Response(body, 200, headers, "application/json")

    async def read_comment(request: Request) -> Response:
        comment, _ = await posting.find(video_id_of(request), request.path_params["comment_id"])
        return JsonAnswer(comment)

    async def delete_comment(request: Request) -> Response:
        video_id = video_id_of(request)
        identity = tokens.identify(request.headers.get("authorization"))
        await posting.delete(video_id, request.path_params["comment_id"], identity)
        return Response(status_code=204)

    return {
        POST_COMMENT: post_comment,
        READ_PAGE: read_page,
        READ_COMMENT: read_comment,
        DELETE_COMMENT: delete_comment,
    }


def _asked(request: Request, video_id: str, followed: FollowedPartition) -> _PageAsked:
    query = parameters_of(request, CURSOR, PAGE_SIZE, SORT, INCLUDE)
    limit, sort = PAGE_SIZE.of(query, PAGE_SIZE_DEFAULT), SORT.of(query, "desc")
    text, include = CURSOR.of(query), INCLUDE.of(query)
    cursor = parse_cursor(text, followed.home) if text else None
    return _PageAsked(video_id, cursor, limit, sort == "desc", include is not None)


async def _read_page(history: History, followed: FollowedPartition, asked: _PageAsked) -> tuple[bytes, bool]:
    """Read a page; returns its JSON, and whether it is full for good: newer comments can no longer be added to it.

    That is so once the store holds all that it covers, up to where another page follows.
    """
    video_id, cursor, limit, descending, with_deletes = asked
    if descending:
        page = await newest_first(history, followed, video_id, cursor, limit, with_deletes=with_deletes)
        settled_at = cursor
    else:
        page = await oldest_first(history, followed, video_id, BEFORE_EVERYTHING if cursor is None else cursor, limit)
        settled_at = page.next_cursor
    is_settled = settled_at is not None and settled_at <= history.stored_through(followed)
    return _rendered(page, asked, followed), is_settled


def _rendered(page: Page, asked: _PageAsked, followed: FollowedPartition) -> bytes:
    """Render a page as its public JSON."""

    def said(position: int) -> bytes:
        return b'"%s"' % followed.id_at(asked.video_id, position).encode("ascii")

    next_cursor = b"null" if page.next_cursor is None else said(page.next_cursor)
    comments = b",".join(entry.rendered() for entry in page.comments)
    deletes = b'"deletes":[%s],' % b",".join(map(said, page.deletes)) if asked.with_deletes else b""
    after = followed.id_at(asked.video_id, page.covered_through)
    stream_url = f"{asked.video_id}/stream?after={after}".encode("ascii")
    return b'{"comments":[%s],%s"nextCursor":%s,"streamUrl":"%s"}' % (comments, deletes, next_cursor, stream_url)
