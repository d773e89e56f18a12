"""The rows of the embedded log: tables, and what runs inside the threads of the `DurableFile`."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import orjson

from livecomments.log.interface import Bounds
from livecomments.runtime.exclusive_file import FileTaken
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import ForeignHeaders, NewRecord, Record
from livecomments_schemas.positions import OFFSET_BITS, OFFSET_MAX

PARTITIONS_MAX: Final = 4_096
"""Twelve bits of a place."""
_PARTITION_BITS: Final = 12

TABLES: Final = """
CREATE TABLE IF NOT EXISTS log_topics (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partition_count INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS log_records (
    place INTEGER PRIMARY KEY,  -- topic id << 52 | partition << 40 | offset: one integer keeps the tree shallow
    key BLOB,
    value BLOB,
    headers BLOB NOT NULL,  -- JSON, each byte of a header as the character of that number (Latin-1), or pairs
    appended_at_ms INTEGER NOT NULL
);
"""
_INSERT: Final = "INSERT INTO log_records (place, key, value, headers, appended_at_ms) VALUES (?, ?, ?, ?, ?)"
_SELECT: Final = (
    "SELECT place, key, value, headers, appended_at_ms FROM log_records"
    " WHERE place >= ? AND place < ? ORDER BY place LIMIT ?"
)
_NEWEST: Final = "SELECT appended_at_ms FROM log_records WHERE place >= ? AND place <= ? ORDER BY place DESC LIMIT 1"
_FIRST_AND_LAST: Final = (
    "SELECT (SELECT min(place) FROM log_records WHERE place >= :first AND place <= :last),"
    " (SELECT max(place) FROM log_records WHERE place >= :first AND place <= :last)"
)


def declare(file: sqlite3.Connection, topic: str, partition_count: int) -> int:
    """Return the id of the topic; make the topic if it is new.

    Raises:
        StartRefused: the topic was made with another number of partitions.
    """
    file.execute(
        "INSERT INTO log_topics (name, partition_count) VALUES (?, ?) ON CONFLICT DO NOTHING", (topic, partition_count)
    )
    found: tuple[int, int] = file.execute(
        "SELECT id, partition_count FROM log_topics WHERE name = ?", (topic,)
    ).fetchone()
    if found[1] != partition_count:
        raise StartRefused(
            f"The topic {topic} of the embedded file has {found[1]} partitions, not the {partition_count} that its "
            "epoch was opened with. Somebody else has written to the file; choose another --data-dir."
        )
    return found[0]


def insert(
    file: sqlite3.Connection,
    topic_id: int,
    batch: Iterable[tuple[int, NewRecord]],
    now_ms: int,
    expected: Callable[[int], tuple[int, int]],
) -> list[Record]:
    """Write a batch of (partition, record). Offsets go on from the stored end: a failed commit leaves no hole.

    Raises:
        FileTaken: the stored end is not one that `expected` says of a partition, lowest and highest.
    """
    ends: dict[int, int] = {}
    records, rows = [], []
    for partition, (key, value, headers) in batch:
        if partition not in ends:
            ends[partition] = stored_bounds(file, topic_id, partition).end
            lowest, highest = expected(partition)
            if not lowest <= ends[partition] <= highest:
                raise FileTaken(
                    f"Partition {partition} of the embedded log ends at {ends[partition]}, not at {lowest} to "
                    f"{highest} as this process knows it: another has changed the file. Stop it, then start this again."
                )
        offset = ends[partition]
        ends[partition] = offset + 1
        records.append(Record(partition, offset, key, value, headers, now_ms))
        rows.append((_place(topic_id, partition, offset), key, value, _packed(headers), now_ms))
    file.executemany(_INSERT, rows)
    return records


def insert_at(
    file: sqlite3.Connection, topic_id: int, partition: int, offset: int, record: NewRecord, now_ms: int
) -> None:
    """Write the first record of a partition that is empty, at an offset above 0: it begins there."""
    assert stored_bounds(file, topic_id, partition) == Bounds(0, 0)
    key, value, headers = record
    file.execute(_INSERT, (_place(topic_id, partition, offset), key, value, _packed(headers), now_ms))


def select(file: sqlite3.Connection, topic_id: int, partition: int, start: int, end: int, limit: int) -> list[Record]:
    """Read up to `limit` records with start ≤ offset < end, ascending."""
    places = (_place(topic_id, partition, start), _place(topic_id, partition, end), limit)
    return [
        Record(partition, place & OFFSET_MAX, key, value, _unpacked(packed), appended_at_ms)
        for place, key, value, packed, appended_at_ms in file.execute(_SELECT, places)
    ]


def stored_bounds(file: sqlite3.Connection, topic_id: int, partition: int) -> Bounds:
    """Return the offsets at which the file's records of a partition start and end."""
    ends = {"first": _place(topic_id, partition, 0), "last": _place(topic_id, partition, OFFSET_MAX)}
    first, last = file.execute(_FIRST_AND_LAST, ends).fetchone()
    return Bounds(0, 0) if first is None else Bounds(first & OFFSET_MAX, (last & OFFSET_MAX) + 1)


def newest_ms(file: sqlite3.Connection) -> int | None:
    """Return when the newest record of the file was appended, Unix milliseconds; None if there is none."""
    found: list[int] = []
    for topic_id, count in file.execute("SELECT id, partition_count FROM log_topics").fetchall():
        for partition in range(count):
            ends = _place(topic_id, partition, 0), _place(topic_id, partition, OFFSET_MAX)
            found += [at_ms for (at_ms,) in file.execute(_NEWEST, ends)]
    return max(found, default=None)


def _place(topic_id: int, partition: int, offset: int) -> int:
    assert 0 <= partition < PARTITIONS_MAX
    assert 0 <= offset <= OFFSET_MAX
    return (topic_id << _PARTITION_BITS | partition) << OFFSET_BITS | offset


def _packed(headers: Mapping[str, bytes]) -> bytes:
    if isinstance(headers, ForeignHeaders):
        return orjson.dumps(
            [(name, None if value is None else value.decode("latin-1")) for name, value in headers.listed]
        )
    return orjson.dumps({name: value.decode("latin-1") for name, value in headers.items()})


def _unpacked(packed: bytes) -> Mapping[str, bytes]:
    found = orjson.loads(packed)
    if isinstance(found, list):
        return ForeignHeaders([(name, None if text is None else text.encode("latin-1")) for name, text in found])
    return {name: text.encode("latin-1") for name, text in found.items()}
