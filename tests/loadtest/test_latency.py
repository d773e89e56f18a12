"""How long things took: quantiles, and which deliveries count."""

import pytest

from livecomments_loadtest.latency import Histogram, post_to_ack, post_to_screen
from livecomments_loadtest.ledger import Ack, Event, EventKind, Trace, VideoLedger


def test_quantiles_are_within_a_hundredth_and_the_greatest_is_exact() -> None:
    times = Histogram()
    for n in range(1, 1_001):
        times.add(n / 1_000)
    assert times.quantile_s(0.5) == pytest.approx(0.5, rel=0.011)
    assert times.quantile_s(0.99) == pytest.approx(0.99, rel=0.011)
    assert times.quantile_s(1.0) == times.max_s == 1.0
    assert times.summary_ms()["count"] == 1_000


def test_nothing_measured_is_zero() -> None:
    assert Histogram().summary_ms() == {"count": 0, "p50": 0, "p99": 0, "max": 0}


def test_only_what_was_posted_while_the_viewer_was_live_counts() -> None:
    video, trace = VideoLedger("v"), Trace(0)
    video.traces.append(trace)
    # Sent at 1, 2, 3, 4, 5. Connected with a first event at 1.5, away, back at 3.2 with 3 as the first it gets.
    for n in range(1, 6):
        video.acknowledge(str(n), Ack(0, float(n), n + 0.25))
    for numbers, at in (("1", 1.5), ("2", 2.125), ("3", 3.5), ("45", 5.5)):
        trace.events.extend(video.number(Event(EventKind.COMMENT, n)) for n in numbers)
        trace.arrived(at)
    trace.connections = [(0, 1.5), (2, 3.5)]
    times = post_to_screen([video])
    assert times.count == 3  # 2, 4 and 5: 1 and 3 were sent before their connection was live
    assert times.max_s == 1.5
    assert times.quantile_s(0.1) == pytest.approx(0.125, rel=0.011)
    assert post_to_ack([video]).max_s == 0.25


def test_a_comment_nobody_acknowledged_has_no_time() -> None:
    video, trace = VideoLedger("v"), Trace(0)
    video.traces.append(trace)
    trace.events.append(video.number(Event(EventKind.COMMENT, "1")))
    trace.arrived(1.0)
    trace.connections = [(0, 0.5)]
    assert post_to_screen([video]).count == 0
