"""How long a follower rests: until several records are worth a poll, within its bounds."""

import pytest

from livecomments.kafka.rest import Rest, Resting

BOUNDS = Rest(0.010, 0.025)


def settled(rate: float) -> float:
    """The rest of a reader to which records come evenly at this rate for two seconds."""
    resting, now, rest_s = Resting(BOUNDS, 0.0), 0.0, 0.0
    while now < 2.0:
        came = max(1, round(rate * max(rest_s, 1 / rate)))
        now += max(rest_s, 1 / rate)
        rest_s = resting.after(came, now) - now
    return rest_s


@pytest.mark.parametrize(
    ("rate", "rest_s"), [(5.0, 0.025), (250.0, 0.025), (600.0, 0.0167), (1_000.0, 0.010), (5_000.0, 0.010)]
)
def test_a_rest_is_as_long_as_ten_records_take_to_come_within_its_bounds(rate: float, rest_s: float) -> None:
    assert settled(rate) == pytest.approx(rest_s, abs=0.003)


def test_who_got_much_or_nothing_does_not_rest() -> None:
    resting = Resting(BOUNDS, 0.0)
    assert resting.after(0, 1.0) == 1.0
    assert resting.after(100, 2.0) == 2.0
    assert resting.after(99, 3.0) > 3.0


def test_polls_that_come_at_one_moment_are_no_division_by_nothing() -> None:
    resting = Resting(BOUNDS, 1.0)
    assert resting.after(10, 1.0) >= 1.010
    assert Resting(Rest(0.002, 0.002), 1.0).after(1, 1.0) == pytest.approx(1.002)
