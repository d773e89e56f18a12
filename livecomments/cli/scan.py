"""Reading a partition of the log from end to end, judged as everybody judges it, in bounded memory."""

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from livecomments.log.interface import CommentLog, OffsetUnavailable
from schemas.errors import StartRefused, Unavailable
from schemas.events import Record
from schemas.judge import Kind, Verdict, judge
from schemas.limits import DEDUPE_WINDOW_RECORDS
from schemas.window import Window

CHUNK_RECORDS: Final = 5_000
"""Of one step, at most: 80 MB if all were as large as a record may be, 2 MB as they are."""
DELETES_MAX: Final = 16_000_000
"""Deleted positions of one partition kept at once, 8 bytes each: 128 MB."""
_TRIES: Final = 60
_RETRY_S: Final = 1.0
"""Log and store may be away for a minute: a restarted broker is back by then."""

T = TypeVar("T")


class Judged(NamedTuple):
    """A record and what it is."""

    record: Record
    verdict: Verdict


class DeletedPositions:
    """Positions of one partition that were deleted. Add all, then ask."""

    def __init__(self) -> None:
        self._positions = array("Q")

    def add(self, positions: Iterable[int]) -> None:
        """Remember more. Raises StartRefused: more than can be kept."""
        self._positions.extend(positions)
        if len(self._positions) > DELETES_MAX:
            raise StartRefused(
                f"More than {DELETES_MAX:,} deletes in one partition: take one video at a time, --video."
            )

    def close(self) -> None:
        """Nothing is added any more."""
        self._positions = array("Q", sorted(self._positions))

    def __contains__(self, position: int) -> bool:
        at = bisect_left(self._positions, position)
        return at < len(self._positions) and self._positions[at] == position


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Await `call`; while log or store are away, again, for a minute. An offset that is gone is raised at once."""
    for _ in range(_TRIES):
        try:
            return await call()
        except OffsetUnavailable:
            raise
        except Unavailable:
            await asyncio.sleep(_RETRY_S)
    return await call()


async def scan(
    log: CommentLog, partition: int, first: int, end: int, *, window_records: int = DEDUPE_WINDOW_RECORDS
) -> AsyncIterator[list[Judged]]:
    """All records with first ≤ offset < end, ascending, in chunks; a window before `first` is read back to judge them.

    Raises:
        OffsetUnavailable: the log lets go of them faster than they are read.
        LogUnavailable: for more than a minute.
    """
    start = (await patiently(lambda: log.bounds([partition])))[partition].start
    following = max(start, first - window_records)
    window = Window(
        log.epoch,
        partition,
        log.partition_count,
        since=following,
        whole=following == start,
        size=window_records,
    )
    while following < end:
        at = following
        records, following = await patiently(lambda: log.read(partition, at, end, CHUNK_RECORDS))  # noqa: B023 (awaited)
        if following == at:
            raise OffsetUnavailable(f"Partition {partition} ends at {at}, not at {end}.")
        judged = [Judged(record, judge(record, window)) for record in records]
        if wanted := [one for one in judged if one.record.offset >= first]:
            yield wanted


async def deletes_of(
    log: CommentLog, partition: int, first: int, end: int, on_read: Callable[[int], None]
) -> DeletedPositions:
    """What the records with first ≤ offset < end delete; `on_read` hears how many were read, again and again.

    Raises as `scan` does, and StartRefused: too many to keep.
    """
    deleted = DeletedPositions()
    async for chunk in scan(log, partition, first, end, window_records=0):  # no window decides on a delete
        deleted.add(verdict.target for _, verdict in chunk if verdict.kind is Kind.ACCEPTED and verdict.target)
        on_read(len(chunk))
    deleted.close()
    return deleted
