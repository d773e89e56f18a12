"""Ids: as text in the order of positions, there and back, and nothing else accepted."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from livecomments_schemas.positions import (
    BEFORE_EVERYTHING,
    COMMENT_ID_CHARS,
    EPOCH_MAX,
    OFFSET_MAX,
    PARTITION_MAX,
    CursorRejected,
    Home,
    comment_id,
    epoch_of,
    first_position,
    offset_of,
    parse_comment_id,
    parse_cursor,
    position_at,
)

EPOCHS = st.integers(0, EPOCH_MAX)
OFFSETS = st.integers(0, OFFSET_MAX) | st.integers(0, 40).map(lambda bits: (1 << bits) - 1)
PARTITIONS = st.integers(0, PARTITION_MAX)
POSITIONS = st.builds(position_at, EPOCHS, OFFSETS)


@given(POSITIONS, POSITIONS, PARTITIONS)
def test_ids_of_a_partition_sort_as_text_as_their_positions_do(one: int, other: int, partition: int) -> None:
    assert (comment_id(one, partition) < comment_id(other, partition)) is (one < other)


@given(EPOCHS, OFFSETS)
def test_a_position_gives_back_its_epoch_and_offset(epoch: int, offset: int) -> None:
    position = position_at(epoch, offset)
    assert (epoch_of(position), offset_of(position)) == (epoch, offset)
    assert first_position(epoch) <= position < first_position(epoch + 1)


@given(POSITIONS, PARTITIONS)
@example(position_at(EPOCH_MAX, OFFSET_MAX), PARTITION_MAX)
@example(0, 0)
def test_an_id_is_sixteen_characters_and_gives_back_its_position_and_partition(position: int, partition: int) -> None:
    text = comment_id(position, partition)
    assert len(text) == COMMENT_ID_CHARS
    assert set(text) <= set("0123456789abcdefghijklmnopqrstuv")
    assert parse_comment_id(text) == (position, partition)
    assert parse_cursor(text, Home(EPOCH_MAX, partition, partition + 1)) == position


@given(st.text(alphabet="0123456789abcdefghijklmnopqrstuv", min_size=16, max_size=16))
def test_sixteen_characters_are_an_id_if_and_only_if_their_epoch_can_exist(text: str) -> None:
    if int(text, 32) >> 64 > EPOCH_MAX:
        with pytest.raises(CursorRejected):
            parse_comment_id(text)
    else:
        assert comment_id(*parse_comment_id(text)) == text


@given(st.text())
def test_no_text_raises_anything_but_cursor_rejected(text: str) -> None:
    try:
        assert comment_id(*parse_comment_id(text)) == text
    except CursorRejected:
        pass


GOOD = comment_id(position_at(1, 7), 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        GOOD[:-1],
        GOOD + "0",
        GOOD + "\n",
        " " + GOOD,
        GOOD.upper().replace("0", "A"),
        GOOD[:-1] + "w",
        GOOD[:-1] + "=",
        GOOD[:-1] + "é",
        "٠" * 16,
        "-000000000000000",
        "v" * 16,
        "0" * 65_536,
    ],
)
def test_a_malformed_cursor_is_rejected_without_repeating_it(text: str) -> None:
    with pytest.raises(CursorRejected) as rejected:
        parse_cursor(text, Home(1, 3, 64))
    assert rejected.value.code == "invalid_cursor"
    assert str(rejected.value).startswith(("A cursor is a comment id", "This cursor belongs"))
    assert not text.strip() or len(text) < 2 or text not in str(rejected.value)


def test_an_epoch_beyond_the_highest_is_rejected() -> None:
    assert parse_comment_id(comment_id(position_at(EPOCH_MAX, 0), 0)) == (first_position(EPOCH_MAX), 0)
    with pytest.raises(CursorRejected, match="no epoch"):
        parse_comment_id(comment_id((EPOCH_MAX + 1) << 40, 0))


def test_a_cursor_of_another_partition_is_rejected() -> None:
    with pytest.raises(
        CursorRejected,
        match=r"^This cursor belongs to another video\. Use one that this video's pages or stream gave\.$",
    ):
        parse_cursor(GOOD, Home(1, 4, 64))


def test_a_cursor_of_another_epoch_is_one_of_a_partition_that_the_video_was_or_will_be_in() -> None:
    home = Home(3, 70, 128)
    for epoch, partition, is_ours in (
        (3, 70, True),
        (3, 6, False),
        (2, 6, True),  # of 64 partitions
        (1, 0, True),  # of 2
        (2, 7, False),
        (2, 71, False),
        (4, 70 + 128, True),
        (4, 70, True),
        (4, 6, False),
    ):
        text = comment_id(position_at(epoch, 1), partition)
        if is_ours:
            assert parse_cursor(text, home) == position_at(epoch, 1)
        else:
            with pytest.raises(CursorRejected):
                parse_cursor(text, home)


@pytest.mark.parametrize(("epoch", "offset"), [(-1, 0), (EPOCH_MAX + 1, 0), (1, -1), (1, OFFSET_MAX + 1)])
def test_a_position_out_of_bounds_is_our_bug(epoch: int, offset: int) -> None:
    with pytest.raises(AssertionError):
        position_at(epoch, offset)


def test_before_everything_is_one_less_than_the_first_position_and_a_valid_cursor() -> None:
    assert BEFORE_EVERYTHING == (1 << 40) - 1 == first_position(1) - 1
    assert parse_cursor(comment_id(BEFORE_EVERYTHING, 5), Home(1, 5, 64)) == BEFORE_EVERYTHING
    assert comment_id(BEFORE_EVERYTHING, 5) < comment_id(position_at(1, 0), 5)


def test_positions_fit_a_signed_64_bit_column_and_their_buckets_a_signed_32_bit_one() -> None:
    last = position_at(EPOCH_MAX, OFFSET_MAX)
    assert last < 1 << 63
    assert last >> 20 < 1 << 31


def test_ids_are_what_they_were_when_they_were_first_stored() -> None:
    assert comment_id(position_at(1, 0), 0) == "000g000000000000"
    assert comment_id(position_at(1, 1), 63) == "000g0000000g001v"
    assert comment_id(position_at(EPOCH_MAX, OFFSET_MAX), PARTITION_MAX) == "0fkfvvvvvvvvvvvv"
