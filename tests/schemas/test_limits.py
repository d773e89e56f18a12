"""The bounds fit into each other."""

import json

from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.limits import (
    AUTHOR_ID_BYTES_MAX,
    BODY_BYTES_MAX,
    COMBINING_MARKS_MAX,
    DEDUPE_WINDOW_RECORDS,
    DISPLAY_NAME_BYTES_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_GRAPHEMES_MAX,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    RECORD_VALUE_BYTES_MAX,
    VIDEO_ID_CHARS_MAX,
    VIDEO_TIME_MS_MAX,
)

from .records import NOON_MS, at, fresh_window


def test_the_longest_comment_fits_a_record_however_much_of_it_is_escaped() -> None:
    author = Author("\x01" * AUTHOR_ID_BYTES_MAX, '"' * DISPLAY_NAME_BYTES_MAX)
    new = comment_created(
        "v" * VIDEO_ID_CHARS_MAX,
        "\\" * MESSAGE_BYTES_MAX,
        author,
        created_at_ms=NOON_MS,
        video_time_ms=VIDEO_TIME_MS_MAX,
        key="k" * IDEMPOTENCY_KEY_CHARS_MAX,
    )
    assert len(new.value) <= RECORD_VALUE_BYTES_MAX
    assert judge(at(0, new), fresh_window()).kind is Kind.ACCEPTED


def test_the_longest_message_fits_a_body_whose_every_letter_is_escaped() -> None:
    for letter in ("é", "한", "🎉", '"'):
        message = letter * (MESSAGE_BYTES_MAX // len(letter.encode()))
        assert len(json.dumps({"message": message, "videoTimeMs": VIDEO_TIME_MS_MAX})) <= BODY_BYTES_MAX


def test_a_message_of_the_most_characters_fits_its_bytes_in_every_script_of_the_basic_plane() -> None:
    assert MESSAGE_GRAPHEMES_MAX * len("한".encode()) <= MESSAGE_BYTES_MAX
    assert MESSAGE_GRAPHEMES_MAX * len("🎉".encode()) <= MESSAGE_BYTES_MAX


def test_a_default_page_is_a_page() -> None:
    assert 1 <= PAGE_SIZE_DEFAULT <= PAGE_SIZE_MAX


def test_a_number_of_milliseconds_is_a_safe_integer_in_javascript() -> None:
    assert VIDEO_TIME_MS_MAX < 2**53


def test_what_stored_data_rests_on_has_not_moved() -> None:
    assert DEDUPE_WINDOW_RECORDS == 16_384
    assert COMBINING_MARKS_MAX == 8
