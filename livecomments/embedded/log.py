"""The log in one SQLite file: appends joined into few commits, live reading from memory.

All appends of one tick of the event loop become one write of the `DurableFile`, which commits whatever writes wait
together. Readers are woken by commits and get the newest records from a small ring per partition; only readers further
behind than the ring read the file.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from types import TracebackType
from typing import Final, NamedTuple

from livecomments.embedded import log_rows as rows
from livecomments.log.interface import (
    AppendUnavailable,
    AppendUnknown,
    Bounds,
    LogFull,
    LogUnavailable,
    OffsetUnavailable,
    Slice,
)
from livecomments.sqlite import CommitUnknown, DurableFile, FileFull, FileUnavailable
from livecomments_schemas.events import NewRecord, Record

TABLES: Final = rows.TABLES

_RING_RECORDS: Final = 1_024
"""Newest records of a partition in memory: a second of a busy one; a reader further behind reads the file."""
_CHUNK_RECORDS: Final = 1_000
"""Records of one read of the file: a few milliseconds of the reader thread, which all readers share."""
_POLL_RECORDS: Final = 4_096
"""Records after which a poll returns, so that its caller's loop gets to breathe."""
_POLL_WAIT_S: Final = 0.5


_ENDED: Final = "The log ended while the record was on its way; it may be written."


class _Waiting(NamedTuple):
    partition: int
    record: NewRecord
    offset: asyncio.Future[int]


class EmbeddedLog:
    """One topic in a `DurableFile` whose tables include `TABLES`. An async context manager; the file is not its own."""

    def __init__(
        self, file: DurableFile, topic: str, epoch: int, partition_count: int, *, append_timeout_s: float = 5.0
    ) -> None:
        assert 1 <= partition_count <= rows.PARTITIONS_MAX
        self.epoch: Final = epoch
        self.partition_count: Final = partition_count
        self._file = file
        self._topic = topic
        self._append_timeout_s = append_timeout_s
        self._waiting: list[_Waiting] = []
        self._starting: asyncio.Task[None] | None = None
        """Will write what waits."""
        self._writes: set[asyncio.Task[None]] = set()
        self._bounds: list[Bounds] = []
        self._written: dict[int, int] = {}
        """Where each partition ends by what was written, committed or not. Of the writer thread alone."""
        self._rings: list[deque[Record]] = [deque(maxlen=_RING_RECORDS) for _ in range(partition_count)]
        self._readers: set[EmbeddedReader] = set()
        self._closed = True

    async def __aenter__(self) -> "EmbeddedLog":
        """Open the topic, or make it. Raises StartRefused: it was made with another number of partitions."""
        topic_id = await self._file.write(lambda file: rows.declare(file, self._topic, self.partition_count))
        self._topic_id = topic_id
        self._bounds = await self._file.read(
            lambda file: [rows.stored_bounds(file, topic_id, partition) for partition in range(self.partition_count)]
        )
        self._closed = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def append(self, partition: int, record: NewRecord) -> int:
        assert 0 <= partition < self.partition_count
        if self._closed:
            raise AppendUnavailable("The log is closed.")
        offset: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if not self._waiting:  # the task starts in the loop's next tick and takes all that came until then
            self._starting = asyncio.create_task(self._write_waiting())
            self._writes.add(self._starting)
            self._starting.add_done_callback(self._after_write)
        self._waiting.append(_Waiting(partition, record, offset))
        return await offset

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        self._check_open()
        return {partition: self._bounds[partition] for partition in partitions}

    async def answering(self, partitions: Iterable[int]) -> set[int]:
        return set() if self._closed else set(partitions)

    async def identity(self) -> str:
        return self._topic

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        self._check_open()
        self._check_held(partition, start)
        end = min(end, self._bounds[partition].end)
        if start >= end:
            return Slice([], start)
        records = self._newest(partition, start)[: min(limit, end - start)]
        if not records:
            records = await self._read_file(partition, start, end, min(limit, _CHUNK_RECORDS))
        return Slice(records, records[-1].offset + 1 if records else end)

    def follow(self) -> "EmbeddedReader":
        reader = EmbeddedReader(self)
        self._readers.add(reader)
        return reader

    async def aclose(self) -> None:
        """Let the appends under way finish; later ones are refused. May be called twice."""
        self._closed = True
        if self._writes:
            await asyncio.wait(self._writes)
        for reader in self._readers:
            reader._wake(range(self.partition_count))

    async def _write_waiting(self) -> None:
        batch, self._waiting, self._starting = self._waiting, [], None
        late = asyncio.get_running_loop().call_later(self._append_timeout_s, _give_up, batch)
        records: list[Record] | None = None
        try:
            records = await self._file.write(lambda file: self._insert(file, batch))
            self._publish(records)
            for waiting, record in zip(batch, records, strict=True):
                if not waiting.offset.done():  # else its caller was cancelled, or told AppendUnknown
                    waiting.offset.set_result(record.offset)
        except CommitUnknown as error:
            _refuse(batch, AppendUnknown, str(error))
        except FileUnavailable as error:
            _refuse(batch, LogFull if isinstance(error, FileFull) else AppendUnavailable, str(error))
        except Exception as error:
            _refuse(batch, RuntimeError if records is None else AppendUnknown, f"The append failed: {error!r}.")
        except BaseException:
            _refuse(batch, AppendUnknown, _ENDED)
            raise
        finally:
            late.cancel()

    def _after_write(self, task: "asyncio.Task[None]") -> None:
        self._writes.discard(task)
        if task is self._starting:  # cancelled before it took what waits
            batch, self._waiting, self._starting = self._waiting, [], None
            _refuse(batch, AppendUnknown, _ENDED)

    def _insert(self, file: sqlite3.Connection, batch: list[_Waiting]) -> list[Record]:
        """Write a batch, in the writer thread. Raises FileTaken."""

        def expected(partition: int) -> tuple[int, int]:
            published = self._bounds[partition].end  # one number, which only grows
            return published, max(published, self._written.get(partition, 0))

        now_ms = time.time_ns() // 1_000_000
        records = rows.insert(file, self._topic_id, [one[:2] for one in batch], now_ms, expected)
        self._written.update((record.partition, record.offset + 1) for record in records)
        return records

    def _publish(self, records: list[Record]) -> None:
        for record in records:
            held = self._bounds[record.partition]
            assert record.offset == held.end, "commits are published in their order"
            self._bounds[record.partition] = Bounds(held.start, record.offset + 1)
            self._rings[record.partition].append(record)
        partitions = {record.partition for record in records}
        for reader in self._readers:
            reader._wake(partitions)

    def _newest(self, partition: int, start: int) -> list[Record]:
        """Return the records from `start` on if the ring holds all of them, else none."""
        ring = self._rings[partition]
        count = self._bounds[partition].end - start
        if count > len(ring):
            return []
        records = list(islice(reversed(ring), count))
        records.reverse()
        return records

    async def _read_file(self, partition: int, start: int, end: int, limit: int) -> list[Record]:
        try:
            return await self._file.read(lambda file: rows.select(file, self._topic_id, partition, start, end, limit))
        except FileUnavailable as error:
            raise LogUnavailable(str(error)) from error

    def _check_open(self) -> None:
        if self._closed:
            raise LogUnavailable("The log is closed.")

    def _check_held(self, partition: int, start: int) -> None:
        held = self._bounds[partition]
        if not held.start <= start <= held.end:
            sentence = f"Partition {partition} holds offsets {held.start} to {held.end}, not {start}."
            raise OffsetUnavailable(sentence, partition=partition, offset=start)


