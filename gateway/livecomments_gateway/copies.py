"""Copies of a comment: those with one key of one person, of which the first survives. Over the seam of two epochs too.

The window of the partition that its videos were in before counts for as long as a key is remembered: what was appended
there is no duplicate for any reader here, so it is found before anything is appended.
"""

from typing import Final, NamedTuple

from livecomments.following.partition import FollowedPartition
from livecomments.log.interface import CommentLog
from livecomments_schemas.errors import Rejected
from livecomments_schemas.events import NewRecord
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import position_at
from livecomments_schemas.window import Occurrence, Window

_RETRY_RECORDS_MAX: Final = DEDUPE_WINDOW_RECORDS - 1_024
"""Behind what a retry says it has seen. The window is larger by what may be appended before the retry is: a second of a
partition at its busiest."""


class RetryTooOldRejected(Rejected):
    """A retry whose first try may have left the window: whether it was written cannot be told any more."""

    code = "retry_too_old"


class Copy(NamedTuple):
    """The first of several with one key, and the window that tells of it."""

    window: Window
    log: CommentLog
    found: Occurrence

    @property
    def position(self) -> int:
        return position_at(self.window.epoch, self.found.survivor)


def first_copy(log: CommentLog, followed: FollowedPartition, video_id: str, record: NewRecord) -> Copy | None:
    """Find the comment with this one's key, if there is a key and our windows hold it. `log`: of what is followed."""
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
    """Refuse a retry whose first copy, later than `after`, may be out of reach. Raises RetryTooOldRejected."""
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
    """Tell whether the W records before a survivor hold its key too, so that it is no survivor at all.

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
        records, first = await log.read(number, first, survivor, 1_000)
        for older in records:
            if older.key == record.key and all(older.headers.get(n) == record.headers[n] for n in names):
                return True
    return False
