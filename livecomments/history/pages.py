"""Pages of a video's comments, both ways, at any depth.

A page says what it examined: `next_cursor` is the last position looked at, so a page that met only deleted comments is
short or empty and still leads on. It ends in None.
"""

from typing import Final, NamedTuple

from livecomments.history.reading import History
from livecomments.history.stretch import Source, stretch
from livecomments.log.tail import Entry
from livecomments.store.interface import StoreUnavailable
from schemas.positions import BEFORE_EVERYTHING

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
        PartitionUnavailable, StoreUnavailable, LogUnavailable, HistoryBehind: try again.
    """
    followed = history.home(video_id)
    top = followed.judged_through if before is None else before - 1
    comments: list[Entry] = []
    for entry in followed.tail.backward(video_id, top + 1):
        if entry.is_shown:
            comments.append(entry)
            if len(comments) == limit:
                return _counted(Page(comments, entry.position, top), Source.TAIL)
    examined = min(followed.tail.after, top) + 1  # everything from here up has been looked at
    if examined <= BEFORE_EVERYTHING + 1:
        return _counted(Page(comments, None, top), Source.TAIL)
    try:
        return await _older(history, video_id, comments, examined, limit, top)
    except StoreUnavailable:
        if not comments:
            raise
        return _counted(Page(comments, examined, top), Source.TAIL)


async def oldest_first(history: History, video_id: str, after: int, limit: int) -> Page:
    """The `limit` oldest comments later than `after` (exclusive), oldest first.

    Raises:
        PartitionUnavailable, StoreUnavailable, LogUnavailable, HistoryBehind: try again.
    """
    followed = history.home(video_id)
    comments: list[Entry] = []
    for _ in range(_READS_MAX):
        entries, through, _source = await history.forward(video_id, after, limit - len(comments))
        comments += [entry for entry in entries if entry.is_shown]
        after = through
        if len(comments) == limit:
            break
        if through >= followed.judged_through:
            break
    following = None if after >= followed.judged_through else after
    return Page([entry for entry in comments if entry.is_shown], following, after)


async def _older(history: History, video_id: str, comments: list[Entry], examined: int, limit: int, top: int) -> Page:
    """Go on below the tail: the middle, then the store."""
    followed = history.home(video_id)
    above = await history.above(followed, video_id)
    if above.middle is not None:
        for entry in above.middle.backward(video_id, examined):
            if entry.position > above.watermark and entry.is_shown and entry.position not in above.deleted:
                comments.append(entry)
                if len(comments) == limit:
                    return _counted(Page(comments, entry.position, top), Source.LOG)
    examined = min(examined, above.watermark + 1)
    for _ in range(_READS_MAX):
        if examined <= BEFORE_EVERYTHING + 1:
            return _counted(Page(comments, None, top), Source.STORE)
        rows, examined = await history.store.read(
            video_id, BEFORE_EVERYTHING, examined - 1, limit - len(comments), descending=True
        )
        comments += [entry for entry in history.entries(rows, followed, above) if entry.is_shown]
        if len(comments) == limit:
            break
    at_end = examined <= BEFORE_EVERYTHING + 1
    return _counted(Page(comments, None if at_end else examined, top), Source.STORE)


def _counted(page: Page, source: Source) -> Page:
    """The page as it stands: comments deleted while it was read are left out."""
    stretch([], page.covered_through, source)
    return page._replace(comments=[entry for entry in page.comments if entry.is_shown])
