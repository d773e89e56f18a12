"""The headers, parameters and JSON members of requests. Bodies are bounded in bytes before they are parsed."""

from codecs import BOM_UTF8
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson
from starlette.requests import Request

from livecomments_gateway.facts import EVERYONE, MEMBERS, MODERATORS, SLOW_MODE_MAX_S
from livecomments_gateway.kinds import BodyMember, BodyRejected, Choice, Parameter, Pattern, Text, Whole
from livecomments_schemas.errors import Rejected
from livecomments_schemas.events import REPORT_REASONS
from livecomments_schemas.limits import (
    BODY_BYTES_MAX,
    DEDUPE_WINDOW_RECORDS,
    DISPLAY_NAME_BYTES_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    MESSAGE_BYTES_MAX,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    VIDEO_TIME_MS_MAX,
)
from livecomments_schemas.positions import COMMENT_ID_CHARS, CursorRejected
from livecomments_schemas.traces import trace_context


class BodyTooLargeRejected(Rejected):
    """More bytes than any valid body has."""

    code = "body_too_large"


class MediaTypeRejected(Rejected):
    """The body is not declared to be plain JSON."""

    code = "unsupported_media_type"
    headers = MappingProxyType({"Accept-Encoding": "identity"})  # RFC 9110, 12.5.3


class IdempotencyKeyRejected(Rejected):
    """Not printable ASCII of a bounded length."""

    code = "invalid_idempotency_key"


class PageSizeRejected(Rejected):
    """Not a number in range."""

    code = "invalid_page_size"


class SortRejected(Rejected):
    """Neither asc nor desc."""

    code = "invalid_sort"


class IncludeRejected(Rejected):
    """Nothing that a page can include."""

    code = "invalid_include"


class DeleteLastRejected(Rejected):
    """Not a number in range."""

    code = "invalid_delete_last"


MESSAGE: Final = BodyMember("message", Text(MESSAGE_BYTES_MAX), "What is said, 1 to 500 characters.", is_required=True)
VIDEO_TIME_MS: Final = BodyMember(
    "videoTimeMs", Whole(0, VIDEO_TIME_MS_MAX), "Where in the video it belongs, milliseconds from its beginning."
)
DISPLAY_NAME: Final = BodyMember(
    "displayName", Text(DISPLAY_NAME_BYTES_MAX), "The name shown beside the comments, on one line.", is_required=True
)
NEW_DISPLAY_NAME: Final = BodyMember(
    "displayName", Text(DISPLAY_NAME_BYTES_MAX), "The name shown from now on; as before if absent."
)
IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    Pattern(rf"[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}", "is 1 to 128 printable ASCII characters"),
    "Chosen anew for each comment and repeated with each retry of it: then it is written once, as long as no more than "
    f"{DEDUPE_WINDOW_RECORDS:,} records of all videos of its partition lie between the first try and the last.",
    IdempotencyKeyRejected,
)
IDEMPOTENCY_AFTER: Final = Parameter(
    "Idempotency-After",
    "header",
    Pattern(rf"[0-9a-v]{{{COMMENT_ID_CHARS}}}", "is a comment id"),
    "With a retry: a comment id, nextCursor or SSE id of this video that was known before the first try. A retry that "
    "may come too late to be recognised is then refused instead of written.",
    CursorRejected,
)
INCLUDE: Final = Parameter(
    "include",
    "query",
    Choice(("deletes",)),
    "deletes: the page also says which comments, of any age, were deleted within its range.",
    IncludeRejected,
)
CURSOR: Final = Parameter(
    "cursor", "query", Text(COMMENT_ID_CHARS, r"^([0-9a-v]{16})?$"), "Exclusive; a page's nextCursor.", CursorRejected
)
PAGE_SIZE: Final = Parameter(
    "pageSize",
    "query",
    Whole(1, PAGE_SIZE_MAX),
    f"Comments of a page, {PAGE_SIZE_DEFAULT} by default.",
    PageSizeRejected,
)
SORT: Final = Parameter(
    "sort", "query", Choice(("desc", "asc")), "desc (default): newest first; asc reads forward.", SortRejected
)

