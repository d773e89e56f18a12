"""What is remembered of a run: ids, digests and moments, never texts. The checks read nothing else.

One `VideoLedger` a video. Distinct events are kept once a video (`events`); what a viewer got is a list of numbers into
that: 4 bytes a delivery, and 12 more for each piece of network data that held any. A comment costs about 0.5 KB.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

import orjson

from livecomments_loadtest.schedule import Mode
from livecomments_loadtest.sse import SseEvent
from livecomments_schemas.positions import COMMENT_ID_CHARS

REMEMBERED_BLOCKS: Final = 1_024
"""Blocks a video whose meaning is kept, twice over: a few seconds of the hottest video, some 300 KB."""

PROTOCOL_KINDS_MAX: Final = 50
"""Different complaints kept; more are counted as one."""


class EventKind(IntEnum):
    """What an event with an id is to the checks. MARK: a heartbeat, or anything else that only moves the position."""

    COMMENT = 0
    DELETE = 1
    GAP = 2
    MARK = 3


class Event(NamedTuple):
    """`digest` is a comment's; `other` a deleted comment's id, or the position a gap starts after."""

    kind: EventKind
    id: str
    digest: int = 0
    other: str = ""


class Ack(NamedTuple):
    """A 201: from just before the first try was sent to its arrival, on this process's clock, in seconds."""

    digest: int
    sent_at: float
    acked_at: float


class Answers(NamedTuple):
    """All the 201s one key got. `late`: the tries lay further apart than the dedupe window promises to see."""

    n: int
    late: bool
    acks: tuple[tuple[str, int], ...]


class Walk(NamedTuple):
    """All pages of a video in one direction: `(id, digest)` in the order they came. `complete`: to the last page."""

    sort: str
    page_size: int
    items: Sequence[tuple[str, int]]
    complete: bool = True


@dataclass
class Trace:
    """What one viewer got over all its connections, in order."""

    viewer: int
    mode: Mode = Mode.LIVE
    size: int = 0
    connected_at: float = 0.0
    """Just before the request that began this trace was sent."""

    first_at: float = 0.0
    """When its first event arrived."""

    covers_after: str | None = None
    """Page mode: the position the page starts after, `""` for the very beginning. None: the first event decides."""

    events: "array[int]" = field(default_factory=lambda: array("I"))
    pieces: "array[int]" = field(default_factory=lambda: array("I"))
    """How many events there were after each piece of network data; `arrived_at` says when it came."""

    arrived_at: "array[float]" = field(default_factory=lambda: array("d"))
    connections: list[tuple[int, float]] = field(default_factory=list)
    """Of each connection: how many events there were before it, and when its first event arrived."""

    _scanned: int = 0
    _reached: str = ""
    _deletes_seen: set[str] = field(default_factory=set)
    _comments_seen: set[str] = field(default_factory=set)

    def arrived(self, now: float) -> None:
        """Close a piece of network data whose events have been appended; it came at `now`, by `time.perf_counter`."""
        if not self.first_at:
            self.first_at = now
        self.pieces.append(len(self.events))
        self.arrived_at.append(now)

    def position(self, of: "VideoLedger") -> str:
        """Return the id that a resume would name: that of the last event; `""` before the first."""
        return of.events[self.events[-1]].id if self.events else ""

    def owes(self, of: "VideoLedger") -> bool:
        """Tell whether something is still to come: the last acknowledged comment, or the delete of one that was shown.

        Only for when all posts and deletes have their answers: what was looked at once is not looked at again.
        """
        for index in self.events[self._scanned :]:
            event = of.events[index]
            self._reached = max(self._reached, event.id)
            if event.kind is EventKind.DELETE:
                self._deletes_seen.add(event.other)
            elif event.kind is EventKind.COMMENT and event.id in of.deletes:
                self._comments_seen.add(event.id)
        self._scanned = len(self.events)
        if self._reached < of.newest_ack:
            return True
        return any(of.deletes[target] for target in self._comments_seen - self._deletes_seen)


