"""Whether the log is still the one that the store was filled from.

A store that is ahead of the log has the ids of another one. A topic that was made anew may have grown beyond what is
stored: that is known by its identity, which the stream job keeps in the store. So it does with the number of partitions
of the epoch's contract: the log decides, and where the store remembers another one they do not belong together.
"""

import logging
from typing import Final, NamedTuple
from zlib import crc32

from livecomments.log.interface import CommentLog
from livecomments.runtime.retrying import retrying, told
from livecomments.store.interface import CommentStore, KeptLog
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import Record
from livecomments_schemas.positions import first_position, offset_of

_log = logging.getLogger("livecomments.history")
_NOT_READY: Final = told(_log, "log or store not ready, trying again")


_NEXT: Final = "Open the next epoch: livecomments epochs next"
_OTHER_COUNT: Final = (
    "If the store is another installation's, name the right one. If the topic of epochs was lost and told anew after "
    "partitions had been added, delete it once more, and: livecomments topics --create --partitions COUNT"
)


class LogWentBack(StartRefused):
    """The log is not the one that the store was filled from: the topic was made anew. Its positions would collide."""


class Stored(NamedTuple):
    """How far a partition is stored."""

    watermark: int
    next_offset: int
    """The first one to store."""
    start: int
    """The first one that the log holds."""


async def stored_end(log: CommentLog, store: CommentStore, partition: int) -> Stored:
    """Tell how far a partition is stored.

    Raises:
        LogWentBack: do not go on with this topic; open the next epoch.
        LogUnavailable, StoreUnavailable: try again.
    """
    watermark = await store.watermark(log.epoch, partition)
    start, end = (await log.bounds([partition]))[partition]
    next_offset = offset_of(watermark) + 1 if watermark >= first_position(log.epoch) else start
    if next_offset > end:
        raise LogWentBack(
            f"Partition {partition} of the log ends at {end}, but the store has it up to {next_offset}: the topic "
            f"was made anew, or lost its end. {_NEXT}"
        )
    return Stored(watermark, next_offset, start)


async def refuse_other_log(log: CommentLog, store: CommentStore) -> None:
    """Check that the log is the one that the store was filled from, as far as can be known.

    Raises:
        LogWentBack: do not go on with this topic; open the next epoch.
        LogUnavailable, StoreUnavailable: try again.
    """
    await _checked(log, store)


async def refuse_other_record(log: CommentLog, last: Record) -> None:
    """Check that the log still holds a record that was read of it; what retention took is not known.

    Raises:
        LogWentBack: another one, or none, stands in its place; open the next epoch.
        LogUnavailable: try again.
    """
    start, end = (await log.bounds([last.partition]))[last.partition]
    if last.offset < start:
        return
    found = (await log.read(last.partition, last.offset, last.offset + 1, 1)).records if last.offset < end else []
    if found != [last]:
        raise LogWentBack(
            f"Partition {last.partition} of the log has another record at {last.offset} than the one that was stored: "
            f"it lost its end, and grew beyond it. {_NEXT}"
        )


async def check_log(log: CommentLog, store: CommentStore) -> None:
    """Refuse another log than the one that the store was filled from. Tries until both answer; raises LogWentBack."""
    await retrying(lambda: refuse_other_log(log, store), _NOT_READY)


async def claim_log(log: CommentLog, store: CommentStore) -> None:
    """Do as `check_log`, then record in the store which log fills it. Called by whoever is about to fill it."""
    await retrying(lambda: _claim(log, store), _NOT_READY)


async def _claim(log: CommentLog, store: CommentStore) -> None:
    kept, found = await _checked(log, store)
    if any(now not in (None, before) for before, now in zip(kept, found, strict=True)):
        await store.keep_log(log.epoch, found)


async def _checked(log: CommentLog, store: CommentStore) -> tuple[KeptLog, KeptLog]:
    """Return what the store remembers of its log, and what the log is. Raises as `refuse_other_log`."""
    marks = [(await stored_end(log, store, partition)).watermark for partition in range(log.partition_count)]
    kept, found = await store.kept_log(log.epoch), KeptLog(_number_of(await log.identity()), log.partition_count)
    beyond = range(log.partition_count, kept.partitions or 0)
    marks += [await store.watermark(log.epoch, partition) for partition in beyond]
    if not any(mark >= first_position(log.epoch) for mark in marks):
        return kept, found  # nothing collides
    if kept.partitions not in (None, found.partitions):
        raise LogWentBack(
            f"The store was filled from {kept.partitions} partitions of epoch {log.epoch}, and the log has "
            f"{found.partitions}: its videos would be looked for where they are not. {_OTHER_COUNT}"
        )
    if None not in (kept.identity, found.identity) and kept.identity != found.identity:
        raise LogWentBack(
            f"The log of comments is not the one that the store was filled from: the topic was made anew. {_NEXT}"
        )
    return kept, found


def _number_of(identity: str) -> int | None:
    """Shorten an identity to what a store keeps: 32 bits, so one other log in four thousand million is taken for it.

    None of a log that has no identity.
    """
    return crc32(identity.encode()) - (1 << 31) if identity else None
