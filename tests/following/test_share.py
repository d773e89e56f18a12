"""What is let go of first, and how all tails together keep a bound. Pure."""

from hypothesis import given
from hypothesis import strategies as st

from livecomments.following.share import NEVER, UNUSED_S, Load, Share, even_cap

NOW = 1_000.0
OLD = NOW - UNUSED_S - 1


def beyond(*loads: Load, bytes_max: int = 10**9, records_max: float = 1e9, held: tuple[int, ...] = ()) -> list[int]:
    return Share(bytes_max, records_max).beyond(dict(enumerate(loads)), held, NOW)


def test_nothing_is_let_go_of_below_the_bounds() -> None:
    assert beyond(Load(9, 5.0, NEVER), Load(1, 5.0, OLD), bytes_max=10, records_max=10.0) == []


def test_what_nobody_asked_for_goes_first_then_what_was_used_longest_ago_until_the_rest_is_within() -> None:
    loads = Load(4, 1.0, OLD), Load(4, 1.0, OLD - 9), Load(4, 1.0, NEVER), Load(4, 2.0, NEVER)
    assert beyond(*loads, bytes_max=12) == [3]
    assert beyond(*loads, bytes_max=8) == [3, 2]
    assert beyond(*loads, bytes_max=4) == [3, 2, 1]
    assert beyond(*loads, records_max=3.0) == [3], "the dearest of those goes first"
    assert beyond(*loads, records_max=0.5) == [3, 2, 1, 0]


def test_what_is_held_or_was_used_just_now_stays_whatever_it_costs() -> None:
    loads = Load(4, 1.0, NOW - UNUSED_S + 1), Load(4, 1.0, NEVER), Load(4, 1.0, OLD)
    assert beyond(*loads, bytes_max=1, held=(1,)) == [2]


def test_the_rate_is_what_was_read_over_time() -> None:
    share = Share(100, 10.0)
    share.observe({0: 5, 1: 0}, 1.0)
    assert share.has_room([share.load(0, 79, NOW)]), "nothing is known of how fast it grows"
    assert not share.has_room([share.load(0, 80, NOW)])
    share.observe({0: 25, 1: 0}, 3.0)
    assert share.load(0, 0, NOW).records_per_s == 10.0
    assert not share.has_room([share.load(0, 0, NOW)])
    share.observe({0: 25, 1: 0}, 4.0)
    assert share.load(0, 0, NOW).records_per_s == 5.0
    assert share.load(1, 0, NOW).records_per_s == 0.0
    share.observe({1: 0}, 5.0)
    assert share.load(0, 0, NOW).records_per_s == 0.0, "it was let go"


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=12), st.integers(0, 4_000))
def test_tails_that_are_cut_have_the_bound_together_and_small_ones_are_left_alone(sizes: list[int], most: int) -> None:
    cap = even_cap(sizes, most)
    if cap is None:
        assert sum(sizes) <= most
        return
    cut = [min(size, cap) for size in sizes]
    assert most - len(sizes) < sum(cut) <= most
