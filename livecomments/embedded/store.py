"""The comment store in one SQLite file: the rows, buckets and last-write-wins of the CQL store, without its servers.

SQLite has no write timestamps. They are not needed: the only write that meets another's row is a delete on its target,
which always carries the higher position, so a deleted row is simply never given a value again.
"""

import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from livecomments.embedded.elapsed import Elapsed
from livecomments.sqlite import DurableFile, FileUnavailable, Work
from livecomments.store.interface import BUCKET_BITS, KeptLog, Lifetime, Row, StoredSlice, StoreUnavailable
from livecomments.store.waves import read_in_waves
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import COMMENT_CREATED
from livecomments_schemas.positions import BEFORE_EVERYTHING

TABLES: Final = """
CREATE TABLE IF NOT EXISTS store_records (
    video_id TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind BLOB,
    author_id TEXT,
    value BLOB NOT NULL,
    appended_at_ms INTEGER,
    target INTEGER,
    deleted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (video_id, bucket, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS store_buckets (
    video_id TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    PRIMARY KEY (video_id, bucket)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS store_watermarks (
    epoch INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (epoch, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS store_logs (epoch INTEGER PRIMARY KEY, identity INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS store_partitions (epoch INTEGER PRIMARY KEY, partitions INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS store_layout (bucket_bits INTEGER NOT NULL);
"""
"""A row without `kind` and `appended_at_ms` was written by a delete whose target has not arrived."""

_INSERT: Final = """
INSERT INTO store_records (video_id, bucket, position, kind, author_id, value, appended_at_ms, target)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET kind = excluded.kind, author_id = excluded.author_id,
    appended_at_ms = excluded.appended_at_ms, target = excluded.target,
    value = CASE WHEN deleted THEN value ELSE excluded.value END
"""
_DELETE_TARGET: Final = """
INSERT INTO store_records (video_id, bucket, position, value, deleted) VALUES (?, ?, ?, x'', 1)
ON CONFLICT DO UPDATE SET value = x'', deleted = 1
"""
_REMOVE_EXPIRED: Final = "DELETE FROM store_records WHERE appended_at_ms <= ?"
_KEPT_LOG: Final = """
SELECT (SELECT identity FROM store_logs WHERE epoch = :epoch),
    (SELECT partitions FROM store_partitions WHERE epoch = :epoch)
"""
_COLUMNS: Final = "video_id, position, kind, author_id, value, appended_at_ms, target, deleted"

T = TypeVar("T")


