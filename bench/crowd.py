"""`python -m bench.crowd`: what a crowd that polls costs an edge, by itself and behind the recommended caches.

A real edge on a real Kafka, one video, real chat texts, clients that wait by long-poll (`pollers.c`): directly at the
edge, behind nginx with `crowd.conf`, behind Varnish with `crowd.vcl`. What a cache asks of the edge is told by its own
log: how often a second, over one for each window; and whether it asked for what it could have kept.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.table import Table

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.pollers import Polled, Pollers
from bench.stand import Stand, cpu_of, real_chat, standing
from infra.local.caches import Cache, Fetch
from infra.local.ports import free_port
from livecomments_consumers.protocol import WINDOW_MS
from livecomments_schemas.partitions import partition_of

DIRECTLY: Final = "directly"
IDEAL_PER_S: Final = 1_000 / WINDOW_MS
"""Requests that a video takes in which something comes in every window."""
_POLLS: Final = "livecomments_edge_polls_total"
_PAIRS_TOLD: Final = 20
_LIVE_SHARE: Final = 0.99
"""At any moment some have an answer, and have not asked again."""
_SETTLE_TIMEOUT_S: Final = 60.0
_SETTLE_STEP_S: Final = 0.2


class Plan(NamedTuple):
    """What is measured; numbers of pollers, comma-separated; `behind`: nginx, varnishd, or both."""

    directly: str = "0,50,500,2000"
    cached: str = "50,500,5000"
    behind: str = "nginx,varnishd"
    rate: float = 20.0
    away_ms: int = 0
    """From an answer to the next request, as between machines; it is a part of ages."""
    spread_s: float = 3.0
    warm_up_s: float = 4.0
    seconds: float = 30.0


class Row(NamedTuple):
    """One crowd."""

    before: str
    """`directly`, or the cache that it polls."""
    pollers: int
    answers_per_s: float
    upstream_per_s: float
    """Requests to the edge."""
    ideal: float
    """Times one request a window."""
    twice: int
    """Fetches of what had been fetched, and might have been kept still."""
    edge_core: float
    cache_core: float
    clients_core: float
    p50_ms: float
    p99_ms: float
    missed: int
    """Comments that a poller did not get by the end, or that were skipped."""
    disordered: int
    """Comments that came twice, or out of order."""
    refused: int
    """Answers that are no answers, and connections that broke."""
    twice_of: list[Any]
    """The first of those pairs."""
    asked: dict[str, int]
    """What a cache asked the edge for, by its reason and what was waited for."""


async def measure(plan: Plan, kafka: str, directory: Path, _pinned: bool) -> Outcome:
    """Measure all crowds, one after the other; one of 0 tells what the edge takes with nobody."""
    rows: list[Row] = []
    async with standing(directory, kafka) as stand:
        crowds = [(DIRECTLY, many) for many in _numbers(plan.directly)]
        crowds += [(cache, many) for cache in filter(None, plan.behind.split(",")) for many in _numbers(plan.cached)]
        for number, ((before, pollers), video_id) in enumerate(zip(crowds, _videos(stand), strict=False)):
            rows.append(await _row(stand, plan, before, pollers, video_id, directory / f"cache-{number}"))
    numbers: dict[str, Any] = {"idealPerSecond": IDEAL_PER_S, "rows": [row._asdict() for row in rows]}
    bars = [
        Bar(f"{row.pollers:,} pollers", row.before, row.p50_ms, row.p99_ms, f"{row.p50_ms:.0f} / {row.p99_ms:.0f}")
        for row in rows
        if row.pollers
    ]
    return Outcome([_table(plan, rows)], numbers, chart("Age of a comment in ms, p50 and p99.", bars))


async def _row(stand: Stand, plan: Plan, before: str, pollers: int, video_id: str, directory: Path) -> Row:
    first = await stand.append(video_id)
    edge = int(stand.edge.address.rpartition(":")[2])
    async with (
        _cached(before, directory, edge) as cache,
        Pollers.running(cache.port if cache else edge, stand.zero_ms, plan.away_ms) as crowd,
    ):
        if pollers:
            await crowd.open(pollers, video_id, [first], plan.spread_s)
        feeding = asyncio.create_task(stand.feed([video_id], plan.rate, math.inf, real_chat()))
        await asyncio.sleep(plan.spread_s + plan.warm_up_s)
        warm, counts, began = await _joined(crowd, pollers), await _polls(stand), time.time()
        pids = cache.pids if cache else []
        cpu, cache_cpu, clients_cpu = stand.cpu_s(), sum(map(cpu_of, pids)), crowd.cpu_s()
        since = time.perf_counter()
        await asyncio.sleep(plan.seconds)
        cpu, cache_cpu = stand.cpu_s() - cpu, sum(map(cpu_of, pids)) - cache_cpu
        clients_cpu = crowd.cpu_s() - clients_cpu
        wall, saw, ended = time.perf_counter() - since, await crowd.saw(), time.time()
        asked_of_it = await _polls(stand) - counts
        feeding.cancel()
        await asyncio.wait([feeding])
        rest, missing = await _settled(stand, crowd, video_id, pollers)
    fetches = cache.fetches() if cache else []
    spans = [fetch for fetch in fetches if began <= fetch.ended < ended]
    per_s = len(spans) / wall if cache else asked_of_it / wall
    whole = warm.and_then(saw).and_then(rest)
    return Row(
        before,
        pollers,
        saw.answers / wall,
        per_s,
        over(per_s, IDEAL_PER_S),
        sum(1 for _ in twice(fetches)),
        cpu / wall,
        cache_cpu / wall,
        clients_cpu / wall,
        saw.p50_ms,
        saw.p99_ms,
        missing + whole.holes,
        whole.disordered,
        whole.refused + whole.closed,
        list(islice(twice(fetches), _PAIRS_TOLD)),
        dict(Counter(f"{fetch.why} {fetch.live or 'no wait'} {fetch.status}" for fetch in spans)),
    )


def twice(fetches: Iterable[Fetch]) -> Iterator[tuple[Fetch, Fetch]]:
    """Yield fetches of what an earlier one was bringing, or had brought and might be kept still, with that one."""
    before: dict[tuple[str, ...], Fetch] = {}
    for fetch in sorted(fetches):
        earlier = before.get(fetch.url)
        if earlier is not None and fetch.began < earlier.ended + earlier.life_s:
            yield earlier, fetch
        before[fetch.url] = fetch


@asynccontextmanager
async def _cached(before: str, directory: Path, edge: int) -> AsyncIterator[Cache | None]:
    """Run this cache before the edge; none if it is to be asked directly. Raises SystemExit: it is not installed."""
    if before == DIRECTLY:
        yield None
        return
    if (missing := Cache.why_missing(before)) is not None:
        raise SystemExit(missing)
    cache = Cache(before, directory, free_port(), (edge, edge))
    await asyncio.to_thread(cache.start)
    try:
        yield cache
    finally:
        await asyncio.to_thread(cache.stop)


async def _joined(crowd: Pollers, pollers: int) -> Polled:
    """Return what they saw until all wait for what comes, or for a minute."""
    saw, until = await crowd.saw(), time.monotonic() + _SETTLE_TIMEOUT_S
    while saw.live < pollers * _LIVE_SHARE and time.monotonic() < until:
        await asyncio.sleep(_SETTLE_STEP_S)
        saw = saw.and_then(await crowd.saw())
    return saw


async def _settled(stand: Stand, crowd: Pollers, video_id: str, count: int) -> tuple[Polled, int]:
    """Return what they saw once all have the newest comment, and how many do not have it after a minute."""
    newest = await stand.newest(video_id)
    saw, until = await crowd.saw(), time.monotonic() + _SETTLE_TIMEOUT_S
    while count and saw.offset_min < newest and time.monotonic() < until:
        await asyncio.sleep(_SETTLE_STEP_S)
        saw = saw.and_then(await crowd.saw())
    return saw, max(0, newest - saw.offset_min) if count else 0


async def _polls(stand: Stand) -> float:
    """Return how often the edge has answered pollers."""
    return sum(count for name, count in (await stand.counts()).items() if name.startswith(_POLLS))


def _videos(stand: Stand) -> Iterator[str]:
    """Yield videos that have a partition to themselves."""
    taken: set[int] = set()
    for number in count():
        video_id = f"crowd-{number}"
        partition = partition_of(video_id, stand.log.partition_count)
        if partition not in taken:
            taken.add(partition)
            yield video_id


def _numbers(said: str) -> list[int]:
    return [int(one) for one in said.split(",") if one]


def _table(plan: Plan, rows: list[Row]) -> Table:
    title = f"One video, {plan.rate:g} comments/s for {plan.seconds:g} s; {IDEAL_PER_S:g} windows a second"
    heads = ("answers/s", "upstream/s", "× 1/window", "twice", "edge core", "cache core", "clients core")
    made = table(title, "pollers", *heads, "p50 ms", "p99 ms", "missed", "disordered", "refused")
    for row in rows:
        shown = [f"{row.answers_per_s:,.0f}", f"{row.upstream_per_s:,.1f}", f"{row.ideal:,.2f}", f"{row.twice}"]
        shown += [f"{row.edge_core:.3f}", f"{row.cache_core:.2f}", f"{row.clients_core:.2f}"]
        shown += [f"{row.p50_ms:,.0f}", f"{row.p99_ms:,.0f}"]
        made.add_row(f"{row.pollers:,} {row.before}", *shown, f"{row.missed}", f"{row.disordered}", f"{row.refused}")
    return made


if __name__ == "__main__":
    command("crowd", __doc__, Plan(), measure, pinned=False)
