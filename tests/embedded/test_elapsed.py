"""A clock that runs ahead makes nothing older than the time that passed."""

from pathlib import Path
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from livecomments.embedded.elapsed import Elapsed, Leap, elapsed_of
from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES, EmbeddedStore
from livecomments.sqlite import DurableFile
from livecomments.store.interface import Lifetime
from tests.log.contract import new_record
from tests.store.examples import END, START, comment

DAY_S: Final = 86_400
NOON_S: Final = 1_795_348_800
TTL_S: Final = 7 * DAY_S


class Time:
    """What passes, and what the clock says of it."""

    def __init__(self, now_s: float = NOON_S) -> None:
        self.now_s, self.passed_s = now_s, 0.0

    def clock(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.passed_s

    def go_on(self, seconds: float) -> None:
        self.now_s += seconds
        self.passed_s += seconds


def elapsed(time: Time, leaps: list[Leap] | None = None, newest_s: float | None = None) -> Elapsed:
    newest_ms = None if newest_s is None else int(newest_s * 1_000)
    return Elapsed(leaps or [], newest_ms, clock=time.clock, monotonic=time.monotonic)


def older_s(found: Elapsed, age_s: float) -> float:
    """The newest stamp of what is so old by the time that passed."""
    return found.older_than(int(age_s * 1_000)) / 1_000


def test_with_a_right_clock_age_is_what_the_clock_says() -> None:
    time = Time()
    found = elapsed(time)
    assert older_s(found, TTL_S) == NOON_S - TTL_S
    time.go_on(DAY_S)
    assert older_s(found, TTL_S) == NOON_S + DAY_S - TTL_S
    time.now_s += 60  # set right
    assert not found.look()
    assert found.leaps == []


def test_a_clock_that_goes_ahead_ages_nothing_until_as_much_has_passed() -> None:
    time = Time()
    found = elapsed(time)
    time.go_on(DAY_S)
    time.now_s += 10 * DAY_S
    assert older_s(found, TTL_S) == NOON_S + DAY_S - TTL_S
    time.go_on(TTL_S - 1)
    assert older_s(found, TTL_S) == NOON_S + DAY_S - 1
    time.go_on(1)
    assert older_s(found, TTL_S) == time.now_s - TTL_S  # all of it has run since


def test_a_clock_that_is_ahead_at_the_start_is_as_little_believed_and_so_at_the_next() -> None:
    time = Time(NOON_S + 10 * DAY_S)
    found = elapsed(time, newest_s=NOON_S)
    assert older_s(found, TTL_S) == NOON_S - TTL_S
    time.go_on(3_600)
    again = elapsed(time, found.leaps, newest_s=time.now_s)
    assert older_s(again, TTL_S) == NOON_S + 3_600 - TTL_S
    time.now_s -= 10 * DAY_S  # right again
    assert older_s(again, TTL_S) == NOON_S + 3_600 - TTL_S
    assert again.leaps == []


def test_very_many_leaps_are_bounded_and_none_is_forgotten() -> None:
    time = Time()
    found = elapsed(time)
    for _ in range(500):
        time.now_s += DAY_S
        found.look()
    assert len(found.leaps) == 100
    assert older_s(found, TTL_S) == NOON_S - TTL_S


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("passes"), st.integers(0, 2 * TTL_S)),
        st.tuples(st.just("ahead"), st.integers(61, 20 * DAY_S)),
        st.tuples(st.just("back"), st.integers(61, 20 * DAY_S)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("stamp"), st.just(0)),
    ),
    max_size=30,
)


@given(STEPS)
def test_nothing_is_older_than_the_time_that_passed_since_and_in_the_end_all_is_old(
    steps: list[tuple[str, int]],
) -> None:
    time, stamps = Time(), [(NOON_S, 0.0)]
    found = elapsed(time, newest_s=NOON_S)
    for name, seconds in steps:
        if name == "passes":
            time.go_on(seconds)
        elif name in ("ahead", "back"):
            time.now_s += seconds if name == "ahead" else -seconds
        elif name == "restart":
            found = elapsed(time, found.leaps, newest_s=max(at_s for at_s, _ in stamps))
        else:
            stamps.append((int(time.now_s), time.passed_s))
        older = older_s(found, TTL_S)
        for at_s, passed_s in stamps:
            assert at_s > older or time.passed_s - passed_s >= TTL_S - 60 * len(steps)
    time.now_s = max([time.now_s, *(at_s for at_s, _ in stamps)])
    found.look()
    time.go_on(TTL_S)
    assert all(at_s <= older_s(found, TTL_S) for at_s, _ in stamps)


async def test_a_service_that_stamps_with_a_clock_ahead_removes_nothing_and_leaves_nothing_unwritten(
    tmp_path: Path,
) -> None:
    """Started twice with a clock ten days ahead, in which it takes comments; then right again."""
    time = Time()
    rows = [comment("video", START + number)._replace(appended_at_ms=NOON_S * 1_000) for number in range(4)]
    async with DurableFile(tmp_path, LOG_TABLES + TABLES) as file:

        async def run(unwritten: int) -> None:
            lifetime = Lifetime(TTL_S, time.clock)
            lifetime.hear(int(time.now_s * 1_000))  # as the log stamps what it is given
            found = await elapsed_of(file, clock=time.clock, monotonic=time.monotonic)
            async with EmbeddedStore(file, lifetime=lifetime, elapsed=found) as store:
                rows.append(rows[0]._replace(position=rows[-1].position + 1, appended_at_ms=int(time.now_s * 1_000)))
                await store.write(rows[unwritten:])
                assert (await store.read("video", START - 1, END, 99, descending=False)).rows == rows
                assert await store.read_one("video", START) == rows[0]

        async with EmbeddedLog(file, "comments-1", 1, 1) as log:
            await log.append(0, new_record("stamped at noon"))
            at_noon = "UPDATE log_records SET appended_at_ms = ?"
            await file.write(lambda connection: connection.execute(at_noon, (NOON_S * 1_000,)))
        time.now_s += 10 * DAY_S
        await run(0)
        time.go_on(3_600)
        await run(5)
        time.now_s -= 10 * DAY_S
        await run(0)
        found = await elapsed_of(file, clock=time.clock, monotonic=time.monotonic)
        time.go_on(TTL_S)
        async with EmbeddedStore(file, lifetime=Lifetime(TTL_S, time.clock), elapsed=found) as store:
            assert await store.read_one("video", START) is None  # a week has passed
