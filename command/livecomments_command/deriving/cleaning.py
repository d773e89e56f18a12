"""What the clean topic says of judged records: each comment under its id, and nothing once it is deleted. Pure.

| | key | value | headers |
|---|---|---|---|
| a comment | its id | the comment as pages show it | `type` = `comment`, `schema`, `author`, `origin-…` |
| a delete | the id of what it deletes | none | `type` = `removed`, `schema`, `author`, `origin-…` |
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import orjson

from livecomments_command.records.copies import origin_headers
from livecomments_command.records.scan import Judged
from livecomments_schemas.events import COMMENT_CREATED, SCHEMA_VERSION, NewRecord, Record
from livecomments_schemas.judge import Kind
from livecomments_schemas.positions import comment_id, epoch_of, offset_of, parse_comment_id, position_at
from livecomments_schemas.render import render_comment

CLEAN_COMMENT: Final = b"comment"
CLEAN_REMOVED: Final = b"removed"


class LogPlace(NamedTuple):
    """Where a comment lies in the log, and so in which clean topic and partition it stands."""

    epoch: int
    partition: int
    offset: int


class Cleaned(NamedTuple):
    """One record for a clean topic. `target` is of the comment that it is about."""

    target: LogPlace
    record: NewRecord
    video_id: str
    is_sure: bool = True
    """Not, if it is still to be seen whether what is removed is a comment of the video."""

    @property
    def is_removal(self) -> bool:
        """Whether it says that the comment is gone."""
        return self.record.value is None


def cleaned(topic: str, epoch: int, partition: int, judged: Iterable[Judged]) -> list[Cleaned]:
    """Return what is said of the records of one partition of the log `topic`, in their order.

    A comment that is deleted among the same records is not said at all, only its removal: an earlier run may have said
    it. Whether what is deleted is a comment of the delete's own video is left to see for deletes of earlier records.
    """
    said: dict[tuple[LogPlace, str], Cleaned] = {}
    for record, verdict in judged:
        if verdict.kind is not Kind.ACCEPTED:
            continue
        assert record.value is not None
        video_id = verdict.video_id
        if record.headers["type"] == COMMENT_CREATED:
            target = LogPlace(epoch, partition, record.offset)
            own_id = comment_id(position_at(epoch, record.offset), partition)
            value: bytes | None = render_comment(own_id, record.value)
        elif verdict.target:
            own_id = orjson.loads(record.value)["commentId"]
            position, number = parse_comment_id(own_id)
            target, value = LogPlace(epoch_of(position), number, offset_of(position)), None
        else:
            continue
        known = said.pop((target, video_id), None)  # so that it stands where it is said last
        is_sure = value is not None or (known is not None and known.is_sure)
        said[target, video_id] = Cleaned(target, _record(topic, record, own_id, value), video_id, is_sure)
    return list(said.values())


def resume_at(topic: str, written: Sequence[Record], start: int) -> int:
    """Return the offset of the log from which a partition is cleaned on.

    Args:
        topic: the log that is cleaned.
        written: the last records of the clean partition, with all that may have been under way when a job ended.
        start: where to begin if none of them is of that log.
    """
    origins = [offset for record in written if (offset := origin_of(topic, record)) is not None]
    return min(origins, default=start)


def origin_of(topic: str, record: Record) -> int | None:
    """Return the offset in the log `topic` that a clean record is of; None if it is of another, or of nothing."""
    try:
        is_own = record.headers.get("origin-topic") == topic.encode()
        return int(record.headers["origin-offset"]) if is_own else None
    except (KeyError, ValueError):
        return None


def _record(topic: str, record: Record, own_id: str, value: bytes | None) -> NewRecord:
    headers = {
        "type": CLEAN_REMOVED if value is None else CLEAN_COMMENT,
        "schema": SCHEMA_VERSION,
        "author": record.headers["author"],
        **{name: said for name, said in origin_headers(topic, record) if said is not None},
    }
    return NewRecord(own_id.encode(), value, headers)  # type: ignore[arg-type]  # none: a compacted topic forgets the key
