"""Whether the log still holds what the store has of it: a store that is ahead of the log has the ids of another one."""

import asyncio
import logging
from typing import Final, NamedTuple

from livecomments.log.interface import CommentLog
from livecomments.store.interface import CommentStore
from schemas.errors import StartRefused, Unavailable
from schemas.positions import first_position, offset_of

_RETRY_S: Final = 0.5

_log = logging.getLogger("livecomments.history")


class LogWentBack(StartRefused):
    """The log ends before what the store has of it: the topic was made anew. Its positions would collide."""


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
        LogWentBack: do not go on with this topic; start a new epoch.
        LogUnavailable, StoreUnavailable: try again.
    """
    watermark = await store.watermark(log.epoch, partition)
    start, end = (await log.bounds([partition]))[partition]
    next_offset = offset_of(watermark) + 1 if watermark >= first_position(log.epoch) else start
    if next_offset > end:
        raise LogWentBack(
            f"Partition {partition} of the log ends at {end}, but the store has it up to {next_offset}: the topic "
            f"was made anew. Start a new epoch: LIVECOMMENTS_EPOCH={log.epoch + 1}."
        )
    return Stored(watermark, next_offset, start)


async def refuse_other_log(log: CommentLog, store: CommentStore) -> None:
    """Check that the log is the one that the store was filled from, as far as can be known.

    Raises:
        LogWentBack: do not go on with this topic; start a new epoch.
        LogUnavailable, StoreUnavailable: try again.
    """
    for partition in range(log.partition_count):
        await stored_end(log, store, partition)


async def check_log(log: CommentLog, store: CommentStore) -> None:
    """Refuse another log than the one that the store was filled from. Tries until both answer; raises LogWentBack."""
    while True:
        try:
            return await refuse_other_log(log, store)
        except Unavailable as error:
            _log.warning("log or store not ready, trying again", extra={"code": error.code})
            await asyncio.sleep(_RETRY_S)
