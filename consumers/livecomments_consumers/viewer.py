"""One viewer: a position, and the rules by which it moves. Pure: time and the video's feed are arguments.

LIVE: the position is at the feed's head; the next block is for it. BEHIND: joining, resuming, or a slow consumer; it is
given what follows its position, from the tail if that reaches back so far, else it asks for history. The invariant: an
id is written only when everything of the video up to it has been written before, or told as a gap.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from livecomments.history.stretch import Stretch
from livecomments_consumers.block import Block
from livecomments_consumers.frames import bye_frame, gap_frame, stale_frame

STALE_INTERVAL_S: Final = 5.0
"""Between two `stale` events of one silence."""
UNKNOWN_POSITION: Final = "unknown_position"
"""The reason of a gap told to a viewer whose position the log does not have, or not any more."""


class State(Enum):
    """How a viewer is served."""

    LIVE = "live"
    BEHIND = "behind"


class Feed(Protocol):
    """What a viewer sees of its video."""

    def id_at(self, position: int) -> str:
        """Return the id of a position of the video, in any epoch."""

    @property
    def head(self) -> int:
        """The position up to which everything has been flushed to viewers."""

    @property
    def newest(self) -> int:
        """A position not after the head; between the two lies nothing of the video."""

    @property
    def resets(self) -> int:
        """How often the log went back, so that positions before it say nothing any more."""

    @property
    def reset_at(self) -> int:
        """The head when the log went back the last time."""

    def block_after(self, position: int) -> Block | None:
        """Return the block that follows `position` at once; None if the tail does not reach back to it."""

    def heartbeat(self, position: int) -> Block:
        """Return a block with a heartbeat: everything up to `position` was delivered."""

    @property
    def version(self) -> int:
        """The version of the video's state, one more with each change; 0 as long as it is not known."""

    @property
    def said_at(self) -> int:
        """The position of the record that the state is from."""

    def video(self, position: int) -> Block:
        """Return a block that tells the video's state, with a heartbeat."""

    def greeting(self, position: int) -> Block:
        """Return a block with a heartbeat, and with the video's state if that is known."""

    @property
    def ended_at(self) -> int | None:
        """The position of the record that ended the video; None while it goes on, or nobody knows better."""

    def retry_ms(self) -> int:
        """Return a jittered time to come back after, in milliseconds."""

    def silence_s(self) -> float:
        """Tell how long the log has been silent beyond what is normal; 0 while all is well."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write a block; then the viewer has everything up to its `through`."""

    block: Block


@dataclass(frozen=True, slots=True)
class Say:
    """Write a frame of this viewer's own; then it has everything up to `through`."""

    frame: bytes
    through: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read history after this position, and tell the viewer by `fetched` or `missed`."""

    after: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until the feed or the clock moves."""


@dataclass(frozen=True, slots=True)
class Close:
    """Write a last frame and end the stream."""

    frame: bytes
    reason: str


Step = Write | Say | Fetch | Wait | Close
WAIT: Final = Wait()


class Place:
    """How far one viewer is, or all those of a cohort."""

    __slots__ = ("position", "told", "written_at")
    is_shared = False

    def __init__(self, position: int, written_at: float, told: int = 0) -> None:
        self.position = position
        """Everything of the video up to here has been written, or told as a gap."""
        self.written_at = written_at
        """When something was last written, by the hub's clock."""
        self.told = told
        """The version of the video's state that was written last."""

    def is_for(self, block: Block) -> bool:
        """Tell whether `block` is exactly what comes next."""
        return block.after <= self.position < block.first

    def is_video_due(self, feed: Feed) -> bool:
        """Tell whether the video's state has changed, and all that came before the change is written."""
        return self.told != feed.version and feed.said_at <= self.position

    def moved(self, through: int) -> None:
        """Note that nothing more of the video lies up to `through`. The position never goes back."""
        if through > self.position:
            self.position = through


