"""The gateway's routes."""

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import orjson
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from livecomments.history.pages import newest_first, oldest_first
from livecomments.history.reading import History
from livecomments.runtime.metrics import SECONDS_BUCKETS, Counter, Histogram
from livecomments.runtime.single_flight import SingleFlight
from livecomments_gateway.calls import (
    CALLS,
    DELETE_COMMENT,
    END_SESSION,
    OPEN_SESSION,
    POST_COMMENT,
    READ_COMMENT,
    READ_PAGE,
    RENEW_SESSION,
    Call,
)
from livecomments_gateway.etags import is_unchanged, validator
from livecomments_gateway.identity import Session, Tokens
from livecomments_gateway.openapi import docs_page, openapi
from livecomments_gateway.owning import Owning
from livecomments_gateway.posting import Posting
from livecomments_gateway.requests import (
    CURSOR,
    DISPLAY_NAME,
    IDEMPOTENCY_KEY,
    MESSAGE,
    NEW_DISPLAY_NAME,
    PAGE_SIZE,
    SORT,
    VIDEO_TIME_MS,
    headers_of,
    json_body,
    optional_json_body,
    traceparent,
)
from livecomments_gateway.video_endpoints import video_endpoints
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import timestamp
from livecomments_schemas.limits import PAGE_SIZE_DEFAULT
from livecomments_schemas.partitions import parse_video_id
from livecomments_schemas.positions import BEFORE_EVERYTHING, comment_id, parse_cursor
from livecomments_schemas.text import clean_message

Endpoint = Callable[[Request], Awaitable[Response]]


