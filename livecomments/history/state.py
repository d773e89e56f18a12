"""Whether a video is over: what the newest of its records that say so says, wherever that record is."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import BEGINNING, FACTS, History
from livecomments_schemas.events import VIDEO_ENDED, VIDEO_STARTED
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
    """Find the newest state that was said before this call; what is said meanwhile may be in it or not.

    Raises:
        StoreUnavailable, LogUnavailable, HistoryBehind: try again.
    """
    before = followed.judged_through + 1
    for _ in range(_READS_MAX):
        entries, before, _source = await history.backward(video_id, before, _READ_ROWS, FACTS)
        state = _newest(entries)
        if state is not None:
            return state
        if before <= BEGINNING:
            break
    return VideoState(BEFORE_EVERYTHING, False)


def _newest(facts: Iterable[Entry]) -> VideoState | None:
    """Return what the first of these facts that starts or ends a video says."""
    for fact in facts:
        if fact.kind in STATE_TYPES:
            return VideoState(fact.position, fact.kind == VIDEO_ENDED)
    return None
