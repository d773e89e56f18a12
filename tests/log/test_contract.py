"""The contract of `CommentLog` and `LogReader`, sentence by sentence, on every implementation."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livecomments.log.interface import LogUnavailable, OffsetUnavailable
from livecomments_schemas.events import ForeignHeaders, NewRecord, Record, listed_headers
from tests.log.contract import (
    WAIT_S,
    LogMaker,
    append_all,
    embedded_maker,
    kafka_maker,
    new_record,
    poll_until,
    read_all,
    texts_of,
)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.live)])
async def maker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LogMaker]:
    if request.param == "embedded":
        async with embedded_maker(tmp_path) as embedded:
            yield embedded
    else:
        async with kafka_maker(request.getfixturevalue("kafka_address")) as kafka:
            yield kafka


async def test_offsets_are_contiguous_from_zero_in_each_partition(maker: LogMaker) -> None:
    log = await maker.open(3)
    assert await append_all(log, 0, ["a", "b", "c"]) == [0, 1, 2]
    assert await append_all(log, 2, ["d", "e"]) == [0, 1]
    assert await log.bounds([0, 1, 2]) == {0: (0, 3), 1: (0, 0), 2: (0, 2)}
    assert await log.answering([0, 2]) == {0, 2}


async def test_headers_that_are_repeated_or_null_come_back_in_their_order_wherever_they_are_read(
    maker: LogMaker,
) -> None:
    listed = [("x", b"\xff\x00"), ("type", b"a"), ("x", None), ("", b""), ("type", b"comment.created"), ("null", None)]
    log = await maker.open(1)
    reader = log.follow()
    reader.assign({0: 0})
    for number in range(2_000):  # more than a reader of the embedded log finds in memory
        await log.append(0, NewRecord(b"video", b"%d" % number, ForeignHeaders(listed)))
    for found in (await read_all(log, 0, 0, 2_000), await poll_until(reader, 2_000)):
        assert all(listed_headers(record.headers) == tuple(listed) for record in found)
        assert found[0].headers == {"x": b"\xff\x00", "": b"", "type": b"comment.created"}  # as everybody judges it


async def test_a_log_says_its_epoch_and_partition_count(maker: LogMaker) -> None:
    log = await maker.open(3)
    assert (log.epoch, log.partition_count) == (3, 3)


async def test_appends_awaited_one_after_the_other_keep_their_order(maker: LogMaker) -> None:
    log = await maker.open(1)
    texts = [str(number) for number in range(50)]
    await append_all(log, 0, texts)
    assert texts_of(await read_all(log, 0, 0, 50)) == texts


async def test_concurrent_appends_each_get_the_offset_of_their_own_record(maker: LogMaker) -> None:
    log = await maker.open(2)
    appends = [log.append(number % 2, new_record(str(number))) for number in range(1_000)]
    offsets = await asyncio.gather(*appends)
    for partition in (0, 1):
        assert sorted(offsets[partition::2]) == list(range(500))
        texts = texts_of(await read_all(log, partition, 0, 500))
        assert [texts[offset] for offset in offsets[partition::2]] == [str(n) for n in range(partition, 1_000, 2)]


async def test_a_cancelled_append_harms_no_other(maker: LogMaker) -> None:
    log = await maker.open(1)
    tasks = [asyncio.create_task(log.append(0, new_record(str(number)))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.wait(tasks, timeout=WAIT_S)
    kept = [tasks[number].result() for number in range(1, 20, 2)]
    end = await log.append(0, new_record("last"))
    texts = texts_of(await read_all(log, 0, 0, end + 1))
    assert [texts[offset] for offset in kept] == [str(number) for number in range(1, 20, 2)]
    assert texts[-1] == "last"


async def test_bytes_of_keys_values_and_headers_come_back_exactly(maker: LogMaker) -> None:
    log = await maker.open(1)
    every_byte = bytes(range(256))
    sent = [
        NewRecord(b"k", b"", {}),
        NewRecord(every_byte, every_byte, {"digest": every_byte, "empty": b""}),
        NewRecord(b"video", b"x" * 16_384, {"type": b"t", "Ü😀\n": b'"\\'}),
    ]
    before_ms = time.time() * 1_000
    for record in sent:
        await log.append(0, record)
    found = await read_all(log, 0, 0, 3)
    assert [(r.partition, r.offset, r.key, r.value, dict(r.headers)) for r in found] == [
        (0, offset, record.key, record.value, record.headers) for offset, record in enumerate(sent)
    ]
    assert all(abs(record.appended_at_ms - before_ms) < WAIT_S * 1_000 for record in found)


async def test_a_foreign_record_without_key_or_value_is_read_and_followed(maker: LogMaker) -> None:
    log = await maker.open(1)
    assert await maker.append_foreign(log, 0, None, b"v", {}) == 0
    assert await maker.append_foreign(log, 0, b"k", None, {"h": b"\xff"}) == 1
    reader = log.follow()
    reader.assign({0: 0})
    expected = [(0, None, b"v", {}), (1, b"k", None, {"h": b"\xff"})]
    for records in (await read_all(log, 0, 0, 2), await poll_until(reader, 2)):
        assert [(r.offset, r.key, r.value, dict(r.headers)) for r in records] == expected
    await reader.aclose()


async def test_a_read_keeps_to_its_range_and_limit_and_says_where_to_go_on(maker: LogMaker) -> None:
    log = await maker.open(2)
    await append_all(log, 1, [str(number) for number in range(20)])
    records, following = await log.read(1, 5, 15, 4)
    assert (texts_of(records), following) == (["5", "6", "7", "8"], 9)
    records, following = await log.read(1, 12, 15, 100)
    assert (texts_of(records), following) == (["12", "13", "14"], 15)
    assert texts_of(await read_all(log, 1, 0, 20)) == [str(number) for number in range(20)]


async def test_a_read_at_the_end_or_of_an_empty_range_is_empty_and_goes_nowhere(maker: LogMaker) -> None:
    log = await maker.open(2)
    await append_all(log, 0, ["a", "b"])
    assert await log.read(0, 2, 10, 5) == ([], 2)
    assert await log.read(0, 1, 1, 5) == ([], 1)
    assert await log.read(1, 0, 10, 5) == ([], 0)
    assert await log.read(0, 1, 10, 5) == (await read_all(log, 0, 1, 2), 2)


async def test_reads_under_way_at_once_do_not_mix(maker: LogMaker) -> None:
    log = await maker.open(4)
    for partition in range(4):
        await asyncio.gather(*(log.append(partition, new_record(f"{partition}")) for _ in range(100)))
    found = await asyncio.gather(*(read_all(log, number % 4, number, 100) for number in range(12)))
    for number, records in enumerate(found):
        assert [record.offset for record in records] == list(range(number, 100))
        assert {record.partition for record in records} == {number % 4}


async def test_an_offset_beyond_the_end_is_unavailable(maker: LogMaker) -> None:
    log = await maker.open(1)
    await append_all(log, 0, ["a"])
    with pytest.raises(OffsetUnavailable) as refused:
        await log.read(0, 2, 10, 5)
    assert (refused.value.partition, refused.value.offset) == (0, 2)
    reader = log.follow()
    reader.assign({0: 2})
    with pytest.raises(OffsetUnavailable) as refused:
        await poll_until(reader, 1)
    assert (refused.value.partition, refused.value.offset) == (0, 2)
    await reader.aclose()


async def test_offsets_that_retention_passed_are_unavailable_and_the_rest_is_not(maker: LogMaker) -> None:
    log = await maker.open(2)
    await append_all(log, 0, ["a", "b", "c"])
    await append_all(log, 1, ["x"])
    log = await maker.forget_before(log, 0, 2)
    assert await log.bounds([0]) == {0: (2, 3)}
    with pytest.raises(OffsetUnavailable):
        await log.read(0, 1, 3, 5)
    assert texts_of(await read_all(log, 0, 2, 3)) == ["c"]
    reader = log.follow()
    reader.assign({0: 1, 1: 0})
    found, refused = list[Record](), list[tuple[int | None, int | None]]()
    async with asyncio.timeout(WAIT_S):
        while not found or len(refused) < 2:  # said again and again, and the other partition goes on
            try:
                found += await reader.poll()
            except OffsetUnavailable as error:
                refused.append((error.partition, error.offset))
    assert set(refused) == {(0, 1)}
    assert texts_of(found) == ["x"]
    reader.assign({0: 2})
    assert texts_of(await poll_until(reader, 1)) == ["c"]
    await reader.aclose()


async def test_a_follower_reads_what_was_there_and_what_comes(maker: LogMaker) -> None:
    log = await maker.open(2)
    await append_all(log, 0, ["a", "b"])
    reader = log.follow()
    reader.assign({0: 1, 1: 0})
    assert texts_of(await poll_until(reader, 1)) == ["b"]
    polling = asyncio.create_task(poll_until(reader, 2))
    await log.append(1, new_record("c"))
    await log.append(0, new_record("d"))
    assert sorted(texts_of(await polling)) == ["c", "d"]
    await reader.aclose()


async def test_a_reader_far_behind_reads_all_once_in_order(maker: LogMaker) -> None:
    log = await maker.open(2)
    await asyncio.gather(*(log.append(number % 2, new_record("x")) for number in range(6_000)))
    reader = log.follow()
    reader.assign({0: 10, 1: 0})
    found = await poll_until(reader, 5_990)
    for partition, start in ((0, 10), (1, 0)):
        assert [r.offset for r in found if r.partition == partition] == list(range(start, 3_000))
    await reader.aclose()


async def test_a_partition_far_behind_does_not_starve_a_live_one(maker: LogMaker) -> None:
    log = await maker.open(2)
    await asyncio.gather(*(log.append(0, new_record("old")) for _ in range(8_000)))
    end = await log.append(1, new_record("live"))
    reader = log.follow()
    reader.assign({0: 0, 1: end})
    found: list[Record] = []
    async with asyncio.timeout(WAIT_S):
        while not any(record.partition == 1 for record in found):
            found += await reader.poll()
    assert len(found) < 8_000
    await reader.aclose()


async def test_a_silent_poll_returns_within_its_bound(maker: LogMaker) -> None:
    log = await maker.open(1)
    reader = log.follow()
    for offsets in ({}, {0: 0}):
        reader.assign(offsets)
        started = time.monotonic()
        assert await reader.poll() == []
        assert time.monotonic() - started < 1.5  # half a second, on a busy machine
    await reader.aclose()


async def test_partitions_not_assigned_are_not_read(maker: LogMaker) -> None:
    log = await maker.open(2)
    reader = log.follow()
    reader.assign({0: 0, 1: 0})
    await append_all(log, 0, ["a"])
    assert len(await poll_until(reader, 1)) == 1
    reader.assign({1: 0})
    await append_all(log, 0, ["b"])
    await append_all(log, 1, ["c"])
    assert texts_of(await poll_until(reader, 1)) == ["c"]
    assert await reader.poll() == []
    await reader.aclose()


async def test_an_assignment_made_while_a_poll_waits_takes_effect_in_it(maker: LogMaker) -> None:
    log = await maker.open(2)
    await append_all(log, 1, ["a", "b"])
    reader = log.follow()
    reader.assign({0: 0})
    polling = asyncio.create_task(poll_until(reader, 1))
    await asyncio.sleep(0)
    reader.assign({0: 0, 1: 1})
    assert texts_of(await polling) == ["b"]
    await reader.aclose()


async def test_two_readers_are_independent(maker: LogMaker) -> None:
    log = await maker.open(1)
    one, other = log.follow(), log.follow()
    one.assign({0: 0})
    other.assign({0: 1})
    await append_all(log, 0, ["a", "b", "c"])
    assert texts_of(await poll_until(one, 3)) == ["a", "b", "c"]
    assert texts_of(await poll_until(other, 2)) == ["b", "c"]
    await one.aclose()
    await append_all(log, 0, ["d"])
    assert texts_of(await poll_until(other, 1)) == ["d"]
    await other.aclose()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("from_another_task", [False, True])
async def test_reassigning_under_load_skips_and_doubles_nothing(
    maker: LogMaker, seed: int, from_another_task: bool
) -> None:
    partitions, records_each = 6, 1_500
    chance = random.Random(seed)
    log = await maker.open(partitions)
    reader = log.follow()
    seen: defaultdict[int, list[int]] = defaultdict(list)
    assigned: set[int] = set()

    def reassign() -> None:
        nonlocal assigned
        assigned = set(chance.sample(range(partitions), chance.randint(1, partitions)))
        reader.assign({partition: len(seen[partition]) for partition in assigned})

    async def write(partition: int) -> None:
        for _ in range(records_each // 10):
            await asyncio.gather(*(log.append(partition, new_record("x")) for _ in range(10)))

    async def reassign_often() -> None:
        while True:
            reassign()
            await asyncio.sleep(chance.random() * 0.03)

    reassign()
    async with asyncio.timeout(WAIT_S * 3):
        writers = [asyncio.create_task(write(partition)) for partition in range(partitions)]
        reassigning = asyncio.create_task(reassign_often()) if from_another_task else None
        while sum(map(len, seen.values())) < partitions * records_each:
            for record in await reader.poll():
                assert record.partition in assigned
                seen[record.partition].append(record.offset)
            if reassigning is None and chance.random() < 0.3:
                reassign()
        if reassigning is not None:
            reassigning.cancel()
        await asyncio.gather(*writers)
    assert dict(seen) == {partition: list(range(records_each)) for partition in range(partitions)}
    await reader.aclose()


async def test_a_closed_log_says_so_and_closes_twice(maker: LogMaker) -> None:
    log = await maker.open(1)
    reader = log.follow()
    reader.assign({0: 0})
    await append_all(log, 0, ["a"])
    await reader.aclose()
    await reader.aclose()
    await log.aclose()
    await log.aclose()
    with pytest.raises(LogUnavailable):
        await log.bounds([0])
    with pytest.raises(LogUnavailable):
        await log.read(0, 0, 1, 1)
    assert await log.answering([0]) == set()
