"""`python -m bench.scale`: what a node of a tier costs, one to four of them behind the router.

Edges, then gateways, behind HAProxy with infra/router, on a real Kafka: many videos whose comments are spread by Zipf,
one of them hot, at one rate whatever the number of nodes. Edges have a viewer of each video; gateways get the comments
as POSTs. What a node follows is what the router sends it; beside it, nodes that follow everything. Ratios only.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import mean
from typing import Final, Literal, NamedTuple

from rich.table import Table

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.persist_stack import new_keyspace
from bench.post import issued, load_client, requests
from bench.stand import PARTITIONS, Stand, cpu_s, environment, metrics, real_chat
from bench.viewers import Crowd
from infra.local.apps import App
from infra.local.balancer import HaProxy
from infra.local.epochs import own_epoch
from infra.local.servers import CassandraServer, running
from livecomments.kafka.log import KafkaLog

_WEIGHTS: Final = 10_000
"""Places that the videos share by their popularity; who has none has no comments."""
_ONLY_ASKED: Final = {"FOLLOW_RECORDS_PER_S_MAX": "0.001"}
"""So little room that a node keeps what it is asked for and nothing else, as where there is too much for one."""
_CONNECTIONS: Final = 64
"""To the load balancer: enough for the rate, whatever an answer takes."""
_ROUTER_S: Final = 3.0
"""Until the load balancer has seen that its servers are ready."""


class Plan(NamedTuple):
    """What is measured."""

    tiers: str = "edge,gateway"
    nodes: str = "1,2,4"
    cql: str = ""
    """Contact points of gateways' store; one is started by default."""
    videos: int = 1_000
    rate: float = 400.0
    """Comments a second over all videos."""
    hot: float = 0.1
    """The share of the hot video."""
    warm_up_s: float = 15.0
    """Until the nodes have let go of what they were not asked for."""
    seconds: float = 20.0


class Row(NamedTuple):
    """One number of nodes of a tier, in one of the two ways."""

    tier: str
    what: str
    nodes: int
    partitions: float
    """Followed, of a node, on the mean."""
    partitions_busiest: int
    records_per_s: float
    """Followed, of a node, on the mean."""
    records_busiest: float
    core: float
    """All nodes together."""
    us_per_record: float
    """CPU of all nodes, answers and deliveries included, over the records that they followed."""
    us_per_comment: float
    """The same over the comments that there were."""
    takes: float
    """A minute, all nodes together."""
    let_go: float
    spills: float
    elsewhere: float
    """Requests that were not sent by this topic's partitions; `spills`: to a further home. Since the start."""
    failed: int
    """Comments that did not come to their viewers, or POSTs that were not answered 201."""


async def measure(plan: Plan, kafka: str, directory: Path, pinned: bool) -> Outcome:
    """Measure each number of nodes of each tier, following what they are asked for, and following everything."""
    rows = []
    async with AsyncExitStack() as stack:
        cql = plan.cql
        if "gateway" in plan.tiers and not cql:
            store = CassandraServer(directory / "cassandra")
            await asyncio.to_thread(stack.enter_context, running(store))
            cql = store.address
        for tier in plan.tiers.split(","):
            for nodes in map(int, plan.nodes.split(",")):
                for what, follow in (("auto", {"FOLLOW": "auto", **_ONLY_ASKED}), ("all", {"FOLLOW": "all"})):
                    room = directory / f"{tier}-{what}-{nodes}"
                    if tier == "edge":
                        async with _edges(room, kafka, nodes, follow) as (stand, edges):
                            rows.append(await _edge_row(what, stand, edges, plan))
                    else:
                        keyspace = await asyncio.to_thread(new_keyspace, cql)
                        settings = {**follow, **issued(), "CQL": cql, "CQL_KEYSPACE": keyspace}
                        async with _gateways(room, kafka, nodes, settings) as (balancer, gateways):
                            rows.append(await _gateway_row(what, balancer, gateways, plan, room))
    bars = [
        Bar(
            f"{row.nodes} {row.tier}s",
            row.what,
            row.records_per_s,
            row.records_busiest,
            f"{row.records_per_s:.0f} records/s",
        )
        for row in rows
    ]
    found = [_table(tier, rows, plan) for tier in plan.tiers.split(",")]
    ratios = {tier: ratio for tier, (_, ratio) in zip(plan.tiers.split(","), found, strict=True)}
    numbers = {"rows": [row._asdict() for row in rows], "ratios": ratios}
    return Outcome([shown for shown, _ in found], numbers, chart("Records a node follows.", bars))


