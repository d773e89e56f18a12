"""Pages of a video's comments, both ways, at any depth.

A page says what it examined: `next_cursor` is the last position looked at, so a page that met only deleted comments, or
whose reading broke off half way, is short or empty and still leads on. It ends in None.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import BEGINNING, COMMENTS, COMMENTS_AND_DELETES, History
from livecomments.history.stretch import Source, count_read
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import COMMENT_DELETED
from livecomments_schemas.positions import BEFORE_EVERYTHING

_READS_MAX: Final = 8
"""Reads for one page; tail and log take one each. Many deleted comments give a short page instead of a slow one."""


class Page(NamedTuple):
    """Shown comments in the order asked for. `covered_through`: a stream from here on continues the page upwards."""

    comments: list[Entry]
    next_cursor: int | None
    covered_through: int
    deletes: Sequence[int] = ()
    """Positions of the comments, of any age, whose deletes lie in what was examined, in the order of those deletes."""


async def newest_first(
    history: History,
    followed: FollowedPartition,
    video_id: str,
    before: int | None,
    limit: int,
    *,
    with_deletes: bool = False,
) -> Page:
    """Read the `limit` newest comments earlier than `before`, newest first.

    Args:
        history: read from.
        followed: the video's `home`.
        video_id: whose.
        before: a position, exclusive; None: from the newest comment on.
        limit: at least 1.
        with_deletes: deletes are read too, and count as much as comments.

    Raises:
        PartitionUnavailable, StoreUnavailable, LogUnavailable, HistoryBehind: nothing could be read; try again.
    """
    if before is not None:
        await history.reach(followed, before - 1)
    top = followed.judged_through if before is None else min(before - 1, followed.judged_through)
    top = max(top, BEFORE_EVERYTHING)  # a cursor may name the first position that there is: none lies before
    read: list[Entry] = []
    before, source, view = top + 1, Source.TAIL, COMMENTS_AND_DELETES if with_deletes else COMMENTS
    try:
        for _ in range(_READS_MAX):
            entries, before, source = await history.backward(followed, video_id, before, limit - len(read), view)
            read += entries
            if len(read) == limit or before <= BEGINNING:
                break
    except Unavailable:
        if not read:
            raise
    count_read(source)
    following = before if before > BEGINNING else None
    shown = [entry for entry in read if entry.is_shown]  # some were deleted meanwhile
    return Page(shown, following, top, _targets(read))


async def oldest_first(history: History, followed: FollowedPartition, video_id: str, after: int, limit: int) -> Page:
    """Read the `limit` oldest comments later than `after` (exclusive), oldest first; `followed` is the video's home.

    Raises:
        StoreUnavailable, LogUnavailable, HistoryBehind: nothing could be read; try again.
    """
    comments: list[Entry] = []
    deletes: list[Entry] = []
    try:
        for _ in range(_READS_MAX):
            entries, after, _source = await history.forward(followed, video_id, after, limit - len(comments))
            comments += [entry for entry in entries if entry.is_shown]
            deletes += [entry for entry in entries if entry.kind == COMMENT_DELETED]
            if len(comments) == limit or after >= followed.judged_through:
                break
    except Unavailable:
        if not comments:
            raise
    # A stream from `after` on does not tell what was deleted before it, so the page must not show it.
    deleted = _targets(deletes)
    shown = [entry for entry in comments if entry.is_shown and entry.position not in deleted]
    return Page(shown, None if after >= followed.judged_through else after, after, deleted)


def _targets(entries: Iterable[Entry]) -> tuple[int, ...]:
    """Return what the deletes among these entries delete, each once."""
    return tuple(dict.fromkeys(entry.target for entry in entries if entry.kind == COMMENT_DELETED))
