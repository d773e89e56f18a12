"""What one client was shown, held against what the log says: in order, once, nothing missed without a word.

The client is a native `EventSource`: it remembers the last id it saw, whatever event carried it, and comes back with
that. So an id is held to be a promise that nothing before it is still to come.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Final

import orjson

from livecomments_consumers.wire import FLUSHED
from livecomments_loadtest.sse import SseEvent
from livecomments_schemas.events import COMMENT_CREATED, COMMENT_DELETED
from livecomments_schemas.positions import (
    BEFORE_EVERYTHING,
    COMMENT_ID_CHARS,
    epoch_of,
    parse_cursor,
    position_at,
)
from tests.consumers.sim.log import SimLog
from tests.consumers.sim.truth import COUNTS, EPOCH, NEXT_EPOCH, Accepted, Life, home_of, id_of

EVERY: Final = b'{"everyMs":2000}'
"""Pairing: `HEARTBEAT_S` of the edge."""
GAP_REASONS: Final = frozenset(
    ("history_behind", "store_unavailable", "history_unavailable", "unknown_position", "as_asked")
)


class Wrong(AssertionError):
    """A viewer was shown what it must not be shown, or not shown what it must."""


class Shown:
    """What one client has seen, over all its connections."""

    def __init__(self, log: SimLog, video_id: str, history: int, seen: Counter[str]) -> None:
        self.position: int | None = None
        """Of the last id."""
        self.last_event_id: str | None = None
        self.knows_loss = True
        """It was told that the log had lost what it has seen, or the log has lost nothing of it."""
        self.is_over = False
        """It was told not to come back."""
        self.is_revoked: Callable[[], bool] = lambda: False
        """Whether its session has ended."""
        self.reasons: set[str] = set()
        """Of the gaps it was told."""
        self.video: bytes | None = None
        """What it was told last of its video."""
        self.appended_at = 0.0
        """When the newest comment that was shown had been appended."""
        self._log = log
        self.video_id = video_id
        self._history = history
        self.missed: int | None = None
        """It wants no more than so many of what it missed."""
        self._seen = seen
        self._deleted: set[int] = set()
        self._in_history = False
        """The first heartbeat, which ends what was asked for as history, is still to come."""
        self._began: int | None = None
        """Where this connection began."""

    def begin(self) -> None:
        """A new connection."""
        self._in_history = self.position is None and self._history > 0
        self._began = self.position

    def see(self, event: SseEvent, known: int) -> None:
        """One dispatched event; the server knew the log up to `known` well before it wrote its end. Raises Wrong."""
        self._seen[f"event {event.kind.decode()}"] += 1
        if event.kind == b"comment":
            self._see_comment(event, known)
        elif event.kind == b"delete":
            self._see_delete(event)
        elif event.kind == b"heartbeat":
            self._see_heartbeat(event)
        elif event.kind == b"gap":
            self._see_gap(event)
        elif event.kind == b"video":
            self._see_video(event)
        elif event.kind in (b"stale", b"bye"):
            if event.id is not None:
                raise Wrong(f"{event.kind.decode()} has an id")
            if event.kind == b"bye":
                reason = orjson.loads(event.data or b"")["reason"]
                self._seen[f"bye {reason}"] += 1
                if reason == "revoked" and not self.is_revoked():
                    raise Wrong("its session goes on")
                if reason == "ended":
                    self.see_end(known)
        else:
            raise Wrong(f"unknown event {event.kind!r}")
        self.last_event_id = self.last_event_id if event.id is None else event.id.decode()

    def see_end(self, known: int) -> None:
        """It was told that the video is over and that it has everything. Raises Wrong."""
        position = self.position
        if position is None or not any(life.is_over(self.video_id, position, known) for life in self._log.lives):
            raise Wrong("it was told that the video is over")

    def missing(self, through: int) -> Accepted | None:
        """The first entry up to `through` that is still to come."""
        after = BEFORE_EVERYTHING if self.position is None else self.position
        return self._log.life.missing(self.video_id, after, through)

    def _see_comment(self, event: SseEvent, known: int) -> None:
        position = self._next_id(event)
        entry = self._entry(position, COMMENT_CREATED, event)
        if position in self._deleted:
            raise Wrong(f"{_name(position)} is shown after its delete")
        deletes = {life.deleted[self.video_id].get(position) for life in self._log.lives}
        delete = deletes.pop()
        if delete is not None and delete <= known and not deletes:
            raise Wrong(f"the text of {_name(position)} was sent by who knew its delete {_name(delete)}")
        self._go_to(position, inclusive=False)
        self.appended_at = entry.appended_at

    def _see_delete(self, event: SseEvent) -> None:
        position = self._next_id(event)
        entry = self._entry(position, COMMENT_DELETED, event)
        self._go_to(position, inclusive=False)
        self._deleted.add(entry.target)
        self._seen["over the seam: delete"] += epoch_of(entry.target) < epoch_of(position)

    def _see_heartbeat(self, event: SseEvent) -> None:
        if event.data != EVERY:
            raise Wrong(f"a heartbeat says {event.data!r}")
        position = self._id(event)
        if self.position is not None and position < self.position:
            raise Wrong(f"a heartbeat goes back from {_name(self.position)} to {_name(position)}")
        self._go_to(position, inclusive=True)
        self._in_history = False

    def _see_video(self, event: SseEvent) -> None:
        position = self._id(event)
        if self.position is not None and position < self.position:
            raise Wrong(f"what is so of the video goes back from {_name(self.position)} to {_name(position)}")
        self._go_to(position, inclusive=True)
        self.video = event.data
        usual = self._log.lives[0].said_at_first(self.video_id)
        if event.data != usual and not any(event.data in life.said[self.video_id] for life in self._log.lives):
            raise Wrong(f"nobody ever said that {event.data!r}")

    def _see_gap(self, event: SseEvent) -> None:
        position = self._id(event)
        said = orjson.loads(event.data or b"")
        if set(said) != {"from", "to", "reason"} or said["reason"] not in GAP_REASONS:
            raise Wrong(f"a gap says {said}")
        since, through = (self._parsed(said[name]) for name in ("from", "to"))
        if through != position:
            raise Wrong("a gap's id is not its end")
        reason = said["reason"]
        self.reasons.add(reason)
        self._seen[f"gap {reason}"] += 1
        if reason == "unknown_position":
            self.knows_loss = True
            self._deleted = {target for target in self._deleted if target <= position}  # others stand there now
            if self.position is None or since < self.position:
                raise Wrong(f"a gap begins at {_name(since)}, before what was shown")
        elif reason == "history_unavailable":
            if self.position is not None:
                raise Wrong("history was not asked for")
        else:
            if since >= through:
                raise Wrong(f"a gap from {_name(since)} to {_name(through)}")
            self._go_to(since, inclusive=True)
            if reason == "as_asked":
                self._see_bounded(since, through)
        self.position = position

    def _see_bounded(self, since: int, through: int) -> None:
        """It was not given what it did not want: comments, and at least as many as it wants come behind them."""
        assert self.missed is not None, "all was asked for"
        lives = self._log.lives
        if all(next(_comments(life, self.video_id, since, through), None) is None for life in lives):
            raise Wrong(f"no comment lies between {_name(since)} and {_name(through)}")
        end = position_at(NEXT_EPOCH + 1, 0)
        if all(len(list(_comments(life, self.video_id, through, end))) < self.missed for life in lives):
            raise Wrong(f"fewer than {self.missed} comments come after {_name(through)}")

    def _next_id(self, event: SseEvent) -> int:
        position = self._id(event)
        if self.position is not None and position <= self.position:
            raise Wrong(f"{_name(position)} comes after {_name(self.position)}")
        return position

    def _id(self, event: SseEvent) -> int:
        if event.id is None or len(event.id) != COMMENT_ID_CHARS:
            raise Wrong(f"{event.kind.decode()} has id {event.id!r}")
        position = self._parsed(event.id.decode())
        if not self._log.holds(self.video_id, position):
            raise Wrong(f"{_name(position)} does not exist")
        return position

    def _parsed(self, text: str) -> int:
        position = parse_cursor(text, home_of(self.video_id, self._log.epoch))
        if epoch_of(position) in COUNTS and text != id_of(self.video_id, position):
            raise Wrong(f"{_name(position)} of {self.video_id} has the id {text}")
        return position

    def _entry(self, position: int, kind: bytes, event: SseEvent) -> Accepted:
        for life in self._log.lives:
            entry = life.find(self.video_id, position)
            if entry is not None and entry.kind == kind and entry.data == event.data:
                return entry
        if kind == COMMENT_CREATED and (unsure := self._log.unsure_comment(position, event.data or b"")) is not None:
            self._seen["judged with half a window"] += 1
            return unsure
        raise Wrong(f"{_name(position)} is no {kind.decode()} that says {event.data!r}")

    def _go_to(self, position: int, *, inclusive: bool) -> None:
        """Everything up to `position` has been shown now; if not `inclusive`, it is being shown itself."""
        if self.position is not None:
            if epoch_of(self.position) < epoch_of(position):
                self._seen[f"over the seam: {'resumed' if self._began == self.position else 'streamed'}"] += 1
            through = position if inclusive else position - 1
            missed = [self._missed(life, self.position, through) for life in self._log.lives]
            if all(missed) and self._is_of_two_lives(self.position, through):
                self._seen["a loss shown before it was seen"] += 1
                self.knows_loss = False
            elif all(missed):
                first = missed[-1]
                assert first is not None
                raise Wrong(f"{_name(first.position)} was never shown, and {_name(position)} says that it was")
        self.position = position

    def _is_of_two_lives(self, after: int, through: int) -> bool:
        """Whether history came of the log as it is and the rest of the log as it was, as until the edge sees the loss.

        Nobody can tell then; but it must be told later.
        """
        for older, newer in combinations(self._log.lives, 2):
            first = self._missed(newer, after, through)
            if first is None or self._missed(older, first.position - 1, through) is None:
                return True
        return False

    def _missed(self, life: Life, after: int, through: int) -> Accepted | None:
        return life.missing(self.video_id, after, through, deletes=not self._in_history)


def _comments(life: Life, video_id: str, after: int, through: int) -> Iterator[Accepted]:
    return (entry for entry in life.between(video_id, after, through) if entry.kind == COMMENT_CREATED)


def _name(position: int) -> str:
    return str(position - position_at(EPOCH, 0))


_CHUNK: Final = re.compile(rb"[0-9a-f]{1,8}\r\n")


class Chunks:
    """Takes HTTP/1.1 chunk framing off, strictly, however it is cut."""

    def __init__(self) -> None:
        self.is_ended = False
        self._left = 0
        """Bytes of the current chunk and its line end."""
        self._rest = b""

    @property
    def is_mid_chunk(self) -> bool:
        """Whether more of a chunk is to come."""
        return bool(self._left or self._rest)

    def feed(self, data: bytes) -> bytes:
        """The body bytes that `data` brings. Raises Wrong."""
        body = []
        data = self._rest + data
        self._rest = b""
        while data:
            if self._left > 2:
                body.append(data[: self._left - 2])
                data, self._left = data[self._left - 2 :], self._left - len(body[-1])
            elif self._left:
                if not b"\r\n"[2 - self._left :].startswith(data[: self._left]):
                    raise Wrong("a chunk does not end where it said")
                data, self._left = data[self._left :], self._left - len(data[: self._left])
            elif self.is_ended:
                raise Wrong(f"{data!r} after the last chunk")
            elif b"\n" not in data:
                self._rest = data
                break
            else:
                line, _, data = data.partition(b"\n")
                if not _CHUNK.fullmatch(line + b"\n"):
                    raise Wrong(f"{line!r} begins no chunk")
                size = int(line, 16)
                self.is_ended = not size
                self._left = size + 2
        return b"".join(body)


class Gunzip:
    """Takes gzip off, and hands out no more than it must: what an empty stored block follows, as Go's decoder does."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What `data` lets go."""
        self._held += data
        end = self._held.rfind(FLUSHED) + len(FLUSHED)
        if end < len(FLUSHED):
            return b""
        flushed, self._held = self._held[:end], self._held[end:]
        return self._inflate.decompress(flushed)
