"""Reading a partition on, in bounded chunks; and back, so that what comes next is judged as everybody judges it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from livecomments.log.interface import CommentLog, OffsetUnavailable, Slice
from livecomments_schemas.events import Record
from livecomments_schemas.judge import Verdict, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.window import Window

READ_CHUNK: Final = 250
"""Records read without giving the loop away: about a millisecond."""
_JUDGED_AT_ONCE: Final = 50
"""Records judged without giving the loop away, less than a millisecond: a POST beside it takes a dozen turns,
and waits so long at each of them."""

Judge = Callable[[Record, Window], Verdict]


async def read_on(log: CommentLog, partition: int, start: int, end: int, limit: int = READ_CHUNK) -> Slice:
    """Read the next `limit` records of a range that the log is known to hold; others get their turn in between.

    Raises:
        OffsetUnavailable: the log holds it no longer: retention passed `start`, or the log ends there now.
        LogUnavailable: try again.
    """
    await asyncio.sleep(0)  # what is read from memory would not wait otherwise
    found = await log.read(partition, start, end, limit)
    if found.next <= start < end:
        raise OffsetUnavailable(f"Partition {partition} ends at {start}, not at {end}.")
    return found


async def in_turns(records: Sequence[Record]) -> AsyncIterator[Sequence[Record]]:
    """Iterate over records that were read, in order, so many at once that others get their turn in between."""
    for first in range(0, len(records), _JUDGED_AT_ONCE):
        await asyncio.sleep(0)
        yield records[first : first + _JUDGED_AT_ONCE]


async def read_back(
    log: CommentLog,
    partition: int,
    through: int,
    *,
    start: int,
    judge: Judge = judge,
    window_records: int = DEDUPE_WINDOW_RECORDS,
) -> Window:
    """Read the window that decides on the records from offset `through` on.

    A reader who begins here agrees with one who read the log from its first record. What retention took before counts
    all the same, for it was read by others: the window is whole only where the log itself began.

    Args:
        log: read from at most `window_records` before `through`.
        partition: its number.
        through: the first offset that is not read.
        start: where the log of the partition begins now, as its bounds say; not later than `through`.
        judge: a seam for tests.
        window_records: W, but for tests.

    Raises:
        OffsetUnavailable: retention or a truncation overtook the reading.
        LogUnavailable: try again.
    """
    following = max(start, through - window_records)
    whole = following == 0
    window = Window(log.epoch, partition, log.partition_count, since=following, whole=whole, size=window_records)
    while following < through:
        records, following = await read_on(log, partition, following, through)
        async for some in in_turns(records):
            for record in some:
                judge(record, window)
    return window
