"""The log's clock: how long rows are kept is counted by the time that its newest record was appended at."""

import logging
from typing import Final

from livecomments.log.interface import CommentLog
from livecomments.runtime.retrying import retrying, told
from livecomments.store.interface import Lifetime

_MARKERS_MAX: Final = 100
"""Read back from the end of a partition: what stands there may be no records but markers, which no reader sees."""

_log = logging.getLogger("livecomments.history")


async def lifetime_of(log: CommentLog, ttl_s: int) -> Lifetime:
    """Make the lifetime of rows, which has heard of the newest record of each partition; tries until the log answers.

    Whoever fills a store begins with it: by the records it meets first, years ago, all that expired would be new.
    """
    lifetime = Lifetime(ttl_s)
    for partition in range(log.partition_count if ttl_s else 0):
        await retrying(
            lambda partition=partition: _hear_newest(log, partition, lifetime),  # type: ignore[misc]  # bound now
            told(_log, "log not readable, trying again", partition=partition),
        )
    return lifetime


async def _hear_newest(log: CommentLog, partition: int, lifetime: Lifetime) -> None:
    start, end = (await log.bounds([partition]))[partition]
    following = max(start, end - _MARKERS_MAX)
    while following < end:
        records, following = await log.read(partition, following, end, _MARKERS_MAX)
        for record in records:
            lifetime.hear(record.appended_at_ms)
