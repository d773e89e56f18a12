"""`python -m bench.scale`: what a node of a tier costs, one to four of them behind the router.

Edges behind HAProxy with infra/router, on a real Kafka: many videos with a viewer each, whose comments are spread by
Zipf, one of them hot, at one rate whatever the number of edges. What an edge follows is what the router sends it;
beside it, edges that follow everything. Ratios only.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import mean
from typing import Final, NamedTuple

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.crowd import Crowd
from bench.stand import PARTITIONS, Stand, cpu_s, environment, metrics, real_chat
from infra.local.apps import App
from infra.local.balancer import HaProxy
from infra.local.epochs import own_epoch
from infra.local.servers import running
from livecomments.kafka.log import KafkaLog

_WEIGHTS: Final = 10_000
"""Places that the videos share by their popularity; who has none has no comments."""
_ONLY_ASKED: Final = {"FOLLOW_RECORDS_PER_S_MAX": "0.001"}
"""So little room that an edge keeps what it is asked for and nothing else, as where there is too much for one."""
_ROUTER_S: Final = 3.0
"""Until the load balancer has seen that its servers are ready."""


class Plan(NamedTuple):
    """What is measured."""

    nodes: str = "1,2,4"
    videos: int = 1_000
    rate: float = 400.0
    """Comments a second over all videos."""
    hot: float = 0.1
    """The share of the hot video."""
    warm_up_s: float = 15.0
    """Until the edges have let go of what they were not asked for."""
    seconds: float = 20.0


class Row(NamedTuple):
    """One number of edges, in one of the two ways."""

    what: str
    nodes: int
    partitions: float
    """Followed, of an edge, on the mean."""
    partitions_busiest: int
    records_per_s: float
    """Followed, of an edge, on the mean."""
    records_busiest: float
    core: float
    """All edges together."""
    us_per_record: float
    """CPU of all edges, deliveries to their viewers included, over the records that they followed."""
    takes: float
    """A minute, all edges together."""
    let_go: float
    spills: float
    elsewhere: float
    """Streams that the router did not send by this topic's partitions; `spills`: to a further home. Since the start."""
    undelivered: int


async def measure(plan: Plan, kafka: str, directory: Path, pinned: bool) -> Outcome:
    """Measure each number of edges, following what they are asked for, and following everything."""
    rows = []
    for nodes in map(int, plan.nodes.split(",")):
        for what, settings in (("auto", {"FOLLOW": "auto", **_ONLY_ASKED}), ("all", {"FOLLOW": "all"})):
            async with _tier(directory / f"{what}-{nodes}", kafka, nodes, settings) as (stand, edges):
                rows.append(await _row(what, stand, edges, plan))
    heads = (
        "edges",
        "partitions an edge",
        "busiest",
        "records/s an edge",
        "busiest",
        "cores in all",
        "CPU µs a record",
    )
    shown = table(
        f"{plan.videos:,} videos, {plan.rate:,.0f} comments/s in all",
        "follows",
        *heads,
        "takes/min",
        "let go/min",
        "spills",
        "elsewhere",
        "undelivered",
    )
    for row in rows:
        shown.add_row(
            row.what,
            f"{row.nodes}",
            f"{row.partitions:.1f}",
            f"{row.partitions_busiest}",
            f"{row.records_per_s:.0f}",
            f"{row.records_busiest:.0f}",
            f"{row.core:.2f}",
            f"{row.us_per_record:.0f}",
            f"{row.takes:.0f}",
            f"{row.let_go:.0f}",
            f"{row.spills:.0f}",
            f"{row.elsewhere:.0f}",
            f"{row.undelivered}",
        )
    of = {(row.what, row.nodes): row for row in rows}
    most = max(row.nodes for row in rows)
    least = min(row.nodes for row in rows)
    ratios = {what: over(of[what, most].core, of[what, least].core) for what in ("auto", "all")}
    auto, everything = ratios["auto"], ratios["all"]
    shown.caption = f"CPU of {most} over {least}, all edges together: {auto:.2f}; following everything {everything:.2f}"
    bars = [
        Bar(
            f"{row.nodes} edges", row.what, row.records_per_s, row.records_busiest, f"{row.records_per_s:.0f} records/s"
        )
        for row in rows
    ]
    return Outcome(
        [shown], {"rows": [row._asdict() for row in rows], "ratios": ratios}, chart("Records an edge follows.", bars)
    )


