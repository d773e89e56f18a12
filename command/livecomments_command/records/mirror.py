"""A mirror, read as the topic that it was made of: what `rebuild` and `verify` read when that topic is gone.

A mirror is a topic of copies, as `replay --to-topic` makes them, or a copy of such a topic with its headers.
`MirrorLog` gives back each record at the partition, offset and time of its origin, so that whoever judges, stores or
compares knows nothing of mirrors, and all ids are the same. All of it is looked through once when it is opened, and
little is remembered: of each partition where every thousandth record's copy lies.

A copy that came twice, as copies do at least once, counts once: it is looked for at its first place, and must be the
same. One that comes behind a later offset and was not there before is refused: two mirrors in one, or one that was made
in two turns, the later part first. Copies of other epochs are passed over, so that one mirror may hold several.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from livecomments.log.interface import AppendRefused, Bounds, CommentLog, LogReader, OffsetUnavailable, Slice
from livecomments.log.topics import is_comments
from livecomments.store.interface import CommentStore
from livecomments_command.records.bars import Advance
from livecomments_command.records.copies import Copied, CopyCorrupt, copied
from livecomments_command.records.scan import patiently
from livecomments_command.records.seen_through import SeenThrough
from livecomments_schemas.epochs import Contract
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import NewRecord, Record
from livecomments_schemas.positions import first_position

_READ_RECORDS: Final = 500
"""Of the mirror at once; as many are kept of each partition."""
_PLACE_EVERY: Final = 1_000
"""Copies from one remembered place to the next: 16 bytes each, and as many records are passed over at most."""
_AGAIN: Final = "Make the mirror anew, in an empty topic."


class MirrorOrigin(NamedTuple):
    """What a mirror must be of."""

    topic: str
    """The comments topic's name, as its copies say it."""
    prefix: str
    """Of the names of all topics of the deployment."""
    contract: Contract


class _Copies:
    """The copies of one partition: from which offset to which, and where they lie in the mirror."""

    def __init__(self, mirror_partition: int, start: int, place_every: int) -> None:
        self.mirror_partition = mirror_partition
        self._place_every = place_every
        self.start = self.end = start
        self.count = 0
        self._offsets = array("Q")
        self._places = array("Q")

    def add(self, offset: int, place: int) -> None:
        """Note a copy behind all others."""
        if self.count % self._place_every == 0:
            self._offsets.append(offset)
            self._places.append(place)
        self.count += 1
        self.end = offset + 1

    def place_before(self, offset: int) -> int:
        """Return a place in the mirror that no copy of this offset or a later one lies before."""
        return self._places[max(0, bisect_right(self._offsets, offset) - 1)]


class _Cursor:
    """Reads one partition's copies on from an offset, each once."""

    def __init__(self, mirror: "MirrorLog", partition: int, copies: _Copies, offset: int) -> None:
        self._mirror = mirror
        self._partition = partition
        self._copies = copies
        self._pending: list[Record] = []
        self.following = offset
        """The first offset not given out yet."""
        self.place = copies.place_before(offset)
        """In the mirror, behind what was read."""

    async def take(self, end: int, limit: int, before: int) -> list[Record]:
        """Return the next records with an offset before `end`, whose copies lie before a place in the mirror."""
        taken: list[Record] = []
        while len(taken) < limit:
            while self._pending and self._pending[0].offset < self.following:
                del self._pending[0]
            if not self._pending:
                if self.place >= before or self.following >= end:
                    break
                await self._fill(before)
                continue
            at = 0
            while at < len(self._pending) and len(taken) < limit and self._pending[at].offset < end:
                record = self._pending[at]
                at += 1
                if record.offset >= self.following:
                    taken.append(record)
                    self.following = record.offset + 1
            del self._pending[:at]
            if self._pending and self._pending[0].offset >= end:
                break
        return taken

    async def _fill(self, before: int) -> None:
        copies, self.place = await self._mirror.read_copies(self._copies.mirror_partition, self.place, before)
        self._pending = [
            record
            for _, (topic, record) in copies
            if topic == self._mirror.topic and record.partition == self._partition and record.offset >= self.following
        ]


