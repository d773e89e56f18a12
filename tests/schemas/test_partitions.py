"""Which partition a video lives in: Kafka's answer, by our own count."""

import pytest
from aiokafka.partitioner import murmur2 as kafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from livecomments_schemas.limits import VIDEO_ID_CHARS_MAX
from livecomments_schemas.partitions import (
    VideoIdRejected,
    may_descend,
    murmur2,
    parse_video_id,
    partition_of,
    video_of_key,
)

VIDEO_IDS = st.from_regex(r"[A-Za-z0-9._~-]{1,64}", fullmatch=True).filter(lambda text: text not in (".", ".."))


@given(st.binary(max_size=100))
def test_murmur2_is_kafkas(data: bytes) -> None:
    assert murmur2(data) == kafka_murmur2(data)


@pytest.mark.parametrize(
    ("data", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_numbers_of_kafkas_own_tests(data: bytes, hashed: int) -> None:
    # Source: org.apache.kafka.common.utils.UtilsTest.testMurmur2
    assert murmur2(data) == hashed & 0xFFFFFFFF


@given(VIDEO_IDS, st.integers(1, 1_024))
def test_a_video_has_one_home_and_its_key_is_a_video_only_there(video_id: str, count: int) -> None:
    home = partition_of(video_id, count)
    assert 0 <= home < count
    assert home == (kafka_murmur2(video_id.encode()) & 0x7FFFFFFF) % count
    assert video_of_key(video_id.encode(), home, count) == video_id
    assert count == 1 or video_of_key(video_id.encode(), (home + 1) % count, count) is None


@given(st.binary(max_size=80))
def test_a_key_of_any_bytes_is_a_video_id_or_none(key: bytes) -> None:
    video_id = video_of_key(key, 0, 1)
    assert video_id is None or parse_video_id(video_id).encode() == key


def test_a_key_may_be_as_long_as_a_video_id() -> None:
    longest = "v" * VIDEO_ID_CHARS_MAX
    assert video_of_key(longest.encode(), 0, 1) == longest
    assert video_of_key(longest.encode() + b"v", 0, 1) is None


@given(VIDEO_IDS)
def test_a_video_id_is_taken_as_it_is(video_id: str) -> None:
    assert parse_video_id(video_id) == video_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a b",
        "a/b",
        "a%2Fb",
        "é",
        "\u0661",
        "a\n",
        "\0",
        "a:b",
        "x" * (VIDEO_ID_CHARS_MAX + 1),
        "x" * 65_536,
    ],
)
def test_what_is_no_video_id_is_rejected_without_repeating_it(text: str) -> None:
    with pytest.raises(VideoIdRejected) as rejected:
        parse_video_id(text)
    assert rejected.value.code == "invalid_video_id"
    assert len(text) < 3 or text not in str(rejected.value)


def test_the_limit_in_the_pattern_is_the_named_one() -> None:
    assert parse_video_id("x" * VIDEO_ID_CHARS_MAX)
    assert parse_video_id("...") == "..."


@given(VIDEO_IDS, st.integers(1, 100), st.integers(1, 100), st.integers(1, 100))
def test_a_partition_descends_from_those_its_videos_were_in_when_there_were_fewer(
    video_id: str, first: int, by: int, by_then: int
) -> None:
    for count in (first, first * by):
        grown = count * by_then
        assert may_descend(partition_of(video_id, grown), grown, partition_of(video_id, count))


@given(st.integers(1, 200), st.data())
def test_a_partition_descends_from_no_other(count: int, data: st.DataObject) -> None:
    partition, other = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, 2 * count))
    by_hand = any(count % before == 0 and partition % before == other for before in range(1, count + 1))
    assert may_descend(partition, count, other) == by_hand