@dataclass
class VideoLedger:
    """One video of the run."""

    video_id: str
    events: list[Event] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    acks: dict[str, Ack] = field(default_factory=dict)
    answers: list[Answers] = field(default_factory=list)
    one_id_twice: list[str] = field(default_factory=list)
    """Ids given to two different posts."""

    deletes: dict[str, bool] = field(default_factory=dict)
    """Comments whose delete was sent; True once it was answered with 204."""

    unanswered: int = 0
    """Posts that were sent and never got a final answer: each may be a comment that nobody acknowledged."""

    late_tries: int = 0
    """Posts whose tries lay further apart than the dedupe window: each may be a second comment."""

    newest_ack: str = ""
    _numbers: dict[Event, int] = field(default_factory=dict)
    _blocks: dict[bytes, int] = field(default_factory=dict)
    _older_blocks: dict[bytes, int] = field(default_factory=dict)

    def acknowledge(self, comment_id: str, ack: Ack) -> None:
        """Record a post's first 201; an id that another post has got is kept in `one_id_twice`."""
        if comment_id in self.acks:
            self.one_id_twice.append(comment_id)
            return
        self.acks[comment_id] = ack
        self.newest_ack = max(self.newest_ack, comment_id)

    def number(self, event: Event) -> int:
        """Return the event's place in `events`, where equal events are kept once; append it if it is new."""
        number = self._numbers.setdefault(event, len(self.events))
        if number == len(self.events):
            self.events.append(event)
        return number

    def take(self, blocks: Sequence[bytes], at: int, into: Trace) -> int:
        """Add the events of `blocks` from `at` on to a trace; return the place of the first unknown block, or the end.

        The hot path of a run: every viewer of a video gets the same bytes, so that all but the first cost one look-up.
        """
        known, older, append = self._blocks, self._older_blocks, into.events.append
        for place in range(at, len(blocks)):
            block = blocks[place]
            number = known.get(block)
            if number is None:
                number = older.get(block)
                if number is None:
                    return place
            append(number)
        return len(blocks)

    def remember(self, block: bytes, number: int) -> None:
        """Remember that these bytes are that event. Only for blocks that say nothing else, such as a `retry:`."""
        if len(self._blocks) >= REMEMBERED_BLOCKS:
            self._older_blocks, self._blocks = self._blocks, {}
        self._blocks[block] = number

    def events_of(self, trace: Trace) -> Iterator[Event]:
        return map(self.events.__getitem__, trace.events)


class Complaints:
    """What the contract forbids and no id shows: answers and streams that are not as they must be. Counted by kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, what: str) -> None:
        """Count one complaint. `what` names a kind, not an occurrence: it must hold no ids."""
        if what not in self._counts and len(self._counts) >= PROTOCOL_KINDS_MAX:
            what = "other"
        self._counts[what] += 1

    def lines(self) -> Iterator[str]:
        """Yield one line an occurrence, as a check does."""
        return self._counts.elements()


_PROMISED: Final = {
    "comment": "commentId",
    "delete": "commentId",
    "gap": "from",
    "heartbeat": "everyMs",
    "video": "videoId",
}
"""Of each event that has data, a member that it cannot be without."""


class EventMalformed(ValueError):
    """An event that breaks the contract; the text names how."""


def digest_of(data: bytes) -> int:
    """Return 64 keyed bits over a comment's bytes, comparable within this process only."""
    return hash(data)


def read_event(sse: SseEvent) -> Event | None:
    """Return what an SSE event is to the checks; None for one that has no place in the order.

    That is one without an id, or the `begin` of a stream that resumes after nothing.

    Raises:
        EventMalformed: a comment, delete or gap without an id, data other than promised, or a malformed id.
    """
    kind = sse.kind.decode("ascii", "replace")
    if sse.id is None or (kind == "begin" and not sse.id):
        if kind in ("comment", "delete", "gap") and sse.data is not None:
            raise EventMalformed(f"{kind} event without an id")
        return None
    event_id = sse.id.decode("ascii", "replace")
    if not is_comment_id(event_id):
        raise EventMalformed(f"{kind} event whose id is no comment id")
    if sse.data is None or kind not in _PROMISED:
        return Event(EventKind.MARK, event_id)
    try:
        members = orjson.loads(sse.data)
        named = members[_PROMISED[kind]]
    except (ValueError, KeyError, TypeError) as error:
        raise EventMalformed(f"{kind} event whose data is not as promised") from error
    if kind in ("heartbeat", "video"):
        return Event(EventKind.MARK, event_id)
    if kind == "comment":
        if named != event_id:
            raise EventMalformed("comment event whose id is not the comment's")
        return Event(EventKind.COMMENT, event_id, digest_of(sse.data))
    return Event(EventKind.GAP if kind == "gap" else EventKind.DELETE, event_id, other=str(named))


def is_comment_id(text: str) -> bool:
    """Tell whether a text has the shape of a comment id."""
    return len(text) == COMMENT_ID_CHARS and text.isascii() and text.isalnum() and text == text.lower()
