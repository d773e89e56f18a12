"""What the probe tells: each turn as metrics and, where it went wrong, a line of the log; a run as a report."""

import logging
from collections import Counter as Count
from dataclasses import dataclass, field
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from livecomments.runtime.metrics import HOLDS, SECONDS_BUCKETS, Counter, Histogram, Reading
from livecomments_command.probing.turn import Turn, TurnStep
from livecomments_loadtest.latency import Histogram as Times

_log = logging.getLogger("livecomments.probe")
_EXAMPLES_MAX: Final = 10

_turns = Counter("livecomments_probe_turns_total", "Turns of the probe, by the step at which they ended.", ["result"])
_post = Histogram(
    "livecomments_probe_post_seconds", "From sending the probe's POST until its 201.", buckets=SECONDS_BUCKETS
)
_screen = Histogram(
    "livecomments_probe_screen_seconds",
    "From sending the probe's POST until an edge has shown the comment.",
    buckets=SECONDS_BUCKETS,
)
_swept = Counter("livecomments_probe_swept_total", "Comments that an earlier probe left, and this one deleted.")
_edges = Reading("livecomments_probe_edges", "Edges that the probe watched in its newest turn.", fresh_s=HOLDS)
_partitions = Reading("livecomments_probe_partitions", "Partitions that the probe takes turns in.", fresh_s=HOLDS)


def begin_metrics() -> None:
    """Show every result as 0, so that the first one is seen to grow."""
    for step in TurnStep:
        _turns.labels(step)


def count(turn: Turn, edges: int, partitions: int) -> None:
    """Count a turn in the metrics, and log one that went wrong."""
    _turns.labels(turn.step).inc()
    _swept.inc(turn.swept)
    _edges.set(edges)
    _partitions.set(partitions)
    if turn.post_s is not None:
        _post.observe(turn.post_s)
    for screen_s in turn.screen_s.values():
        _screen.observe(screen_s)
    if not turn.is_ok:
        told = {"step": turn.step, "detail": turn.detail, "partition": turn.partition, "video_id": turn.video_id}
        _log.error("the probe failed", extra={**told, "request_id": turn.request_id})


@dataclass
class ProbeReport:
    """One run through all partitions. Durations in milliseconds."""

    partitions: int
    edges: list[str]
    turns: list[Turn] = field(default_factory=list)
    untried: int = 0
    """Partitions whose turn did not come before the deadline."""

    @property
    def ok(self) -> bool:
        """Every partition had its turn, and all went well."""
        return not self.untried and all(turn.is_ok for turn in self.turns)

    @property
    def failed(self) -> list[Turn]:
        """The turns that went wrong."""
        return [turn for turn in self.turns if not turn.is_ok]

    def post_ms(self) -> dict[str, float]:
        """Return how long POSTs took until their 201."""
        return _summary(turn.post_s for turn in self.turns if turn.post_s is not None)

    def screen_ms(self, edge: str) -> dict[str, float]:
        """Return how long it took from POSTs until an edge had shown their comments."""
        return _summary(turn.screen_s[edge] for turn in self.turns if edge in turn.screen_s)

    def to_json(self) -> dict[str, Any]:
        """Return the whole report, ready for `json.dumps`."""
        return {
            "ok": self.ok,
            "partitions": self.partitions,
            "turns": len(self.turns),
            "untried": self.untried,
            "failed": [
                {"partition": turn.partition, "step": turn.step, "detail": turn.detail, "requestId": turn.request_id}
                for turn in self.failed
            ],
            "swept": sum(turn.swept for turn in self.turns),
            "left": sum(turn.left for turn in self.turns),
            "postMs": self.post_ms(),
            "screenMs": {edge: self.screen_ms(edge) for edge in self.edges},
        }

    def table(self) -> Table:
        """Return a table for people: what was done, how long it took, what went wrong."""
        title = Text("written, seen, read and deleted in every partition", style="bold green")
        if not self.ok:
            title = Text("not every comment was written, seen, read and deleted", style="bold red")
        table = Table(title=title, title_justify="left")
        for name in ("", "comments", "p50 ms", "p99 ms", "longest ms"):
            table.add_column(name, justify="right" if name else "left")
        for name, found in (
            ("POST to 201", self.post_ms()),
            *((f"POST to screen, {edge}", self.screen_ms(edge)) for edge in self.edges),
        ):
            table.add_row(name, *(f"{found[key]:g}" for key in ("count", "p50", "p99", "max")))
        table.add_section()
        table.add_row("partitions", str(self.partitions))
        for what, number in (
            ("left by an earlier probe, deleted", sum(turn.swept for turn in self.turns)),
            ("left by another, may not be deleted", sum(turn.left for turn in self.turns)),
            ("not tried before the deadline", self.untried),
        ):
            if number:
                table.add_row(what, str(number))
        for step, number in Count(turn.step for turn in self.failed).items():
            table.add_row(Text(f"failed: {step}", style="red"), str(number))
        return table

    def sentences(self) -> list[str]:
        """Say of the first turns that went wrong how."""
        return [
            f"partition {turn.partition}, {turn.step}: {turn.detail}"
            + (f" (X-Request-Id {turn.request_id})" if turn.request_id else "")
            for turn in self.failed[:_EXAMPLES_MAX]
        ]


def _summary(seconds: Any) -> dict[str, float]:
    times = Times()
    for each in seconds:
        times.add(each)
    return times.summary_ms()
