"""Reading a video's range over its buckets: where it begins, then as many at once as seem to hold what is missing.

A busy video has rows where the range begins: they are read while the index is asked which buckets there are, and mostly
answer. A sparse one, a row or none a bucket, needs many, and one after the other would cost a round trip each.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

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
    """Read the slice that `CommentStore.read` promises, from an index of buckets and reads of one bucket each."""
    if after >= through or not limit:
        return StoredSlice([], _examined([], after, through, limit, descending=descending))
    first, last = (after + 1) >> bucket_bits, through >> bucket_bits
    begun = last if descending else first
    listed: Sequence[int]
    rows: list[Row]
    listed, rows = await _all([list_buckets(first, last, LISTED_MAX), read_bucket(begun, limit)])
    width, left = _width(1, 1, len(rows), limit), BUCKETS_MAX - 1
    waiting = deque(bucket for bucket in listed if bucket != begun)
    while len(rows) < limit:
        if not waiting and len(listed) == LISTED_MAX:
            first, last = (first, listed[-1] - 1) if descending else (listed[-1] + 1, last)
            listed = await list_buckets(first, last, LISTED_MAX)
            waiting.extend(listed)
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


async def _all(reads: Iterable[Awaitable[Any]]) -> list[Any]:
    """Await every result, in order. If one fails the others are still awaited, so that no read outlives its caller."""
    found: list[Any] = []
    for result in await asyncio.gather(*reads, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        found.append(result)
    return found


def _width(before: int, buckets: int, found: int, limit: int) -> int:
    """Tell how many buckets hold what is missing, if they are like the `buckets` in which `found` rows were."""
    if not found:
        return min(before * 2, WAVE_MAX)
    return max(1, min(math.ceil((limit - found) * buckets / found), WAVE_MAX))


def _behind(bucket: int, after: int, through: int, bucket_bits: int, *, descending: bool) -> int:
    """Return how far the range was examined when this bucket is the next to be read."""
    return max((bucket + 1) << bucket_bits, after + 1) if descending else min((bucket << bucket_bits) - 1, through)


def _examined(rows: list[Row], after: int, through: int, limit: int, *, descending: bool) -> int:
    if len(rows) < limit:
        return min(after, through) + 1 if descending else max(after, through)
    if rows:
        return rows[-1].position
    return through + 1 if descending else after