class EmbeddedReader:
    """Follows partitions of an `EmbeddedLog`. Partitions with something to read take turns."""

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self._next: dict[int, int] = {}
        self._ready: dict[int, None] = {}
        """Partitions that may have something, in the order of their turns."""
        self._woken = asyncio.Event()

    def assign(self, offsets: Mapping[int, int]) -> None:
        self._next = dict(offsets)
        self._ready = dict.fromkeys(offsets)
        self._woken.set()

    async def poll(self) -> list[Record]:
        deadline = asyncio.get_running_loop().time() + _POLL_WAIT_S
        while not (records := await self._take()):
            self._woken.clear()
            if self._ready:
                continue
            try:
                async with asyncio.timeout_at(deadline):
                    await self._woken.wait()
            except TimeoutError:
                return []
        return records

    async def aclose(self) -> None:
        self._log._readers.discard(self)

    def _wake(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            if partition in self._next:
                self._ready[partition] = None
                self._woken.set()

    async def _take(self) -> list[Record]:
        """Take what ready partitions have, until `_POLL_RECORDS` are there; read the file only while none are."""
        log, records = self._log, list[Record]()
        log._check_open()
        for _ in range(len(self._ready)):
            partition = next(iter(self._ready))
            start, end = self._next[partition], log._bounds[partition].end
            taken = log._newest(partition, start) if start <= end else []
            if not taken and start != end:
                if records:
                    break  # it is the first of the next poll
                self._ready[partition] = self._ready.pop(partition)  # the others' turns come before its next
                log._check_held(partition, start)
                taken = await log._read_file(partition, start, end, _CHUNK_RECORDS)
                if self._next.get(partition) != start:
                    break  # assigned anew while the file was read
            del self._ready[partition]
            records += taken
            self._next[partition] = taken[-1].offset + 1 if taken else end
            if self._next[partition] < log._bounds[partition].end:
                self._ready[partition] = None
            if len(records) >= _POLL_RECORDS:
                break
        return records


def _give_up(batch: list[_Waiting]) -> None:
    _refuse(batch, AppendUnknown, "The disk did not answer in time; the record may still be written.")


def _refuse(batch: list[_Waiting], kind: type[Exception], text: str) -> None:
    for waiting in batch:
        if not waiting.offset.done():
            waiting.offset.set_exception(kind(text))
