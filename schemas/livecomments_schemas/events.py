"""Records and the events they carry: types, headers, values.

A record's key is the video id in ASCII. Its value is JSON on one line, UTF-8. Its headers are these, each at most once:

| header | on | holds |
|---|---|---|
| `type` | all | one of the event types below |
| `schema` | all | `1` |
| `author` | all | who did it: the id of a user, UTF-8 |
| `key` | `comment.created`, optional | the client's `Idempotency-Key` |
| `digest` | `comment.created` | 16 bytes over message and video time: two posts with one key are equal if these are |
| `traceparent` | optional | W3C trace context: of the append where it is traced, else of the request it came with |

A `comment.created` value is the public JSON of the comment without its id (the id is the record's own position).
A `comment.deleted` value is `{"commentId": …}`; `video.started`/`video.ended` values are `{"videoId": …}`. A
`video.changed` value has all that can be set of a video; `user.banned`/`user.unbanned` values add a `userId`, and
`comment.pinned` a `commentId`, of the one comment that stands above the others until `comment.unpinned` or another pin.
A `comment.reported` value adds a `commentId` and a `reason`; after `reports.dismissed` of a comment its earlier reports
count no more.

Records of no video have the epoch's number in decimal as their key, the headers `type` and `schema`, and the value
`{"epoch": …}`: `epoch.fence` ends the epoch in its partition, `epoch.began` is the first of each partition of the next.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

COMMENT_CREATED: Final = b"comment.created"
COMMENT_DELETED: Final = b"comment.deleted"
VIDEO_STARTED: Final = b"video.started"
VIDEO_ENDED: Final = b"video.ended"
VIDEO_CHANGED: Final = b"video.changed"
USER_BANNED: Final = b"user.banned"
USER_UNBANNED: Final = b"user.unbanned"
COMMENT_PINNED: Final = b"comment.pinned"
COMMENT_UNPINNED: Final = b"comment.unpinned"
COMMENT_REPORTED: Final = b"comment.reported"
REPORTS_DISMISSED: Final = b"reports.dismissed"
REPORT_TYPES: Final = frozenset((COMMENT_REPORTED, REPORTS_DISMISSED))
"""What viewers say against comments, and that moderators have seen it."""
FACT_TYPES: Final = REPORT_TYPES | frozenset(
    (VIDEO_STARTED, VIDEO_ENDED, VIDEO_CHANGED, USER_BANNED, USER_UNBANNED, COMMENT_PINNED, COMMENT_UNPINNED)
)
"""Event types that say something of a video, which holds until a later record changes it."""
REPORT_REASONS: Final = ("spam", "abuse", "sexual", "danger", "other")
"""Words and no text: a text would be one more thing to moderate, and what a moderator needs to see is the comment."""
EVENT_TYPES: Final = FACT_TYPES | {COMMENT_CREATED, COMMENT_DELETED}
EPOCH_FENCE: Final = b"epoch.fence"
"""The end of an epoch in one partition: what lies behind it is void."""
EPOCH_BEGAN: Final = b"epoch.began"
"""The first record of a partition of an epoch that grew out of another one; it says nothing to anybody."""

SCHEMA_VERSION: Final = b"1"
DIGEST_BYTES: Final = 16
_LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999; RFC 3339 has four digits for a year."""


HeaderList = Sequence[tuple[str, bytes | None]]
"""All headers of a record, in their order."""


class ForeignHeaders(dict[str, bytes]):
    """Headers as everybody reads them, of a record whose headers are more than that: one is repeated, or null.

    Of a name that stands twice the last counts, and null counts for nothing. `listed` has them all, for copies.
    """

    __slots__ = ("listed",)

    def __init__(self, listed: HeaderList) -> None:
        super().__init__((name, value) for name, value in listed if value is not None)
        self.listed: HeaderList = tuple(listed)


def headers_of(listed: HeaderList) -> Mapping[str, bytes]:
    """Read a record's headers, as its producer listed them."""
    headers: dict[str, Any] = dict(listed)
    if len(headers) != len(listed) or None in headers.values():
        return ForeignHeaders(listed)
    return headers


def listed_headers(headers: Mapping[str, bytes]) -> HeaderList:
    """List a record's headers, as its producer did."""
    return headers.listed if isinstance(headers, ForeignHeaders) else tuple(headers.items())


class NewRecord(NamedTuple):
    """A record before the log has given it a place."""

    key: bytes
    value: bytes
    headers: Mapping[str, bytes]
    """`ForeignHeaders` for the copy of a record of others'."""


class Record(NamedTuple):
    """One entry of the log. `key` and `value` are None only for records that others wrote."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    """`ForeignHeaders` where they do not say all."""
    appended_at_ms: int
    """The log's clock at the append, Unix milliseconds. For display and metrics, never for order."""


class Author(NamedTuple):
    """Who speaks: `id` is stable and public, `display_name` is shown."""

    id: str
    display_name: str


def comment_created(
    video_id: str,
    message: str,
    author: Author,
    *,
    created_at_ms: int,
    roles: Sequence[str] = (),
    video_time_ms: int | None = None,
    key: str | None = None,
    traceparent: str | None = None,
) -> NewRecord:
    """Make the record of a comment. `message` is in normal form (`text.clean_message`); `roles` go with the author.

    No member of an author without roles: readers of before pass a member over that they do not know.
    """
    said_of_author: dict[str, object] = {"id": author.id, "displayName": author.display_name}
    if roles:
        said_of_author["roles"] = list(roles)
    value: dict[str, object] = {
        "videoId": video_id,
        "message": message,
        "author": said_of_author,
        "createdAt": timestamp(created_at_ms),
    }
    if video_time_ms is not None:
        value["videoTimeMs"] = video_time_ms
    headers = _headers(COMMENT_CREATED, author.id, traceparent)
    headers["digest"] = comment_digest(message, video_time_ms)
    if key is not None:
        headers["key"] = key.encode("ascii")
    return NewRecord(video_id.encode("ascii"), orjson.dumps(value), headers)


