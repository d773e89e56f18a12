"""Whether the log is still the one that the store was filled from.

A store that is ahead of the log has the ids of another one. A topic that was made anew may have grown beyond what is
stored: that is known by its identity, which the stream job keeps in the store.
"""

import logging
from typing import Final, NamedTuple
from zlib import crc32

from livecomments.log.interface import CommentLog
from livecomments.runtime.retrying import retrying, told
from livecomments.store.interface import CommentStore
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.positions import first_position, offset_of

_log = logging.getLogger("livecomments.history")
_NOT_READY: Final = told(_log, "log or store not ready, trying again")


_NEXT: Final = "Open the next epoch: livecomments epochs next"


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
    """How far a partition is stored.

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


async def check_log(log: CommentLog, store: CommentStore) -> None:
    """Refuse another log than the one that the store was filled from. Tries until both answer; raises LogWentBack."""
    await retrying(lambda: refuse_other_log(log, store), _NOT_READY)


async def claim_log(log: CommentLog, store: CommentStore) -> None:
    """Do as `check_log`, and let the store know by which log it is filled: for who is about to fill it."""
    await retrying(lambda: _claim(log, store), _NOT_READY)


async def _claim(log: CommentLog, store: CommentStore) -> None:
    known, identity = await _checked(log, store)
    if identity not in (None, known):
        await store.keep_log_identity(log.epoch, identity)


async def _checked(log: CommentLog, store: CommentStore) -> tuple[int | None, int | None]:
    """Return the identity that the store knows, and that of the log. Raises as `refuse_other_log`."""
    held = [await stored_end(log, store, partition) for partition in range(log.partition_count)]
    known, identity = await store.log_identity(log.epoch), _number_of(await log.identity())
    is_filled = any(one.watermark >= first_position(log.epoch) for one in held)  # else nothing collides
    if is_filled and None not in (known, identity) and known != identity:
        raise LogWentBack(
            f"The log of comments is not the one that the store was filled from: the topic was made anew. {_NEXT}"
        )
    return known, identity


def _number_of(identity: str) -> int | None:
    """Shorten an identity to what a store keeps: 32 bits, so one other log in four thousand million is taken for it.

    None of a log that has no identity.
    """
    return crc32(identity.encode()) - (1 << 31) if identity else None
