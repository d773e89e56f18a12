"""The tail: the newest accepted records of one partition, by video, in memory and bounded.

It covers every position after `after` up to what the follower has judged: within that range it is the whole truth, and
a deleted comment has no text in it.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar, Final

from livecomments_schemas.events import COMMENT_CREATED, COMMENT_DELETED, Record
from livecomments_schemas.judge import Verdict
from livecomments_schemas.positions import comment_id
from livecomments_schemas.render import render_comment

_ENTRY_BYTES: Final = 400
"""What an entry costs beside its value: the object, its id, its places in the indexes (measured)."""


class Entry:
    """One accepted record. `value` is empty once the comment is deleted."""

    __slots__ = (
        "appended_at_ms",
        "author_id",
        "kind",
        "partition",
        "position",
        "read_at",
        "target",
        "value",
        "video_id",
    )

    def __init__(
        self,
        position: int,
        partition: int,
        kind: bytes,
        video_id: str,
        author_id: str,
        value: bytes,
        *,
        target: int = 0,
        appended_at_ms: int = 0,
        read_at: float = 0.0,
    ) -> None:
        self.position = position
        self.partition = partition
        self.kind = kind
        self.video_id = video_id
        self.author_id = author_id
        self.value = value
        self.target = target
        self.appended_at_ms = appended_at_ms
        self.read_at = read_at

    @classmethod
    def of(cls, record: Record, verdict: Verdict, position: int, read_at: float = 0.0) -> "Entry":
        """Make the entry of an accepted record at its position; `read_at` is a monotonic time in seconds."""
        partition, _, _, value, headers, appended_at_ms = record
        _, video_id, _, _, target = verdict
        assert value is not None
        entry = cls.__new__(cls)  # past `__init__`, which takes twice as long by name: most entries concern nobody
        entry.position = position
        entry.partition = partition
        entry.kind = headers["type"]
        entry.video_id = video_id
        entry.author_id = headers["author"].decode("utf-8", "replace")
        entry.value = value
        entry.target = target
        entry.appended_at_ms = appended_at_ms
        entry.read_at = read_at
        return entry

    @property
    def comment_id(self) -> str:
        """Its id. Made when it is asked for: of most comments that are followed nobody does."""
        return comment_id(self.position, self.partition)

    @property
    def is_shown(self) -> bool:
        """Whether pages and streams show it as a comment."""
        return self.kind == COMMENT_CREATED and bool(self.value)

    def rendered(self) -> bytes:
        """Render the public JSON of a shown comment."""
        return render_comment(self.comment_id, self.value)


@dataclass(frozen=True)
class TailBounds:
    """How much of a partition stays in memory; the first bound that is reached counts."""

    records_max: int
    bytes_max: int
    age_max_s: float


_DROPPED_MAX: Final = 256
"""Places of dropped entries in a video's list before it is cut: keeps dropping O(1) and finding O(log n)."""
_DROPPED: Final = Entry(0, 0, b"", "", "", b"")
"""Stands in the place of a dropped entry, whose text would stay in memory otherwise."""
_POSITION: Final = attrgetter("position")


class _VideoTail:
    """One video's part, oldest first: `entries` from index `first` on, and among them the deletes."""

    __slots__ = ("deletes", "entries", "first")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.first = 0
        self.deletes: deque[Entry] = deque()

    def drop_oldest(self) -> None:
        if self.entries[self.first].kind == COMMENT_DELETED:
            self.deletes.popleft()
        self.entries[self.first] = _DROPPED
        self.first += 1
        if self.first > _DROPPED_MAX and self.first * 4 > len(self.entries):
            del self.entries[: self.first]
            self.first = 0


class Tail:
    """The newest records of one partition."""

    entry_type: ClassVar[type[Entry]] = Entry
    """What is made of each accepted record."""

    def __init__(self, bounds: TailBounds, after: int) -> None:
        self.after = after
        """Everything later than this position, as far as the follower has read, is in the tail."""
        self.bytes = 0
        self._bounds = bounds
        self._entries: deque[Entry] = deque()
        self._videos: dict[str, _VideoTail] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def append(self, entry: Entry, now: float) -> None:
        """Add the newest accepted record; a delete takes the text of its target; what exceeds the bounds leaves."""
        video = self._videos.get(entry.video_id)
        if video is None:
            video = self._videos[entry.video_id] = _VideoTail()
        video.entries.append(entry)
        self._entries.append(entry)
        self.bytes += len(entry.value) + _ENTRY_BYTES
        if entry.kind == COMMENT_DELETED:
            video.deletes.append(entry)
            self._erase(entry)
        self.trim(now)

    def trim(self, now: float) -> None:
        """Let go of what is beyond the bounds at the monotonic time `now`."""
        bounds, entries = self._bounds, self._entries
        while entries and (
            len(entries) > bounds.records_max
            or self.bytes > bounds.bytes_max
            or entries[0].read_at < now - bounds.age_max_s
        ):
            self._drop_oldest()

    def shrink(self, bytes_max: int) -> None:
        """Let go of the oldest beyond so many bytes, once: others need the memory."""
        while self.bytes > bytes_max and self._entries:
            self._drop_oldest()

    def forget(self, through: int) -> None:
        """Let go of everything up to `through`."""
        while self._entries and self._entries[0].position <= through:
            self._drop_oldest()
        self.after = max(self.after, through)

    def find(self, position: int) -> Entry | None:
        """Return the entry at `position`, if the tail holds one."""
        entries = self._entries
        if not entries or position > entries[-1].position:
            return None
        # It lies where it does if nothing between was refused, or later: found at once where few were.
        at = max(0, len(entries) - 1 - (entries[-1].position - position))
        if entries[at].position != position:
            at = bisect_left(entries, position, lo=at, key=_POSITION)
        return entries[at] if entries[at].position == position else None

    def forward(self, video_id: str, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries of a video later than `after`, oldest first. `after` is not before the tail."""
        assert after >= self.after
        video = self._videos.get(video_id)
        if video is None or video.entries[-1].position <= after:
            return []
        start = bisect_right(video.entries, after, lo=video.first, key=_POSITION)
        return video.entries[start : start + limit]

    def backward(self, video_id: str, before: int) -> Iterator[Entry]:
        """Iterate over a video's entries earlier than `before`, newest first. Not to be held over an await."""
        video = self._videos.get(video_id)
        if video is not None:
            end = bisect_left(video.entries, before, lo=video.first, key=_POSITION)
            for index in range(end - 1, video.first - 1, -1):
                yield video.entries[index]

    def deleted(self, video_id: str) -> set[int]:
        """Collect the positions that deletes in the tail have deleted, of one video."""
        video = self._videos.get(video_id)
        return {entry.target for entry in video.deletes} if video and video.deletes else set()

    def erase(self, video_id: str, positions: Iterable[int]) -> None:
        """Take the text of those comments of a video that stand at `positions`: deleted, here or later in the log."""
        for position in positions:
            target = self.find(position)
            if target is not None and target.kind == COMMENT_CREATED and target.video_id == video_id:
                self.bytes -= len(target.value)
                target.value = b""

    def _erase(self, delete: Entry) -> None:
        self.erase(delete.video_id, (delete.target,))

    def _drop_oldest(self) -> None:
        entry = self._entries.popleft()
        video = self._videos[entry.video_id]
        video.drop_oldest()
        if video.first == len(video.entries):
            del self._videos[entry.video_id]
        self.bytes -= len(entry.value) + _ENTRY_BYTES
        self.after = entry.position
