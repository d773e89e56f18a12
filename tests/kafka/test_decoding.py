"""Batches that no reader can unpack: what lies before them is handed out, and they are told as Kafka's own errors."""

import struct
import tracemalloc
from types import SimpleNamespace
from typing import Any, Final

import cramjam
import pytest
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from livecomments.kafka.decoding import fetch_records
from livecomments.kafka.unpacking import UNPACKED_BYTES_MAX

_CRC_AT: Final = 17
_ATTRIBUTES_AT: Final = 22
_COUNT_AT: Final = 57
_RECORDS_AT: Final = 61
RECORDS: Final = 3
"""Of each batch."""


def batch(offset: int, codec: int = 0, value: bytes = b"x" * 100) -> bytearray:
    """Return a batch as the broker hands it out, its checksum right."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=1 << 30,
    )
    for number in range(RECORDS):
        builder.append(number, timestamp=1, key=b"video", value=value, headers=[])
    data = bytearray(builder.build())
    data[:8] = struct.pack(">q", offset)
    return data


def signed(data: bytearray) -> bytearray:
    data[_CRC_AT : _CRC_AT + 4] = struct.pack(">I", calc_crc32c(bytes(data[_CRC_AT + 4 :])))
    return data


def of_codec(number: int) -> bytearray:
    data = batch(RECORDS, 1)
    data[_ATTRIBUTES_AT] = number
    return signed(data)


def spoilt(codec: int) -> bytearray:
    data = batch(RECORDS, codec)
    data[_RECORDS_AT:] = bytes(len(data) - _RECORDS_AT)
    return signed(data)


def miscounted() -> bytearray:
    data = batch(RECORDS)
    data[_COUNT_AT : _COUNT_AT + 4] = struct.pack(">i", -1)
    return signed(data)


def unsigned() -> bytearray:
    data = batch(RECORDS)
    data[-3] ^= 1
    return data


def fetched(data: bytes, at: int) -> Any:
    """Return what a consumer's FetchResult then holds of a fetch at this offset."""
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(_isolation_level=0, _records={}))
    fetch_records(consumer)
    place = TopicPartition("comments-1", 0)
    found = SimpleNamespace(_records=MemoryRecords(data), next_fetch_offset=at)
    consumer._fetcher._records[place] = result = SimpleNamespace(_partition_records=found)
    return result._partition_records


DAMAGED: Final = {
    "unknown codec": of_codec(5),
    "last codec": of_codec(7),
    "checksum": unsigned(),
    "count": miscounted(),
    **{f"no {name}": spoilt(codec) for codec, name in enumerate(("gzip", "snappy", "lz4", "zstd"), start=1)},
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_what_cannot_be_unpacked_holds_up_nothing_before_it_and_is_kafkas_error(damaged: bytearray) -> None:
    following = batch(2 * RECORDS)
    unpacked = fetched(bytes(batch(0) + damaged + following), 0)
    assert [record.offset for record in unpacked] == list(range(RECORDS))
    assert unpacked.next_fetch_offset == RECORDS
    with pytest.raises(KafkaError):
        list(fetched(bytes(damaged + following), RECORDS))


def marked(offset: int, mark: int) -> bytearray:
    data = batch(offset)
    data[_ATTRIBUTES_AT] |= mark
    return signed(data)


def test_what_a_transaction_wrote_is_read_whatever_becomes_of_it_and_its_marker_is_no_record() -> None:
    transactional, control = 1 << 4, 1 << 5
    written, aborted = marked(0, transactional), marked(RECORDS, transactional | control)
    unpacked = fetched(bytes(written + aborted + batch(2 * RECORDS)), 0)
    assert [record.offset for record in unpacked] == [*range(RECORDS), *range(2 * RECORDS, 3 * RECORDS)]
    assert unpacked.next_fetch_offset == 3 * RECORDS
    assert [*fetched(bytes(written + aborted), RECORDS)] == []


CODECS: Final = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_batch_that_is_huge_when_unpacked_is_passed_over_and_never_held(codec: int) -> None:
    bomb = batch(RECORDS, codec, bytes(UNPACKED_BYTES_MAX * 6 // RECORDS))
    assert len(bomb) < UNPACKED_BYTES_MAX // 2
    fine = bytes(batch(2 * RECORDS, codec))
    tracemalloc.start()
    try:
        unpacked = fetched(bytes(bomb) + fine, RECORDS)
        assert [record.offset for record in unpacked] == list(range(2 * RECORDS, 3 * RECORDS))
        assert tracemalloc.get_traced_memory()[1] < UNPACKED_BYTES_MAX * 4  # read, joined and handed over
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_batch_of_just_the_size_that_is_allowed_is_read_whole(codec: int) -> None:
    overhead = UNPACKED_BYTES_MAX // 1_000
    value = bytes((UNPACKED_BYTES_MAX - overhead) // RECORDS)
    assert [record.value for record in fetched(bytes(batch(0, codec, value)), 0)] == [value] * RECORDS


def test_a_snappy_block_that_says_it_is_larger_than_it_can_be_is_none() -> None:
    data = batch(0, 2)
    plain = cramjam.snappy.compress_raw(b"x")
    data[_RECORDS_AT:] = b"\xff\xff\xff\x7f" + bytes(plain)[1:]
    data[8:12] = struct.pack(">i", len(data) - 12)
    with pytest.raises(KafkaError, match="cannot hold"):
        list(fetched(bytes(signed(data)), 0))


def test_batches_of_all_codecs_are_unpacked_one_after_another() -> None:
    unpacked = fetched(b"".join(bytes(batch(RECORDS * codec, codec)) for codec in range(5)), 1)
    assert [record.offset for record in unpacked] == list(range(1, RECORDS * 5))
    assert unpacked.next_fetch_offset == RECORDS * 5
