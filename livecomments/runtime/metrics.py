"""Metrics: `livecomments_<room>_<thing>[_<unit>][_total]`. Each room declares its own with these constructors.

Labels come from enums and fixed words, never from an id: their number is bounded.
"""

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
"""An edge exactly at 0.2 s, the promise to viewers."""

__all__ = ["CONTENT_TYPE_LATEST", "REGISTRY", "SECONDS_BUCKETS", "Counter", "Gauge", "Histogram", "exposition"]


def exposition() -> bytes:
    """All metrics of this process in the Prometheus text format."""
    return generate_latest(REGISTRY)
