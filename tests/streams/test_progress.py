"""Progress: lag, what a group withholds, and when only a new process helps. Times are seconds, as given."""

import pytest

from livecomments_streams.progress import JOIN_S, OBSERVED_S, STUCK_S, UNDELIVERED_S, Progress


@pytest.fixture
def progress() -> Progress:
    """Two partitions, given at 0, of which everything was stored."""
    made = Progress(0.0)
    made.give([3, 5], 0.0)
    made.observe({3: 10, 5: 20}, {3: 10, 5: 20}, 0.0)
    return made


def test_lag_is_what_the_log_has_and_the_store_has_not(progress: Progress) -> None:
    assert (progress.lag_records, progress.lag_s(1.0)) == (0, 0.0)
    progress.observe({3: 14, 5: 21}, {3: 10, 5: 20}, 1.0)
    progress.observe({3: 30, 5: 21}, {3: 12, 5: 21}, 2.0)
    assert (progress.lag_records, progress.lag_s(4.0)) == (18, 3.0)
    progress.observe({3: 30, 5: 21}, {3: 14, 5: 21}, 5.0)
    assert (progress.lag_records, progress.lag_s(5.0)) == (16, 3.0)
    progress.observe({3: 30, 5: 21}, {3: 30, 5: 21}, 6.0)
    assert (progress.lag_records, progress.lag_s(6.0)) == (0, 0.0)


def test_a_lag_of_hours_takes_bounded_memory_and_keeps_its_age(progress: Progress) -> None:
    for second in range(10_000):
        progress.observe({3: 11 + second}, {3: 10}, float(second))
    assert progress.lag_s(10_000.0) == 10_000.0
    assert len(progress._partitions[3].lag._samples) < 1_000


def test_what_is_not_of_this_process_counts_for_nothing(progress: Progress) -> None:
    progress.observe({7: 100}, {7: 0}, 1.0)
    assert progress.lag_records == 0
    progress.observe({3: 14}, {3: 10}, 1.0)
    progress.give([5], 2.0)
    assert progress.lag_records == 0
    assert progress.partitions == {5}


def test_records_that_are_not_delivered_within_the_bound_are_named(progress: Progress) -> None:
    progress.observe({3: 14, 5: 20}, {3: 10, 5: 20}, 1.0)
    assert progress.undelivered(UNDELIVERED_S - 0.1) == []
    assert progress.undelivered(UNDELIVERED_S) == [3]
    progress.begin_take(UNDELIVERED_S)
    progress.end_take([3], UNDELIVERED_S)
    assert progress.undelivered(UNDELIVERED_S + 1.0) == []


def test_time_in_which_records_are_stored_is_not_the_groups(progress: Progress) -> None:
    progress.observe({3: 14, 5: 25}, {3: 10, 5: 20}, 1.0)
    progress.begin_take(2.0)
    assert progress.undelivered(3_600.0) == []  # the store is away, for an hour
    progress.end_take([5], 3_600.0)
    assert progress.undelivered(3_600.0 + UNDELIVERED_S - 2.1) == []
    assert progress.undelivered(3_600.0 + UNDELIVERED_S - 2.0) == [3]


def test_a_group_that_withholds_new_records_is_not_consuming_and_then_stuck(progress: Progress) -> None:
    assert progress.is_consuming()
    progress.note_withheld(3, 10, 20.0)
    assert not progress.is_consuming()
    assert not progress.is_stuck(20.0 + STUCK_S - 0.1)
    progress.note_withheld(3, 30, 30.0)
    assert progress.is_stuck(20.0 + STUCK_S)
    progress.begin_take(20.0 + STUCK_S)
    assert progress.is_consuming()
    assert not progress.is_stuck(20.0 + STUCK_S)


def test_records_from_before_it_was_given_are_not_the_groups_fault(progress: Progress) -> None:
    progress.note_withheld(3, 9, 20.0)
    progress.note_withheld(7, 99, 20.0)
    assert progress.is_consuming()
    fresh = Progress(0.0)
    fresh.give([3], 0.0)
    fresh.note_withheld(3, 99, 20.0)  # before anybody looked where the log ends
    assert fresh.is_consuming()


def test_a_group_that_lets_nobody_in_is_stuck_and_one_with_nothing_to_give_is_not() -> None:
    progress = Progress(0.0)
    assert not progress.is_consuming()
    assert not progress.is_stuck(JOIN_S - 0.1)
    assert progress.is_stuck(JOIN_S)
    progress.give([], 1.0)
    assert progress.is_consuming()
    assert not progress.is_stuck(10 * JOIN_S)
    progress.revoke(2.0)
    assert not progress.is_consuming()
    assert progress.is_stuck(2.0 + JOIN_S)


def test_a_lag_nobody_could_look_at_is_not_known_however_small_it_was(progress: Progress) -> None:
    assert progress.unobserved(0.1 + OBSERVED_S) == [3, 5]
    progress.observe({3: 14, 5: 20}, {3: 14, 5: 20}, 1.0)
    assert progress.unobserved(1.0 + OBSERVED_S) == []
    progress.observe({3: 14}, {3: 14}, 5.0)
    assert progress.unobserved(1.1 + OBSERVED_S) == [5]
    progress.give([5], 2.0)
    assert progress.unobserved(2.0) == [5]


def test_the_wait_for_the_group_is_counted_and_ends_when_it_gives_nothing_too() -> None:
    progress = Progress(10.0)
    assert progress.joining_s(70.0) == 60.0
    progress.give([], 71.0)
    assert progress.joining_s(80.0) == 0.0
    progress.revoke(90.0)
    assert progress.joining_s(91.0) == 1.0
