"""Records of several partitions in the order of their times: at once, as fast as they came, or some times faster."""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Final

from livecomments.log.interface import Bounds, CommentLog
from livecomments_command.records.scan import Judged, scan

_CHUNK_RECORDS: Final = 200
"""Of each partition at once: of 64 partitions 25 MB as records are."""
_YIELDED_RECORDS: Final = 1_000


class Pace:
    """Waits until a record is due: `factor` times as soon after the first as it was appended after it."""

    def __init__(
        self,
        factor: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._factor = factor
        self._clock = clock
        self._sleep = sleep
        self._first: tuple[float, int] | None = None

    async def wait(self, appended_at_ms: int) -> None:
        """Wait until a record that was appended at this time, in Unix milliseconds, is due."""
        self._first = self._first or (self._clock(), appended_at_ms)
        began, first_ms = self._first
        left_s = began + (appended_at_ms - first_ms) / 1000 / self._factor - self._clock()
        if left_s > 0:
            await self._sleep(left_s)


async def in_one_order(log: CommentLog, ranges: Mapping[int, Bounds]) -> AsyncIterator[list[Judged]]:
    """Yield all records of all partitions by the times of their appends; of one millisecond the lowest partition first.

    Each partition stays in its own order, whatever its clock did. The same ranges give the same order, and so does what
    is left of them: it follows from the next record of each partition alone.

    Raises as `scan` does.
    """
    chunk: list[Judged] = []
    async for one in _merged(log, ranges):
        chunk.append(one)
        if len(chunk) == _YIELDED_RECORDS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def paced(log: CommentLog, ranges: Mapping[int, Bounds], pace: Pace) -> AsyncIterator[list[Judged]]:
    """Yield each record when it is due, with those of the same millisecond; each partition in its own order.

    Raises as `scan` does.
    """
    due: list[Judged] = []
    now_ms = 0
    async for one in _merged(log, ranges):
        if due and one.record.appended_at_ms > now_ms:
            yield due
            due = []
        if not due:
            now_ms = one.record.appended_at_ms
            await pace.wait(now_ms)
        due.append(one)
    if due:
        yield due


async def _merged(log: CommentLog, ranges: Mapping[int, Bounds]) -> AsyncIterator[Judged]:
    scans = {
        number: scan(log, number, start, end, chunk_records=_CHUNK_RECORDS)
        for number, (start, end) in ranges.items()
        if start < end
    }
    chunks: dict[int, Iterator[Judged]] = dict.fromkeys(scans, iter(()))
    heads: list[tuple[int, int, Judged]] = []
    waiting = list(scans)
    while waiting or heads:
        for number in waiting:
            head = next(chunks[number], None)
            if head is None and (chunk := await anext(scans[number], None)):
                chunks[number] = iter(chunk)
                head = next(chunks[number])
            if head is not None:
                heapq.heappush(heads, (head.record.appended_at_ms, number, head))
        if not heads:
            return
        _, number, head = heapq.heappop(heads)
        waiting = [number]
        yield head
