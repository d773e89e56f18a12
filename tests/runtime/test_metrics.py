"""A reading is there only while somebody reads it off; and a process shows the metrics of what it runs."""

import re
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from livecomments.runtime.metrics import SECONDS_BUCKETS, BulkHistogram, Histogram, Reading


def test_a_reading_is_absent_until_it_is_read_off_and_when_that_is_long_ago() -> None:
    now, registry = 100.0, CollectorRegistry()
    reading = Reading("lag", "How far.", fresh_s=15.0, clock=lambda: now, registry=registry)
    assert generate_latest(registry) == b""
    reading.set(0.0)
    now = 115.0
    assert registry.get_sample_value("lag") == 0.0
    now = 115.1
    assert generate_latest(registry) == b""  # whoever looked looks no more
    reading.set(7.0)
    assert registry.get_sample_value("lag") == 7.0
    reading.forget()
    assert registry.get_sample_value("lag") is None


def test_a_histogram_that_is_told_of_many_at_once_shows_what_one_shows_that_is_told_of_each() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    at_once = BulkHistogram("age_seconds", "How old.", buckets=SECONDS_BUCKETS, registry=one)
    each = Histogram("age_seconds", "How old.", buckets=SECONDS_BUCKETS, registry=other)
    for value, count in ((0.25, 3), (0.15, 2), (0.2, 1), (99.0, 2)):
        at_once.observe(value, count)
        for _ in range(count):
            each.observe(value)
    assert generate_latest(one) == generate_latest(other)


@pytest.mark.parametrize(
    ("process", "rooms"),
    [
        ("gateway", {"gateway", "history", "log", "routed"}),
        ("edge", {"edge", "history", "log", "routed"}),
        ("stream", {"stream", "log"}),
    ],
)
def test_a_process_shows_no_metrics_of_rooms_that_it_does_not_run(process: str, rooms: set[str]) -> None:
    code = (
        f"import livecomments_command.assembly.{process}\n"
        "from livecomments.runtime.metrics import REGISTRY\n"
        "print(*(one.name for one in REGISTRY.collect()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    of_all = {"build", "loop", "http", "rotation", "trace"}
    assert set(re.findall(r"livecomments_([a-z]+)_", done.stdout)) <= rooms | of_all
    assert not re.search(r"silence|stream_lag", done.stdout)  # nobody has looked
