"""A fetch written and read a row at a time is the one that aiokafka writes and reads."""

from io import BytesIO

import pytest
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4, FetchRequest_v11, FetchResponse_v11
from hypothesis import given
from hypothesis import strategies as st

from livecomments.kafka.fetching import LeanAnswer, LeanRequest

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(min_size=1, max_size=9)
ROWS = st.tuples(
    INT32,
    st.integers(0, 99),
    INT64,
    INT64,
    INT64,
    st.none() | st.lists(st.tuples(INT64, INT64), max_size=3),
    INT32,
    st.none() | st.binary(max_size=40),
)


@given(
    st.lists(st.tuples(NAMES, st.lists(st.tuples(INT32, INT64, INT32), max_size=5)), max_size=3),
    st.tuples(INT32, INT32, INT32, st.integers(0, 1)),
    st.text(max_size=5),
)
def test_it_is_asked_for_in_the_same_bytes(
    topics: list[tuple[str, list[tuple[int, int, int]]]], numbers: tuple[int, int, int, int], rack: str
) -> None:
    of_aiokafka = FetchRequest(*numbers, topics, rack_id=rack).build(FetchRequest_v11)
    assert LeanRequest(*numbers, topics, rack_id=rack).build(FetchRequest_v11).encode() == of_aiokafka.encode()


def test_a_broker_that_speaks_an_older_version_is_asked_in_it() -> None:
    asked = LeanRequest(1, 2, 3, 0, [("t", [(0, 7, 9)])]).build(FetchRequest_v4)
    assert type(asked) is FetchRequest_v4


@given(INT32, st.integers(0, 99), st.lists(st.tuples(NAMES, st.lists(ROWS, max_size=5)), max_size=3))
def test_it_is_read_as_aiokafka_reads_it_but_for_partitions_without_news(
    throttled_ms: int, error: int, topics: list[tuple[str, list[tuple[object, ...]]]]
) -> None:
    encoded = FetchResponse_v11(throttled_ms, error, 0, topics).encode()
    read, of_aiokafka = LeanAnswer.decode(BytesIO(encoded)), FetchResponse_v11.decode(encoded)
    assert (read.throttle_time_ms, read.error_code, read.API_VERSION) == (throttled_ms, error, 11)
    assert read.topics == [
        (name, [(*row[:5], None, row[6], row[7] or b"") for row in rows if row[1] or row[7]])
        for name, rows in of_aiokafka.topics
    ]


def test_an_answer_that_ends_early_is_no_answer() -> None:
    whole = FetchResponse_v11(0, 0, 0, [("t", [(0, 0, 1, 1, 0, None, -1, b"records")])]).encode()
    with pytest.raises(ValueError, match="underrun"):
        LeanAnswer.decode(whole[:-1])
