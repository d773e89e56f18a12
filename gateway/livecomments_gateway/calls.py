"""The calls of the public interface as a table: what each takes, does and answers.

`app` builds its routes from it, `requests` reads values by the same members and parameters, and `openapi` describes it.
A call that is not in the table does not exist.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from livecomments.web.problems import STATUS
from livecomments_gateway.kinds import BodyMember, Parameter, Schema
from livecomments_gateway.requests import (
    CURSOR,
    DELETE_LAST_S,
    DISPLAY_NAME,
    IDEMPOTENCY_AFTER,
    IDEMPOTENCY_KEY,
    INCLUDE,
    MAX_COMMENTS_PER_S,
    MESSAGE,
    NEW_DISPLAY_NAME,
    PAGE_SIZE,
    REASON,
    SLOW_MODE_S,
    SORT,
    STATE,
    TITLE,
    VIDEO_TIME_MS,
    WHO_MAY_COMMENT,
)
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS

_BODY: Final = ("invalid_json", "body_too_large", "body_timeout", "unsupported_media_type")
_TOKEN: Final = ("missing_token", "invalid_token", "overloaded", "keys_unavailable")
_READ: Final = ("log_unavailable", "offset_unavailable", "store_unavailable", "history_behind", "overloaded")
_APPEND: Final = ("overloaded", "append_refused", "append_unknown", "log_unavailable", "storage_unavailable")

_NO_COMMENT: Final = (
    "invalid_video_id",
    "invalid_idempotency_key",
    "invalid_cursor",
    "text_not_unicode",
    "message_empty",
    "message_too_long",
    "message_refused",
    "banned",
    "not_allowed_to_comment",
    "video_not_found",
)
_NOT_NOW: Final = ("user_limit", "slow_mode", "duplicate_text", "video_limit")
"""Problems of rate limits: the comment may be written in a moment."""
_NOT_AGAIN: Final = ("idempotency_conflict", "retry_too_old", "video_ended", "comment_deleted")


@dataclass(frozen=True, eq=False)
class Call:
    """One call. `path` as in OpenAPI; `answers`: status → the schema in schemas/json, or None for an empty body."""

    method: str
    path: str
    name: str
    """Names the endpoint, in the document and in metrics."""
    summary: str
    detail: str
    answers: Mapping[int, str | None]
    problems: tuple[str, ...]
    parameters: tuple[Parameter[Any], ...] = ()
    body: tuple[BodyMember[Any], ...] = ()
    takes_token: bool = False
    is_body_required: bool = True
    media_type: str = "application/json"

    def body_schema(self) -> Schema:
        """Describe the body in JSON Schema; unknown members are ignored."""
        return {
            "type": "object",
            "required": [member.name for member in self.body if member.is_required],
            "properties": {member.name: member.schema() for member in self.body},
        }

    def codes_by_status(self) -> dict[int, list[str]]:
        """Return the codes of its problems by their status, ascending."""
        found: dict[int, list[str]] = {}
        for code in sorted(set(self.problems), key=lambda each: (STATUS[each][0], each)):
            found.setdefault(STATUS[code][0], []).append(code)
        return found


POST_COMMENT: Final = Call(
    "POST",
    "/comments/{videoId}",
    "postComment",
    "Write a comment",
    "201: it is durable, at the place its id names. 503 append_unknown: it may or may not be written; send it again "
    f"with the same Idempotency-Key, and there will be one, as long as no more than {DEDUPE_WINDOW_RECORDS:,} records "
    "of its partition lie between; with Idempotency-After a later retry is refused. Any other problem: nothing was "
    "written.",
    {201: "comment"},
    _NO_COMMENT + _NOT_NOW + _NOT_AGAIN + _BODY + _TOKEN + _APPEND,
    (IDEMPOTENCY_KEY, IDEMPOTENCY_AFTER),
    (MESSAGE, VIDEO_TIME_MS),
    takes_token=True,
)
READ_PAGE: Final = Call(
    "GET",
    "/comments/{videoId}",
    "readPage",
    "Read a page of comments",
    "A page may be short or empty and still have a nextCursor; only null is the end. streamUrl goes on live, exactly "
    "behind what the page covers; it is relative to the page's own address.",
    {200: "page", 304: None},
    (
        "invalid_video_id",
        "invalid_cursor",
        "invalid_page_size",
        "invalid_sort",
        "invalid_include",
        "invalid_parameter",
        *_READ,
    ),
    (CURSOR, PAGE_SIZE, SORT, INCLUDE),
)
READ_COMMENT: Final = Call(
    "GET",
    "/comments/{videoId}/{commentId}",
    "readComment",
    "Read one comment",
    "410 once it is deleted.",
    {200: "comment"},
    ("invalid_video_id", "invalid_cursor", "comment_not_found", "comment_deleted", *_READ),
)
DELETE_COMMENT: Final = Call(
    "DELETE",
    "/comments/{videoId}/{commentId}",
    "deleteComment",
    "Delete a comment",
    "Its author may, and a token with the role moderate. Viewers are told. Deleting it again changes nothing.",
    {204: None},
    ("invalid_video_id", "invalid_cursor", "not_the_author", "comment_not_found", *_TOKEN, *_READ, *_APPEND),
    takes_token=True,
)
OPEN_SESSION: Final = Call(
    "POST",
    "/sessions",
    "openSession",
    "Open a guest's session",
    "Where guests are allowed. Keep the token: it is the only proof of who wrote the comments.",
    {201: "session"},
    ("invalid_display_name", "text_not_unicode", "guests_not_allowed", *_BODY),
    (),
    (DISPLAY_NAME,),
)
RENEW_SESSION: Final = Call(
    "POST",
    "/sessions/current",
    "renewSession",
    "Renew a session",
    "A new token for the same guest, within the session's whole life; with a displayName the guest is called so from "
    "now on, and stays the same user. The old token stays good until it expires or the session is ended. The body may "
    "be left out.",
    {201: "session"},
    ("not_a_session", "invalid_display_name", "text_not_unicode", *_BODY, *_TOKEN),
    (),
    (NEW_DISPLAY_NAME,),
    takes_token=True,
    is_body_required=False,
)
END_SESSION: Final = Call(
    "DELETE",
    "/sessions/current",
    "endSession",
    "End a session",
    "All tokens of the session, renewed ones too, are refused from now on, here at once and everywhere within seconds. "
    "A JWT is a session of its own, and can be ended unless it is good for more than 31 days.",
    {204: None},
    ("not_a_session", *_TOKEN, *_APPEND),
    takes_token=True,
)
PUT_VIDEO: Final = Call(
    "PUT",
    "/videos/{videoId}",
    "putVideo",
    "Set a video",
    "Takes the role own. What is absent is set to its default, except the state. It holds in the order of the "
    "comments: whoever wrote before the end has written.",
    {200: "video"},
    ("invalid_video_id", "role_missing", *_BODY, *_TOKEN, *_APPEND),
    (),
    (STATE, TITLE, WHO_MAY_COMMENT, SLOW_MODE_S, MAX_COMMENTS_PER_S),
    takes_token=True,
)
GET_VIDEO: Final = Call(
    "GET",
    "/videos/{videoId}",
    "readVideo",
    "Read what is set of a video",
    "404 if nothing was ever set.",
    {200: "video"},
    ("invalid_video_id", "video_not_found", *_READ),
)
READ_COUNTS: Final = Call(
    "GET",
    "/videos/{videoId}/counts",
    "readCounts",
    "Read comments and writers a minute",
    "Of the last hour, for a sparkline; some five seconds old. Where comments are counted (LIVECOMMENTS_COUNTS). What "
    "counts is what was written: a delete takes nothing back.",
    {200: "counts"},
    ("invalid_video_id", "counts_not_kept", "overloaded"),
)
BAN: Final = Call(
    "PUT",
    "/videos/{videoId}/bans/{userId}",
    "banUser",
    "Ban a person from a video",
    "Takes the role moderate. They cannot write under it any more, on any gateway, a moment later.",
    {204: None},
    (
        "invalid_video_id",
        "invalid_user_id",
        "invalid_delete_last",
        "invalid_parameter",
        "role_missing",
        *_TOKEN,
        *_READ,
        *_APPEND,
    ),
    (DELETE_LAST_S,),
    takes_token=True,
)
UNBAN: Final = Call(
    "DELETE",
    "/videos/{videoId}/bans/{userId}",
    "unbanUser",
    "Let a person write again",
    "Takes the role moderate.",
    {204: None},
    ("invalid_video_id", "invalid_user_id", "role_missing", *_TOKEN, *_READ, *_APPEND),
    takes_token=True,
)
_MODERATING: Final = (
    "invalid_video_id",
    "invalid_cursor",
    "role_missing",
    "comment_not_found",
    "comment_deleted",
    *_TOKEN,
    *_READ,
    *_APPEND,
)
"""Codes of what a moderator does about one comment."""
PIN: Final = Call(
    "PUT",
    "/videos/{videoId}/pin/{commentId}",
    "pinComment",
    "Put a comment above the others",
    "Takes the role moderate or own. It stands in the place of the one pinned before; viewers are told its id.",
    {204: None},
    _MODERATING,
    takes_token=True,
)
UNPIN: Final = Call(
    "DELETE",
    "/videos/{videoId}/pin",
    "unpinComment",
    "Pin no comment",
    "Takes the role moderate or own. Where none is pinned, nothing changes.",
    {204: None},
    ("invalid_video_id", "role_missing", *_TOKEN, *_READ, *_APPEND),
    takes_token=True,
)
REPORT: Final = Call(
    "PUT",
    "/videos/{videoId}/reports/{commentId}",
    "reportComment",
    "Report a comment to the moderators",
    "Once counts: another report of the same person for the same comment changes nothing. Nobody but the moderators is "
    "told, and they not by whom. A person may report so many comments an hour.",
    {204: None},
    (
        "invalid_video_id",
        "invalid_cursor",
        "comment_not_found",
        "comment_deleted",
        "banned",
        "report_limit",
        *_BODY,
        *_TOKEN,
        *_READ,
        *_APPEND,
    ),
    (),
    (REASON,),
    takes_token=True,
)
READ_REPORTS: Final = Call(
    "GET",
    "/videos/{videoId}/reports",
    "readReports",
    "Read which comments are reported",
    "Takes the role moderate or own. Each comment once, the one that was reported last first, with how many people "
    "report it and why; without those that are deleted or whose reports were dismissed.",
    {200: "reports"},
    ("invalid_video_id", "invalid_cursor", "invalid_page_size", "invalid_parameter", "role_missing", *_TOKEN, *_READ),
    (CURSOR, PAGE_SIZE),
    takes_token=True,
)
DISMISS_REPORTS: Final = Call(
    "DELETE",
    "/videos/{videoId}/reports/{commentId}",
    "dismissReports",
    "Leave a reported comment as it is",
    "Takes the role moderate or own. Its reports up to now count no more; whoever reports it first after that does.",
    {204: None},
    _MODERATING,
    takes_token=True,
)
_COMMENTS: Final = (POST_COMMENT, READ_PAGE, READ_COMMENT, DELETE_COMMENT)
_SESSIONS: Final = (OPEN_SESSION, RENEW_SESSION, END_SESSION)
_VIDEOS: Final = (PUT_VIDEO, GET_VIDEO, READ_COUNTS, BAN, UNBAN, PIN, UNPIN, REPORT, READ_REPORTS, DISMISS_REPORTS)
CALLS: Final = _COMMENTS + _SESSIONS + _VIDEOS
"""All that the gateway answers; the stream is the edge's."""
