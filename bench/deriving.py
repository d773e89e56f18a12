"""`python -m bench.deriving`: what viewers notice of the jobs that make topics of the log, and what those cost.

Pairs of spans on one gateway and one edge at the same rate, while a job is stopped (SIGSTOP) and while it runs, so that
no start is measured. What counts: the p99 at the sockets, with over without (medians over the pairs), and the CPU of
gateway, edge and job. All share the same cores, so that what the job takes of them is in the ratio; on machines of its
own only its reading and writing would be.
"""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.latency import VIDEO, Poster, posting
from bench.stand import Stand, Text, cpu_s, real_chat
from infra.local.apps import JOBS, App
from infra.local.readiness import NotReady, probe_http
from infra.local.servers import running

CURRENT_TIMEOUT_S: Final = 60.0
RATIO_BOUND: Final = 1.1
_STEP_S: Final = 0.1


class Plan(NamedTuple):
    """What is measured; `jobs` is comma-separated."""

    jobs: str = "clean"
    viewers: int = 500
    rate: float = 100.0
    pairs: int = 20
    warm_up_s: float = 10.0
    lead_in_s: float = 3.0
    """Of each span, not measured: the job has by then what it missed."""
    seconds: float = 6.0


class Span(NamedTuple):
    """One, without or with the job."""

    p50_ms: float
    p99_ms: float
    """At the sockets."""
    answer_p99_ms: float
    """Of POSTs."""
    service_cpu: float
    """Of gateway and edge, in cores."""
    job_cpu: float
    faults: int


async def measure(plan: Plan, kafka: str, directory: Path, pinned: bool) -> Outcome:
    """Measure all pairs of each job."""
    texts = real_chat()
    found: dict[str, list[tuple[Span, Span]]] = {}
    async with posting(directory, kafka, plan.viewers, pinned=pinned) as (stand, gateway, poster, group):
        await poster.post(plan.rate, plan.warm_up_s, texts)
        for part in (job for job in JOBS if job in plan.jobs.split(",")):
            job = App(part, part, directory / part, stand.environment)
            measured = Measured(plan, stand, poster, group, gateway, texts)
            with running(job):
                await asyncio.to_thread(_until_current, job)
                found[part] = [await measured.pair(job, at) for at in range(plan.pairs)]
    return _told(plan, found)


class Measured(NamedTuple):
    """What a span is measured on."""

    plan: Plan
    stand: Stand
    poster: Poster
    group: int
    gateway: App
    texts: Iterator[Text]

    async def pair(self, job: App, at: int) -> tuple[Span, Span]:
        """Measure without and with the job, the other way round every second time."""
        assert job.pid is not None
        spans: dict[bool, Span] = {}
        for is_beside in (False, True) if at % 2 == 0 else (True, False):
            os.kill(job.pid, signal.SIGCONT if is_beside else signal.SIGSTOP)
            await self.poster.post(self.plan.rate, self.plan.lead_in_s, self.texts)
            spans[is_beside] = await self._span(job)
        os.kill(job.pid, signal.SIGCONT)
        return spans[False], spans[True]

    async def _span(self, job: App) -> Span:
        await self.stand.settle(self.group, VIDEO)
        await self.stand.crowd.saw(self.group)
        service = cpu_s(self.gateway) + self.stand.cpu_s()
        beside = cpu_s(job)
        began = time.monotonic()
        await self.poster.post(self.plan.rate, self.plan.seconds, self.texts)
        passed = time.monotonic() - began
        service = cpu_s(self.gateway) + self.stand.cpu_s() - service
        beside = cpu_s(job) - beside
        saw = await self.stand.settle(self.group, VIDEO)
        answers = self.poster.answers_ms
        faults = abs(len(answers) * saw.readers - saw.comments) + self.poster.refused + saw.faults
        answer = statistics.quantiles(answers, n=100, method="inclusive")[98]
        return Span(saw.p50_ms, saw.p99_ms, answer, service / passed, beside / passed, faults)


def _until_current(job: App) -> None:
    """Wait until the job has all that the log holds. Raises NotReady."""
    deadline = time.monotonic() + CURRENT_TIMEOUT_S
    while True:
        try:
            return probe_http(job.internal_address, "/healthz/ready")
        except NotReady:
            if time.monotonic() > deadline:
                raise
        time.sleep(_STEP_S)


def _told(plan: Plan, found: dict[str, list[tuple[Span, Span]]]) -> Outcome:
    heads = ("socket p50 / p99 without", "with", "ratio of p99", "POST p99", "gateway + edge", "job", "faults")
    tables, bars, ratios = [], [], {}
    for job, pairs in found.items():
        shown = table(
            f"{job}: {plan.rate:g} POSTs/s, {plan.viewers:,} viewers of one video; ms and cores", "pair", *heads
        )
        for at, (without, beside) in enumerate(pairs, 1):
            shown.add_row(f"{at}", *_cells(without, beside))
            bars += [
                Bar(f"{job}, pair {at}", name, span.p50_ms, span.p99_ms, f"{span.p50_ms:.0f} / {span.p99_ms:.0f} ms")
                for name, span in (("without", without), ("with", beside))
            ]
        middle = [Span(*map(statistics.median, zip(*side, strict=True))) for side in zip(*pairs, strict=True)]
        shown.add_row("medians", *_cells(*middle))
        tables.append(shown)
        ratios[job] = over(middle[1].p99_ms, middle[0].p99_ms)
    numbers = {
        "pairs": {job: [[span._asdict() for span in pair] for pair in pairs] for job, pairs in found.items()},
        "ratioOfMedianP99": ratios,
        "ratioBound": RATIO_BOUND,
    }
    return Outcome(tables, numbers, chart("Age at the socket: bar p50, line to p99.", bars))


def _cells(without: Span, beside: Span) -> list[str]:
    return [
        f"{without.p50_ms:.1f} / {without.p99_ms:.1f}",
        f"{beside.p50_ms:.1f} / {beside.p99_ms:.1f}",
        f"{over(beside.p99_ms, without.p99_ms):.2f}",
        f"{without.answer_p99_ms:.1f} → {beside.answer_p99_ms:.1f}",
        f"{without.service_cpu:.2f} → {beside.service_cpu:.2f}",
        f"{beside.job_cpu:.2f}",
        f"{without.faults + beside.faults:g}",
    ]


if __name__ == "__main__":
    command("deriving", __doc__, Plan(), measure, pinned=False)
