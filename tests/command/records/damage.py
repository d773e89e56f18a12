"""A log and its store, damaged as the dice say, and what verify must then find and rebuild must then leave.

The model is two folds that read all records at once: what the log still says, judged from a given offset on, and what
a store holds after rows are put into it. The rest is arithmetic on sets of rows.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.log.interface import Bounds
from livecomments.sqlite import DurableFile
from livecomments.store.interface import BUCKET_BITS, Row
from livecomments.store.rows import rows_of
from livecomments_command.records.opened import Opened
from livecomments_command.records.verify import DELETED, NOT_DELETED, NOT_IN_LOG, NOT_STORED, OTHER
from livecomments_schemas.events import (
    COMMENT_CREATED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    NewRecord,
    Record,
    comment_deleted,
    video_event,
)
from livecomments_schemas.judge import Kind, Verdict, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, first_position, offset_of, position_at
from livecomments_schemas.window import Window
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.persister import Persister
from tests.command.installation import EPOCH, comment

PARTITIONS: Final = 2
TOPIC: Final = "comments-1"
VIDEOS: Final = ("a", "b", "d", "f")
"""Two of each partition."""
_W: Final = DEDUPE_WINDOW_RECORDS
_FIRST: Final = first_position(EPOCH)
_DAMAGES_MAX: Final = 8

Key = tuple[str, int]
Rows = dict[Key, Row]
"""All that a store holds. A row whose kind is None was written by a delete whose comment has not come."""


class Found(NamedTuple):
    """What verify must say of one partition."""

    differences: set[tuple[str, int, str]]
    rows: int
    forgiven: int


class World:
    """One file with a log and a store, and the model of both."""

    def __init__(self, file: DurableFile, log: EmbeddedLog, letters: EmbeddedLog, store: EmbeddedStore) -> None:
        self.file = file
        self.log = log
        self.letters = letters
        self.store = store
        self.records: list[list[Record]] = []
        """Of each partition all that was ever appended."""
        self.held: list[Bounds] = []
        self.rows: Rows = {}
        self.marks: list[int] = [0] * PARTITIONS
        """The first offset behind each watermark; 0: there is none."""
        self.met: Counter[str] = Counter()

    @property
    def opened(self) -> Opened:
        return Opened(TOPIC, self.log, self.letters, self.store)

    def judged(self, partition: int, since: int) -> list[tuple[Record, Verdict]]:
        """All records from an offset on, as who begins there judges them."""
        window = Window(EPOCH, partition, PARTITIONS, since=since, whole=since == 0, size=_W)
        return [(record, judge(record, window)) for record in self.records[partition] if record.offset >= since]

    def found(self, partition: int) -> Found:
        """What verify must say of what the store holds now."""
        start, end = self.held[partition]
        mark = max(min(self.marks[partition], end), start)
        accepted = [one for one in self.judged(partition, start) if one[1].kind is Kind.ACCEPTED]
        deletes = [
            ((verdict.video_id, verdict.target), record.offset) for record, verdict in accepted if verdict.target
        ]
        gone = {key for key, offset in deletes if offset < mark}
        gone_since = {key for key, offset in deletes if offset >= mark}
        expected: Rows = {}
        for record, verdict in accepted:
            for row in rows_of(record, verdict, EPOCH) if record.offset < mark else ():
                key = row.video_id, row.position
                expected[key] = row._replace(value=b"", deleted=True) if key in gone else row
        known, reach = {video_id for video_id, _ in expected}, range(_FIRST + start, _FIRST + mark)
        stored = {
            key: row for key, row in self.rows.items() if row.kind is not None and key[0] in known and key[1] in reach
        }
        unsure_before = _FIRST + (start + _W if start else 0)
        differences, forgiven = set[tuple[str, int, str]](), 0
        for key in expected.keys() | stored.keys():
            right, found = expected.get(key), stored.get(key)
            if right is None:
                differences.add((*key, NOT_IN_LOG))
            elif found is None and right.kind == COMMENT_CREATED and key[1] < unsure_before:
                forgiven += 1
            elif found is None:
                differences.add((*key, NOT_STORED))
            elif found.deleted and not right.deleted:
                differences |= set() if key in gone_since else {(*key, DELETED)}
            elif found != right:
                differences.add((*key, OTHER if found.deleted == right.deleted else NOT_DELETED))
        return Found(differences, len(expected), forgiven)

    def demanded(self, partition: int, begun: int, end: int) -> tuple[list[Row], int]:
        """What a rebuild from `begun` on must write up to `end`, and how many comments it must leave as they are."""
        start, _ = self.held[partition]
        unsure_before = min(start + _W, self.marks[partition]) if start else 0
        rows, left = [], 0
        for record, verdict in self.judged(partition, max(start, begun - _W)):
            if verdict.kind is not Kind.ACCEPTED or record.offset >= end:
                continue
            if record.headers["type"] == COMMENT_CREATED and record.offset < unsure_before:
                left += 1  # those of the window as well, which is only read
            elif record.offset >= begun:
                rows += rows_of(record, verdict, EPOCH)
        return rows, left

    def begun(self, partition: int, *, from_start: bool) -> int:
        """Where a rebuild must begin."""
        return max(self.held[partition].start, 0 if from_start else self.marks[partition])

    async def read_store(self) -> Rows:
        """All rows there are."""
        text = "SELECT video_id, position, kind, author_id, value, appended_at_ms, target, deleted FROM store_records"
        found = await self.file.read(lambda connection: connection.execute(text).fetchall())
        return {(row[0], row[1]): Row(*row)._replace(deleted=bool(row[7])) for row in found}

    async def put(self, key: Key, row: Row | None) -> None:
        """Let the store hold this at a place, behind everybody's back."""
        place = (key[0], key[1] >> BUCKET_BITS, key[1])
        await self._execute("DELETE FROM store_records WHERE (video_id, bucket, position) = (?, ?, ?)", place)
        self.rows.pop(key, None)
        if row is not None:
            await self._execute("INSERT INTO store_records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*place, *row[2:]))
            self.rows[key] = row

    async def mark(self, partition: int, following: int) -> None:
        """Let the watermark say that all before an offset is stored, whatever is."""
        self.marks[partition] = following
        await self._execute("DELETE FROM store_watermarks WHERE (epoch, partition) = (?, ?)", (EPOCH, partition))
        if following:
            row = (EPOCH, partition, _FIRST + following - 1)
            await self._execute("INSERT INTO store_watermarks VALUES (?, ?, ?)", row)

    async def forget(self, partition: int, start: int) -> None:
        """As retention would: the partition begins at a record of it."""
        place = await self._place(partition)
        await self._execute("DELETE FROM log_records WHERE place >= ? AND place < ?", (place, place + start))

    async def leap(self, partition: int, offsets: int) -> None:
        """Put a hole, as markers of transactions are, before the newest record."""
        end = (await self.log.bounds([partition]))[partition].end
        at = await self._place(partition) + end - 1
        await self._execute("UPDATE log_records SET place = ? WHERE place = ?", (at + offsets, at))

    async def reopen(self) -> None:
        """Read the log's file anew: it was changed."""
        await self.log.aclose()
        self.log = await EmbeddedLog(self.file, TOPIC, EPOCH, PARTITIONS).__aenter__()
        bounds = await self.log.bounds(range(PARTITIONS))
        self.held = [bounds[partition] for partition in range(PARTITIONS)]

    async def _place(self, partition: int) -> int:
        text = "SELECT id FROM log_topics WHERE name = ?"
        ((topic_id,),) = await self.file.read(lambda connection: connection.execute(text, (TOPIC,)).fetchall())
        return (int(topic_id) << 12 | partition) << 40

    async def _execute(self, text: str, values: tuple[object, ...]) -> None:
        await self.file.write(lambda connection: connection.execute(text, values))


def put_all(into: Rows, rows: list[Row]) -> None:
    """Put rows into the model of a store: a deleted row never has a text again."""
    for row in rows:
        key, before = (row.video_id, row.position), into.get((row.video_id, row.position))
        into[key] = row._replace(value=b"", deleted=True) if before is not None and before.deleted else row
        if row.target:
            key = row.video_id, row.target
            none = Row(*key, None, None, b"", None, None)  # type: ignore[arg-type]  # as in the table
            into[key] = into.get(key, none)._replace(value=b"", deleted=True)


def _events(dice: random.Random, count: int, ends: list[int], own: list[Key]) -> list[tuple[int, NewRecord]]:
    """Records of every kind and where they go; `ends` and `own`, the places of comments, go on with them."""
    events = []
    for number in range(count):
        video, kind = dice.choice(VIDEOS), dice.random()
        new = comment(video, number, key=f"k{dice.randrange(4)}" if dice.random() < 0.4 else None)
        if kind < 0.25 and own:
            video, offset = dice.choice(own)
            other = dice.choice(VIDEOS) if dice.random() < 0.2 else video
            target = comment_id(position_at(EPOCH, offset), partition_of(other, PARTITIONS))
            video, new = other, comment_deleted(other, target, "mod")
        elif kind < 0.35:
            new = video_event(dice.choice((VIDEO_ENDED, VIDEO_STARTED, VIDEO_STARTED)), video, "owner")
        elif kind < 0.4:
            new = new._replace(value=b"{}")
        home = partition_of(video, PARTITIONS)
        if new.headers["type"] == COMMENT_CREATED:
            own.append((video, ends[home]))
        ends[home] += 1
        events.append((home, new))
    return events


@asynccontextmanager
async def damaged(directory: Path, dice: random.Random) -> AsyncIterator[World]:
    """A world in which everything may be wrong."""
    async with AsyncExitStack() as stack:
        file = await stack.enter_async_context(DurableFile(directory, LOG_TABLES + STORE_TABLES))
        log = await stack.enter_async_context(EmbeddedLog(file, TOPIC, EPOCH, PARTITIONS))
        letters = await stack.enter_async_context(EmbeddedLog(file, "dead-letters", 0, 1))
        world = World(file, log, letters, await stack.enter_async_context(EmbeddedStore(file)))
        await _fill(world, dice)
        for partition in range(PARTITIONS):
            await _store(world, dice, partition)
        world.rows = await world.read_store()
        for partition in range(PARTITIONS):
            if dice.random() < 0.6:
                start = dice.choice(world.records[partition]).offset
                await world.forget(partition, start)
                world.met["log's beginning gone"] += start > 0
        await world.reopen()
        for _ in range(dice.randint(0, _DAMAGES_MAX)):
            await _damage(world, dice)
        yield world
        await world.log.aclose()


async def _fill(world: World, dice: random.Random) -> None:
    ends, own = [0] * PARTITIONS, list[Key]()
    events = _events(dice, 40, ends, own)
    await asyncio.gather(*(world.log.append(*event) for event in events))
    if dice.random() < 0.7:  # what comes behind is then out of reach of the first ones' windows, or just not yet
        for partition in range(PARTITIONS):
            leap = _W - dice.randint(0, 25)
            await world.leap(partition, leap)
            last = ends[partition] - 1
            own[:] = [one for one in own if partition_of(one[0], PARTITIONS) != partition or one[1] < last]
            ends[partition] += leap
        await world.reopen()
        world.met["leap"] += 1
    await asyncio.gather(*(world.log.append(*event) for event in _events(dice, 30, ends, own)))
    await world.reopen()
    for partition, (start, end) in enumerate(world.held):
        assert end == ends[partition]
        world.records.append((await world.log.read(partition, start, end, 1_000)).records)


async def _store(world: World, dice: random.Random, partition: int) -> None:
    """Store a part or all of a partition, and say that it is as much, less or more."""
    records, letters = world.records[partition], DeadLetters(world.letters, TOPIC)
    stored = records[: dice.choice((0, dice.randrange(len(records)), len(records), len(records)))]
    persister = await Persister.open(world.log, world.store, letters, partition)
    await persister.persist(stored)
    said = dice.choice((len(stored), len(stored), dice.randint(0, len(records))))
    world.met["watermark too high"] += said > len(stored)
    world.met["watermark too low"] += said < len(stored)
    await world.mark(partition, records[said - 1].offset + 1 if said else 0)


async def _damage(world: World, dice: random.Random) -> None:
    """One thing that is wrong with a store."""
    rows = [row for row in world.rows.values() if row.kind is not None]
    what = dice.choice(("missing", "altered", "delete lost", "emptied", "extra"))
    if what == "delete lost":
        rows = [row for row in rows if row.deleted]
    if what == "emptied":
        rows = [row for row in rows if row.is_shown]
    if not rows:
        return
    row = dice.choice(rows)
    if what == "altered":
        others = {"author_id": "eve", "appended_at_ms": row.appended_at_ms + 1, "value": b"{}", "kind": b"x"}
        name = dice.choice(list(others))
        row = row._replace(**{name: others[name]})  # type: ignore[arg-type]  # by name
    elif what == "delete lost":
        row = row._replace(value=_text_of(world, row), deleted=False)
    elif what == "emptied":
        row = row._replace(value=b"", deleted=True)
    elif what == "extra":
        home = partition_of(row.video_id.split("/")[0], PARTITIONS)
        foreign = [one.offset for one in world.records[home] if one.key != row.video_id.encode()]
        row = row._replace(position=position_at(EPOCH, dice.choice(foreign)), target=0)
        if "/" in row.video_id or (row.video_id, row.position) in world.rows:
            return
    world.met[what] += 1
    await world.put((row.video_id, row.position), None if what == "missing" else row)


def _text_of(world: World, row: Row) -> bytes:
    records = world.records[partition_of(row.video_id, PARTITIONS)]
    return next((one.value for one in records if one.offset == offset_of(row.position) and one.value), b"{}")