def _table(tier: str, all_rows: Sequence[Row], plan: Plan) -> tuple[Table, dict[str, float]]:
    """Show the rows of a tier; beside it, what all its nodes take over what one takes, for each comment."""
    rows = [row for row in all_rows if row.tier == tier]
    heads = ("partitions a node", "busiest", "records/s a node", "busiest", "cores in all")
    costs = ("CPU µs a record", "CPU µs a comment", "takes/min", "let go/min", "spills", "elsewhere", "failed")
    title = f"{tier}s: {plan.videos:,} videos, {plan.rate:,.0f} comments/s in all"
    shown = table(title, "follows", f"{tier}s", *heads, *costs)
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
            f"{row.us_per_comment:.0f}",
            f"{row.takes:.0f}",
            f"{row.let_go:.0f}",
            f"{row.spills:.0f}",
            f"{row.elsewhere:.0f}",
            f"{row.failed}",
        )
    of = {(row.what, row.nodes): row.us_per_comment for row in rows}
    most, least = max(row.nodes for row in rows), min(row.nodes for row in rows)
    ratios = {what: over(of[what, most], of[what, least]) for what in ("auto", "all")}
    auto, everything = ratios["auto"], ratios["all"]
    shown.caption = f"CPU of {most} over {least}, all together: {auto:.2f}; following everything {everything:.2f}"
    return shown, ratios


def popular(videos: Sequence[str], hot: float) -> list[str]:
    """Repeat each video by its popularity, so that one drawn evenly is drawn by Zipf, and the first by `hot` beside."""
    harmonic = sum(1 / rank for rank in range(1, len(videos) + 1))
    share = [(1 - hot) / rank / harmonic for rank in range(1, len(videos) + 1)]
    share[0] += hot
    return [video for video, part in zip(videos, share, strict=True) for _ in range(round(part * _WEIGHTS))]


@asynccontextmanager
async def _tier(
    kind: Literal["edge", "gateway"], directory: Path, nodes: int, environ: Mapping[str, str]
) -> AsyncIterator[tuple[HaProxy, list[App]]]:
    """Run so many nodes of a kind, and a load balancer before them; none of the other kind, which nobody calls."""
    apps = [App(f"{kind}-{n}", kind, directory / f"{kind}-{n}", lambda: dict(environ)) for n in range(1, nodes + 1)]
    others = [apps[0].ports]
    balancer = HaProxy(
        directory / "balancer",
        port=None,
        gateways=lambda: [app.ports for app in apps] if kind == "gateway" else others,
        edges=lambda: [app.ports for app in apps] if kind == "edge" else others,
    )
    async with AsyncExitStack() as stack:
        for app in apps:
            await asyncio.to_thread(stack.enter_context, running(app))
        await asyncio.to_thread(balancer.start)
        stack.callback(balancer.kill)
        await asyncio.sleep(_ROUTER_S)
        yield balancer, apps


@asynccontextmanager
async def _edges(
    directory: Path, kafka: str, nodes: int, settings: Mapping[str, str]
) -> AsyncIterator[tuple[Stand, list[App]]]:
    """Run so many edges on a new topic, and viewers for them."""
    topics = await own_epoch(kafka, PARTITIONS)
    zero_ms = int(time.time() * 1000)
    async with (
        _tier("edge", directory, nodes, environment(topics, settings)) as (balancer, edges),
        KafkaLog(kafka, topics.topic, topics.number) as log,
        Crowd.running(balancer.address, zero_ms) as crowd,
    ):
        yield Stand(topics, log, edges[0], crowd, zero_ms, frozenset()), edges


