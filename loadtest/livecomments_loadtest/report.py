"""What a run found: counts, times, and every violation with a few examples."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from rich.table import Table
from rich.text import Text

from livecomments_loadtest.checks import CHECKS
from livecomments_loadtest.latency import Strain, post_to_ack, post_to_screen
from livecomments_loadtest.ledger import Complaints, EventKind, VideoLedger
from livecomments_loadtest.plan import LoadPlan
from livecomments_loadtest.poster import LoadPoster

EXAMPLES_MAX: Final = 5
SATURATED: Final = "The load client is saturated: the times above are its own."
STARVED: Final = "The load client was starved: others had the processor, and the times above hold its waiting."


@dataclass(frozen=True)
class Finding:
    """One check: how often it failed, and the first few times in words."""

    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The end of a run. All durations in milliseconds, all rates a second, from the first post to the last answer."""

    plan: Mapping[str, object]
    counts: Mapping[str, int]
    rates: Mapping[str, float]
    findings: Mapping[str, Finding]
    post_to_screen_ms: Mapping[str, float]
    post_to_ack_ms: Mapping[str, float]
    events: Mapping[str, int]
    """What happened on the way, by name: drops, resumes, refusals, retries with their reasons. No failures."""

    served_from: Mapping[str, int] | None
    """Backfills and history reads by source, when the deployment's `/metrics` has them."""

    client: Mapping[str, float]
    warning: str
    """Why the times are not the server's alone; empty when they are."""

    @property
    def ok(self) -> bool:
        """Nothing lost, nothing twice, one order, and every question answered."""
        return not any(finding.count for finding in self.findings.values())

    def to_json(self) -> dict[str, object]:
        """Return the whole report, ready for `json.dumps`."""
        return {
            "ok": self.ok,
            "plan": dict(self.plan),
            "counts": dict(self.counts),
            "rates": dict(self.rates),
            "violations": {
                name: {"count": finding.count, "examples": list(finding.examples)}
                for name, finding in self.findings.items()
            },
            "postToScreenMs": dict(self.post_to_screen_ms),
            "postToAckMs": dict(self.post_to_ack_ms),
            "events": dict(self.events),
            "servedFrom": None if self.served_from is None else dict(self.served_from),
            "client": {**self.client, "warning": self.warning},
        }

    def table(self) -> Table:
        """Return a table for people: what was done, what was found, how long it took."""
        title = Text("one order, nothing twice, nothing missing", style="bold green")
        if not self.ok:
            title = Text("the promise was broken", style="bold red")
        table = Table(title=title, show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_column()
        for name, count in self.counts.items():
            rate = self.rates.get(name)
            table.add_row(name, f"{count:,}", "" if rate is None else f"{rate:,.0f} a second")
        table.add_section()
        for name, finding in self.findings.items():
            style = "red" if finding.count else "green"
            table.add_row(name, Text(f"{finding.count:,}", style=style), Text("\n".join(finding.examples)))
        table.add_section()
        for name, times in (("POST to screen", self.post_to_screen_ms), ("POST to 201", self.post_to_ack_ms)):
            shown = f"p50 {times['p50']:,.1f}, p99 {times['p99']:,.1f}, max {times['max']:,.1f} ms"
            table.add_row(name, f"{times['count']:,.0f}", shown)
        table.add_section()
        for name, count in {**self.events, **(self.served_from or {})}.items():
            table.add_row(name, f"{count:,}", "")
        client = self.client
        busy = Text(
            f"loop late by p99 {client['loopLagP99Ms']:.1f} ms, posts by up to {client['behindScheduleMaxS']:.1f} s, "
            f"{client['deliveriesPerCpuSecond']:,.0f} deliveries a CPU second."
        )
        busy.append(self.warning and f" {self.warning}", "yellow")
        table.add_row("this client", f"{client['cpuShare']:.0%} of a core", busy)
        return table


@dataclass(frozen=True)
class Played:
    """A run that has ended: what was planned, and what came of it."""

    plan: LoadPlan
    videos: list[VideoLedger]
    poster: LoadPoster
    events: Counter[str]
    complaints: Complaints
    strain: Strain
    served_from: Mapping[str, int] | None


def draw_up(played: Played) -> Report:
    """Run every check and put the numbers together."""
    plan, videos, poster, strain = played.plan, played.videos, played.poster, played.strain
    streamed = (event for video in videos for trace in video.traces for event in video.events_of(trace))
    shown = sum(event.kind is EventKind.COMMENT for event in streamed)
    findings = {name: _finding(line for video in videos for line in check(video)) for name, check in CHECKS.items()}
    findings["contract broken"] = _finding(played.complaints.lines())
    unanswered = sum(video.unanswered for video in videos)
    deletes_open = sum(not acked for video in videos for acked in video.deletes.values())
    open_count = unanswered + poster.never_sent + deletes_open
    words = f"{unanswered} posts and {deletes_open} deletes without a final answer, {poster.never_sent} never sent"
    findings["not answered"] = Finding(open_count, (words,) if open_count else ())
    posting_s = poster.posting_s or 1.0
    return Report(
        plan={"url": plan.url, "tag": plan.tag, "seed": plan.seed, "speed": plan.speed, "videos": plan.videos},
        counts={
            "posted": poster.sent,
            "acked": poster.acked,
            "sent again": poster.repeated,
            "deleted": poster.deleted,
            "viewers": sum(len(video.traces) for video in videos),
            "delivered": shown,
        },
        rates={"posted": poster.sent / posting_s, "acked": poster.acked / posting_s, "delivered": shown / posting_s},
        findings=findings,
        post_to_screen_ms=post_to_screen(videos).summary_ms(),
        post_to_ack_ms=post_to_ack(videos).summary_ms(),
        events=dict(sorted(played.events.items())),
        served_from=played.served_from,
        client={
            "wallS": round(strain.wall_s, 2),
            "cpuShare": round(strain.cpu_share, 3),
            "loopLagP99Ms": round(strain.lag.quantile_s(0.99) * 1000, 2),
            "deliveriesPerCpuSecond": round(shown / strain.cpu_s) if strain.cpu_s else 0,
            "behindScheduleMaxS": round(poster.behind_s_max, 3),
        },
        warning=SATURATED if strain.is_saturated else STARVED if strain.is_starved else "",
    )


def _finding(lines: Iterator[str]) -> Finding:
    examples = tuple(islice(lines, EXAMPLES_MAX))
    return Finding(len(examples) + sum(1 for _ in lines), examples)
