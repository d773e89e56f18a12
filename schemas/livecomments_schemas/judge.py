"""What a record is, decided by one function for everybody: gateway, edge, stream job and export.

`judge` is a fold step: it decides by the record and by what the window remembers of the W records before it, and lets
the window remember this one. A reader that starts W records before the first record it cares about agrees with one that
has read the log from its beginning. For that, *any* keyed comment counts as an occurrence of its key, also one that was
dropped as a duplicate itself; only records that are invalid by themselves never count.
"""

import re
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from livecomments_schemas.errors import Corrupt
from livecomments_schemas.events import (
    COMMENT_CREATED,
    COMMENT_DELETED,
    COMMENT_PINNED,
    COMMENT_REPORTED,
    DIGEST_BYTES,
    EPOCH_FENCE,
    EVENT_TYPES,
    REPORTS_DISMISSED,
    SCHEMA_VERSION,
    USER_BANNED,
    USER_UNBANNED,
    VIDEO_CHANGED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    Record,
    is_fence,
)
from livecomments_schemas.limits import (
    AUTHOR_ID_BYTES_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    RECORD_VALUE_BYTES_MAX,
    VIDEO_ID_CHARS_MAX,
)
from livecomments_schemas.partitions import may_descend, video_of_key
from livecomments_schemas.positions import BEFORE_EVERYTHING, CursorRejected, epoch_of, parse_comment_id, position_at
from livecomments_schemas.window import Occurrence, Window


class Kind(Enum):
    """The six things a record can be."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    VOID = "void"
    INVALID = "invalid"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_SCHEMA = "unknown_schema"
    """Of a type of ours in the form of a later version, which reads it: no dead letter."""


class Verdict(NamedTuple):
    """What a record is. `video_id` is set unless it is invalid, of an unknown type or schema, or behind a fence."""

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


_ACCEPTED: Final = Kind.ACCEPTED  # looked up in the Enum it takes a twentieth of a judgement
_UNKNOWN_TYPE: Final = Verdict(Kind.UNKNOWN_TYPE)
_UNKNOWN_SCHEMA: Final = Verdict(Kind.UNKNOWN_SCHEMA)
_SCHEMAS_TO_COME: Final = re.compile(rb"[1-9][0-9]{0,3}")
"""The numbers that a later version may give to a form; anything else in the header was never written by one."""
FENCED: Final = Verdict(Kind.VOID, reason="fenced")
"""The verdict on what lies behind the end of its epoch: it counts as never written. Who appended it does so again in
the next epoch."""
_VERDICTS_REMEMBERED: Final = 65_536
"""One of a video: finding it by the record's key takes a fifth of what making it does."""
_LF: Final = 0x0A
_CR: Final = 0x0D  # as numbers: looking for b"\r" in bytes takes twenty times as long


@lru_cache(_VERDICTS_REMEMBERED)
def _accepted(key: bytes, partition: int, partition_count: int) -> Verdict | None:
    """Return the verdict on what is accepted under a record's key; None if no video of the partition has that key."""
    video_id = video_of_key(key, partition, partition_count)
    return None if video_id is None else Verdict(_ACCEPTED, video_id)


def judge(record: Record, window: Window) -> Verdict:
    """Judge `record`, and let the window remember it. Records come in the order of their offsets."""
    kind = record.headers.get("type")
    if kind not in EVENT_TYPES:
        if kind == EPOCH_FENCE and window.fence is None and is_fence(record, window.epoch):
            window.fence = record.offset
        return _UNKNOWN_TYPE
    if window.fence is not None:
        return FENCED
    try:
        if (schema := record.headers.get("schema", b"")) != SCHEMA_VERSION:
            if _SCHEMAS_TO_COME.fullmatch(schema):
                return _UNKNOWN_SCHEMA
            raise RecordCorrupt("no_schema")
        accepted = _in_envelope(record, window)
        if kind == COMMENT_CREATED:
            return _judge_comment(record, accepted, window)
        if kind == COMMENT_DELETED:
            return accepted._replace(target=_target_of(record, window))
        _check_fact(record, kind, accepted.video_id)
        if kind in (COMMENT_PINNED, COMMENT_REPORTED, REPORTS_DISMISSED):
            _target_of(record, window)
    except RecordCorrupt as corrupt:
        return Verdict(Kind.INVALID, reason=corrupt.reason)
    if kind in (VIDEO_STARTED, VIDEO_ENDED):
        window.note_video(accepted.video_id, record.offset, ended=kind == VIDEO_ENDED)
    return accepted