@asynccontextmanager
async def _gateways(
    directory: Path, kafka: str, nodes: int, settings: Mapping[str, str]
) -> AsyncIterator[tuple[HaProxy, list[App]]]:
    """Run so many gateways on a new topic."""
    topics = await own_epoch(kafka, PARTITIONS)
    async with _tier("gateway", directory, nodes, environment(topics, settings)) as found:
        yield found


async def _edge_row(what: str, stand: Stand, edges: Sequence[App], plan: Plan) -> Row:
    videos = _videos(plan)
    group = await stand.crowd.open(plan.videos, "v", videos=plan.videos, every=1)
    seconds = plan.warm_up_s + plan.seconds
    feeding = asyncio.create_task(stand.feed(popular(videos, plan.hot), plan.rate, seconds, real_chat()))
    await asyncio.sleep(plan.warm_up_s)
    warm = await stand.crowd.saw(group)
    row = await _counted("edge", what, edges, plan)
    await feeding
    saw = await stand.crowd.saw(group)
    rest, waited_s = await stand.crowd.saw(group), 0.0
    delivered = warm.comments + saw.comments + rest.comments
    while delivered < stand.appended and waited_s < plan.seconds:  # who was slow, not who was left out
        await asyncio.sleep(0.5)
        waited_s += 0.5
        delivered += (await stand.crowd.saw(group)).comments
    return row._replace(failed=stand.appended - delivered)


async def _gateway_row(what: str, balancer: HaProxy, gateways: Sequence[App], plan: Plan, room: Path) -> Row:
    chosen = popular(_videos(plan), plan.hot)
    random.Random(1).shuffle(chosen)
    workload = room / "requests"
    workload.write_bytes(requests(chosen))
    client = await asyncio.to_thread(load_client)
    # Longer than what is counted, so that its end is not. The clock of whichever gateway: it is not asked for.
    seconds = plan.warm_up_s + plan.seconds + _ROUTER_S
    port, pid = balancer.ports["client"], gateways[0].pid
    command = [client, port, _CONNECTIONS, seconds, 10**9, workload, pid, plan.rate]
    posting = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE)
    await asyncio.sleep(plan.warm_up_s)
    row = await _counted("gateway", what, gateways, plan)
    told, _ = await posting.communicate()
    return row._replace(failed=json.loads(told)["refused"])


async def _counted(tier: str, what: str, apps: Sequence[App], plan: Plan) -> Row:
    """Let the time go by that counts, and return what was done meanwhile."""
    since, before = time.perf_counter(), [_Counts.of(app) for app in apps]
    await asyncio.sleep(plan.seconds)
    wall, after = time.perf_counter() - since, [_Counts.of(app) for app in apps]
    done = [late.since(early) for early, late in zip(before, after, strict=True)]
    records, cpu = [each.records for each in done], sum(each.cpu_s for each in done)
    return Row(
        tier,
        what,
        len(apps),
        mean(each.partitions for each in after),
        int(max(each.partitions for each in after)),
        mean(records) / wall,
        max(records) / wall,
        cpu / wall,
        cpu / max(1.0, sum(records)) * 1e6,
        cpu / (plan.rate * wall) * 1e6,
        sum(each.taken for each in done) / wall * 60,
        sum(each.let_go for each in done) / wall * 60,
        sum(each.spills for each in after),
        sum(each.elsewhere for each in after),
        failed=0,
    )


def _videos(plan: Plan) -> list[str]:
    return [f"v-{number}" for number in range(plan.videos)]


class _Counts(NamedTuple):
    """Of one node, since it started."""

    cpu_s: float
    partitions: float
    records: float
    taken: float
    let_go: float
    spills: float
    elsewhere: float

    @classmethod
    def of(cls, app: App) -> "_Counts":
        found = metrics(app)

        def total(name: str) -> float:
            return sum(value for key, value in found.items() if key.partition("{")[0] == name)

        return cls(
            cpu_s(app),
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
