"""Where a request resumes: spellings that are known, near misses that are refused, and what is somebody else's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments_consumers.sessions import TokenInUrlRejected
from livecomments_consumers.wanted import (
    PARAMETERS_MAX,
    HistoryRejected,
    MissedRejected,
    Wanted,
    wanted,
)
from livecomments_schemas.errors import ParameterRejected
from livecomments_schemas.limits import MISSED_ON_RESUME_MAX
from livecomments_schemas.positions import CursorRejected, Home, comment_id, position_at

HOME = Home(1, 3, 64)
ONE, OTHER, THIRD = (comment_id(position_at(1, offset), 3) for offset in (7, 8, 9))


def asked(query: str = "", last_event_id: str | None = None) -> Wanted:
    """What is wanted by a query, as pairs of the texts between `&` and `=`, and perhaps a header."""
    pairs = [(name, value) for name, _, value in (text.partition("=") for text in query.split("&") if text)]
    return wanted({} if last_event_id is None else {"last-event-id": last_event_id}, pairs, HOME)


def resumed_after(offset: int) -> Wanted:
    return Wanted(position_at(1, offset), 0)


@pytest.mark.parametrize(
    "name",
    [
        "after",
        "lastEventId",
        "lastEventID",
        "Last-Event-ID",
        "last-event-id",
        "last_event_id",
        "LASTEVENTID",
        "evs_last_event_id",
    ],
)
def test_a_position_is_understood_as_clients_spell_it(name: str) -> None:
    assert asked(f"{name}={ONE}") == resumed_after(7)


@pytest.mark.parametrize(
    "name", ["x-last-event-id", "last_event_id", "lasteventid", "last-eventid", "x-sse-last-event-id"]
)
def test_a_header_that_nearly_says_a_position_is_refused(name: str) -> None:
    with pytest.raises(ParameterRejected):
        wanted({name: ONE}, [], HOME)
    with pytest.raises(ParameterRejected):
        wanted({name: ONE, "last-event-id": ONE}, [], HOME)


@pytest.mark.parametrize("name", ["x-event", "sentry-event-id", "last-modified", "x-request-id", "accept"])
def test_a_header_of_somebody_else_is_left_alone(name: str) -> None:
    assert wanted({name: ONE}, [], HOME) == Wanted(None, 0)


def test_the_header_goes_before_lasteventid_and_that_before_after() -> None:
    assert asked(f"after={THIRD}&lastEventId={OTHER}&history=5", ONE) == resumed_after(7)
    assert asked(f"after={THIRD}&lastEventId={OTHER}&history=5") == resumed_after(8)
    assert asked(f"after={THIRD}&history=5") == resumed_after(9)
    assert asked("history=5") == Wanted(None, 5)


def test_an_empty_position_is_none_as_it_is_before_the_first_event() -> None:
    assert asked(f"lastEventId=&after={ONE}", "") == resumed_after(7)
    assert asked("lastEventId=&after=") == Wanted(None, 0)


def test_what_does_not_count_is_not_looked_at_since_a_browser_repeats_its_first_address() -> None:
    assert asked(f"after=nonsense&after={OTHER}&history=no", ONE) == resumed_after(7)


@pytest.mark.parametrize(
    "name",
    [
        *("cursor", "AFTER", "After", "lastId", "last_id", "lastEvent", "eventId", "since", "sinceId", "resume"),
        *("resumeFrom", "position", "offset", "aftr", "afetr", "aftre", "afters", "lastEventIdd", "lastEvntId"),
        *("startAfter", "nextCursor", "after_id", "History", "histroy", "Missed", "misssed", "lastSeenId"),
    ],
)
@pytest.mark.parametrize("value", ["", "1", ONE])
@pytest.mark.parametrize("last_event_id", [None, ONE])
def test_a_near_miss_is_refused_and_not_taken_for_none(name: str, value: str, last_event_id: str | None) -> None:
    with pytest.raises(ParameterRejected, match="lastEventId or after"):
        asked(f"{name}={value}", last_event_id)


@pytest.mark.parametrize("name", ["id", "from", "p", "x-token", "ref", "位置"])
def test_whatever_it_is_called_a_position_of_this_video_is_one(name: str) -> None:
    with pytest.raises(ParameterRejected):
        asked(f"{name}={ONE}")
    assert asked(f"{name}={comment_id(position_at(1, 7), 4)}") == Wanted(None, 0), "of another partition it is not"


@pytest.mark.parametrize(
    "query",
    [
        *("_=1700000000000", "utm_source=mail&utm_medium=x", "viewer=chromium-nginx-gzip", "v=3", "t=12", "fbclid=abc"),
        *(
            f"_={ONE}",
            f"utm_content={ONE}",
            "from=timeline",
            "id=7",
            "lang=en",
            "cb=4bf92f3577b34da6",
            "room=after",
            "=",
        ),
        "x" * 200 + "cursor=1",
    ],
)
def test_what_is_somebody_elses_is_left_alone(query: str) -> None:
    assert asked(f"{query}&after={ONE}") == resumed_after(7)


@pytest.mark.parametrize("name", ["after", "lastEventId"])
def test_a_position_said_twice_is_refused_unless_it_is_the_same(name: str) -> None:
    assert asked(f"{name}={ONE}&{name}={ONE}") == resumed_after(7)
    with pytest.raises(ParameterRejected):
        asked(f"{name}={ONE}&{name}={OTHER}")
    with pytest.raises(ParameterRejected):
        asked(f"lastEventId={ONE}&last-event-id={OTHER}")


def test_how_much_is_missed_counts_for_who_resumes_and_is_refused_before_it_does() -> None:
    assert asked(f"missed=5&after={ONE}") == Wanted(position_at(1, 7), 0, 5)
    assert asked("missed=0", ONE) == Wanted(position_at(1, 7), 0, 0)
    assert asked("missed=5&history=3") == Wanted(None, 3)
    for missed in ("", "-1", "1e3", "٣", str(MISSED_ON_RESUME_MAX + 1), "9" * 5_000):
        for query in (f"missed={missed}", f"missed={missed}&after={ONE}"):
            with pytest.raises(MissedRejected):
                asked(query)


@pytest.mark.parametrize("query", ["after=x", f"after={ONE}x", f"lastEventId={ONE.upper()}", "last-event-id=-1"])
def test_a_position_that_cannot_be_is_refused(query: str) -> None:
    with pytest.raises(CursorRejected):
        asked(query)


def test_the_number_of_parameters_is_bounded() -> None:
    assert asked("&".join(f"p{n}=1" for n in range(PARAMETERS_MAX))) == Wanted(None, 0)
    with pytest.raises(ParameterRejected):
        asked("&".join(f"p{n}=1" for n in range(PARAMETERS_MAX + 1)))


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=20)), max_size=5))
def test_whatever_is_sent_is_understood_or_refused(query: list[tuple[str, str]]) -> None:
    try:
        assert wanted({}, query, HOME).after is None
    except (CursorRejected, HistoryRejected, MissedRejected, ParameterRejected, TokenInUrlRejected):
        pass
