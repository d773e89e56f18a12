"""How an epoch's topic ends: writing the fences, where its partitions stand, and the first fence of each."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from livecomments.log.interface import AppendUnavailable, AppendUnknown, Bounds, CommentLog
from livecomments.runtime.retrying import retrying, within
from livecomments_schemas.epochs import Epoch
from livecomments_schemas.events import EPOCH_FENCE, Record, epoch_event, is_fence

ANSWER_S: Final = 20.0
"""For a Kafka that is busy, as it is while it makes a topic."""
_QUIET_POLLS: Final = 4
"""Of half a second each, after which what is left may be markers, which no reader sees."""


async def bounds_of(log: CommentLog) -> dict[int, Bounds]:
    """Tell where all partitions start and end. Raises LogUnavailable."""
    return await retrying(lambda: log.bounds(range(log.partition_count)), within(ANSWER_S))


async def has_fence(log: CommentLog, ending: Epoch) -> bool:
    """Tell whether somebody has written a fence already. Raises LogUnavailable."""
    if not ending.ends:
        return False
    held = await bounds_of(log)
    starts = {one: max(held[one].start, end) for one, end in enumerate(ending.ends)}
    return bool(await records_of(log, starts, held, lambda one: is_fence(one, ending.number)))


async def write_fences(log: CommentLog, ending: Epoch, advance: Callable[[int], None]) -> None:
    """Append a fence to each partition, to all at once: one request to each broker carries those of its partitions.

    Writes wait from here on. One fence more in a partition changes nothing: the first counts.
    """
    fence = epoch_event(EPOCH_FENCE, ending.number)

    async def write(partition: int) -> None:
        await retrying(lambda: log.append(partition, fence), on=(AppendUnavailable, AppendUnknown))
        advance(1)

    await asyncio.gather(*map(write, range(log.partition_count)))


async def all_fences(log: CommentLog, ending: Epoch) -> dict[int, int]:
    """Read on from where the partitions ended before there were fences, until each has one; the first of each."""

    async def read() -> dict[int, int]:
        held = await bounds_of(log)
        reader, fences = log.follow(), dict[int, int]()
        try:
            reader.assign({one: max(held[one].start, end) for one, end in enumerate(ending.ends)})
            while len(fences) < len(ending.ends):
                for record in await reader.poll():
                    if is_fence(record, ending.number):
                        fences.setdefault(record.partition, record.offset)
        finally:
            await reader.aclose()
        return fences

    return await retrying(read)


async def records_of(
    log: CommentLog, starts: Mapping[int, int], held: Mapping[int, Bounds], kept: Callable[[Record], bool]
) -> Sequence[Record]:
    """Read partitions to their ends, all at once: one after the other takes many times as long. What is kept."""

    async def read() -> list[Record]:
        reader, found = log.follow(), list[Record]()
        left, quiet = {one for one, start in starts.items() if start < held[one].end}, 0
        try:
            reader.assign({one: starts[one] for one in left})
            while left and quiet < _QUIET_POLLS:
                records = await reader.poll()
                quiet = 0 if records else quiet + 1
                found += filter(kept, records)
                left -= {one.partition for one in records if one.offset >= held[one.partition].end - 1}
        finally:
            await reader.aclose()
        return found

    return await retrying(read)
