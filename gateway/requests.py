"""What a request may hold: bounded in bytes and time before anything is parsed."""

import asyncio
import re
from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect, Request

from gateway.facts import EVERYONE, MEMBERS, MODERATORS
from gateway.kinds import BodyRejected, Choice, Member, Parameter, Pattern, Text, Whole
from schemas.errors import Rejected
from schemas.limits import (
    BODY_BYTES_MAX,
    BODY_TIMEOUT_S,
    DISPLAY_NAME_BYTES_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    MESSAGE_BYTES_MAX,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    VIDEO_TIME_MS_MAX,
)
from schemas.positions import COMMENT_ID_CHARS, CursorRejected


class BodyTooLargeRejected(Rejected):
    """More bytes than any valid body has."""

    code = "body_too_large"


class BodyTimeoutRejected(Rejected):
    """The body did not arrive in time."""

    code = "body_timeout"


class MediaTypeRejected(Rejected):
    """The body is not declared to be JSON."""

    code = "unsupported_media_type"


class IdempotencyKeyRejected(Rejected):
    """Not printable ASCII of a bounded length."""

    code = "invalid_idempotency_key"


class PageSizeRejected(Rejected):
    """Not a number in range."""

    code = "invalid_page_size"


class SortRejected(Rejected):
    """Neither asc nor desc."""

    code = "invalid_sort"


class DeleteLastRejected(Rejected):
    """Not a number in range."""

    code = "invalid_delete_last"


MESSAGE: Final = Member("message", Text(MESSAGE_BYTES_MAX), "What is said, 1 to 500 characters.", is_required=True)
VIDEO_TIME_MS: Final = Member(
    "videoTimeMs", Whole(0, VIDEO_TIME_MS_MAX), "Where in the video it belongs, milliseconds from its beginning."
)
DISPLAY_NAME: Final = Member(
    "displayName", Text(DISPLAY_NAME_BYTES_MAX), "The name shown beside the comments, on one line.", is_required=True
)
IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    Pattern(rf"[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}", "is 1 to 128 printable ASCII characters"),
    "Chosen anew for each comment and repeated with each retry of it: then it is written once.",
    IdempotencyKeyRejected,
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

STATE: Final = Member(
    "state", Choice(("live", "ended")), "ended closes comments, live opens them; as before if absent."
)
TITLE: Final = Member(
    "title", Pattern(r"[^\x00-\x1f\x7f]{0,200}", "has at most 200 characters on one line"), "Its name."
)
WHO_MAY_COMMENT: Final = Member(
    "whoMayComment",
    Choice((EVERYONE, MEMBERS, MODERATORS)),
    "everyone (default); members: no guests; moderators: tokens with the role moderate.",
)
SLOW_MODE_S: Final = Member("slowModeS", Whole(0, 3_600), "Seconds between two comments of one person; 0: none.")
MAX_COMMENTS_PER_S: Final = Member(
    "maxCommentsPerS", Whole(0, 10_000), "Comments a second of all people together; 0: no such limit."
)
DELETE_LAST_S: Final = Parameter(
    "deleteLastS",
    "query",
    Whole(0, 86_400),
    "Their comments of the last so many seconds are deleted too, 0 by default.",
    DeleteLastRejected,
)


_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""Source: https://www.w3.org/TR/trace-context/#traceparent-header, version 00."""


def traceparent(request: Request) -> str | None:
    """The caller's trace, if it names one; anything else is as if it named none."""
    text = request.headers.get("traceparent", "")
    return text if _TRACEPARENT.fullmatch(text) else None


async def json_body(request: Request) -> dict[str, Any]:
    """The body as a JSON object, at most BODY_BYTES_MAX long and BODY_TIMEOUT_S late.

    Raises:
        MediaTypeRejected, BodyTooLargeRejected, BodyTimeoutRejected, BodyRejected
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise MediaTypeRejected("Send Content-Type: application/json.")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await _body(request)
    except TimeoutError as error:
        raise BodyTimeoutRejected(f"Send the whole body within {BODY_TIMEOUT_S:.0f} seconds.") from error
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BodyRejected("The body is not valid JSON in UTF-8.") from error
    if not isinstance(parsed, dict):
        raise BodyRejected("The body must be a JSON object.")
    return parsed


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        raise BodyTooLargeRejected(f"A body has at most {BODY_BYTES_MAX} bytes.")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise BodyTooLargeRejected(f"A body has at most {BODY_BYTES_MAX} bytes.")
    except ClientDisconnect as error:
        raise BodyRejected("The connection was closed before the body was complete.") from error
    return bytes(body)
