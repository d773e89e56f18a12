"""Metrics: `livecomments_<room>_<thing>[_<unit>][_total]`. Each room declares its own with these constructors.

Labels come from enums and fixed words, never from an id: their number is bounded. A process shows the metrics of the
rooms that it imports, which are those that it runs.
"""

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

# A fifth of a scrape, which nobody reads: a process's start is in process_start_time_seconds.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one untyped

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""An edge exactly at 0.2 s, the promise to viewers, and one on either side: 150 ms is well, 250 ms is not."""
READING_FRESH_S: Final = 15.0
"""Many times the interval of whoever looks, each second or so; less than what an alert waits for."""
HOLDS: Final = math.inf
"""For `fresh_s`: what is told holds until it is told anew, since whoever keeps it says so whenever it changes."""

__all__ = [
    "CONTENT_TYPE_LATEST",
    "HOLDS",
    "READING_FRESH_S",
    "REGISTRY",
    "SECONDS_BUCKETS",
    "BulkHistogram",
    "Counter",
    "Gauge",
    "Histogram",
    "Reading",
    "exposition",
]


class Reading(Gauge):
    """A gauge that somebody reads off something else, again and again: absent while nobody does, never 0 for that.

    Args:
        name: as of any metric.
        documentation: as of any metric.
        fresh_s: for how long a reading holds, in seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        *,
        fresh_s: float = READING_FRESH_S,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        self._fresh_s = fresh_s
        self._clock = clock
        self._read_at: float | None = None
        super().__init__(name, documentation, **options)

    def set(self, value: float) -> None:
        """Tell what is read off now."""
        self._read_at = self._clock()
        super().set(value)

    def forget(self) -> None:
        """Tell nothing until it is read off again."""
        self._read_at = None

    def collect(self) -> Iterable[Any]:
        """Give the sample, if it holds."""
        if self._read_at is None or self._clock() - self._read_at > self._fresh_s:
            return []
        return super().collect()


class BulkHistogram(Collector):
    """A histogram of what happens to many at once, for the price of one: a number is added to its bucket.

    Args:
        name: as of any metric.
        documentation: as of any metric.
        buckets: the upper bounds, ascending; a last one without a bound is added.
        registry: where it is shown.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float, count: int = 1) -> None:
        """Count `count` times the same value."""
        self._counts[bisect_left(self._bounds, value)] += count
        self._sum += value * count

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Give all samples."""
        names = [*map(str, self._bounds), "+Inf"]
        counts = [float(count) for count in accumulate(self._counts)]
        buckets = list(zip(names, counts, strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


def exposition() -> bytes:
    """Return all metrics of this process in the Prometheus text format."""
    return generate_latest(REGISTRY)