class _Anything(Convertor[str]):
    """The rest of a path: Starlette's own `path` stops at a line break, which an issuer's user ids may hold."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())

_PAGE: Final = Path(__file__).parent / "page"
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_JSON_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
_NEW_S: Final = 1
_SETTLED_S: Final = 10
"""For so long a cache before us may answer a crowd, with a page that grows or with one to which nothing is added any
more; and for so long it may show what was deleted. A browser asks again each time: people see what they wrote."""

_requests = Counter("livecomments_gateway_requests_total", "Requests, by call and code.", ["call", "result"])
_seconds = Histogram(
    "livecomments_gateway_request_seconds", "A request, body included.", ["call"], buckets=SECONDS_BUCKETS
)


def gateway_routes(history: History, posting: Posting, tokens: Tokens) -> list[Route]:
    """All routes of a gateway made of these parts."""
    return call_routes(
        comment_endpoints(history, posting, tokens)
        | session_endpoints(tokens)
        | video_endpoints(Owning(history, posting), tokens)
    )


def comment_endpoints(history: History, posting: Posting, tokens: Tokens) -> dict[Call, Endpoint]:
    """An endpoint for each call about comments."""
    reads = SingleFlight[tuple[object, ...], tuple[bytes, bool]]()

    async def post_comment(request: Request) -> Response:
        video_id = _video_id(request)
        headers = headers_of(request)
        identity = tokens.identify(headers.get("authorization"))
        key = IDEMPOTENCY_KEY.of(headers)
        body = await json_body(request, headers)
        message = clean_message(MESSAGE.required_of(body))
        comment = await posting.post(
            video_id, identity, message, VIDEO_TIME_MS.of(body), key, traceparent=traceparent(headers)
        )
        return _Json(comment, 201)

    async def read_page(request: Request) -> Response:
        video_id = _video_id(request)
        limit = PAGE_SIZE.of(request.query_params, PAGE_SIZE_DEFAULT)
        descending = SORT.of(request.query_params, "desc") == "desc"
        partition = history.home(video_id).number
        text = CURSOR.of(request.query_params)
        cursor = parse_cursor(text, partition) if text else None
        what = (video_id, cursor, limit, descending, history.home(video_id).judged_through)
        body, is_settled = await reads.join(what, lambda: _page(history, video_id, cursor, limit, descending))
        etag = validator(body)
        headers = {
            "Cache-Control": f"public, max-age=0, s-maxage={_SETTLED_S if is_settled else _NEW_S}",
            "X-Content-Type-Options": "nosniff",
            "ETag": etag,
        }
        if is_unchanged(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        return Response(body, 200, headers, "application/json")

    async def read_comment(request: Request) -> Response:
        comment, _ = await posting.find(_video_id(request), request.path_params["comment_id"])
        return _Json(comment)

    async def delete_comment(request: Request) -> Response:
        video_id = _video_id(request)
        identity = tokens.identify(request.headers.get("authorization"))
        await posting.delete(video_id, request.path_params["comment_id"], identity)
        return Response(status_code=204)

    return {
        POST_COMMENT: post_comment,
        READ_PAGE: read_page,
        READ_COMMENT: read_comment,
        DELETE_COMMENT: delete_comment,
    }


def session_endpoints(tokens: Tokens) -> dict[Call, Endpoint]:
    """An endpoint for each call about sessions."""

    async def open_session(request: Request) -> Response:
        return _Json(
            _session(tokens.open_session(DISPLAY_NAME.required_of(await json_body(request, headers_of(request))))), 201
        )

    async def renew_session(request: Request) -> Response:
        headers = headers_of(request)
        identity = tokens.identify(headers.get("authorization"))
        body = await optional_json_body(request, headers)
        return _Json(_session(tokens.renew_session(identity, NEW_DISPLAY_NAME.of(body))), 201)

    async def end_session(request: Request) -> Response:
        await tokens.end_session(tokens.identify(request.headers.get("authorization")))
        return Response(status_code=204)

    return {OPEN_SESSION: open_session, RENEW_SESSION: renew_session, END_SESSION: end_session}


def call_routes(endpoints: Mapping[Call, Endpoint]) -> list[Route]:
    """A route for each call of the table; `endpoints` has one for each of them."""
    assert endpoints.keys() == set(CALLS)
    names = {"{videoId}": "{video_id}", "{commentId}": "{comment_id}", "{userId}": "{user_id:anything}"}
    routes = []
    for call, endpoint in endpoints.items():
        path = call.path
        for documented, ours in names.items():
            path = path.replace(documented, ours)
        routes.append(Route(path, _Measured(call, endpoint), methods=[call.method]))
    return routes


class _Measured:
    """An endpoint as an application of its own, its requests counted and timed."""

    def __init__(self, call: Call, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._call = call.name
        self._done = _requests.labels(call.name, "done")
        self._seconds = _seconds.labels(call.name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_at = time.perf_counter()
        result = "internal"  # what is none of ours to raise
        try:
            response = await self._endpoint(Request(scope, receive, send))
            result = "done"
        except (Rejected, Unavailable) as error:
            result = error.code
            raise
        finally:
            (self._done if result == "done" else _requests.labels(self._call, result)).inc()
            self._seconds.observe(time.perf_counter() - began_at)
        await response(scope, receive, send)


def page_routes() -> list[Route]:
    """The page and its files; `clients/js` in one file; the interface for programs and for people who write them."""
    files = {path.name: path for path in _PAGE.iterdir() if path.suffix in (".html", ".js", ".css")}
    headers = {
        "Content-Security-Policy": _PAGE_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }

    async def read_index(_: Request) -> Response:
        return FileResponse(files["index.html"], headers=headers)

    async def read_client(_: Request) -> Response:
        return FileResponse(files["client.js"], headers=headers)

    async def read_file(request: Request) -> Response:
        path = files.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, headers=headers)

    document = openapi(CALLS)
    described = orjson.dumps(document)
    docs, docs_headers = docs_page(document)

    async def read_openapi(_: Request) -> Response:
        return Response(described, headers={"Cache-Control": "no-cache"}, media_type="application/json")

    async def read_docs(_: Request) -> Response:
        return Response(docs, headers=docs_headers, media_type="text/html")

    return [
        Route("/", read_index, methods=["GET"]),
        Route("/client.js", read_client, methods=["GET"]),
        Route("/page/{name}", read_file, methods=["GET"]),
        Route("/openapi.json", read_openapi, methods=["GET"]),
        Route("/docs", read_docs, methods=["GET"]),
    ]


async def _page(
    history: History, video_id: str, cursor: int | None, limit: int, descending: bool
) -> tuple[bytes, bool]:
    """A page, and whether nothing is added to it any more: all of it, and that more follows, is in the store."""
    followed = history.home(video_id)
    partition = followed.number
    if descending:
        page = await newest_first(history, video_id, cursor, limit)
        is_settled = cursor is not None and cursor <= history.stored_through(followed)
    else:
        page = await oldest_first(history, video_id, BEFORE_EVERYTHING if cursor is None else cursor, limit)
        is_settled = page.next_cursor is not None and page.next_cursor <= history.stored_through(followed)
    next_cursor = b"null" if page.next_cursor is None else b'"%s"' % _id(page.next_cursor, partition)
    covered = _id(page.covered_through, partition)
    comments = b",".join(entry.rendered() for entry in page.comments)
    stream_url = b"/comments/%s/stream?after=%s" % (video_id.encode("ascii"), covered)
    body = b'{"comments":[%s],"nextCursor":%s,"streamUrl":"%s"}' % (comments, next_cursor, stream_url)
    return body, is_settled


def _video_id(request: Request) -> str:
    return parse_video_id(request.path_params["video_id"])


def _id(position: int, partition: int) -> bytes:
    return comment_id(position, partition).encode("ascii")


def _session(session: Session) -> bytes:
    said = {"sessionToken": session.token, "userId": session.author.id}
    return orjson.dumps(said | {"expiresAt": timestamp(session.expires_at * 1000)})


class _Json(Response):
    """JSON that is for its reader alone. Starlette would make the same headers anew each time, at 5 µs."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = [*_JSON_HEADERS, (b"content-length", b"%d" % len(body))]
