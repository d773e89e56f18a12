"""Records of a topic with one partition, and random logs of them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from livecomments_schemas.events import (
    VIDEO_ENDED,
    VIDEO_STARTED,
    Author,
    NewRecord,
    Record,
    comment_created,
    comment_deleted,
    video_event,
)
from livecomments_schemas.positions import comment_id, position_at
from livecomments_schemas.window import Window

EPOCH = 1
PARTITION = 0
PARTITION_COUNT = 1
VIDEO = "launch"
ANA = Author("ana", "Ana")
BO = Author("bo", "Bo")
NOON_MS = 1_795_348_800_000


def at(offset: int, new: NewRecord, **headers: bytes | None) -> Record:
    """`new` as the log holds it at `offset`; `headers` replaces some, or takes them away where it says None."""
    merged = {name: value for name, value in {**new.headers, **headers}.items() if value is not None}
    return Record(PARTITION, offset, new.key, new.value, merged, NOON_MS)


def comment(video_id: str = VIDEO, message: str = "hello", author: Author = ANA, key: str | None = None) -> NewRecord:
    return comment_created(video_id, message, author, created_at_ms=NOON_MS, key=key)


def delete_of(offset: int, video_id: str = VIDEO, *, epoch: int = EPOCH, partition: int = PARTITION) -> NewRecord:
    return comment_deleted(video_id, comment_id(position_at(epoch, offset), partition), ANA.id)


def ended(video_id: str = VIDEO) -> NewRecord:
    return video_event(VIDEO_ENDED, video_id, ANA.id)


def started(video_id: str = VIDEO) -> NewRecord:
    return video_event(VIDEO_STARTED, video_id, ANA.id)


def with_value(new: NewRecord, value: bytes) -> NewRecord:
    return new._replace(value=value)


def fresh_window(*, since: int = 0, whole: bool = True, size: int = 16_384) -> Window:
    return Window(EPOCH, PARTITION, PARTITION_COUNT, since=since, whole=whole, size=size)


@dataclass(frozen=True)
class Entry:
    """A record and what it was made to be, so that the reference need not read it."""

    record: Record
    what: str
    """comment, delete, started, ended, invalid, unknown, later"""
    video_id: str
    author: bytes
    key: bytes | None

    @property
    def offset(self) -> int:
        return self.record.offset


_WHATS = ("comment", "delete", "started", "ended", "invalid", "unknown", "later")
_SHARES = (60, 6, 8, 8, 10, 4, 4)


def random_log(dice: random.Random, length: int) -> list[Entry]:
    """Few videos, authors and keys, so that retries, conflicts, ends and restarts meet; offsets with holes."""
    log: list[Entry] = []
    offset = dice.randrange(4)
    for _ in range(length):
        what = dice.choices(_WHATS, _SHARES)[0]
        log.append(_random_entry(dice, what, offset))
        offset += dice.choices((1, 2, 5), (8, 1, 1))[0]
    return log


def _random_entry(dice: random.Random, what: str, offset: int) -> Entry:
    video_id, author = dice.choice("aaab"), dice.choice((ANA, ANA, ANA, BO))
    key = dice.choice((None, "k1", "k1", "k1", "k2"))
    new = comment(video_id, dice.choice(("hi", "ho")), author, key)
    without: Mapping[str, bytes | None] = {}
    if what == "delete":
        new = delete_of(dice.randrange(offset), video_id) if offset else delete_of(0, video_id, epoch=0)
        what = what if offset else "invalid"
    elif what in ("started", "ended"):
        new = started(video_id) if what == "started" else ended(video_id)
    elif what == "invalid":  # sound but for one thing: none of these may count as an occurrence, a start or an end
        unsound: list[tuple[NewRecord, Mapping[str, bytes | None]]] = [
            (new, {"author": None}),
            (new, {"key": b"k1", "digest": b"short"}),
            (with_value(new, b'{"message":\n"hi"}'), {}),
            (with_value(ended(video_id), b'{"videoId":"other"}'), {}),
            (with_value(started(video_id), b"[]"), {}),
            (delete_of(offset, video_id), {}),
        ]
        new, without = dice.choice(unsound)
    elif what == "unknown":
        without = {"type": dice.choice((b"comment.edited", None))}
    elif what == "later":
        new, without = dice.choice((new, started(video_id), ended(video_id))), {"schema": b"2"}
    of_comment = key.encode() if what == "comment" and key is not None else None
    return Entry(at(offset, new, **without), what, video_id, author.id.encode(), of_comment)
