"""Waves: which buckets are read, how many at once, and when reading stops."""

import asyncio

import pytest

from livecomments.store.interface import BUCKET_BITS, Row, StoredSlice
from livecomments.store.waves import BUCKETS_MAX, LISTED_MAX, WAVE_MAX, read_in_waves
from tests.store.examples import BUCKET, comment


class Shelves:
    """Buckets in memory that remember how they were read."""

    def __init__(self, buckets: dict[int, list[Row]], *, descending: bool) -> None:
        self.buckets = buckets
        self.descending = descending
        self.read: list[int] = []
        self.at_once: list[int] = []
        self.listed = 0
        self._open = 0

    async def list_buckets(self, first: int, last: int, limit: int) -> list[int]:
        self.listed += 1
        return sorted((b for b in self.buckets if first <= b <= last), reverse=self.descending)[:limit]

    async def read_bucket(self, bucket: int, limit: int) -> list[Row]:
        self.read.append(bucket)
        self._open += 1
        await asyncio.sleep(0)  # lets the others of the wave begin
        self.at_once.append(self._open)
        await asyncio.sleep(0)
        self._open -= 1
        return sorted(self.buckets.get(bucket, []), key=lambda row: row.position, reverse=self.descending)[:limit]

    async def slice(self, limit: int, first: int = 0, last: int = 10**6) -> list[Row]:
        return (await self.whole_slice(limit, first * BUCKET - 1, last * BUCKET)).rows

    async def whole_slice(self, limit: int, after: int, through: int) -> StoredSlice:
        return await read_in_waves(
            self.list_buckets,
            self.read_bucket,
            after,
            through,
            limit,
            bucket_bits=BUCKET_BITS,
            descending=self.descending,
        )


def a_row_a_bucket(buckets: range) -> dict[int, list[Row]]:
    return {bucket: [comment("video", bucket * BUCKET)] for bucket in buckets}


async def test_a_busy_video_is_answered_by_the_bucket_in_which_the_range_begins_while_the_index_is_asked() -> None:
    full = {bucket: [comment("video", bucket * BUCKET + offset) for offset in range(20)] for bucket in range(5)}
    newest = Shelves(full, descending=True)
    assert len(await newest.slice(10, last=4)) == 10
    assert newest.read == [4]
    oldest = Shelves(full, descending=False)
    assert len(await oldest.slice(10)) == 10
    assert oldest.read == [0]
    assert newest.listed == oldest.listed == 1


async def test_a_bucket_in_which_the_range_begins_and_that_is_not_there_costs_a_read_and_no_wave() -> None:
    full = {3: [comment("video", 3 * BUCKET + offset) for offset in range(20)]}
    for descending, begun in ((True, 9), (False, 0)):
        shelves = Shelves(full, descending=descending)
        assert len(await shelves.slice(10, last=9)) == 10
        assert shelves.read == [begun, 3]


async def test_of_nothing_nothing_is_read() -> None:
    shelves = Shelves(a_row_a_bucket(range(3)), descending=True)
    assert (await shelves.whole_slice(0, -1, BUCKET)).rows == []
    assert (await shelves.whole_slice(5, BUCKET, BUCKET)).rows == []
    assert (shelves.read, shelves.listed) == ([], 0)


async def test_waves_are_as_wide_as_is_needed_up_to_their_bound() -> None:
    shelves = Shelves(a_row_a_bucket(range(100)), descending=False)
    assert [row.position // BUCKET for row in await shelves.slice(20)] == list(range(20))
    assert shelves.read == list(range(20)), "1, 8, 8, 3"
    assert max(shelves.at_once) == WAVE_MAX


async def test_a_wave_reads_no_more_buckets_than_hold_what_is_missing() -> None:
    fours = {bucket: [comment("video", bucket * BUCKET + offset) for offset in range(4)] for bucket in range(20)}
    shelves = Shelves(fours, descending=True)
    assert len(await shelves.slice(10, last=19)) == 10
    assert shelves.read == [19, 18, 17]
    assert shelves.at_once == [1, 2, 2]


async def test_over_empty_buckets_waves_grow() -> None:
    shelves = Shelves({bucket: [] for bucket in range(15)} | {15: [comment("video", 15 * BUCKET)]}, descending=False)
    assert len(await shelves.slice(1)) == 1
    assert shelves.at_once == [1, 2, 2, 4, 4, 4, 4, *[8] * 8, 1]


async def test_only_buckets_of_the_index_and_of_the_range_are_read_but_for_where_it_begins() -> None:
    shelves = Shelves(a_row_a_bucket(range(0, 60, 3)), descending=True)
    await shelves.slice(100, first=10, last=20)
    assert shelves.read == [20, 18, 15, 12]


async def test_a_long_index_is_read_in_parts() -> None:
    count = 2 * LISTED_MAX
    for descending in (False, True):
        shelves = Shelves(a_row_a_bucket(range(count)), descending=descending)
        assert len(await shelves.slice(10**6, last=count - 1)) == count
        assert sorted(shelves.read) == list(range(count))
        assert shelves.listed == 3


async def test_over_very_many_empty_buckets_a_slice_ends_early_and_says_how_far_it_came() -> None:
    count = 3 * BUCKETS_MAX + 7
    buckets: dict[int, list[Row]] = {bucket: [] for bucket in range(1, count)}
    oldest, newest = comment("video", 0), comment("video", count * BUCKET)
    buckets |= {0: [oldest], count: [newest]}
    for descending, last in ((False, newest), (True, oldest)):
        shelves = Shelves(buckets, descending=descending)
        after, through, slices, rows = -1, count * BUCKET + 3, 0, list[Row]()
        while after < through:
            before = len(shelves.read)
            found = await shelves.whole_slice(5, after, through)
            assert len(shelves.read) - before <= BUCKETS_MAX
            rows += found.rows
            slices += 1
            if descending:
                assert after < found.examined <= through
                through = found.examined - 1
            else:
                assert after < found.examined <= through
                after = found.examined
        assert slices == 4
        assert sorted(shelves.read) == sorted(buckets)  # each once, and none passed over
        assert rows[-1] == last
        assert len(rows) == 2


async def test_a_failing_read_is_raised_after_the_others_of_its_wave_ended() -> None:
    ended: list[int] = []

    async def list_buckets(first: int, last: int, limit: int) -> list[int]:
        return [0, 1, 2]

    async def read_bucket(bucket: int, limit: int) -> list[Row]:
        if bucket == 1:
            raise OSError("away")
        await asyncio.sleep(0)
        ended.append(bucket)
        return []

    with pytest.raises(OSError, match="away"):
        await read_in_waves(list_buckets, read_bucket, 0, 3 * BUCKET, 5, bucket_bits=BUCKET_BITS, descending=False)
    assert ended == [0, 2]
