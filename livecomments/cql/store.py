"""The comment store on ScyllaDB or Cassandra: one schema, one path for both.

Every write is `USING TIMESTAMP` the position of the record that writes, so the server's last-write-wins orders by the
log and by no clock: a delete beats every replay of its target, and a zombie's lower watermark changes nothing. A
deleted value becomes empty bytes, a live cell; a NULL would be a tombstone, and once that is purged a replay writes the
text back.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple

from livecomments.cql.migrations import refuse_other_schema
from livecomments.cql.session import (
    OPEN,
    REQUEST_TIMEOUT_S,
    UNSET,
    Bound,
    CqlAccess,
    CqlSession,
    checked_keyspace,
    open_session,
)
from livecomments.runtime.rotation import Rotated
from livecomments.store.interface import BUCKET_BITS, KeptLog, Lifetime, Row, StoredSlice
from livecomments.store.waves import read_in_waves
from livecomments_schemas.events import COMMENT_CREATED
from livecomments_schemas.positions import BEFORE_EVERYTHING

BATCH_ROWS_MAX: Final = 100
BATCH_BYTES_MAX: Final = 64 * 1024
"""Measured: larger batches win no throughput, and one that is written is memory and latency of a whole replica set."""
CONCURRENT_MAX: Final = 8
"""Requests under way, of reads and of writes each. More only lengthens the driver thread's hold on the event loop."""
READ_ROWS_MAX: Final = 1_000
"""Rows of one request: 16 MB if all were as large as a record may be."""
INDEXED_MAX: Final = 50_000
"""Buckets remembered as indexed, some 10 MB: the busy videos of many partitions."""
_ROW_BYTES: Final = 128
"""Of a row in a batch beside its value, roughly."""

Bucket = tuple[str, int]
"""Video and bucket: the partition key of `records_by_video`."""


class _BucketWrite(NamedTuple):
    """What one call writes to one bucket. `position` is that of the first record that writes to it."""

    position: int
    statements: list[Bound]


class _Statements(NamedTuple):
    index: Any
    insert: Any
    delete_target: Any
    buckets_up: Any
    buckets_down: Any
    rows_up: Any
    rows_down: Any
    row: Any
    watermark: Any
    set_watermark: Any
    layout: Any
    set_layout: Any
    scan_buckets: Any
    scan_rows: Any


_INDEX: Final = "SELECT bucket FROM $.buckets_by_video WHERE video_id = ? AND bucket >= ? AND bucket <= ?"
_ROWS: Final = (
    "SELECT position, kind, author_id, value, appended_at_ms, target, deleted FROM $.records_by_video "
    "WHERE video_id = ? AND bucket = ?"
)
_RANGE: Final = _ROWS + " AND position > ? AND position <= ?"
_TEXTS: Final = _Statements(
    index="INSERT INTO $.buckets_by_video (video_id, bucket) VALUES (?, ?) USING TIMESTAMP ?",
    insert="INSERT INTO $.records_by_video "
    "(video_id, bucket, position, kind, author_id, value, appended_at_ms, target) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
    delete_target="UPDATE $.records_by_video USING TIMESTAMP ? AND TTL ? SET deleted = true, value = ? "
    "WHERE video_id = ? AND bucket = ? AND position = ?",
    buckets_up=_INDEX + " ORDER BY bucket ASC LIMIT ?",
    buckets_down=_INDEX + " ORDER BY bucket DESC LIMIT ?",
    rows_up=_RANGE + " ORDER BY position ASC LIMIT ?",
    rows_down=_RANGE + " ORDER BY position DESC LIMIT ?",
    row=_ROWS + " AND position = ?",
    watermark="SELECT position FROM $.watermarks WHERE epoch = ? AND log_partition = ?",
    set_watermark="INSERT INTO $.watermarks (epoch, log_partition, position) VALUES (?, ?, ?) USING TIMESTAMP ?",
    layout="SELECT number FROM $.layout WHERE name = ?",
    set_layout="INSERT INTO $.layout (name, number) VALUES (?, ?)",
    scan_buckets="SELECT DISTINCT video_id, bucket FROM $.records_by_video "
    "WHERE token(video_id, bucket) > ? AND token(video_id, bucket) <= ?",
    scan_rows="SELECT position, kind, author_id, deleted FROM $.records_by_video "
    "WHERE video_id = ? AND bucket = ? AND position > ? ORDER BY position ASC LIMIT ?",
)
"""`$` stands for the keyspace."""
_SCAN_PARTS: Final = 512
"""Of the ring of tokens: of a hundred million buckets each has some 200,000, which are listed at once."""
_SCAN_ROWS: Final = 5_000
"""Rows of one request without their values."""
_RING: Final = 1 << 64
_LOG_OF: Final = "log_of_epoch_{}"
_PARTITIONS_OF: Final = "partitions_of_epoch_{}"
"""In `layout`, both. docs/OPERATING.md names them, for who has moved the log."""


