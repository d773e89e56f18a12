"""The state of a video: whether it has ended, its settings and its pinned comment, as the newest of its facts say."""

from typing import Final, NamedTuple

import orjson

from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import BEGINNING, FACTS, History
from livecomments_schemas.events import COMMENT_PINNED, COMMENT_UNPINNED, VIDEO_CHANGED, VIDEO_ENDED, VIDEO_STARTED
from livecomments_schemas.positions import BEFORE_EVERYTHING

STATE_TYPES: Final = frozenset((VIDEO_STARTED, VIDEO_ENDED, VIDEO_CHANGED, COMMENT_PINNED, COMMENT_UNPINNED))
_READ_ROWS: Final = 100
_READS_MAX: Final = 100
"""Reads for one video. If none of its newest ten thousand facts says that it ended, it counts as live."""


class VideoState(NamedTuple):
    """A fold over facts, in any order: of each kind the one with the latest position holds."""

    position: int = BEFORE_EVERYTHING
    """Of the record that says whether it is over; nobody said anything at `BEFORE_EVERYTHING`."""
    is_ended: bool = False
    settings_at: int = BEFORE_EVERYTHING
    """Of the record that says what is set."""
    settings: bytes = b""
    """Its value: a JSON object. Empty as long as nobody has set anything."""
    pinned_at: int = BEFORE_EVERYTHING
    """Of the record that says which comment is pinned, or that none is."""
    pinned: str = ""
    """The id of that comment."""

    def hear(self, fact: Entry) -> "VideoState":
        """Return the state with one more fact taken in; a fact of another kind changes nothing."""
        if fact.kind == VIDEO_CHANGED and fact.position > self.settings_at and fact.value:
            return self._replace(settings_at=fact.position, settings=fact.value)
        if fact.kind in (VIDEO_STARTED, VIDEO_ENDED) and fact.position > self.position:
            return self._replace(position=fact.position, is_ended=fact.kind == VIDEO_ENDED)
        if fact.kind in (COMMENT_PINNED, COMMENT_UNPINNED) and fact.position > self.pinned_at and fact.value:
            return self._replace(pinned_at=fact.position, pinned=orjson.loads(fact.value).get("commentId", ""))
        return self

    def join(self, other: "VideoState") -> "VideoState":
        """Merge two states of one video, of the same log: of each kind the later fact holds."""
        state, settings = max(self, other, key=_position), max(self, other, key=_settings_at)
        pin = max(self, other, key=_pinned_at)
        return VideoState(
            state.position, state.is_ended, settings.settings_at, settings.settings, pin.pinned_at, pin.pinned
        )

    @property
    def is_whole(self) -> bool:
        """Whether all was said: nothing older changes it."""
        return min(self.position, self.settings_at, self.pinned_at) > BEFORE_EVERYTHING

    @property
    def said_at(self) -> int:
        """The position of the latest of what holds."""
        return max(self.position, self.settings_at, self.pinned_at)


async def video_state(history: History, followed: FollowedPartition, video_id: str) -> VideoState:
    """Read what was said before this call; what is said meanwhile may be in it or not.

    Raises:
        StoreUnavailable, LogUnavailable, HistoryBehind: try again.
    """
    state, before = VideoState(), followed.judged_through + 1
    for _ in range(_READS_MAX):
        entries, before, _source = await history.backward(followed, video_id, before, _READ_ROWS, FACTS)
        for entry in entries:
            state = state.hear(entry)
        if before <= BEGINNING or state.is_whole:
            break
    return state


def _position(state: VideoState) -> int:
    return state.position


def _pinned_at(state: VideoState) -> int:
    return state.pinned_at


def _settings_at(state: VideoState) -> int:
    return state.settings_at
