"""Errors as answers: RFC 9457 problem+json with a stable `code`. One table for every leaf of the error tree."""

import logging
import re
import secrets
from collections.abc import Mapping
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from livecomments_schemas.errors import Rejected, Unavailable

_log = logging.getLogger("livecomments.http")

STATUS: Final[Mapping[str, tuple[int, str]]] = {
    "invalid_request": (400, "Not an HTTP request"),
    "invalid_video_id": (400, "Not a video id"),
    "invalid_cursor": (400, "Not a cursor of this video"),
    "invalid_page_size": (400, "Page size out of range"),
    "invalid_include": (400, "Nothing that a page includes"),
    "invalid_sort": (400, "Unknown sort order"),
    "invalid_history": (400, "History out of range"),
    "invalid_missed": (400, "Missed out of range"),
    "invalid_live": (400, "Nothing to wait for"),
    "invalid_stream_cursor": (400, "Not a cursor of an answer"),
    "invalid_parameter": (400, "Parameter not understood"),
    "token_in_url": (400, "A token in the address"),
    "invalid_json": (400, "Body is not the JSON asked for"),
    "invalid_idempotency_key": (400, "Not an idempotency key"),
    "text_not_unicode": (400, "Not Unicode text"),
    "message_empty": (400, "Empty message"),
    "message_too_long": (400, "Message too long"),
    "invalid_display_name": (400, "Not a display name"),
    "invalid_user_id": (400, "Not a user id"),
    "invalid_delete_last": (400, "Time out of range"),
    "missing_token": (401, "Who are you?"),
    "invalid_token": (401, "Token not accepted"),
    "not_a_session": (403, "Not a session of ours"),
    "guests_not_allowed": (403, "No guests here"),
    "banned": (403, "Banned from this video"),
    "not_allowed_to_comment": (403, "Not for you to write here"),
    "message_refused": (403, "Not to be shown here"),
    "role_missing": (403, "Takes another role"),
    "not_the_author": (403, "Not yours"),
    "not_found": (404, "No such thing"),
    "comment_not_found": (404, "No such comment"),
    "video_not_found": (404, "No such video"),
    "counts_not_kept": (404, "Nobody counts here"),
    "method_not_allowed": (405, "Method not allowed here"),
    "body_timeout": (408, "Body too slow"),
    "idempotency_conflict": (409, "Key used for another comment"),
    "retry_too_old": (409, "Too late to tell"),
    "video_ended": (409, "The video has ended"),
    "comment_deleted": (410, "Comment deleted"),
    "offset_gone": (410, "Not in the log"),
    "body_too_large": (413, "Body too large"),
    "target_too_long": (414, "Address too long"),
    "unsupported_media_type": (415, "Not JSON"),
    "user_limit": (429, "You write too fast"),
    "slow_mode": (429, "Slow mode"),
    "duplicate_text": (429, "The same again"),
    "video_limit": (429, "Too many comments at once"),
    "report_limit": (429, "Too many reports"),
    "head_too_large": (431, "Headers too large"),
    "not_implemented": (501, "Not something we do"),
    "overloaded": (503, "Try again in a moment"),
    "keys_unavailable": (503, "The issuer's keys are away"),
    "append_refused": (503, "Not taken as it is"),
    "append_unknown": (503, "It may or may not be written"),
    "contract_broken": (503, "Nothing is written for now"),
    "log_went_back": (503, "Nothing can be written"),
    "log_unavailable": (503, "The log is away"),
    "offset_unavailable": (503, "No longer in the log"),
    "store_unavailable": (503, "The store is away"),
    "storage_full": (503, "The disk is full"),
    "storage_unavailable": (503, "The storage is away"),
    "history_behind": (503, "History is catching up"),
    "version_not_supported": (505, "Another version of HTTP"),
    "internal": (500, "Our fault"),
}
"""Status and title of every public code; `docs/ERRORS.md` lists the same (held by tests/test_docs.py)."""


_NOT_KEPT: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Caches may keep a 404, 405, 410, 414 or 501 by their own judgement (RFC 9110, 15.1), and so past its time."""


_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
"""A UUID, a ULID, what load balancers make. Neither a JWT nor a session's token passes: it is logged."""


def request_id(request: Request) -> str:
    """Return what `X-Request-Id` calls a request, if that is a plain word; else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def problem(code: str, detail: str, headers: Mapping[str, str] | None = None, named: str = "") -> Response:
    """Make the answer for `code`.

    Args:
        code: a key of `STATUS`.
        detail: says what to do next, and never repeats what was sent.
        headers: to be sent with it.
        named: the request's id; a new one where there was no request that could be read.
    """
    status, title = STATUS[code]
    kind = f"urn:livecomments:problem:{code}"
    named = named or secrets.token_hex(8)
    body = {"type": kind, "title": title, "status": status, "detail": detail, "code": code, "requestId": named}
    _log.debug("problem", extra={"code": code, "request_id": named})
    sent = {**_NOT_KEPT, "X-Request-Id": named, **(headers or {})}
    return Response(orjson.dumps(body), status, sent, "application/problem+json")


def answer_error(request: Request, error: Exception) -> Response:
    """Answer what was raised instead of an answer: what is none of ours to raise is our own fault."""
    named = request_id(request)
    if isinstance(error, Rejected):  # what the caller has to change
        bearer = {"WWW-Authenticate": "Bearer"} if STATUS[error.code][0] == 401 else {}
        return problem(error.code, str(error), {**bearer, **error.headers}, named)
    if isinstance(error, Unavailable):  # what may work in a moment
        return problem(error.code, str(error), {"Retry-After": str(error.retry_after_s)}, named)
    if isinstance(error, HTTPException):  # what the router refuses
        if error.status_code == 405:
            return problem("method_not_allowed", "See /openapi.json for what can be called here.", error.headers, named)
        return problem("not_found", "There is nothing at this path.", named=named)
    _log.error("unhandled error", exc_info=error, extra={"request_id": named})
    return problem("internal", "This is our fault, and it has been logged. Try again later.", named=named)