def _judge_comment(record: Record, accepted: Verdict, window: Window) -> Verdict:
    video_id, offset, headers = accepted.video_id, record.offset, record.headers
    _check_comment(record, video_id)
    key = headers.get("key")
    if key is not None:
        digest = headers.get("digest", b"")
        if not 0 < len(key) <= IDEMPOTENCY_KEY_CHARS_MAX:
            raise RecordCorrupt("no_key")
        if len(digest) != DIGEST_BYTES:
            raise RecordCorrupt("no_digest")
        survivor = window.note_comment(video_id, headers["author"], key, offset, digest)
        if survivor is not None:
            return Verdict(Kind.DUPLICATE, video_id, survivor=survivor)
    return Verdict(Kind.VOID, video_id) if window.is_ended(video_id, offset) else accepted


def _check_comment(record: Record, video_id: str) -> None:
    """Check that the value holds what every client of the public JSON may rely on. Raises RecordCorrupt."""
    comment = _json_object(record)
    get = comment.get
    author = get("author")
    if (
        get("videoId") != video_id
        or "commentId" in comment  # however its name was escaped: it would hide the one spliced in
        or type(get("message")) is not str  # what is parsed is of no subclass, and a bool is an int for isinstance
        or type(get("createdAt")) is not str
        or type(author) is not dict
        or type(author.get("id")) is not str
        or type(author.get("displayName")) is not str
    ):
        raise RecordCorrupt("not_a_comment")
    video_time_ms = get("videoTimeMs", 0)
    if type(video_time_ms) is not int or video_time_ms < 0:
        raise RecordCorrupt("not_a_comment")


def _check_fact(record: Record, kind: bytes, video_id: str) -> None:
    """Check that the value says of this video what readers rely on. Raises RecordCorrupt."""
    said = _json_object(record)
    if said.get("videoId") != video_id:
        raise RecordCorrupt("not_a_video_event")
    if kind in (USER_BANNED, USER_UNBANNED):
        user_id = said.get("userId")
        if not isinstance(user_id, str) or not 0 < len(user_id.encode()) <= AUTHOR_ID_BYTES_MAX:
            raise RecordCorrupt("not_a_user_event")
    if kind == COMMENT_REPORTED and not isinstance(said.get("reason"), str):
        raise RecordCorrupt("not_a_report")
    if kind == VIDEO_CHANGED:
        numbers = (said.get("slowModeS"), said.get("maxCommentsPerS"))
        texts = (said.get("title"), said.get("whoMayComment"))
        if not all(type(n) is int and n >= 0 for n in numbers) or not all(isinstance(t, str) for t in texts):
            raise RecordCorrupt("not_a_video_event")


def _in_envelope(record: Record, window: Window) -> Verdict:
    """Return what a record is whose envelope is sound, unless its value says otherwise. Raises RecordCorrupt."""
    _, _, key, value, headers, _ = record
    if key is None or value is None:
        raise RecordCorrupt("null_key_or_value")
    author = headers.get("author", b"")
    if not 0 < len(author) <= AUTHOR_ID_BYTES_MAX or not (author.isascii() or _is_utf8(author)):
        raise RecordCorrupt("no_author")
    if len(value) > RECORD_VALUE_BYTES_MAX:
        raise RecordCorrupt("too_long")
    if value[:2] != b'{"' or _LF in value or _CR in value:
        raise RecordCorrupt("not_one_json_line")  # a line break would let a foreign producer write events into streams
    # A foreign producer's key of a megabyte must not stay in the cache.
    accepted = _accepted(key, window.partition, window.partition_count) if len(key) <= VIDEO_ID_CHARS_MAX else None
    if accepted is None:
        raise RecordCorrupt("foreign_key")
    return accepted


def _target_of(record: Record, window: Window) -> int:
    target_id = _json_object(record).get("commentId")
    if not isinstance(target_id, str):
        raise RecordCorrupt("no_target")
    try:
        target, partition = parse_comment_id(target_id)
    except CursorRejected as error:
        raise RecordCorrupt("no_target") from error
    if target <= BEFORE_EVERYTHING:
        raise RecordCorrupt("no_target")  # a cursor, but no comment ever stands there
    is_of_before = epoch_of(target) < window.epoch and may_descend(window.partition, window.partition_count, partition)
    if not (partition == window.partition or is_of_before) or target >= position_at(window.epoch, record.offset):
        raise RecordCorrupt("target_not_earlier")
    return target


def _json_object(record: Record) -> dict[str, object]:
    """Parse a value as a JSON object, at 0.4 µs: a malformed one would break each page it is spliced into."""
    assert record.value is not None
    try:
        parsed = orjson.loads(record.value)
    except orjson.JSONDecodeError as error:
        raise RecordCorrupt("not_json") from error
    assert isinstance(parsed, dict)  # it starts with {
    return parsed


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