def popular(videos: Sequence[str], hot: float) -> list[str]:
    """Repeat each video by its popularity, so that one drawn evenly is drawn by Zipf, and the first by `hot` beside."""
    harmonic = sum(1 / rank for rank in range(1, len(videos) + 1))
    share = [(1 - hot) / rank / harmonic for rank in range(1, len(videos) + 1)]
    share[0] += hot
    return [video for video, part in zip(videos, share, strict=True) for _ in range(round(part * _WEIGHTS))]


@asynccontextmanager
async def _tier(
    directory: Path, kafka: str, nodes: int, settings: Mapping[str, str]
) -> AsyncIterator[tuple[Stand, list[App]]]:
    """Run so many edges on a new topic, a load balancer before them, and viewers for that."""
    topics = await own_epoch(kafka, PARTITIONS)
    zero_ms = int(time.time() * 1000)
    edges = [
        App(f"edge-{n}", "edge", directory / f"edge-{n}", lambda: environment(topics, settings))
        for n in range(1, nodes + 1)
    ]
    # There is no gateway: nobody calls one.
    balancer = HaProxy(
        directory / "balancer",
        port=None,
        gateways=lambda: [edges[0].ports],
        edges=lambda: [edge.ports for edge in edges],
    )
    async with AsyncExitStack() as stack:
        for edge in edges:
            await asyncio.to_thread(stack.enter_context, running(edge))
        await asyncio.to_thread(balancer.start)
        stack.callback(balancer.kill)
        await asyncio.sleep(_ROUTER_S)
        log = await stack.enter_async_context(KafkaLog(kafka, topics.topic, topics.number))
        crowd = await stack.enter_async_context(Crowd.running(balancer.address, zero_ms))
        yield Stand(topics, log, edges[0], crowd, zero_ms, frozenset()), edges


async def _row(what: str, stand: Stand, edges: Sequence[App], plan: Plan) -> Row:
    videos = [f"v-{number}" for number in range(plan.videos)]
    group = await stand.crowd.open(plan.videos, "v", videos=plan.videos, every=1)
    seconds = plan.warm_up_s + plan.seconds
    feeding = asyncio.create_task(stand.feed(popular(videos, plan.hot), plan.rate, seconds, real_chat()))
    await asyncio.sleep(plan.warm_up_s)
    warm = await stand.crowd.saw(group)
    since, before = time.perf_counter(), [_Counts.of(edge) for edge in edges]
    await asyncio.sleep(plan.seconds)
    wall, after = time.perf_counter() - since, [_Counts.of(edge) for edge in edges]
    await feeding
    saw = await stand.crowd.saw(group)
    rest, waited_s = await stand.crowd.saw(group), 0.0
    delivered = warm.comments + saw.comments + rest.comments
    while delivered < stand.appended and waited_s < plan.seconds:  # who was slow, not who was left out
        await asyncio.sleep(0.5)
        waited_s += 0.5
        delivered += (await stand.crowd.saw(group)).comments
    done = [late.since(early) for early, late in zip(before, after, strict=True)]
    records, cpu = [each.records for each in done], sum(each.cpu_s for each in done)
    return Row(
        what,
        len(edges),
        mean(each.partitions for each in after),
        int(max(each.partitions for each in after)),
        mean(records) / wall,
        max(records) / wall,
        cpu / wall,
        cpu / max(1.0, sum(records)) * 1e6,
        sum(each.taken for each in done) / wall * 60,
        sum(each.let_go for each in done) / wall * 60,
        sum(each.spills for each in after),
        sum(each.elsewhere for each in after),
        stand.appended - delivered,
    )


class _Counts(NamedTuple):
    """Of one edge, since it started."""

    cpu_s: float
    partitions: float
    records: float
    taken: float
    let_go: float
    spills: float
    elsewhere: float

    @classmethod
    def of(cls, edge: App) -> "_Counts":
        found = metrics(edge)

        def total(name: str) -> float:
            return sum(value for key, value in found.items() if key.partition("{")[0] == name)

        return cls(
            cpu_s(edge),
            total("livecomments_log_partitions"),
            total("livecomments_log_records_total"),
            total("livecomments_log_taken_on_total"),
            total("livecomments_log_let_go_total"),
            found.get('livecomments_routed_requests_total{to="spill"}', 0.0),
            found.get('livecomments_routed_requests_total{to="elsewhere"}', 0.0)
            + found.get('livecomments_routed_requests_total{to="unrouted"}', 0.0),
        )

    def since(self, before: "_Counts") -> "_Counts":
        """Return what was counted meanwhile."""
        return _Counts(*(late - early for late, early in zip(self, before, strict=True)))


if __name__ == "__main__":
    command("scale", __doc__, Plan(), measure, pinned=False)
