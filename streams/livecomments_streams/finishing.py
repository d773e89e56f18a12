"""Storing an epoch to its end: what nobody writes to any more, and a stream job may have left behind."""

import logging
from typing import Final

from livecomments.following.read_back import read_on
from livecomments.history.log_end import LogWentBack
from livecomments.log.interface import CommentLog, LogUnavailable, OffsetUnavailable
from livecomments.runtime.retrying import retrying, told
from livecomments.store.interface import CommentStore
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.persister import Persister

_log = logging.getLogger("livecomments.stream")
_AGAIN: Final = told(_log, "log or store not ready, trying again")


async def store_to_end(log: CommentLog, store: CommentStore, dead_letters: DeadLetters) -> int:
    """Store every record of a log that is not stored yet, set its watermarks, and return how many records those were.

    A partition that ends before what is stored of it has nothing left to store. Tries until log and store answer; harms
    nothing beside a stream job that does the same.
    """
    stored = 0
    for partition in range(log.partition_count):
        try:
            stored += await _store(log, store, dead_letters, partition)
        except LogWentBack:
            _log.warning("a partition ends before what is stored of it", extra={"partition": partition})
    return stored


async def _store(log: CommentLog, store: CommentStore, dead_letters: DeadLetters, partition: int) -> int:
    persister = await retrying(lambda: Persister.open(log, store, dead_letters, partition), _AGAIN)
    end = (await retrying(lambda: log.bounds([partition]), _AGAIN))[partition].end
    stored = 0
    while persister.next_offset < end:
        at = persister.next_offset
        try:
            records, following = await retrying(lambda: read_on(log, partition, at, end), on=LogUnavailable)  # noqa: B023 (awaited)
        except OffsetUnavailable:  # retention, or a truncation, was faster; opened anew, it says so
            return stored + await _store(log, store, dead_letters, partition)
        if records:
            await persister.persist(records)
            stored += len(records)
        persister.next_offset = max(persister.next_offset, following)  # beyond markers that are no records
    await retrying(persister.write_watermark, _AGAIN)
    return stored