STATE: Final = BodyMember(
    "state", Choice(("live", "ended")), "ended closes comments, live opens them; as before if absent."
)
TITLE: Final = BodyMember(
    "title", Pattern(r"[^\x00-\x1f\x7f]{0,200}", "has at most 200 characters on one line"), "Its name."
)
WHO_MAY_COMMENT: Final = BodyMember(
    "whoMayComment",
    Choice((EVERYONE, MEMBERS, MODERATORS)),
    "everyone (default); members: no guests; moderators: tokens with the role moderate.",
)
SLOW_MODE_S: Final = BodyMember(
    "slowModeS", Whole(0, SLOW_MODE_MAX_S), "Seconds between two comments of one person; 0: none."
)
REASON: Final = BodyMember("reason", Choice(REPORT_REASONS), "What is wrong with it.", is_required=True)
MAX_COMMENTS_PER_S: Final = BodyMember(
    "maxCommentsPerS", Whole(0, 10_000), "Comments a second of all people together; 0: no such limit."
)
DELETE_LAST_S: Final = Parameter(
    "deleteLastS",
    "query",
    Whole(0, 86_400),
    "Their comments of the last so many seconds are deleted too, 0 by default.",
    DeleteLastRejected,
)


_IDEMPOTENCY: Final = ("idempotency-key", "idempotency-after")


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers by lower-case name, decoded once: Starlette's `headers` decode all of them at each look.

    Of a repeated one the first. Those read from here stand once (held by `livecomments.web.heads`); for lists see
    `listed`.
    """
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(request.scope["headers"])}


def listed(request: Request, name: str) -> str | None:
    """Return a list field as one text, joined from all lines it stands on (RFC 9110, 5.3); None without it."""
    return ", ".join(request.headers.getlist(name)) or None


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the `Idempotency-Key` of a POST, None without one.

    Raises:
        IdempotencyKeyRejected: malformed, or sent by a similar name, which would not keep a comment from being
            written twice.
    """
    for name in headers:
        if "idempot" in name and name not in _IDEMPOTENCY:
            raise IdempotencyKeyRejected("Send the key as Idempotency-Key, exactly so.")
    return IDEMPOTENCY_KEY.of(headers)


def traceparent(headers: Mapping[str, str]) -> str | None:
    """Return the `traceparent` header if it is well-formed; None otherwise, as the specification asks."""
    text = headers.get("traceparent")
    return text if trace_context(text) is not None else None


async def optional_json_body(request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
    """Read the body as a JSON object; an absent or empty body is an empty object. Raises as `json_body` does."""
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return {}
    raw = await _body(request, headers)
    if not raw:
        return {}
    _check_type(headers)
    return _object(raw)


async def json_body(request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
    """Read the body as a JSON object of at most BODY_BYTES_MAX bytes. The server bounds how long it may take.

    Raises:
        MediaTypeRejected: it is not declared as plain JSON.
        BodyTooLargeRejected, BodyRejected
    """
    _check_type(headers)  # before it is waited for
    return _object(await _body(request, headers))


def _check_type(headers: Mapping[str, str]) -> None:
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise MediaTypeRejected("Send the body as it is, without Content-Encoding.")
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise MediaTypeRejected("Send Content-Type: application/json.")


def _object(raw: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(raw.removeprefix(BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise BodyRejected("The body is not valid JSON in UTF-8.") from error
    if not isinstance(parsed, dict):
        raise BodyRejected("The body must be a JSON object.")
    return parsed


async def _body(request: Request, headers: Mapping[str, str]) -> bytes:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
        raise BodyTooLargeRejected(f"A body has at most {BODY_BYTES_MAX} bytes.")
    body, is_whole = b"", False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise BodyRejected("The connection was closed before the body was complete.")
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLargeRejected(f"A body has at most {BODY_BYTES_MAX} bytes.")
        is_whole = not message.get("more_body", False)
    return body
