"""How many passes long a linger is, by what the edge and others do beside them."""

import pytest

from livecomments_consumers.spare import PASSES_MAX, PASSES_MIN, Spare

TICKS = 40
"""So many ticks of the same load, after which what was before them counts no more."""


def spare(*, used: float, stretch: float = 1.0) -> Spare:
    """One whose process used this share of a CPU, and whose passes took so many times the CPU they used."""
    found = Spare(0.0, 0.0)
    for tick in range(1, TICKS + 1):
        found.passed(0.1 * stretch, 0.1)
        found.look(tick * 0.5, tick * 0.5 * used)
    return found


def test_where_nothing_else_is_done_writing_takes_half_of_the_core() -> None:
    assert spare(used=0.5).passes_a_linger(0.5) == pytest.approx(PASSES_MIN, rel=1e-3)
    assert spare(used=0.2).passes_a_linger(0.2) == pytest.approx(PASSES_MIN, rel=1e-3)


def test_what_else_is_done_keeps_its_part_and_writing_takes_half_of_the_rest() -> None:
    assert spare(used=0.7).passes_a_linger(0.5) == pytest.approx(1 / ((1 - 0.2) / 2), rel=1e-3)
    assert spare(used=0.75).passes_a_linger(0.25) == pytest.approx(PASSES_MAX, rel=1e-3)
    assert spare(used=1.0).passes_a_linger(0.2) == PASSES_MAX


def test_a_core_that_others_take_is_not_free() -> None:
    assert spare(used=0.4, stretch=2.0).passes_a_linger(0.3) == pytest.approx(PASSES_MAX, rel=1e-3)
    assert spare(used=0.4, stretch=1.5).passes_a_linger(0.3) > spare(used=0.4).passes_a_linger(0.3)


def test_before_anything_is_known_writing_takes_a_quarter() -> None:
    assert Spare(0.0, 0.0).passes_a_linger(0.0) == PASSES_MAX


def test_videos_share_what_is_free() -> None:
    for videos in range(1, 8):
        own = 0.25
        for _ in range(200):  # each settles at its part of what the others leave
            own += (1 / spare(used=min(1.0, own * videos)).passes_a_linger(own) - own) / 8
        assert own == pytest.approx(max(1 / (videos + 1), 1 / PASSES_MAX), rel=0.02)


def test_one_busy_moment_does_not_count_as_a_load() -> None:
    found = spare(used=0.0)
    found.look(TICKS * 0.5 + 0.5, 0.5)
    assert PASSES_MIN < found.passes_a_linger(0.0) <= PASSES_MAX
    for tick in range(2, TICKS):
        found.look((TICKS + tick) * 0.5, 0.5)
    assert found.passes_a_linger(0.0) == pytest.approx(PASSES_MIN, rel=1e-3)


def test_a_clock_that_stands_still_tells_nothing() -> None:
    found = spare(used=0.0)
    found.look(TICKS * 0.5, 100.0)
    assert found.passes_a_linger(0.0) == pytest.approx(PASSES_MIN, rel=1e-3)
