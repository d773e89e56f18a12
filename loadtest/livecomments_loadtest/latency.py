"""How long things took: a histogram, the POST-to-screen times of a run, and how busy this process itself was."""

import asyncio
import math
import time
from collections import Counter
from itertools import pairwise
from typing import Final

from livecomments_loadtest.ledger import EventKind, Trace, VideoLedger

_LOG_STEP: Final = math.log(1.01)
"""A bucket is one per cent wide."""

_LEAST_S: Final = 1e-6

SATURATED_CPU_SHARE: Final = 0.85
LATE_S: Final = 0.05
"""Above one of these (cores; p99 of the loop's lateness) the times are not the server's alone."""

_LAG_PROBE_S: Final = 0.02


class Histogram:
    """Durations in buckets one per cent wide; the greatest is kept exactly."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.max_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration, in seconds; one below a microsecond counts as a microsecond."""
        self._buckets[int(math.log(max(seconds, _LEAST_S) / _LEAST_S) / _LOG_STEP)] += 1
        self.count += 1
        self.max_s = max(self.max_s, seconds)

    def quantile_s(self, q: float) -> float:
        """Return the upper edge of the q-quantile's bucket, in seconds, at most the longest duration; 0 when empty."""
        rank = math.ceil(q * self.count)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return min(_LEAST_S * math.exp((bucket + 1) * _LOG_STEP), self.max_s)
        return 0.0

    def summary_ms(self) -> dict[str, float]:
        return {
            "count": self.count,
            "p50": round(self.quantile_s(0.5) * 1000, 2),
            "p99": round(self.quantile_s(0.99) * 1000, 2),
            "max": round(self.max_s * 1000, 2),
        }


def post_to_screen(videos: list[VideoLedger]) -> Histogram:
    """Measure from just before a POST's first try to the comment's arrival, over all viewers.

    Only where the viewer's connection had shown its first event before the POST was sent: what comes after a resume to
    catch up took as long as the viewer was away, and says nothing about the server.
    """
    times = Histogram()
    for video in videos:
        sent_at = [
            ack.sent_at if event.kind is EventKind.COMMENT and (ack := video.acks.get(event.id)) else math.inf
            for event in video.events
        ]
        for trace in video.traces:
            _add_live(times, trace, sent_at)
    return times


def _add_live(times: Histogram, trace: Trace, sent_at: list[float]) -> None:
    starts = [*trace.connections, (len(trace.events), math.inf)]
    piece = 0
    for (begin, ready_at), (end, _) in pairwise(starts):
        for at in range(begin, end):
            while trace.pieces[piece] <= at:
                piece += 1
            sent = sent_at[trace.events[at]]
            if ready_at <= sent < math.inf:
                times.add(trace.arrived_at[piece] - sent)


def post_to_ack(videos: list[VideoLedger]) -> Histogram:
    """Measure from just before a POST's first try to its 201."""
    times = Histogram()
    for video in videos:
        for ack in video.acks.values():
            times.add(ack.acked_at - ack.sent_at)
    return times


class Strain:
    """How busy this process was while `watch` ran: its share of a core, and how late its event loop was."""

    def __init__(self) -> None:
        self.lag = Histogram()
        self._cpu_s = time.process_time()
        self._began = time.perf_counter()
        self.cpu_s = 0.0
        self.wall_s = 0.0

    async def watch(self) -> None:
        """Measure how late the event loop wakes, until cancelled."""
        while True:
            due = time.perf_counter() + _LAG_PROBE_S
            await asyncio.sleep(_LAG_PROBE_S)
            self.lag.add(max(0.0, time.perf_counter() - due))

    def stop(self) -> None:
        """Take the CPU time and the wall time since it was made. Call once, when the load is over."""
        self.cpu_s = time.process_time() - self._cpu_s
        self.wall_s = time.perf_counter() - self._began

    @property
    def cpu_share(self) -> float:
        return self.cpu_s / self.wall_s if self.wall_s else 0.0

    @property
    def is_saturated(self) -> bool:
        """This process did what it could: give it fewer viewers, or play several runs side by side."""
        return self.cpu_share > SATURATED_CPU_SHARE

    @property
    def is_starved(self) -> bool:
        """It would have had time, but was not let: others, the server perhaps, had the processor."""
        return not self.is_saturated and self.lag.quantile_s(0.99) > LATE_S
