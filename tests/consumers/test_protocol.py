"""The rules of durable streams: what is asked for, where answers end, and how those who wait meet."""

import random
from itertools import accumulate
from typing import Final
from urllib.parse import urlencode

import pytest

from livecomments.following.tail import Entry, Tail, TailBounds
from livecomments_consumers.protocol import (
    CHUNK_ENTRIES,
    LATE_MS,
    SILENCE_MS,
    WINDOW_MS,
    Live,
    LiveRejected,
    StreamCursorRejected,
    asked,
    chunk,
    closes_at,
    cursor_after,
    open_from,
    rest_of,
    silence_ms,
)
from livecomments_consumers.sessions import TokenInUrlRejected
from livecomments_consumers.wanted import PARAMETERS_MAX
from livecomments_schemas.errors import ParameterRejected, Rejected
from livecomments_schemas.events import COMMENT_CREATED
from livecomments_schemas.positions import BEFORE_EVERYTHING, CursorRejected, Home, comment_id, position_at

HOME: Final = Home(1, 3, 8)
HERE: Final = comment_id(position_at(1, 70), 3)
NOW_MS: Final = 1_800_000_000_000


def entries_at(*times_ms: int) -> list[Entry]:
    """One comment at each of these times, the first at position 1."""
    return [
        Entry(at, 0, COMMENT_CREATED, "v", "a", b'{"message":"hi"}', appended_at_ms=time_ms, read_at=time_ms / 1_000)
        for at, time_ms in enumerate(times_ms, 1)
    ]


def test_an_offset_is_a_comment_id_or_the_beginning_or_now() -> None:
    assert asked({}, "", HOME).offset == asked({}, "offset=-1", HOME).offset == BEFORE_EVERYTHING
    assert asked({}, "offset=%2D1", HOME).offset == BEFORE_EVERYTHING
    assert asked({}, "offset=now", HOME).offset is None
    want = asked({}, f"live=long-poll&&cursor=17&offset={HERE}&utm_x=y&offset={HERE}", HOME)
    assert want == (position_at(1, 70), Live.LONG_POLL, 17, b"", True)


@pytest.mark.parametrize(
    ("query", "rejected"),
    [
        ([("offset", "")], CursorRejected),
        ([("offset", "-2")], CursorRejected),
        ([("offset", "NOW")], CursorRejected),
        ([("offset", HERE.upper())], CursorRejected),
        ([("offset", HERE + "0")], CursorRejected),
        ([("offset", comment_id(position_at(1, 70), 4))], CursorRejected),
        ([("offset", comment_id(position_at(1, 70), 3)[:-1] + "é")], CursorRejected),
        ([("offset", HERE), ("offset", "-1")], LiveRejected),
        ([("offset", HERE), ("live", "true")], LiveRejected),
        ([("offset", HERE), ("live", "")], LiveRejected),
        ([("live", "sse")], LiveRejected),
        ([("offset", HERE), ("cursor", "")], StreamCursorRejected),
        ([("offset", HERE), ("cursor", "-1")], StreamCursorRejected),
        ([("offset", HERE), ("cursor", "1e3")], StreamCursorRejected),
        ([("offset", HERE), ("cursor", "٣")], StreamCursorRejected),
        ([("offset", HERE), ("cursor", "9" * 16)], StreamCursorRejected),
        ([("offset", HERE), ("token", "x")], TokenInUrlRejected),
        ([("Offset", HERE)], CursorRejected),
        ([("offset ", HERE)], CursorRejected),
        ([("offset", HERE), ("LIVE", "sse")], LiveRejected),
        ([("offset", HERE), ("_cursor", "7")], StreamCursorRejected),
        ([(f"p{n}", "") for n in range(PARAMETERS_MAX + 1)], ParameterRejected),
    ],
)
def test_what_cannot_be_meant_is_refused(query: list[tuple[str, str]], rejected: type[Rejected]) -> None:
    with pytest.raises(rejected):
        asked({}, urlencode(query), HOME)


@pytest.mark.parametrize(
    ("query", "rejected"),
    [
        (f"%6Fffset={HERE}", CursorRejected),
        (f"offse%74={HERE}", CursorRejected),
        (f"offset+={HERE}", CursorRejected),
        (f"offset&offset={HERE}", LiveRejected),
        (f"offset={HERE}&%6cive=long-poll", LiveRejected),
        (f"offset={HERE}&%4C%49VE", LiveRejected),
        (f"offset={HERE}&live=long-poll&c%75rsor=7", StreamCursorRejected),
        (f"offset={HERE}&%74oken=x", TokenInUrlRejected),
    ],
)
def test_a_name_that_a_cache_takes_for_another_is_refused(query: str, rejected: type[Rejected]) -> None:
    with pytest.raises(rejected):
        asked({}, query, HOME)