class MirrorLog:
    """See `CommentLog`: the log that `mirror` holds copies of, as far as it did when it was looked through.

    `place_every`: a seam for tests.
    """

    def __init__(self, mirror: CommentLog, name: str, origin: MirrorOrigin, *, place_every: int = _PLACE_EVERY) -> None:
        self._place_every = place_every
        self.topic: Final = origin.topic
        self._mirror = mirror
        self._name = name
        self._origin = origin
        self._copies: dict[int, _Copies] = {}
        self._cursors: dict[int, _Cursor] = {}
        self._ends: dict[int, int] = {}
        self.repeated = 0
        """Copies that were there already."""
        self.passed_over = 0
        """Copies of other epochs."""

    @property
    def epoch(self) -> int:
        return self._origin.contract.epoch

    @property
    def partition_count(self) -> int:
        return self._origin.contract.partitions

    @property
    def missing(self) -> int:
        """How many offsets between each partition's first copy and its last have none."""
        return sum(one.end - one.start - one.count for one in self._copies.values())

    def notes(self) -> list[str]:
        """Return what an operator should know of the mirror, a sentence each."""
        none_of = sorted(set(range(self.partition_count)) - self._copies.keys())
        notes = [f"Partition {partition}: {self._name} has no copy of it." for partition in none_of]
        if self.missing:
            notes.append(
                f"{self.missing:,} offsets between others have no copy in {self._name}: what nobody could read is not "
                "copied, nor are the markers of transactions; anything else there is lost."
            )
        if self.repeated:
            notes.append(f"{self.repeated:,} copies were there twice, and count once.")
        if self.passed_over:
            notes.append(f"{self.passed_over:,} copies are of other epochs: name each with --epoch.")
        return notes

    async def size(self) -> int:
        """Tell how many offsets the mirror has now."""
        held = await patiently(lambda: self._mirror.bounds(range(self._mirror.partition_count)))
        return sum(end - start for start, end in held.values())

    async def look_through(self, advance: Advance) -> None:
        """Read all of the mirror once, up to where it ends now.

        Raises:
            StartRefused: it is no mirror of this topic, or one that cannot be put in order.
            OffsetUnavailable, LogUnavailable: run it again.
        """
        held = await patiently(lambda: self._mirror.bounds(range(self._mirror.partition_count)))
        for number, (start, end) in held.items():
            self._ends[number] = end
            place = start
            while place < end:
                before = place
                copies, place = await self.read_copies(number, place, end)
                for at, copy in copies:
                    await self._note(number, at, copy)
                advance(place - before)
        self._cursors.clear()

    async def read_copies(self, number: int, place: int, before: int) -> tuple[Sequence[tuple[int, Copied]], int]:
        """Read on in a partition of the mirror: copies with their places, and the place behind them.

        Raises:
            StartRefused: something there is no copy.
            OffsetUnavailable, LogUnavailable: run it again.
        """
        found = await patiently(lambda: self._mirror.read(number, place, before, _READ_RECORDS))
        if found.next <= place:
            raise OffsetUnavailable(f"Partition {number} of {self._name} ends at {place}, not at {before}.")
        copies = []
        for record in found.records:
            try:
                copies.append((record.offset, copied(record)))
            except CopyCorrupt as error:
                raise StartRefused(
                    f"{self._name}, partition {number}, offset {record.offset}: this {error}. A mirror is what "
                    "replay --to-topic wrote, or a copy of that with all headers, and nothing beside."
                ) from error
        return copies, found.next

    async def _note(self, number: int, place: int, copy: Copied) -> None:
        topic, record = copy
        where = f"{self._name}, partition {number}, offset {place}: this is a copy of {topic}"
        if topic != self.topic:
            if topic.startswith(self._origin.prefix) and is_comments(topic.removeprefix(self._origin.prefix)):
                self.passed_over += 1
                return
            raise StartRefused(f"{where}, not of {self.topic}. Name a mirror of that.")
        where += f", partition {record.partition}, offset {record.offset}"
        if record.partition >= self.partition_count:
            raise StartRefused(f"{where}, but epoch {self.epoch} has partitions 0 to {self.partition_count - 1}.")
        copies = self._copies.setdefault(record.partition, _Copies(number, record.offset, self._place_every))
        if copies.mirror_partition != number:
            raise StartRefused(f"{where}, others of which lie in partition {copies.mirror_partition}. {_AGAIN}")
        if record.offset >= copies.end:
            copies.add(record.offset, place)
            return
        first = await self._first_copy(record.partition, copies, record.offset, place)
        if first is None:
            raise StartRefused(f"{where}, and comes behind offset {copies.end - 1}: out of order. {_AGAIN}")
        if first != record:
            raise StartRefused(f"{where}, which was copied before and was another record: two logs in one. {_AGAIN}")
        self.repeated += 1

    async def _first_copy(self, partition: int, copies: _Copies, offset: int, before: int) -> Record | None:
        """Return the record at an offset as it was copied first; None if no copy of it lies before a place."""
        cursor = self._cursors.get(partition)
        if cursor is None or cursor.following > offset or cursor.place < copies.place_before(offset):
            cursor = self._cursors[partition] = _Cursor(self, partition, copies, offset)
        while found := await cursor.take(offset + 1, 1, before):
            if found[0].offset == offset:
                return found[0]
        return None

    async def append(self, partition: int, record: NewRecord) -> int:
        raise AppendRefused("A mirror is only read.")

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        none = Bounds(0, 0)
        return {
            number: Bounds(self._copies[number].start, self._copies[number].end) if number in self._copies else none
            for number in partitions
        }

    async def answering(self, partitions: Iterable[int]) -> set[int]:
        return set(partitions)

    async def identity(self) -> str:
        """Tell that it is the log of its epoch: what a store was filled from that has rows of it already."""
        return self._origin.contract.topic_id

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        held = (await self.bounds([partition]))[partition]
        if not held.start <= start <= held.end:
            sentence = f"{self._name} holds offsets {held.start} to {held.end - 1} of partition {partition}."
            raise OffsetUnavailable(sentence, partition=partition, offset=start)
        end = min(end, held.end)
        if start >= end:
            return Slice([], start)
        copies, cursor = self._copies[partition], self._cursors.get(partition)
        if cursor is None or cursor.following != start:
            cursor = self._cursors[partition] = _Cursor(self, partition, copies, start)
        records = await cursor.take(end, limit, self._ends[copies.mirror_partition])
        if len(records) < limit:
            cursor.following = end
        return Slice(records, cursor.following)

    def follow(self) -> LogReader:
        """Refuse: a mirror is read as far as it was looked through. Raises StartRefused."""
        raise StartRefused(f"{self._name} is read as it stands, and not followed.")

    async def aclose(self) -> None:
        await self._mirror.aclose()


class MirroredStore(SeenThrough):
    """A store whose watermarks end where a mirror does: what it has beyond is not the mirror's to deny."""

    def __init__(self, store: CommentStore, mirror: MirrorLog) -> None:
        super().__init__(store)
        self._mirror = mirror

    async def watermark(self, epoch: int, partition: int) -> int:
        found = await super().watermark(epoch, partition)
        if epoch != self._mirror.epoch or partition >= self._mirror.partition_count:
            return found
        end = (await self._mirror.bounds([partition]))[partition].end
        return min(found, first_position(epoch) + end - 1) if found >= first_position(epoch) else found