class EmbeddedStore:
    """The store in a `DurableFile` that was opened with `TABLES`. Enter it before use; the file stays its owner's.

    `bucket_bits` other than the default are for comparing layouts; a file keeps those of its first opening. Rows whose
    `lifetime` is over are not read any more, and are removed when the store is entered. `elapsed` holds a clock to the
    time that passed.
    """

    def __init__(
        self,
        file: DurableFile,
        *,
        bucket_bits: int = BUCKET_BITS,
        lifetime: Lifetime | None = None,
        elapsed: Elapsed | None = None,
    ) -> None:
        self._lifetime = lifetime or Lifetime()
        self._elapsed = elapsed
        self._file = file
        self._bucket_bits = bucket_bits

    async def __aenter__(self) -> "EmbeddedStore":
        """Open the store; remove what has expired. Raises StartRefused: the file was made with other bucket bits."""
        bits = await self._write(self._record_bucket_bits)
        if bits != self._bucket_bits:
            raise StartRefused(
                f"The store was made with {bits} bucket bits, this livecomments uses {self._bucket_bits}. "
                "Use the livecomments that made it, or another --data-dir."
            )
        if self._lifetime.ttl_s:
            ((newest_ms,),) = await self._rows("SELECT max(appended_at_ms) FROM store_records", ())
            self._lifetime.hear(newest_ms or 0)
            expired = (self._expired_before_ms,)
            await self._write(lambda connection: connection.execute(_REMOVE_EXPIRED, expired))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def write(self, rows: Sequence[Row]) -> None:
        self._lifetime.hear(max((row.appended_at_ms for row in rows), default=0))
        expired = self._expired_before_ms
        kept = [row for row in rows if row.appended_at_ms > expired]
        if kept:
            await self._write(lambda connection: _upsert(connection, kept, self._bucket_bits))

    async def watermark(self, epoch: int, partition: int) -> int:
        text = "SELECT position FROM store_watermarks WHERE epoch = ? AND partition = ?"
        found = await self._rows(text, (epoch, partition))
        return int(found[0][0]) if found else BEFORE_EVERYTHING

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        await self._write(lambda connection: _raise_watermark(connection, epoch, partition, position))

    async def kept_log(self, epoch: int) -> KeptLog:
        ((identity, partitions),) = await self._rows(_KEPT_LOG, {"epoch": epoch})
        return KeptLog(identity, partitions)

    async def keep_log(self, epoch: int, kept: KeptLog) -> None:
        await self._write(lambda connection: _keep_log(connection, epoch, kept))

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        order = "DESC" if descending else "ASC"
        index = f"""
            SELECT bucket FROM store_buckets WHERE video_id = ? AND bucket BETWEEN ? AND ?
            ORDER BY bucket {order} LIMIT ?
        """  # noqa: S608 (order is one of two words)
        bucket_rows = f"""
            SELECT {_COLUMNS} FROM store_records
            WHERE video_id = ? AND bucket = ? AND position > ? AND position <= ? AND appended_at_ms > ?
            ORDER BY position {order} LIMIT ?
        """  # noqa: S608 (order is one of two words)

        expired = self._expired_before_ms

        async def list_buckets(first: int, last: int, limit: int) -> list[int]:
            return [bucket for (bucket,) in await self._rows(index, (video_id, first, last, limit))]

        async def read_bucket(bucket: int, limit: int) -> list[Row]:
            found = await self._rows(bucket_rows, (video_id, bucket, after, through, expired, limit))
            return [_row(columns) for columns in found]

        return await read_in_waves(
            list_buckets, read_bucket, after, through, limit, bucket_bits=self._bucket_bits, descending=descending
        )

    async def read_one(self, video_id: str, position: int) -> Row | None:
        text = f"""
            SELECT {_COLUMNS} FROM store_records
            WHERE video_id = ? AND bucket = ? AND position = ? AND appended_at_ms > ?
        """  # noqa: S608 (a constant)
        place = (video_id, position >> self._bucket_bits, position)
        found = await self._rows(text, (*place, self._expired_before_ms))
        return _row(found[0]) if found else None

    @property
    def scan_parts(self) -> int:
        return 1

    async def written_by(self, author_id: str, part: int) -> list[tuple[str, int]]:
        text = "SELECT video_id, position FROM store_records WHERE author_id = ? AND kind = ? AND NOT deleted"
        return await self._rows(text, (author_id, COMMENT_CREATED))

    async def aclose(self) -> None:
        """Release nothing: whoever opened the file closes it."""

    @property
    def _expired_before_ms(self) -> int:
        """A row appended at this time or earlier is expired, by the log's clock and by the time that passed here."""
        expired = self._lifetime.expired_before_ms
        if self._elapsed is None or not self._lifetime.ttl_s:
            return expired
        return min(expired, self._elapsed.older_than(self._lifetime.ttl_s * 1_000))

    def _record_bucket_bits(self, connection: sqlite3.Connection) -> int:
        connection.execute(
            "INSERT INTO store_layout SELECT ? WHERE NOT EXISTS (SELECT 1 FROM store_layout)", (self._bucket_bits,)
        )
        (bits,) = connection.execute("SELECT bucket_bits FROM store_layout").fetchone()
        return int(bits)

    async def _rows(self, text: str, parameters: tuple[Any, ...] | dict[str, Any]) -> list[tuple[Any, ...]]:
        try:
            return await self._file.read(lambda connection: connection.execute(text, parameters).fetchall())
        except FileUnavailable as error:
            raise StoreUnavailable(str(error)) from error

    async def _write(self, work: Work[T]) -> T:
        try:
            return await self._file.write(work)
        except FileUnavailable as error:
            raise StoreUnavailable(str(error)) from error


def _upsert(connection: sqlite3.Connection, rows: Sequence[Row], bits: int) -> None:
    targets = [(row.video_id, row.target >> bits, row.target) for row in rows if row.target]
    buckets = {(row.video_id, row.position >> bits) for row in rows}
    buckets.update((video_id, bucket) for video_id, bucket, _ in targets)
    connection.executemany("INSERT OR IGNORE INTO store_buckets (video_id, bucket) VALUES (?, ?)", buckets)
    connection.executemany(
        _INSERT,
        [
            (video_id, position >> bits, position, kind, author_id, value, appended_at_ms, target)
            for video_id, position, kind, author_id, value, appended_at_ms, target, _ in rows
        ],
    )
    connection.executemany(_DELETE_TARGET, targets)


def _raise_watermark(connection: sqlite3.Connection, epoch: int, partition: int, position: int) -> None:
    connection.execute(
        "INSERT INTO store_watermarks (epoch, partition, position) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET position = max(position, excluded.position)",
        (epoch, partition, position),
    )


def _keep_log(connection: sqlite3.Connection, epoch: int, kept: KeptLog) -> None:
    if kept.identity is not None:
        text = "INSERT OR REPLACE INTO store_logs (epoch, identity) VALUES (?, ?)"
        connection.execute(text, (epoch, kept.identity))
    if kept.partitions is not None:
        text = "INSERT OR REPLACE INTO store_partitions (epoch, partitions) VALUES (?, ?)"
        connection.execute(text, (epoch, kept.partitions))


def _row(columns: tuple[Any, ...]) -> Row:
    video_id, position, kind, author_id, value, appended_at_ms, target, deleted = columns
    return Row(video_id, position, kind, author_id, value, appended_at_ms, target, bool(deleted))
