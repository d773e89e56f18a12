"""Pages of a video's comments, both ways, at any depth.

A page says what it examined: `next_cursor` is the last position looked at, so a page that met only deleted comments, or
whose reading broke off half way, is short or empty and still leads on. It ends in None.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from livecomments.following.tail import Entry
from livecomments.history.reading import History
from livecomments.history.stretch import Source, count_read
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import COMMENT_DELETED
from livecomments_schemas.positions import BEFORE_EVERYTHING

_READS_MAX: Final = 8
"""Reads for one page: a long stretch of deleted comments gives a short page instead of a slow one."""


class Page(NamedTuple):
    """Shown comments in the order asked for. `covered_through`: a stream from here on continues the page upwards."""

    comments: list[Entry]
    next_cursor: int | None
    covered_through: int


async def newest_first(history: History, video_id: str, before: int | None, limit: int) -> Page:
    """The `limit` newest comments earlier than `before` (exclusive; None: from the newest on), newest first.

    Raises:
        PartitionUnavailable, StoreUnavailable, LogUnavailable, HistoryBehind: nothing could be read; try again.
    """
    followed = history.home(video_id)
    if before is not None:
        await history.reach(followed, before - 1)
    top = followed.judged_through if before is None else min(before - 1, followed.judged_through)
    top = max(top, BEFORE_EVERYTHING)  # a cursor may name the first position that there is: none lies before
    comments: list[Entry] = []
    examined = _take(comments, followed.tail.backward(video_id, top + 1), limit, min(followed.tail.after, top) + 1)
    source = Source.TAIL
    try:
        if len(comments) < limit and examined > BEFORE_EVERYTHING + 1:
            above = await history.above(followed, video_id)
            if above.middle is not None:
                source = Source.LOG
                lowest = min(above.watermark + 1, examined)
                examined = _take(comments, above.middle.backward(video_id, examined), limit, lowest)
            else:
                examined = min(examined, above.watermark + 1)
            for _ in range(_READS_MAX):
                if len(comments) == limit or examined <= BEFORE_EVERYTHING + 1:
                    break
                source = Source.STORE
                rows, examined = await history.store.read(
                    video_id, BEFORE_EVERYTHING, examined - 1, limit - len(comments), descending=True
                )
                comments += [entry for entry in history.entries(rows, followed, above) if entry.is_shown]
    except Unavailable:
        if not comments:
            raise
    count_read(source)
    following = examined if examined > BEFORE_EVERYTHING + 1 else None
    return Page([entry for entry in comments if entry.is_shown], following, top)  # some were deleted meanwhile


def _take(comments: list[Entry], entries: Iterable[Entry], limit: int, lowest: int) -> int:
    """Add shown entries, newest first, until there are `limit`; the lowest position examined: `lowest` if all were."""
    for entry in entries:
        if entry.position < lowest:
            break
        if entry.is_shown:
            comments.append(entry)
            if len(comments) == limit:
                return entry.position
    return lowest


async def oldest_first(history: History, video_id: str, after: int, limit: int) -> Page:
    """The `limit` oldest comments later than `after` (exclusive), oldest first.

    Raises:
        PartitionUnavailable, StoreUnavailable, LogUnavailable, HistoryBehind: nothing could be read; try again.
    """
    followed = history.home(video_id)
    comments: list[Entry] = []
    deleted: set[int] = set()
    try:
        for _ in range(_READS_MAX):
            entries, after, _source = await history.forward(video_id, after, limit - len(comments))
            comments += [entry for entry in entries if entry.is_shown]
            deleted.update(entry.target for entry in entries if entry.kind == COMMENT_DELETED)
            if len(comments) == limit or after >= followed.judged_through:
                break
    except Unavailable:
        if not comments:
            raise
    # A stream from `after` on does not tell what was deleted before it, so the page must not show it.
    shown = [entry for entry in comments if entry.is_shown and entry.position not in deleted]
    return Page(shown, None if after >= followed.judged_through else after, after)