def test_an_answer_to_somebody_is_for_nobody_else() -> None:
    assert not asked({"authorization": "Basic eA=="}, "", HOME).is_shared
    assert not asked({"authorization": "Bearer x"}, "", HOME).is_shared
    assert asked({"cookie": "theme=dark"}, "", HOME).is_shared


@pytest.mark.parametrize("time_ms", [0, NOW_MS, 10**13])
@pytest.mark.parametrize("before", [None, 0, 1, 10**11, 10**15 - 2])
def test_a_cursor_is_always_greater_than_the_one_before(time_ms: int, before: int | None) -> None:
    assert cursor_after(time_ms, before) > (-1 if before is None else before)


@pytest.mark.parametrize("cursor", ["0", "00", "17", "9" * 14, "9" * 15])
def test_whoever_comes_with_a_cursor_is_given_one_that_is_taken_again(cursor: str) -> None:
    for _ in range(3):
        want = asked({}, f"live=long-poll&offset={HERE}&cursor={cursor}", HOME)
        cursor = str(cursor_after(NOW_MS, want.cursor))


def test_those_who_came_apart_have_the_same_cursor_at_the_next_window() -> None:
    one = cursor_after(NOW_MS, None)
    others = [cursor_after(NOW_MS, one), cursor_after(NOW_MS, one + 1), cursor_after(NOW_MS - WINDOW_MS, one)]
    assert len({one, *others}) == 3
    assert {cursor_after(NOW_MS + WINDOW_MS, before) for before in (None, one, *others)} == {one + 100}


@pytest.mark.parametrize("video_id", ["v", "w", "launch"])
def test_all_who_wait_for_a_video_are_answered_at_the_same_moments(video_id: str) -> None:
    moments = set()
    for now_ms in range(NOW_MS, NOW_MS + SILENCE_MS, 97):
        left_ms = silence_ms(video_id, now_ms)
        assert 1_000 <= left_ms < SILENCE_MS + 1_000
        moments.add((now_ms + left_ms) % SILENCE_MS)
        assert silence_ms(video_id, now_ms + left_ms) == SILENCE_MS
    (moment_ms,) = moments
    assert moment_ms % WINDOW_MS == WINDOW_MS // 2


def test_a_window_is_open_until_its_time_is_over_and_late_records_have_come() -> None:
    entries = entries_at(1_199, 1_210, 1_390)
    assert open_from(entries) == 1
    assert closes_at(entries[1]) == pytest.approx((1_400 + LATE_MS) / 1_000)
    assert open_from(entries_at(1_200)) == open_from(entries_at(1_200, 1_399)) == 0
    assert open_from(entries_at(1_399, 1_405, 1_398)) == 2  # a log's time may go back


@pytest.mark.parametrize("seed", range(10))
def test_readers_who_come_from_different_places_are_soon_at_the_same_one(seed: int) -> None:
    rng = random.Random(seed)
    entries = entries_at(*accumulate([10**6] + [rng.randrange(60) for _ in range(2_000)]))

    def ends_from(at: int) -> list[int]:
        ends = []
        while at < len(entries):
            part = chunk(entries[at:], is_all=True)
            assert 0 < len(part) <= CHUNK_ENTRIES
            at += len(part)
            ends.append(at)
        return ends

    everybody = [ends_from(rng.randrange(400)) for _ in range(30)]
    together = set.intersection(*map(set, everybody))
    assert min(together) < len(entries), "they have not met before the end"
    for end in everybody[0][:-1]:
        assert entries[end - 1].appended_at_ms // WINDOW_MS < entries[end].appended_at_ms // WINDOW_MS


def test_all_who_have_everything_wait_at_one_place() -> None:
    tail = Tail(TailBounds(10, 10**6, 1e9), 99)
    assert rest_of(tail, "v", 99, 99) == 99
    assert {rest_of(tail, "v", 200, after) for after in range(99, 201)} == {128}
    (entry,) = entries_at(0)
    entry.position = 150
    tail.append(entry, 0.0)
    assert {rest_of(tail, "v", 200, after) for after in (150, 180, 200)} == {150}
    assert rest_of(tail, "w", 200, 160) == 128
