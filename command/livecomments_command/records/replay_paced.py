"""Records of several partitions in the order of their times, as fast as they came or some times faster."""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from livecomments.log.interface import Bounds, CommentLog
from livecomments_command.records.scan import Judged, scan

_CHUNK_RECORDS: Final = 200
"""Of each partition at once: of 64 partitions 25 MB as records are."""


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


async def paced(log: CommentLog, ranges: Mapping[int, Bounds], pace: Pace) -> AsyncIterator[list[Judged]]:
    """Yield each record when it is due, with those of the same millisecond; each partition in its own order.

    Raises as `scan` does.
    """
    scans = {
        number: scan(log, number, start, end, chunk_records=_CHUNK_RECORDS) for number, (start, end) in ranges.items()
    }
    chunks: dict[int, tuple[list[Judged], int]] = {}
    heads: list[tuple[int, int]] = []

    async def refill(number: int, at: int) -> None:
        chunk = chunks[number][0] if number in chunks else []
        if at == len(chunk):
            chunk, at = await anext(scans[number], []), 0
        if chunk:
            chunks[number] = chunk, at
            heapq.heappush(heads, (chunk[at].record.appended_at_ms, number))

    for number, (start, end) in ranges.items():
        if start < end:
            await refill(number, 0)
    while heads:
        now_ms = heads[0][0]
        await pace.wait(now_ms)
        due = []
        while heads and heads[0][0] <= now_ms:
            _, number = heapq.heappop(heads)
            chunk, at = chunks[number]
            due.append(chunk[at])
            await refill(number, at + 1)
        yield due
