"""One viewer: a position, and the rules by which it moves. Pure: time and the video's feed are arguments.

LIVE: the position is at the feed's head; the next block is for it. BEHIND: joining, resuming or slow; it is given what
follows its position, from the tail if that reaches back so far, else it asks for history. The invariant (D8): an id is
written only when everything of the video up to it has been written before, or told as a gap.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

from consumers.frames import bye_frame, entry_frames, gap_frame, heartbeat_frame, stale_frame
from livecomments.history.stretch import Stretch
from schemas.positions import comment_id

STALE_INTERVAL_S: Final = 5.0
"""Between two `stale` events of one silence."""


class State(Enum):
    """How a viewer is served."""

    LIVE = "live"
    BEHIND = "behind"


class Block(NamedTuple):
    """Frames of one video, shared by all its viewers who stand at `after` or later, but before `first`."""

    after: int
    first: int
    through: int
    data: bytes
    comments: int


class Feed(Protocol):
    """What a viewer sees of its video."""

    @property
    def partition(self) -> int: ...
    @property
    def head(self) -> int:
        """The position up to which everything has been flushed to viewers."""

    def block_after(self, position: int) -> Block | None:
        """What follows `position` at once, or None if the tail does not reach back to it."""

    def silence_s(self) -> float:
        """How long the log has been silent beyond what is normal; 0 while all is well."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write `data`; then the viewer has everything up to `through`."""

    data: bytes
    through: int
    comments: int = 0


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read history after this position, and tell the viewer by `fetched` or `missed`."""

    after: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until the feed or the clock moves."""


@dataclass(frozen=True, slots=True)
class Close:
    """Write `data`, then end the stream."""

    data: bytes


Step = Write | Fetch | Wait | Close


class Viewer:
    """The state machine of one viewer."""

    __slots__ = ("_bye", "_heartbeat_interval_s", "_stale_at", "_written_at", "position")

    def __init__(self, position: int, now: float, heartbeat_interval_s: float) -> None:
        self.position = position
        """Everything of the video up to here has been written, or told as a gap."""
        self._written_at = now
        self._stale_at = now
        self._heartbeat_interval_s = heartbeat_interval_s
        self._bye: bytes | None = None

    def state(self, feed: Feed) -> State:
        return State.LIVE if self.position >= feed.head else State.BEHIND

    def step(self, feed: Feed, now: float) -> Step:
        """What to do next. A `Write` is followed by `written`, a `Fetch` by `fetched` or `missed`."""
        if self._bye is not None:
            return Close(self._bye)
        if self.position < feed.head:
            block = feed.block_after(self.position)
            if block is None:
                return Fetch(self.position)
            return Write(block.data, block.through, block.comments)
        silence_s = feed.silence_s()
        if silence_s and now - self._stale_at >= STALE_INTERVAL_S:
            self._stale_at = now
            return Write(stale_frame(int(silence_s * 1000)), self.position)
        if self.is_heartbeat_due(now) and not silence_s:
            return Write(heartbeat_frame(comment_id(self.position, feed.partition)), self.position)
        return Wait()

    def is_heartbeat_due(self, now: float) -> bool:
        return now - self._written_at >= self._heartbeat_interval_s

    def written(self, write: Write, now: float) -> None:
        """The lane has taken `write`. The position never goes back."""
        self.position = max(self.position, write.through)
        if write.data:
            self._written_at = now

    def fetched(self, stretch: Stretch) -> Write:
        """What to write of a stretch of history that begins at the viewer's position."""
        data = entry_frames(stretch.entries)
        return Write(data, stretch.through, sum(entry.is_shown for entry in stretch.entries))

    def missed(self, through: int, reason: str, feed: Feed) -> Write:
        """What to write when everything up to `through` cannot be had."""
        after_id, through_id = comment_id(self.position, feed.partition), comment_id(through, feed.partition)
        return Write(gap_frame(after_id, through_id, reason), through)

    def begin_bye(self, reason: str, retry_ms: int) -> None:
        """End the stream at the next step."""
        if self._bye is None:
            self._bye = bye_frame(reason, retry_ms)
