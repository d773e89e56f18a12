"""What a request may hold: bounded in bytes and time before anything is parsed."""

import asyncio
import re
from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect, Request

from schemas.errors import Rejected
from schemas.limits import (
    BODY_BYTES_MAX,
    BODY_TIMEOUT_S,
    IDEMPOTENCY_KEY_CHARS_MAX,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    VIDEO_TIME_MS_MAX,
)

_KEY: Final = re.compile(rf"[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}")
_PAGE_SIZE: Final = re.compile(r"[0-9]{1,4}")


class BodyRejected(Rejected):
    """The body is not the JSON this call takes."""

    code = "invalid_json"


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


def text_member(body: dict[str, Any], name: str) -> str:
    """A required string of the body. Raises BodyRejected."""
    value = body.get(name)
    if not isinstance(value, str):
        raise BodyRejected(f"The body needs a string {name}.")
    return value


def video_time_member(body: dict[str, Any]) -> int | None:
    """`videoTimeMs` of the body, if it has one. Raises BodyRejected."""
    value = body.get("videoTimeMs")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= VIDEO_TIME_MS_MAX:
        raise BodyRejected(f"videoTimeMs is a whole number of milliseconds from 0 to {VIDEO_TIME_MS_MAX}.")
    return value


def idempotency_key(request: Request) -> str | None:
    """The `Idempotency-Key` header, if there is one. Raises IdempotencyKeyRejected."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise IdempotencyKeyRejected(f"A key is 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters.")
    return key


def page_size(request: Request) -> int:
    """`pageSize`, or its default. Raises PageSizeRejected."""
    text = request.query_params.get("pageSize")
    if text is None:
        return PAGE_SIZE_DEFAULT
    if not _PAGE_SIZE.fullmatch(text) or not 1 <= int(text) <= PAGE_SIZE_MAX:
        raise PageSizeRejected(f"pageSize is a number from 1 to {PAGE_SIZE_MAX}.")
    return int(text)


def is_descending(request: Request) -> bool:
    """Whether `sort` asks for the newest first, the default. Raises SortRejected."""
    sort = request.query_params.get("sort", "desc")
    if sort not in ("asc", "desc"):
        raise SortRejected("sort is asc (oldest first) or desc (newest first).")
    return sort == "desc"


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
