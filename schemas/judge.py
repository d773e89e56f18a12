"""What a record is, decided by one function for everybody: gateway, edge, stream job and export.

`judge` is a fold step: it decides by the record and by what the window remembers of the W records before it, and lets
the window remember this one. A reader that starts W records before the first record it cares about agrees with one that
has read the log from its beginning. For that, *any* keyed comment counts as an occurrence of its key, also one that was
dropped as a duplicate itself; only records that are invalid by themselves never count.
"""

from enum import Enum
from typing import Final, NamedTuple

import orjson

from schemas.errors import Corrupt
from schemas.events import (
    COMMENT_CREATED,
    COMMENT_DELETED,
    DIGEST_BYTES,
    EVENT_TYPES,
    SCHEMA_VERSION,
    VIDEO_ENDED,
    Record,
)
from schemas.limits import AUTHOR_ID_BYTES_MAX, IDEMPOTENCY_KEY_CHARS_MAX, RECORD_VALUE_BYTES_MAX
from schemas.partitions import video_of_key
from schemas.positions import CursorRejected, parse_comment_id, position_at
from schemas.window import Occurrence, Window


class Kind(Enum):
    """The five things a record can be."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    VOID = "void"
    INVALID = "invalid"
    UNKNOWN_TYPE = "unknown_type"


class Verdict(NamedTuple):
    """What a record is. `video_id` is set unless the record is invalid or of an unknown type."""

    kind: Kind
    video_id: str = ""
    reason: str = ""
    """Of an invalid record: a stable word for metrics and dead letters."""
    survivor: Occurrence | None = None
    """Of a duplicate."""
    target: int = 0
    """Of an accepted delete: the position it deletes."""


class RecordCorrupt(Corrupt):
    """A record that no reader will ever show. `reason` is a stable word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_UNKNOWN_TYPE: Final = Verdict(Kind.UNKNOWN_TYPE)


def judge(record: Record, window: Window) -> Verdict:
    """The verdict on `record`; afterwards the window remembers it. Records come in the order of their offsets."""
    kind = record.headers.get("type")
    if kind not in EVENT_TYPES:
        return _UNKNOWN_TYPE
    try:
        video_id = _video_of(record, window)
        if kind == COMMENT_CREATED:
            return _judge_comment(record, video_id, window)
        if kind == COMMENT_DELETED:
            return Verdict(Kind.ACCEPTED, video_id, target=_target_of(record, window))
    except RecordCorrupt as corrupt:
        return Verdict(Kind.INVALID, reason=corrupt.reason)
    window.note_video(video_id, record.offset, ended=kind == VIDEO_ENDED)
    return Verdict(Kind.ACCEPTED, video_id)


def _judge_comment(record: Record, video_id: str, window: Window) -> Verdict:
    value, headers = record.value, record.headers
    assert value is not None
    comment = _json_object(value)
    if comment.get("videoId") != video_id or "commentId" in comment or not isinstance(comment.get("message"), str):
        raise RecordCorrupt("not_a_comment")
    key = headers.get("key")
    if key is None:
        ended = window.is_ended(video_id, record.offset)
        return Verdict(Kind.VOID if ended else Kind.ACCEPTED, video_id)
    author, digest = headers["author"], headers.get("digest", b"")
    if len(digest) != DIGEST_BYTES or not 0 < len(key) <= IDEMPOTENCY_KEY_CHARS_MAX:
        raise RecordCorrupt("key_without_digest")
    before = window.occurrence(video_id, author, key, record.offset)
    if before is not None:
        window.note_comment(video_id, author, key, record.offset, before)
        return Verdict(Kind.DUPLICATE, video_id, survivor=before)
    void = window.is_ended(video_id, record.offset)
    window.note_comment(video_id, author, key, record.offset, Occurrence(record.offset, digest, void))
    return Verdict(Kind.VOID if void else Kind.ACCEPTED, video_id)


def _video_of(record: Record, window: Window) -> str:
    """The video of a record whose envelope is sound. Raises RecordCorrupt."""
    value, headers = record.value, record.headers
    if record.key is None or value is None:
        raise RecordCorrupt("null_key_or_value")
    if headers.get("schema") != SCHEMA_VERSION:
        raise RecordCorrupt("unknown_schema")
    if not 0 < len(headers.get("author", b"")) <= AUTHOR_ID_BYTES_MAX:
        raise RecordCorrupt("no_author")
    if len(value) > RECORD_VALUE_BYTES_MAX:
        raise RecordCorrupt("too_long")
    if not value.startswith(b'{"') or b"\n" in value or b"\r" in value:
        raise RecordCorrupt("not_one_json_line")  # a line break would let a foreign producer write events into streams
    video_id = video_of_key(record.key, window.partition, window.partition_count)
    if video_id is None:
        raise RecordCorrupt("foreign_key")
    return video_id


def _target_of(record: Record, window: Window) -> int:
    assert record.value is not None
    target_id = _json_object(record.value).get("commentId")
    if not isinstance(target_id, str):
        raise RecordCorrupt("no_target")
    try:
        target, partition = parse_comment_id(target_id)
    except CursorRejected as error:
        raise RecordCorrupt("no_target") from error
    if partition != window.partition or target >= position_at(window.epoch, record.offset):
        raise RecordCorrupt("target_not_earlier")
    return target


def _json_object(value: bytes) -> dict[str, object]:
    """One malformed value would break every page it stands in, since pages splice values unparsed. Costs 1 µs."""
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise RecordCorrupt("not_json") from error
    assert isinstance(parsed, dict)  # it starts with {
    return parsed