class CqlStore:
    """The store on a CQL cluster that `migrate` has prepared. An async context manager: enter it before use.

    Args:
        contact_points: `host:port`, comma-separated.
        keyspace: as given to `migrate`.
        datacenter: the data centre of this process; reads and writes need a quorum of its replicas.
        bucket_bits: as given to `migrate`.
        request_timeout_s: after which a request counts as lost; its outcome is then unknown, and repeating it is safe.
        lifetime: how long rows are kept; the index of buckets is kept for ever.
        access: how the cluster is spoken to.
    """

    def __init__(
        self,
        contact_points: str,
        *,
        keyspace: str,
        datacenter: str,
        bucket_bits: int = BUCKET_BITS,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        lifetime: Lifetime | None = None,
        access: Rotated[CqlAccess] = OPEN,
    ) -> None:
        self._contact_points = contact_points
        self._keyspace = checked_keyspace(keyspace)
        self._datacenter = datacenter
        self._bits = bucket_bits
        self._request_timeout_s = request_timeout_s
        self._access = access
        self._lifetime = lifetime or Lifetime()
        self._session: CqlSession | None = None
        self._reading = asyncio.Semaphore(CONCURRENT_MAX)
        self._writing = asyncio.Semaphore(CONCURRENT_MAX)
        self._indexed: OrderedDict[Bucket, None] = OrderedDict()

    async def __aenter__(self) -> "CqlStore":
        """Connect and check the schema.

        Raises:
            StartRefused: the schema is missing, older, or laid out with other bucket bits.
            StoreUnavailable: no contact point answered.
        """
        session = await open_session(
            self._contact_points, self._datacenter, request_timeout_s=self._request_timeout_s, access=self._access
        )
        try:
            await refuse_other_schema(session, self._keyspace, self._bits)
            self._statements = _Statements(
                *[await session.prepare(text.replace("$", self._keyspace)) for text in _TEXTS]
            )
        except BaseException:
            await session.aclose()
            raise
        self._session = session
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def write(self, rows: Sequence[Row]) -> None:
        partitions = self._by_bucket(rows)
        index: dict[str, list[Bound]] = {}
        for (video_id, bucket), partition in partitions.items():
            if (video_id, bucket) not in self._indexed:
                entry = Bound(self._statements.index, (video_id, bucket, partition.position))
                index.setdefault(video_id, []).append(entry)
        await self._write_all(index.values())
        self._remember(partitions)
        await self._write_all(partition.statements for partition in partitions.values())

    async def watermark(self, epoch: int, partition: int) -> int:
        found = await self._read(self._statements.watermark, (epoch, partition))
        return int(found[0][0]) if found else BEFORE_EVERYTHING

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        await self._write([Bound(self._statements.set_watermark, (epoch, partition, position, position))])

    async def kept_log(self, epoch: int) -> KeptLog:
        names = (_LOG_OF.format(epoch), _PARTITIONS_OF.format(epoch))
        found = [await self._read(self._statements.layout, (name,)) for name in names]
        return KeptLog(*(int(rows[0][0]) if rows else None for rows in found))

    async def keep_log(self, epoch: int, kept: KeptLog) -> None:
        for name, number in ((_LOG_OF, kept.identity), (_PARTITIONS_OF, kept.partitions)):
            if number is not None:
                await self._write([Bound(self._statements.set_layout, (name.format(epoch), number))])

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        statements = self._statements
        buckets = statements.buckets_down if descending else statements.buckets_up
        rows = statements.rows_down if descending else statements.rows_up

        async def list_buckets(first: int, last: int, limit: int) -> list[int]:
            return [bucket for (bucket,) in await self._read(buckets, (video_id, first, last, limit))]

        async def read_bucket(bucket: int, limit: int) -> list[Row]:
            shown: list[Row] = []
            low, high = after, through
            while True:
                asked = min(limit - len(shown), READ_ROWS_MAX)
                found = await self._read(rows, (video_id, bucket, low, high, asked))
                shown += _rows(video_id, found)
                if len(found) < asked or len(shown) == limit:
                    return shown
                low, high = (low, found[-1][0] - 1) if descending else (found[-1][0], high)

        return await read_in_waves(
            list_buckets, read_bucket, after, through, limit, bucket_bits=self._bits, descending=descending
        )

    async def read_one(self, video_id: str, position: int) -> Row | None:
        found = await self._read(self._statements.row, (video_id, position >> self._bits, position))
        return next(_rows(video_id, found), None)

    @property
    def scan_parts(self) -> int:
        return _SCAN_PARTS

    async def written_by(self, author_id: str, part: int) -> list[tuple[str, int]]:
        first, last = (_RING * at // _SCAN_PARTS - _RING // 2 for at in (part, part + 1))
        buckets = await self._read(self._statements.scan_buckets, (first, min(last, _RING // 2 - 1)))
        found: list[tuple[str, int]] = []
        for start in range(0, len(buckets), CONCURRENT_MAX):
            reads = (self._written_in(author_id, *bucket) for bucket in buckets[start : start + CONCURRENT_MAX])
            for positions in await asyncio.gather(*reads):
                found += positions
        return found

    async def _written_in(self, author_id: str, video_id: str, bucket: int) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        after, kind = -1, COMMENT_CREATED.decode("ascii")
        while True:
            rows = await self._read(self._statements.scan_rows, (video_id, bucket, after, _SCAN_ROWS))
            found += [(video_id, one[0]) for one in rows if one[1:3] == (kind, author_id) and not one[3]]
            if len(rows) < _SCAN_ROWS:
                return found
            after = rows[-1][0]

    async def aclose(self) -> None:
        """Close the connections. May be called twice."""
        if self._session is not None:
            await self._session.aclose()

    def _by_bucket(self, rows: Sequence[Row]) -> dict[Bucket, _BucketWrite]:
        insert, delete_target, bits = self._statements.insert, self._statements.delete_target, self._bits
        lifetime = self._lifetime
        partitions: dict[Bucket, _BucketWrite] = {}
        lifetime.hear(max((row.appended_at_ms for row in rows), default=0))
        for video_id, position, kind, author_id, value, appended_at_ms, target, _ in rows:
            left_s = lifetime.left_s(appended_at_ms)
            if left_s is None:
                continue  # and its target is older still
            bucket = position >> bits
            columns = (
                video_id,
                bucket,
                position,
                kind.decode(),
                author_id,
                value,
                appended_at_ms,
                target or UNSET,
                position,
                left_s,
            )
            if (video_id, bucket) not in partitions:
                partitions[video_id, bucket] = _BucketWrite(position, [])
            partitions[video_id, bucket].statements.append(Bound(insert, columns, len(value)))
            if target:
                bucket = target >> bits
                if (video_id, bucket) not in partitions:
                    partitions[video_id, bucket] = _BucketWrite(position, [])
                deleting = Bound(delete_target, (position, lifetime.mark_left_s, b"", video_id, bucket, target))
                partitions[video_id, bucket].statements.append(deleting)
        return partitions

    def _remember(self, buckets: Iterable[Bucket]) -> None:
        """Note that these are in the index, so that the next write of a busy video goes straight to its rows."""
        for bucket in buckets:
            self._indexed[bucket] = None
            self._indexed.move_to_end(bucket)
        while len(self._indexed) > INDEXED_MAX:
            self._indexed.popitem(last=False)

    async def _write_all(self, partitions: Iterable[list[Bound]]) -> None:
        """Write batches in parallel. After a failure no further one is begun, so that an outage is told in one timeout
        and not in one per batch."""
        waiting = deque(batch for statements in partitions for batch in batches(statements))

        async def write_next() -> None:
            while waiting:
                try:
                    await self._write(waiting.popleft())
                except BaseException:
                    waiting.clear()
                    raise

        writers = [write_next() for _ in range(min(CONCURRENT_MAX, len(waiting)))]
        for result in await asyncio.gather(*writers, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _write(self, batch: Sequence[Bound]) -> None:
        async with self._writing:
            await self._opened().execute_batch(batch)

    async def _read(self, statement: Any, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        async with self._reading:
            return await self._opened().execute(statement, parameters)

    def _opened(self) -> CqlSession:
        assert self._session is not None, "Enter the store before use."
        return self._session


def batches(statements: Sequence[Bound]) -> Iterator[Sequence[Bound]]:
    """Cut the statements of one partition into batches within the bounds, in their order."""
    start = size = 0
    for index, bound in enumerate(statements):
        cost = _ROW_BYTES + bound.value_bytes
        if index > start and (index - start == BATCH_ROWS_MAX or size + cost > BATCH_BYTES_MAX):
            yield statements[start:index]
            start, size = index, 0
        size += cost
    yield statements[start:]


def _rows(video_id: str, found: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
    for position, kind, author_id, value, appended_at_ms, target, deleted in found:
        if kind is not None:
            yield Row(video_id, position, kind.encode(), author_id, value, appended_at_ms, target or 0, bool(deleted))