def comment_deleted(video_id: str, comment_id: str, by: str, *, traceparent: str | None = None) -> NewRecord:
    """Make the record that deletes `comment_id`; `by` is the id of who did it. Appending it twice harms nothing."""
    value = orjson.dumps({"commentId": comment_id})
    return NewRecord(video_id.encode("ascii"), value, _headers(COMMENT_DELETED, by, traceparent))


def video_event(kind: bytes, video_id: str, by: str, *, traceparent: str | None = None) -> NewRecord:
    """Make `video.started` or `video.ended`."""
    assert kind in (VIDEO_STARTED, VIDEO_ENDED)
    return NewRecord(video_id.encode("ascii"), orjson.dumps({"videoId": video_id}), _headers(kind, by, traceparent))


def video_changed(video_id: str, settings: Mapping[str, object], by: str) -> NewRecord:
    """Make the record that says all that can be set of a video, by the names of `video-changed.schema.json`."""
    value = orjson.dumps({"videoId": video_id, **settings})
    return NewRecord(video_id.encode("ascii"), value, _headers(VIDEO_CHANGED, by, None))


def user_event(kind: bytes, video_id: str, user_id: str, by: str) -> NewRecord:
    """Make `user.banned` or `user.unbanned`: whether `user_id` may write under this video."""
    assert kind in (USER_BANNED, USER_UNBANNED)
    value = orjson.dumps({"videoId": video_id, "userId": user_id})
    return NewRecord(video_id.encode("ascii"), value, _headers(kind, by, None))


def comment_pinned(video_id: str, comment_id: str, by: str) -> NewRecord:
    """Make the record that puts one comment above the others, in the place of the one pinned before."""
    value = orjson.dumps({"videoId": video_id, "commentId": comment_id})
    return NewRecord(video_id.encode("ascii"), value, _headers(COMMENT_PINNED, by, None))


def comment_unpinned(video_id: str, by: str) -> NewRecord:
    """Make the record after which no comment is pinned."""
    value = orjson.dumps({"videoId": video_id})
    return NewRecord(video_id.encode("ascii"), value, _headers(COMMENT_UNPINNED, by, None))


def comment_reported(video_id: str, comment_id: str, reason: str, by: str) -> NewRecord:
    """Make the record of a report. `reason` is one of `REPORT_REASONS`; `by` is who reports, for moderators alone."""
    value = orjson.dumps({"videoId": video_id, "commentId": comment_id, "reason": reason})
    return NewRecord(video_id.encode("ascii"), value, _headers(COMMENT_REPORTED, by, None))


def reports_dismissed(video_id: str, comment_id: str, by: str) -> NewRecord:
    """Make the record after which the reports of a comment up to now count no more."""
    value = orjson.dumps({"videoId": video_id, "commentId": comment_id})
    return NewRecord(video_id.encode("ascii"), value, _headers(REPORTS_DISMISSED, by, None))


def epoch_event(kind: bytes, epoch: int) -> NewRecord:
    """Make `epoch.fence` or `epoch.began`. A fence that is copied to another epoch ends nothing there."""
    assert kind in (EPOCH_FENCE, EPOCH_BEGAN)
    return NewRecord(b"%d" % epoch, orjson.dumps({"epoch": epoch}), {"type": kind, "schema": SCHEMA_VERSION})


def is_fence(record: Record, epoch: int) -> bool:
    """Tell whether a record ends this epoch in its partition."""
    headers, told = record.headers, b"%d" % epoch
    is_told = record.key == told and record.value == b'{"epoch":%b}' % told
    return headers.get("type") == EPOCH_FENCE and headers.get("schema") == SCHEMA_VERSION and is_told


def facts_of(video_id: str) -> str:
    """Name the log in which a video's facts are stored once more, apart from its comments, to be found at once.

    No video id holds a `/`. The rows are ordinary rows, at the positions of their records.
    """
    return f"{video_id}/facts"


def reports_of(video_id: str) -> str:
    """Name the log of a video's reports. Apart from its facts, so that however many there are they hide no ban."""
    return f"{video_id}/reports"


def comment_digest(message: str, video_time_ms: int | None) -> bytes:
    """Digest what makes two posts with one key the same post: 16 bytes over the normal form and the video time."""
    of = b"" if video_time_ms is None else b"%d" % video_time_ms
    return hashlib.blake2b(of + b"\0" + message.encode(), digest_size=DIGEST_BYTES).digest()


def timestamp(unix_ms: int) -> str:
    """Write a time by RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.123Z`.

    What lies before 1970 or behind the year 9999, as a foreign producer may have stamped a record where a topic takes
    its word, becomes the nearest time between: no record may end an export.
    """
    unix_ms = min(max(unix_ms, 0), _LAST_MS)
    return f"{_second(unix_ms // 1000)}.{unix_ms % 1000:03d}Z"


@lru_cache(16)  # thousands of comments are of the same second
def _second(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%S}"


def _headers(kind: bytes, author: str, traceparent: str | None) -> dict[str, bytes]:
    headers = {"type": kind, "schema": SCHEMA_VERSION, "author": author.encode()}
    if traceparent is not None:
        headers["traceparent"] = traceparent.encode("ascii")
    return headers
