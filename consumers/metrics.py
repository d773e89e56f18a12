"""What the edge tells of itself. Counts of the hot path are plain integers, published once a tick."""

import time

from livecomments.history.stretch import Source
from livecomments.runtime.metrics import SECONDS_BUCKETS, Counter, Gauge, Histogram

_viewers = Gauge("livecomments_edge_viewers", "Open streams, by how they are served.", ["state"])
_channels = Gauge("livecomments_edge_videos", "Videos with viewers.")
_connections = Counter("livecomments_edge_connections_total", "Stream requests, by what became of them.", ["result"])
_lanes = Counter("livecomments_edge_lanes_total", "Streams opened, by the way their bytes take.", ["lane"])
_disconnects = Counter("livecomments_edge_disconnects_total", "Streams ended, by reason.", ["reason"])
_delivered = Counter("livecomments_edge_delivered_total", "Comments written to viewers.")
_bytes = Counter("livecomments_edge_written_bytes_total", "Bytes of events written to viewers, as they were sent.")
_gaps = Counter("livecomments_edge_gaps_total", "Gaps told to viewers, by reason.", ["reason"])
_backfills = Counter("livecomments_edge_backfills_total", "Reads for viewers behind, by source.", ["source"])
_pass = Histogram("livecomments_edge_pass_seconds", "Writing a block to all its viewers.", buckets=SECONDS_BUCKETS)
_delivery = Histogram(
    "livecomments_edge_delivery_seconds",
    "From the append of a block's newest comment until all viewers who take bytes were written to.",
    buckets=SECONDS_BUCKETS,
)


class EdgeMetrics:
    """The counters of one hub."""

    def __init__(self) -> None:
        self.delivered = 0
        self.bytes = 0

    def publish(self, viewers: int, live: int, channels: int) -> None:
        """Make the plain counts visible."""
        _viewers.labels("live").set(live)
        _viewers.labels("behind").set(viewers - live)
        _channels.set(channels)
        _delivered.inc(self.delivered)
        _bytes.inc(self.bytes)
        self.delivered = self.bytes = 0

    def connected(self, result: str) -> None:
        """A stream request was answered: joined, resumed, full, draining, not_ready."""
        _connections.labels(result).inc()

    def opened(self, lane: str) -> None:
        """A stream runs in a lane: asgi, transport."""
        _lanes.labels(lane).inc()

    def disconnected(self, reason: str) -> None:
        """A stream ended: client, stuck, drain, rotate, error."""
        _disconnects.labels(reason).inc()

    def gap(self, reason: str) -> None:
        """A viewer was told of a gap."""
        _gaps.labels(reason).inc()

    def backfilled(self, source: Source) -> None:
        """A viewer behind was given a stretch of history."""
        _backfills.labels(source.value).inc()

    def passed(self, pass_s: float, appended_at_ms: int) -> None:
        """A block was written to all its viewers; its newest entry was appended at this time."""
        _pass.observe(pass_s)
        _delivery.observe(max(0.0, time.time() - appended_at_ms / 1000))
