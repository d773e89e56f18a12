"""Records as we write them: values, headers, digest, time."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments_schemas.events import (
    COMMENT_CREATED,
    COMMENT_DELETED,
    COMMENT_PINNED,
    COMMENT_REPORTED,
    COMMENT_UNPINNED,
    DIGEST_BYTES,
    REPORTS_DISMISSED,
    USER_BANNED,
    USER_UNBANNED,
    VIDEO_CHANGED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    Author,
    ForeignHeaders,
    NewRecord,
    comment_created,
    comment_deleted,
    comment_digest,
    comment_pinned,
    comment_reported,
    comment_unpinned,
    headers_of,
    listed_headers,
    reports_dismissed,
    timestamp,
    user_event,
    video_changed,
    video_event,
)
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.positions import comment_id, position_at

from .records import NOON_MS, at, fresh_window

ANA = Author("ana", "Ana")
TEXTS = st.text(max_size=200)
TIMES = st.none() | st.integers(0, 2**53)


def test_a_comments_record_holds_its_public_json_without_an_id() -> None:
    record = comment_created("launch", "hi 🎉", ANA, created_at_ms=NOON_MS, video_time_ms=61_500, key="k")
    assert record.key == b"launch"
    assert orjson.loads(record.value) == {
        "videoId": "launch",
        "message": "hi 🎉",
        "author": {"id": "ana", "displayName": "Ana"},
        "createdAt": "2026-11-22T12:00:00.000Z",
        "videoTimeMs": 61_500,
    }
    assert record.headers == {
        "type": COMMENT_CREATED,
        "schema": b"1",
        "author": b"ana",
        "key": b"k",
        "digest": comment_digest("hi 🎉", 61_500),
    }


def test_members_and_headers_that_were_not_given_are_left_out() -> None:
    record = comment_created("launch", "hi", ANA, created_at_ms=NOON_MS)
    assert "videoTimeMs" not in orjson.loads(record.value)
    assert set(record.headers) == {"type", "schema", "author", "digest"}


PINNED_ID = comment_id(position_at(1, 0), 0)


@pytest.mark.parametrize(
    ("record", "kind", "said"),
    [
        (comment_pinned("launch", PINNED_ID, "mod"), COMMENT_PINNED, {"commentId": PINNED_ID}),
        (comment_unpinned("launch", "mod"), COMMENT_UNPINNED, {}),
        (
            comment_reported("launch", PINNED_ID, "spam", "mod"),
            COMMENT_REPORTED,
            {"commentId": PINNED_ID, "reason": "spam"},
        ),
        (reports_dismissed("launch", PINNED_ID, "mod"), REPORTS_DISMISSED, {"commentId": PINNED_ID}),
    ],
    ids=["pinned", "unpinned", "reported", "dismissed"],
)
def test_what_moderators_and_viewers_say_of_a_comment_is_a_record_of_its_video(
    record: NewRecord, kind: bytes, said: dict[str, str]
) -> None:
    assert record.key == b"launch"
    assert record.headers == {"type": kind, "schema": b"1", "author": b"mod"}
    assert orjson.loads(record.value) == {"videoId": "launch", **said}
    assert judge(at(1, record), fresh_window()).kind is Kind.ACCEPTED


def test_an_author_may_have_an_id_in_any_letters() -> None:
    new = comment_created("launch", "hi", Author("zoë", "Zoë"), created_at_ms=NOON_MS)
    assert new.headers["author"] == "zoë".encode()
    assert judge(at(0, new), fresh_window()).kind is Kind.ACCEPTED


def test_the_trace_goes_with_every_record() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for record in (
        comment_created("launch", "hi", ANA, created_at_ms=NOON_MS, traceparent=trace),
        comment_deleted("launch", "000g000000000000", "ana", traceparent=trace),
        video_event(VIDEO_ENDED, "launch", "ana", traceparent=trace),
    ):
        assert record.headers["traceparent"] == trace.encode()


def test_a_delete_and_a_video_event_carry_no_key_and_no_digest() -> None:
    deleted = comment_deleted("launch", "000g000000000000", "mod")
    assert (deleted.key, deleted.value) == (b"launch", b'{"commentId":"000g000000000000"}')
    assert deleted.headers == {"type": COMMENT_DELETED, "schema": b"1", "author": b"mod"}
    for kind in (VIDEO_STARTED, VIDEO_ENDED):
        event = video_event(kind, "launch", "own")
        assert (event.key, event.value) == (b"launch", b'{"videoId":"launch"}')
        assert event.headers == {"type": kind, "schema": b"1", "author": b"own"}


def test_a_video_event_of_another_type_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        video_event(COMMENT_CREATED, "launch", "own")


def test_what_is_set_of_a_video_is_one_record_with_all_of_it() -> None:
    changed = video_changed("launch", {"title": "Launch", "slowModeS": 5}, "own")
    assert (changed.key, changed.value) == (b"launch", b'{"videoId":"launch","title":"Launch","slowModeS":5}')
    assert changed.headers == {"type": VIDEO_CHANGED, "schema": b"1", "author": b"own"}


@pytest.mark.parametrize("kind", [USER_BANNED, USER_UNBANNED])
def test_a_ban_and_its_end_name_the_person_and_who_said_it(kind: bytes) -> None:
    said = user_event(kind, "launch", "troll", "mod")
    assert (said.key, said.value) == (b"launch", b'{"videoId":"launch","userId":"troll"}')
    assert said.headers == {"type": kind, "schema": b"1", "author": b"mod"}


def test_a_user_event_of_another_type_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        user_event(VIDEO_ENDED, "launch", "troll", "mod")


def test_headers_that_stand_once_are_a_dict_and_any_others_keep_their_list() -> None:
    once = [("b", b"1"), ("a", b"2")]
    assert type(headers_of(once)) is dict
    assert listed_headers(headers_of(once)) == tuple(once)
    for listed in ([("a", b"1"), ("b", b""), ("a", b"2")], [("a", None)], [("a", b"1"), ("a", None)]):
        found = headers_of(listed)
        assert isinstance(found, ForeignHeaders)
        assert found == {name: value for name, value in listed if value is not None}
        assert listed_headers(found) == tuple(listed)
    assert headers_of([]) == {}


@given(TEXTS, TEXTS.filter(bool), TIMES)
def test_whatever_is_written_is_one_line_and_accepted(message: str, name: str, time: int | None) -> None:
    new = comment_created("launch", message, Author("ana", name), created_at_ms=NOON_MS, video_time_ms=time, key="k")
    assert new.value.startswith(b'{"')
    assert not {b"\n", b"\r"} & {new.value[i : i + 1] for i in range(len(new.value))}
    assert orjson.loads(new.value)["message"] == message
    assert judge(at(0, new), fresh_window()).kind is Kind.ACCEPTED


@given(TEXTS, TIMES, TEXTS, TIMES)
def test_digests_are_equal_if_and_only_if_message_and_video_time_are(
    one: str, one_ms: int | None, other: str, other_ms: int | None
) -> None:
    assert len(comment_digest(one, one_ms)) == DIGEST_BYTES
    assert (comment_digest(one, one_ms) == comment_digest(other, other_ms)) is ((one, one_ms) == (other, other_ms))


@pytest.mark.parametrize(
    ("one", "other"), [(("", None), ("", 0)), (("1", None), ("", 1)), (("\0", 1), ("", 1)), (("1\0x", None), ("x", 1))]
)
def test_text_and_time_cannot_stand_for_each_other_in_a_digest(
    one: tuple[str, int | None], other: tuple[str, int | None]
) -> None:
    assert comment_digest(*one) != comment_digest(*other)


def test_digests_are_what_they_were_when_they_were_first_stored() -> None:
    assert comment_digest("hello", None).hex() == "ee6cd048facd1cc03d5a4d4ce65efc1f"
    assert comment_digest("hello", 61_500).hex() == "55bb8be2cbe4decb316c9dc3dd20efb8"


@given(st.integers(0, 253_402_300_799_999))
def test_a_timestamp_is_rfc_3339_in_utc_to_the_millisecond(unix_ms: int) -> None:
    text = timestamp(unix_ms)
    assert len(text) == len("2026-11-22T10:00:00.123Z")
    read = datetime.fromisoformat(text)
    assert read.tzinfo == UTC
    assert (read - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() == pytest.approx(unix_ms / 1000, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "beyond"),
    [
        ("1970-01-01T00:00:00.000Z", [0, -1, -1_000, -(2**63)]),
        ("1970-01-01T00:00:00.001Z", [1]),
        ("9999-12-31T23:59:59.998Z", [253_402_300_799_998]),
        ("9999-12-31T23:59:59.999Z", [253_402_300_799_999, 253_402_300_800_000, 2**63 - 1]),
    ],
)
def test_a_time_that_nobody_can_have_meant_becomes_the_nearest_that_has_a_year(text: str, beyond: list[int]) -> None:
    assert {timestamp(unix_ms) for unix_ms in beyond} == {text}


def test_a_timestamp_keeps_its_zeros() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_000_000_000_007) == "2001-09-09T01:46:40.007Z"
