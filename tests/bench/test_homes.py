"""What the router's Lua lays out, for a few nodes."""

import pytest

from bench.homes import Plan, Router, laid_out, shares


def test_each_node_has_its_share_and_nothing_moves_that_need_not() -> None:
    row = laid_out(Router(), 8, Plan(viewers_a_node=10_000))
    assert row.partitions == 256
    assert 1 <= row.partitions_busiest < 2
    assert row.moved_for_nothing == 0
    assert row.moved_by_leaving == pytest.approx(1 / 8, abs=0.1)
    assert row.moved_by_coming == pytest.approx(1 / 9, abs=0.1)


def test_a_hot_partition_has_a_home_for_each_bound_of_viewers_and_its_records_at_each() -> None:
    row = laid_out(Router(), 4, Plan(videos_a_node=1, viewers_a_node=1_000, hot=1.0, bound=1_000))
    assert row.homes_of_hot == 4
    assert 1 < row.viewers_busiest < 2.5, "who came first found one home"
    assert row.records_busiest == pytest.approx(1.0)
    assert row.records_but_hot == 0


def test_shares_add_up() -> None:
    assert sum(shares(1_000, 0.1)) == pytest.approx(1.0)
    assert shares(1_000, 0.1)[0] > 0.1
