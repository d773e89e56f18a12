"""What the log says: every record ever appended, judged from the first, and what a viewer of a video must get of it.

A log that loses its end begins a new *life*: other records stand at the same positions from then on. One that grows
goes on in a second epoch, whose partitions all have the one of the first as their parent.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

import orjson

from livecomments.following.tail import Entry
from livecomments.history.state import STATE_TYPES, VideoState
from livecomments_schemas.events import COMMENT_CREATED, COMMENT_DELETED, VIDEO_ENDED, VIDEO_STARTED, Record
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import Home, comment_id, epoch_of, position_at
from livecomments_schemas.render import render_comment, render_video
from livecomments_schemas.window import Window

EPOCH: Final = 1
PARTITION: Final = 0
NEXT_EPOCH: Final = 2
NEXT_COUNT: Final = 2
COUNTS: Final = {EPOCH: 1, NEXT_EPOCH: NEXT_COUNT}
"""The partitions of each epoch."""
WINDOW_RECORDS: Final = 6


class Accepted(NamedTuple):
    """An accepted record of a video."""

    position: int
    kind: bytes
    value: bytes
    target: int
    appended_at: float
    partition: int = PARTITION

    @property
    def data(self) -> bytes:
        """What an event of it carries."""
        if self.kind == COMMENT_CREATED:
            return render_comment(comment_id(self.position, self.partition), self.value)
        return self.value


def home_of(video_id: str, epoch: int) -> Home:
    """Where records of a video stand in an epoch."""
    return Home(epoch, partition_of(video_id, COUNTS[epoch]), COUNTS[epoch])


def id_of(video_id: str, position: int) -> str:
    """The id of a position of a video, in whichever epoch it is."""
    return comment_id(position, home_of(video_id, epoch_of(position)).partition)


class Part:
    """One partition of an epoch from its first record."""

    def __init__(self, epoch: int, number: int) -> None:
        self.epoch = epoch
        self.number = number
        self.records: list[Record | None] = []
        """By offset. None is a hole: a marker of the log's own."""
        self.times: list[float] = []
        self.window = Window(epoch, number, COUNTS[epoch], since=0, whole=True, size=WINDOW_RECORDS)

    @property
    def end(self) -> int:
        """The next offset."""
        return len(self.records)


class Life:
    """The log from its first record."""

    def __init__(self) -> None:
        self.first = Part(EPOCH, PARTITION)
        self.following = [Part(NEXT_EPOCH, number) for number in range(NEXT_COUNT)]
        """The next epoch, which is empty until the log grows."""
        self.videos: defaultdict[str, list[Accepted]] = defaultdict(list)
        self.deleted: defaultdict[str, dict[int, int]] = defaultdict(dict)
        """Of each video: the position of a deleted comment, and of its first delete."""
        self.states: defaultdict[str, VideoState] = defaultdict(VideoState)
        self.said: defaultdict[str, list[bytes]] = defaultdict(list)
        """Of each video all that was ever so, the newest last, as clients are told."""

    @property
    def records(self) -> list[Record | None]:
        """Those of the first epoch, by offset."""
        return self.first.records

    @property
    def times(self) -> list[float]:
        return self.first.times

    @property
    def end(self) -> int:
        """The next offset of the first epoch."""
        return self.first.end

    def append(self, record: Record | None, now: float, part: Part | None = None) -> None:
        """Append to a partition, by default to that of the first epoch."""
        part = part or self.first
        part.records.append(record)
        part.times.append(now)
        if record is None:
            return
        verdict = judge(record, part.window)
        if verdict.kind is not Kind.ACCEPTED:
            return
        assert record.value is not None
        kind, position = record.headers["type"], position_at(part.epoch, record.offset)
        accepted = Accepted(position, kind, record.value, verdict.target, now, part.number)
        self.videos[verdict.video_id].append(accepted)
        if kind in STATE_TYPES:
            entry = Entry(position, part.number, kind, verdict.video_id, "ana", record.value)
            self.states[verdict.video_id] = self.states[verdict.video_id].hear(entry)
            self.said[verdict.video_id].append(self.video(verdict.video_id))
        if kind == COMMENT_DELETED:
            self.deleted[verdict.video_id].setdefault(verdict.target, position)

    def video(self, video_id: str) -> bytes:
        """What is so of a video now."""
        state = self.states[video_id]
        settings = orjson.loads(state.settings) if state.settings else {}
        return render_video(video_id, settings, is_ended=state.is_ended, pinned=state.pinned)

    def said_at_first(self, video_id: str) -> bytes:
        """What is so of a video of which nobody has said anything."""
        return render_video(video_id, {}, is_ended=False)

    def cut(self, end: int) -> "Life":
        """A new life that has lost everything from offset `end` on."""
        life = Life()
        for record, at in zip(self.records[:end], self.times, strict=False):
            life.append(record, at)
        return life

    def find(self, video_id: str, position: int) -> Accepted | None:
        entries = self.videos[video_id]
        index = bisect_right(entries, position, key=_position) - 1
        return entries[index] if index >= 0 and entries[index].position == position else None

    def between(self, video_id: str, after: int, through: int) -> Iterator[Accepted]:
        """The entries of a video with after < position ≤ through."""
        entries = self.videos[video_id]
        for index in range(bisect_right(entries, after, key=_position), len(entries)):
            if entries[index].position > through:
                return
            yield entries[index]

    def is_over(self, video_id: str, after: int, known: int) -> bool:
        """Whether the video had ended by `after`, as far as one can tell who knows the log up to `known`."""
        said = None
        for entry in self.between(video_id, 0, max(after, known)):
            said = entry if entry.kind in (VIDEO_STARTED, VIDEO_ENDED) else said
        return said is not None and said.kind == VIDEO_ENDED and said.position <= after

    def missing(self, video_id: str, after: int, through: int, *, deletes: bool = True) -> Accepted | None:
        """The first entry in (after, through] that a viewer who was given none of it has missed.

        A comment that was deleted need not be shown; its delete must be.
        """
        for entry in self.between(video_id, after, through):
            if entry.kind == COMMENT_CREATED and entry.position not in self.deleted[video_id]:
                return entry
            if entry.kind == COMMENT_DELETED and deletes:
                return entry
        return None


def _position(entry: Accepted) -> int:
    return entry.position
