"""Whether a video is over: what the newest of its records that say so says, wherever that record is."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import History
from livecomments.store.interface import Row
from livecomments_schemas.events import VIDEO_ENDED, VIDEO_STARTED, facts_of
from livecomments_schemas.positions import BEFORE_EVERYTHING

STATE_TYPES: Final = frozenset((VIDEO_STARTED, VIDEO_ENDED))
_READ_ROWS: Final = 100
_READS_MAX: Final = 100
"""A video of which ten thousand facts were said since goes on."""


class VideoState(NamedTuple):
    """What a record said: `position` is its own; nobody said anything at `BEFORE_EVERYTHING`."""

    position: int
    is_ended: bool


async def video_state(history: History, followed: FollowedPartition, video_id: str) -> VideoState:
    """The newest that was said before this call; what is said meanwhile may be in it or not.

    Raises:
        StoreUnavailable, LogUnavailable, HistoryBehind: try again.
    """
    state = _newest(followed.tail.backward(video_id, followed.judged_through + 1))
    if state is not None:
        return state
    above = await history.above(followed, video_id)
    if above.middle is not None:
        state = _newest(above.middle.backward(video_id, followed.judged_through + 1))
    through = above.watermark
    for _ in range(_READS_MAX):
        if state is not None or through <= BEFORE_EVERYTHING:
            break
        rows, examined = await history.store.read(
            facts_of(video_id), BEFORE_EVERYTHING, through, _READ_ROWS, descending=True
        )
        state, through = _newest(rows), examined - 1
    return state or VideoState(BEFORE_EVERYTHING, False)


def _newest(facts: Iterable[Entry | Row]) -> VideoState | None:
    """What the first of these says that says anything."""
    for fact in facts:
        if fact.kind in STATE_TYPES:
            return VideoState(fact.position, fact.kind == VIDEO_ENDED)
    return None
