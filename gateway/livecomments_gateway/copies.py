"""Copies of a comment: records with one Idempotency-Key of one person, of which the first survives (deduplication).

A key is remembered over the end of an epoch: the window of the partition in which the video was before is looked into,
too. No reader of the new epoch takes a record of the old one into account, so the copy is found before the append.
"""

from typing import Final, NamedTuple

from livecomments.following.partition import FollowedPartition
from livecomments.following.read_back import READ_CHUNK
from livecomments.log.interface import CommentLog
from livecomments_schemas.errors import Rejected
from livecomments_schemas.events import NewRecord
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import position_at
from livecomments_schemas.window import Occurrence, Window

_RETRY_RECORDS_MAX: Final = DEDUPE_WINDOW_RECORDS - 1_024
"""A retry is refused if more records than this follow its Idempotency-After. The window is larger by 1,024: others may
append between this check and the retry's own append, a second's worth of the busiest partition."""


class RetryTooOldRejected(Rejected):
    """A retry whose first try may have left the window: whether it was written cannot be told any more."""

    code = "retry_too_old"


class Copy(NamedTuple):
    """The first comment with a key, and the window and log that it was found in."""

    window: Window
    log: CommentLog
    found: Occurrence

    @property
    def position(self) -> int:
        return position_at(self.window.epoch, self.found.survivor)


def first_copy(log: CommentLog, followed: FollowedPartition, video_id: str, record: NewRecord) -> Copy | None:
    """Find the comment that was posted with the same key, as far as our windows reach; None without a key.

    Args:
        log: the one that `followed` is of.
        followed: the video's partition.
        video_id: whose comment it is.
        record: what is to be appended.
    """
    key = record.headers.get("key")
    if key is None:
        return None
    author = record.headers["author"]
    found = followed.window.occurrence(video_id, author, key, followed.next_offset)
    if found is not None:
        return Copy(followed.window, log, found)
    parent = followed.parent
    if parent is None or followed.next_offset > DEDUPE_WINDOW_RECORDS:
        return None
    found = parent.window.occurrence(video_id, author, key, parent.end)
    return None if found is None else Copy(parent.window, parent.log, found)


def check_age(followed: FollowedPartition, after: int | None) -> None:
    """Refuse a retry whose first copy may have left the windows: it can lie anywhere behind `after`.

    Raises:
        RetryTooOldRejected
    """
    if after is None:
        return
    # What it had seen is no later than all that was written before; its first copy is at least one further on.
    if after + 1 >= position_at(followed.epoch, max(0, followed.next_offset - _RETRY_RECORDS_MAX)):
        return
    parent = followed.parent
    is_near = parent is not None and followed.next_offset <= _RETRY_RECORDS_MAX
    if parent is not None and is_near:
        is_near = after + 1 >= position_at(parent.window.epoch, max(0, parent.end - _RETRY_RECORDS_MAX))
    if is_near:
        return
    raise RetryTooOldRejected(
        "So much was written since Idempotency-After that an earlier try cannot be told from none. Read the newest "
        "comments; if yours is not there, send it with a new Idempotency-Key."
    )


async def is_preceded(copy: Copy, record: NewRecord) -> bool:
    """Tell whether one of the W records before a survivor has the same key: then it is itself a duplicate.

    Raises:
        LogUnavailable, OffsetUnavailable
    """
    (window, log, (survivor, _, _)) = copy
    if window.is_sure(survivor):
        return False
    number = window.partition
    first = max((await log.bounds([number]))[number].start, survivor - window.size)
    names = ("type", "author", "key")
    while first < survivor:
        records, first = await log.read(number, first, survivor, READ_CHUNK)
        for older in records:
            if older.key == record.key and all(older.headers.get(n) == record.headers[n] for n in names):
                return True
    return False
