"""What the edge tells of itself. Counts of the hot path are plain integers, published once a tick."""

import time
from collections.abc import Mapping
from functools import cache

from livecomments.history.stretch import Source
from livecomments.runtime.metrics import HOLDS, SECONDS_BUCKETS, BulkHistogram, Counter, Gauge, Histogram, Reading
from livecomments_consumers.block import Block
from livecomments_consumers.viewer import State
from livecomments_consumers.wire import Form

_viewers = Gauge("livecomments_edge_viewers", "Open streams: in the pass or behind, by lane.", ["state", "lane"])
_viewers_max = Reading(
    "livecomments_edge_viewers_max", "Open streams beyond which a new one is told to come back.", fresh_s=HOLDS
)
_channels = Reading("livecomments_edge_videos", "Videos with viewers.")
_linger = Reading("livecomments_edge_linger_seconds", "The longest time that comments of a video are joined for now.")
_connections = Counter("livecomments_edge_connections_total", "Stream requests, by what became of them.", ["result"])
_lanes = Counter("livecomments_edge_lanes_total", "Streams opened, by the way their bytes take.", ["lane"])
_polls = Counter(
    "livecomments_edge_polls_total", "Answers of durable streams, by what was waited for and given.", ["live", "result"]
)
_disconnects = Counter("livecomments_edge_disconnects_total", "Streams ended, by reason.", ["reason"])
_delivered = Counter("livecomments_edge_delivered_total", "Comments written to viewers.")
_bytes = Counter("livecomments_edge_written_bytes_total", "Bytes of events written to viewers, as they were sent.")
_gaps = Counter("livecomments_edge_gaps_total", "Gaps told to viewers, by reason.", ["reason"])
_backfills = Counter("livecomments_edge_backfills_total", "Reads for viewers behind, by source.", ["source"])
_pass = Histogram("livecomments_edge_pass_seconds", "Writing a block to its viewers.", buckets=SECONDS_BUCKETS)
_delivery = BulkHistogram(
    "livecomments_edge_delivery_seconds",
    "A comment to one viewer: from append, or from when the viewer came if later, until its socket took it.",
    buckets=SECONDS_BUCKETS,
)
# To look a label up costs more than to count.
_connections_of, _lanes_of, _disconnects_of, _polls_of = (
    cache(counter.labels) for counter in (_connections, _lanes, _disconnects, _polls)
)


class EdgeMetrics:
    """The counters of one hub."""

    def __init__(self, viewers_max: int) -> None:
        _viewers_max.set(viewers_max)
        self.delivered = 0
        self.bytes = 0

    def publish(self, viewers: Mapping[tuple[State, str], int], channels: int, linger_s: float) -> None:
        """Make the plain counts visible; `viewers` by state and lane."""
        for state in State:
            for lane in ("transport", "asgi", "poll"):
                _viewers.labels(state.value, lane).set(viewers.get((state, lane), 0))
        _channels.set(channels)
        _linger.set(linger_s)
        _delivered.inc(self.delivered)
        _bytes.inc(self.bytes)
        self.delivered = self.bytes = 0

    def connected(self, result: str) -> None:
        """Count an answered request: joined, resumed, full, address_full, draining, epoch, not_ready, ended or revoked.

        `epoch`: another node has heard of a next epoch before this one.
        """
        _connections_of(result).inc()

    def admitted(self, *, is_resumed: bool) -> None:
        """Count a stream request that is served, as resumed or joined."""
        self.connected("resumed" if is_resumed else "joined")

    def polled(self, live: str, result: str) -> None:
        """Count an answer of a durable stream, or an event of one: data, empty, full, address_full, draining.

        `live`: no, long-poll or sse.
        """
        _polls_of(live or "no", result).inc()

    def opened(self, lane: str) -> None:
        """Count a stream that begins in a lane: asgi, transport, poll."""
        _lanes_of(lane).inc()

    def disconnected(self, reason: str) -> None:
        """Count a stream that ended, by reason: client, stuck, drain, rotate, ended, revoked, error.

        answered: a poll, which is one for as long as it waits.
        """
        _disconnects_of(reason).inc()

    def gap(self, reason: str, viewers: int = 1) -> None:
        """Count that so many viewers were told of a gap."""
        _gaps.labels(reason).inc(viewers)

    def backfilled(self, source: Source) -> None:
        """Count a stretch of history that was read, once for all the viewers behind who waited for it."""
        _backfills.labels(source.value).inc()

    def passed(self, pass_s: float) -> None:
        """Observe how long a pass took."""
        _pass.observe(pass_s)

    def wrote(self, block: Block, form: Form, viewers: int = 1) -> None:
        """Count a block that was given to so many viewers' sockets, or to what waits before them."""
        self.delivered += viewers * block.comments
        self.bytes += viewers * len(block.form(form))

    def took(self, block: Block, came_at_ms: int, viewers: int = 1) -> None:
        """Observe how late so many viewers' sockets took a block's comments, each counted as the oldest of them.

        Args:
            block: what they took.
            came_at_ms: when these viewers connected (Unix, milliseconds): who resumes waits from then on.
            viewers: how many.
        """
        since_ms = max(block.appended_at_ms, came_at_ms)
        _delivery.observe(max(0.0, time.time() - since_ms / 1_000), viewers * block.comments)
        if block.when_taken is not None and viewers:
            when_taken, block.when_taken = block.when_taken, None
            when_taken()
