"""Metrics: `livecomments_<room>_<thing>[_<unit>][_total]`. Each room declares its own with these constructors.

Labels come from enums and fixed words, never from an id: their number is bounded. A process shows the metrics of the
rooms that it imports, which are those that it runs.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
"""An edge exactly at 0.2 s, the promise to viewers."""
READING_FRESH_S: Final = 15.0
"""Many times the interval of whoever looks, each second or so; less than what an alert waits for."""

__all__ = [
    "CONTENT_TYPE_LATEST",
    "READING_FRESH_S",
    "REGISTRY",
    "SECONDS_BUCKETS",
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


def exposition() -> bytes:
    """Return all metrics of this process in the Prometheus text format."""
    return generate_latest(REGISTRY)
