"""Reading a video's range over its buckets: the first, then as many at once as those before suggest are needed.

A busy video answers from its first bucket, in one read. A sparse one, a row or none a bucket, needs many, and one after
the other would cost a round trip each. Only buckets that the index lists are read.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from livecomments.store.interface import Row, StoredSlice

WAVE_MAX: Final = 8
"""Buckets read at once: measured, 8 in parallel cost half of 8 in a row, and 24 only lengthen the tail."""
BUCKETS_MAX: Final = 256
"""Read for one slice. The index keeps buckets whose rows have all expired; over very many of those a slice ends early,
and says how far it came."""
LISTED_MAX: Final = 64
"""Entries of the index read at once; a video that never ends has tens of thousands."""

ListBuckets = Callable[[int, int, int], Awaitable[Sequence[int]]]
"""`(first, last, limit)` → up to `limit` of the buckets that exist in first..last, in the order of reading."""
ReadBucket = Callable[[int, int], Awaitable[list[Row]]]
"""`(bucket, limit)` → the first `limit` rows of the range in that bucket, in the order of reading; fewer only at its
end."""


async def read_in_waves(
    list_buckets: ListBuckets,
    read_bucket: ReadBucket,
    after: int,
    through: int,
    limit: int,
    *,
    bucket_bits: int,
    descending: bool,
) -> StoredSlice:
    """The slice that `CommentStore.read` promises, from an index of buckets and reads of one bucket each."""
    first, last = (after + 1) >> bucket_bits, through >> bucket_bits
    waiting: deque[int] = deque()
    listed_all = after >= through
    rows: list[Row] = []
    width, left = 1, BUCKETS_MAX
    while len(rows) < limit:
        if not waiting and not listed_all:
            waiting.extend(await list_buckets(first, last, LISTED_MAX))
            listed_all = len(waiting) < LISTED_MAX
            if waiting and descending:
                last = waiting[-1] - 1
            elif waiting:
                first = waiting[-1] + 1
        if not waiting:
            break
        if not left:
            return StoredSlice(rows, _behind(waiting[0], after, through, bucket_bits, descending=descending))
        wave = [waiting.popleft() for _ in range(min(width, len(waiting), left))]
        left -= len(wave)
        for found in await _all(read_bucket(bucket, limit - len(rows)) for bucket in wave):
            rows += found
        width = _width(width, BUCKETS_MAX - left, len(rows), limit)
    del rows[limit:]
    return StoredSlice(rows, _examined(rows, after, through, limit, descending=descending))


async def _all(reads: Iterable[Awaitable[list[Row]]]) -> list[list[Row]]:
    """Every result, in order. When one fails the others are still waited for, so that no read outlives its caller."""
    found: list[list[Row]] = []
    for result in await asyncio.gather(*reads, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        found.append(result)
    return found


def _width(before: int, buckets: int, found: int, limit: int) -> int:
    """How many buckets hold what is missing, if they are like the `buckets` in which `found` rows were."""
    if not found:
        return min(before * 2, WAVE_MAX)
    return max(1, min(math.ceil((limit - found) * buckets / found), WAVE_MAX))


def _behind(bucket: int, after: int, through: int, bucket_bits: int, *, descending: bool) -> int:
    """What was examined, when this bucket is the next to be read."""
    return max((bucket + 1) << bucket_bits, after + 1) if descending else min((bucket << bucket_bits) - 1, through)


def _examined(rows: list[Row], after: int, through: int, limit: int, *, descending: bool) -> int:
    if len(rows) < limit:
        return min(after, through) + 1 if descending else max(after, through)
    if rows:
        return rows[-1].position
    return through + 1 if descending else after
