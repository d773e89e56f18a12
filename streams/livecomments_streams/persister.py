"""The persister of one partition: judge, rows, dead letters, watermark. At least once, and idempotent.

The watermark says: every record up to here is in the store, index and delete targets included. It only ever advances
from its stored value over a contiguous prefix, so a persister whose first record lies further on reads the records
between from the log first.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from livecomments.following.read_back import Judge, read_back, read_on
from livecomments.history.log_end import stored_end
from livecomments.log.interface import CommentLog, OffsetUnavailable, Slice
from livecomments.runtime.metrics import SECONDS_BUCKETS, Counter, Histogram
from livecomments.runtime.retrying import retrying, warn
from livecomments.store.interface import CommentStore, StoreUnavailable
from livecomments.store.rows import rows_of
from livecomments_schemas.events import Record
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import first_position
from livecomments_schemas.window import Window
from livecomments_streams.dead_letters import DeadLetters

_RETRY_FIRST_S: Final = 0.05
_RETRY_MAX_S: Final = 5.0
"""Between tries of a store that is away: it is found within this after it is back."""
WATERMARK_INTERVAL_S: Final = 1.0

T = TypeVar("T")
Stored = Callable[[Sequence[Record], int], None]
"""Told of accepted records that are stored, and when they were taken (Unix, nanoseconds); must not raise."""

_log = logging.getLogger("livecomments.stream")
_records = Counter("livecomments_stream_records_total", "Records taken, by verdict.", ["verdict"])
_retries = Counter(
    "livecomments_stream_write_retries_total",
    "Writes of the store, and reads of what is missing, repeated.",
    ["reason"],
)
_write = Histogram("livecomments_stream_write_seconds", "A write, retries included.", buckets=SECONDS_BUCKETS)
_stored = Histogram(
    "livecomments_stream_stored_seconds", "From a batch's oldest append until it was stored.", buckets=SECONDS_BUCKETS
)
_lost = Counter("livecomments_stream_lost_to_retention_total", "Records the log let go of before they were stored.")


class Persister:
    """Brings one partition into the store. For one task, and for none once a `persist` raised or was cancelled."""

    def __init__(
        self,
        log: CommentLog,
        store: CommentStore,
        dead_letters: DeadLetters,
        window: Window,
        watermark: int,
        next_offset: int,
        *,
        judge: Judge = judge,
        stored: Stored | None = None,
    ) -> None:
        self.partition = window.partition
        self._stored = stored
        self.next_offset = next_offset
        """The first offset that is not in the store."""
        self.watermark = watermark
        """Its position as it stands in the store."""
        self._log = log
        self._store = store
        self._dead_letters = dead_letters
        self._window = window
        self._judge = judge
        self._is_whole = True
        """What the window has seen is stored. Judged again, a comment with a key would be its own duplicate."""

    @classmethod
    async def open(
        cls,
        log: CommentLog,
        store: CommentStore,
        dead_letters: DeadLetters,
        partition: int,
        *,
        window_records: int = DEDUPE_WINDOW_RECORDS,
        judge: Judge = judge,
        stored: Stored | None = None,
    ) -> "Persister":
        """Open a persister that goes on where the store is complete; read a window back first.

        `stored` is told of what is stored, from now on.

        Raises:
            LogWentBack: do not go on with this topic; open the next epoch.
            LogUnavailable, StoreUnavailable: try again.
        """
        watermark, next_offset, start = await stored_end(log, store, partition)
        if next_offset < start:
            _count_lost(partition, next_offset, start)
            next_offset = start
        window = await read_back(log, partition, next_offset, start=start, judge=judge, window_records=window_records)
        return cls(log, store, dead_letters, window, watermark, next_offset, judge=judge, stored=stored)

    async def persist(self, records: Sequence[Record]) -> None:
        """Store these records of the partition, ascending; returns when the store has acknowledged every one.

        Tries for ever. Records already stored are passed over; records missing before the first are read from the log.
        """
        assert self._is_whole, "open a new one"
        new = [record for record in records if record.offset >= self.next_offset]
        if not new:
            return
        self._is_whole = False
        while new[0].offset > self.next_offset:
            await self._catch_up(new[0].offset)
        await self._store_records(new)
        self._is_whole = True
        if self._window.fence is not None:  # all who write wait until the store is known to have what lies before it
            await self.advance_watermark()

    async def advance_watermark(self) -> None:
        """Write the watermark, if it has moved. A failure is left for the next time."""
        try:
            await self.write_watermark()
        except StoreUnavailable as error:
            warn(_log, "watermark not written", error, partition=self.partition)

    async def write_watermark(self) -> None:
        """Write the watermark, if it has moved. Raises StoreUnavailable."""
        if not self.is_marked:
            through = self._through
            await self._store.advance_watermark(self._log.epoch, self.partition, through)
            self.watermark = through

    @property
    def is_marked(self) -> bool:
        """Whether the watermark says all that is stored."""
        return self._through == self.watermark or self._through < first_position(self._log.epoch)

    @property
    def _through(self) -> int:
        return first_position(self._log.epoch) + self.next_offset - 1

    async def _catch_up(self, end: int) -> None:
        records, following = await self._with_retries(lambda: self._read_missing(end))
        if records:
            await self._store_records(records)
        self.next_offset = following

    async def _read_missing(self, end: int) -> Slice:
        try:
            return await read_on(self._log, self.partition, self.next_offset, end)
        except OffsetUnavailable:
            start = min(end, (await self._log.bounds([self.partition]))[self.partition].start)
            if start <= self.next_offset:
                raise  # not there yet, as after a change of leaders: asked again
            _count_lost(self.partition, self.next_offset, start)
            # What was before the hole may have been undone in it: judge as whoever begins here does.
            window, log = self._window, self._log
            self._window = Window(
                log.epoch, self.partition, log.partition_count, since=start, whole=False, size=window.size
            )
            return Slice([], start)

    async def _store_records(self, records: Sequence[Record]) -> None:
        rows, letters = [], []
        accepted: list[Record] | None = None if self._stored is None else []
        began_ns = 0 if self._stored is None else time.time_ns()
        for record in records:
            verdict = self._judge(record, self._window)
            _records.labels(verdict.kind.value).inc()
            if verdict.kind is Kind.ACCEPTED:
                rows += rows_of(record, verdict, self._log.epoch)
                if accepted is not None:
                    accepted.append(record)
            elif verdict.kind is Kind.INVALID:
                letters.append(self._dead_letters.put(record, verdict.reason))
        await asyncio.gather(*letters)
        if rows:
            with _write.time():
                await self._with_retries(lambda: self._store.write(rows))
        self.next_offset = records[-1].offset + 1
        if self._stored is not None and accepted:
            self._stored(accepted, began_ns)
        _stored.observe(max(0.0, time.time() - records[0].appended_at_ms / 1000))

    async def _with_retries(self, call: Callable[[], Awaitable[T]]) -> T:
        return await retrying(call, self._note_failure, first_s=_RETRY_FIRST_S, max_s=_RETRY_MAX_S)

    def _note_failure(self, error: Exception) -> bool:
        _retries.labels(getattr(error, "code", "")).inc()
        warn(_log, "trying again", error, partition=self.partition)
        return False


def _count_lost(partition: int, start: int, end: int) -> None:
    _lost.inc(end - start)
    _log.critical(
        "retention took records before they were stored",
        extra={"partition": partition, "from_offset": start, "to_offset": end},
    )