class Viewer:
    """The state machine of one viewer."""

    __slots__ = ("_bye", "_heartbeat_interval_s", "_place", "_stale_at", "came_at_ms", "expires_at", "resets")

    def __init__(self, position: int, now: float, heartbeat_interval_s: float) -> None:
        self._place = Place(position, now)
        self.expires_at = math.inf
        """When the hub ends the stream, so that it comes back elsewhere."""
        self.came_at_ms = 0
        """When it connected, by the clock that appends are dated by (Unix)."""
        self.resets = 0
        """How many of the feed's resets the position knows of."""
        self._stale_at = now
        self._heartbeat_interval_s = heartbeat_interval_s
        self._bye: Close | None = None

    @property
    def place(self) -> Place:
        """Where it is: a place of its own, or the cohort that it stands in."""
        return self._place

    @property
    def position(self) -> int:
        """See `Place`."""
        return self._place.position

    @position.setter
    def position(self, position: int) -> None:
        self._own().position = position

    @property
    def written_at(self) -> float:
        """See `Place`."""
        return self._place.written_at

    @property
    def is_leaving(self) -> bool:
        """Whether its stream is to end at its next step."""
        return self._bye is not None

    def may_stand(self, feed: Feed) -> bool:
        """Tell whether it needs nothing of its own now: what comes next for those at the head is for it as well."""
        is_at_head = feed.newest <= self.position <= feed.head and self.resets == feed.resets
        return is_at_head and self._place.told == feed.version and self._bye is None

    def stand_at(self, place: Place) -> None:
        """Be where `place` is from now on, which others may move. Only `Cohorts` has it stand and step out."""
        self._place = place

    def step_out(self) -> None:
        """Go its own way from now on, from where it stands."""
        place = self._place
        self._place = Place(place.position, place.written_at, place.told)

    def state(self, feed: Feed) -> State:
        return State.LIVE if self.position >= feed.newest else State.BEHIND

    def step(self, feed: Feed, now: float) -> Step:
        """Return what to do next. A `Write` or `Say` is followed by `wrote`, a `Fetch` by `fetched` or `missed`."""
        if self._bye is not None:
            return self._bye
        if self.resets != feed.resets:
            return self._reset(feed)
        if self.position < feed.head:
            block = feed.block_after(self.position)
            return Fetch(self.position) if block is None else Write(block)
        if self.is_video_due(feed):
            self._own().told = feed.version
            return Write(feed.video(self.position))
        if feed.ended_at is not None and feed.ended_at <= self.position <= feed.head:  # else it may know of more
            return self._end(feed)
        silence_s = feed.silence_s()
        if silence_s:
            if now - self._stale_at >= STALE_INTERVAL_S:
                self._stale_at = now
                return Say(stale_frame(int(silence_s * 1000)), self.position)
        elif self.is_heartbeat_due(now):
            return Write(feed.heartbeat(self.position))
        return WAIT

    def is_for(self, block: Block) -> bool:
        """Tell whether `block` is exactly what comes next."""
        return self._place.is_for(block) and self._bye is None

    def is_heartbeat_due(self, now: float) -> bool:
        return now - self._place.written_at >= self._heartbeat_interval_s

    def is_video_due(self, feed: Feed) -> bool:
        """See `Place`."""
        return self._place.is_video_due(feed)

    def greet(self, feed: Feed) -> Write:
        """Return what a stream begins with: an id to resume from at once, and what is known of the video."""
        self._own().told = feed.version
        return Write(feed.greeting(self.position))

    def wrote(self, through: int, now: float) -> None:
        """Note that the lane has written what leads up to `through`. The position never goes back."""
        self.moved(through)
        self._own().written_at = now

    def moved(self, through: int) -> None:
        """Note that nothing of the video lies up to `through`; nothing was written."""
        self._own().moved(through)

    def fetched(self, stretch: Stretch) -> Write:
        """Return the write of a stretch of history that begins at the viewer's position."""
        return Write(Block.of(self.position, stretch.entries, stretch.through))

    def missed(self, through: int, reason: str, feed: Feed) -> Say:
        """Return the gap to write when what lies between the viewer's position and `through` cannot be had."""
        return Say(gap_frame(feed.id_at(self.position), feed.id_at(through), reason), through)

    def begin_bye(self, reason: str, retry_ms: int) -> None:
        """End the stream at the next step."""
        if self._bye is None:
            self._bye = Close(bye_frame(reason, retry_ms), reason)

    def _own(self) -> Place:
        assert not self._place.is_shared, "it stands with others, and would move them"
        return self._place

    def _end(self, feed: Feed) -> Close:
        """Return the close of a stream whose viewer has all of a video that is over.

        Its heartbeat carries an id that says so; without it the viewer would be let in again when it comes back.
        """
        return Close(feed.heartbeat(self.position).data + bye_frame("ended", feed.retry_ms()), "ended")

    def _reset(self, feed: Feed) -> Say:
        """Move the viewer to the head at which the log went back, and return the gap that tells it so.

        What the viewer has may not be what stands in the log there now.
        """
        self.resets = feed.resets
        gap = self.missed(feed.reset_at, UNKNOWN_POSITION, feed)
        self.position = feed.reset_at
        return gap
