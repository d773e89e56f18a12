"""How far a reader is behind, in records and in seconds, from looks at where log and reader are."""

from livecomments.log.lag import Lag


def said(lag: Lag) -> tuple[int, float | None]:
    return lag.records, lag.since


def test_what_nobody_looked_at_is_not_known_and_a_look_counts_for_as_long_as_it_is_fresh() -> None:
    lag = Lag()
    assert not lag.is_known(0.0, 1e9)
    lag.observe(7, 3, 100.0)
    assert said(lag) == (4, 100.0)
    assert lag.is_known(105.0, 5.0)
    assert not lag.is_known(105.1, 5.0)


def test_the_oldest_record_that_is_not_read_says_since_when() -> None:
    lag = Lag()
    for now, end in ((1.0, 10), (2.0, 20), (3.0, 20), (4.0, 30)):
        lag.observe(end, 5, now)
    assert said(lag) == (25, 1.0)
    lag.observe(30, 10, 5.0)
    assert said(lag) == (20, 2.0), "the first ten are read"
    lag.observe(30, 11, 6.0)
    assert lag.since == 2.0
    lag.observe(30, 29, 7.0)
    assert said(lag) == (1, 4.0)
    lag.observe(30, 30, 8.0)
    assert said(lag) == (0, None)
    lag.observe(31, 30, 9.0)
    assert said(lag) == (1, 9.0), "the one that is new"


def test_a_reader_that_is_ahead_of_the_end_is_not_behind_by_less_than_nothing() -> None:
    lag = Lag()
    lag.observe(3, 5, 1.0)
    assert said(lag) == (0, None)


def test_however_often_it_is_looked_at_memory_is_bounded_and_the_oldest_is_not_forgotten() -> None:
    lag = Lag()
    for end in range(1, 5_001):
        lag.observe(end, 0, float(end))
    assert lag.since == 1.0
    assert len(lag._samples) <= 512
    lag.observe(5_000, 4_000, 5_001.0)
    assert lag.since is not None
    assert lag.since > 4_000.0, "no younger record is taken for an older one"
