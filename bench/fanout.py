"""`python -m bench.fanout`: what it costs an edge to give every comment to everybody.

A real edge on a real Kafka, one video, real chat texts; then the very blocks that one viewer got are sent to as many
sockets by a bare loop of `send()` in C, on the same core and at the same times. What counts is CPU a delivered comment,
the edge's over the loop's. At last the load on which other servers were compared: 2,000 viewers, 300 bytes, 25 ms.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.table import Table

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.stand import Stand, Text, real_chat, sized_chat, standing
from bench.viewers import Floor, floor

VIDEO: Final = "v-0"
READERS: Final = 100
"""Viewers that are read and checked; of the others the bytes are counted."""
FEW: Final = 10
"""The part of all viewers after which memory is measured for the first time."""
PEERS_RATE: Final = 50.0
PEERS_BYTES: Final = 300
PEERS_WINDOW_MS: Final = 25
RATIO_TARGET: Final = 1.3


class Plan(NamedTuple):
    """What is measured; `rates` are comments a second, comma-separated."""

    viewers: int = 10_000
    rates: str = "10,100,1000"
    peers_viewers: int = 2_000
    warm_up_s: float = 3.0
    seconds: float = 8.0


class Row(NamedTuple):
    """One load."""

    what: str
    rate: float
    core: float
    """Of the edge."""
    deliveries_per_s: float
    ns_per_delivery: float
    """CPU of the edge a delivered comment."""
    floor_ns: float
    """The same of the bare loop."""
    ratio: float
    bytes_per_comment: float
    p50_ms: float
    p99_ms: float
    undelivered: int
    """Of all comments to all viewers, once all is still again."""
    unread_bytes: int
    """That the edge has written and nobody got."""
    faults: int
    """Holes, repetitions, gaps, ended streams."""


class Load(NamedTuple):
    """What is measured in one go."""

    what: str
    viewers: int
    rate: float
    texts: Iterator[Text]


async def measure(plan: Plan, kafka: str, directory: Path, pinned: bool) -> Outcome:
    """Measure all loads, one after the other."""
    rows: list[Row] = []
    async with standing(directory, kafka, pinned=pinned) as stand:
        few = max(1, plan.viewers // FEW)
        memory = 0.0
        for form in ("plain", "gzip"):
            groups = [await stand.crowd.open(few, "v", every=max(1, few // READERS), gzip=form == "gzip")]
            before = stand.rss_bytes()
            groups.append(await stand.crowd.open(plan.viewers - few, "v", gzip=form == "gzip"))
            if form == "plain":  # later the process has room left from before
                memory = (stand.rss_bytes() - before) / (plan.viewers - few)
            for rate in plan.rates.split(","):
                load = Load(form, plan.viewers, float(rate), real_chat())
                rows.append(await _row(stand, groups, load, plan, directory / "blocks"))
            for group in groups:
                await stand.crowd.away(group)
    async with standing(directory, kafka, pinned=pinned, LINGER_MAX_MS=str(PEERS_WINDOW_MS)) as stand:
        viewers = plan.peers_viewers
        groups = [await stand.crowd.open(viewers, "v", every=max(1, viewers // READERS))]
        load = Load(f"peers' load, {viewers:,}", viewers, PEERS_RATE, sized_chat(PEERS_BYTES))
        rows.append(await _row(stand, groups, load, plan, directory / "blocks"))
    numbers: dict[str, Any] = {"memoryBytesPerIdleViewer": memory, "rows": [row._asdict() for row in rows]}
    bars = [Bar(f"{row.rate:g} comments/s", row.what, row.ratio, row.ratio, f"{row.ratio:.2f}") for row in rows]
    drawn = chart("CPU a delivered comment, over a bare loop of send().", bars, RATIO_TARGET)
    return Outcome([_table(plan, rows, memory)], numbers, drawn)


async def _row(stand: Stand, groups: list[int], load: Load, plan: Plan, file: Path) -> Row:
    crowd, readers = stand.crowd, groups[0]
    counts, appended = await stand.counts(), stand.appended
    for group in groups:
        await crowd.saw(group)
    seconds = plan.warm_up_s + plan.seconds
    feeding = asyncio.create_task(stand.feed([VIDEO], load.rate, seconds, load.texts))
    await asyncio.sleep(plan.warm_up_s)
    warm = await crowd.saw(readers)
    await crowd.record(readers, file)
    since, cpu = time.perf_counter(), stand.cpu_s()
    await asyncio.sleep(plan.seconds)
    cpu, wall = stand.cpu_s() - cpu, time.perf_counter() - since
    recorded = await crowd.recorded()
    saw = await crowd.saw(readers)
    await feeding
    rest = await stand.settle(readers, VIDEO)
    later = await stand.counts()
    unread = [await crowd.saw(group) for group in groups]
    bare = await floor(file, load.viewers, stand.cpus) if recorded else Floor(0.0, 0.0, 0, 0)
    delivered = saw.comments / saw.readers * load.viewers
    ns, floor_ns = cpu / max(1.0, delivered) * 1e9, bare.cpu_s / max(1, recorded * load.viewers) * 1e9
    got = warm.bytes + saw.bytes + rest.bytes + sum(one.bytes for one in unread)

    def grown(name: str) -> int:
        return int(later[f"livecomments_edge_{name}_total"] - counts[f"livecomments_edge_{name}_total"])

    return Row(
        load.what,
        load.rate,
        cpu / wall,
        delivered / wall,
        ns,
        floor_ns,
        over(ns, floor_ns),
        saw.read_bytes / max(1, saw.comments),
        saw.p50_ms,
        saw.p99_ms,
        (stand.appended - appended) * load.viewers - grown("delivered"),
        grown("written_bytes") - got,
        sum(one.faults for one in (warm, saw, rest, *unread)),
    )


def _table(plan: Plan, rows: list[Row], memory: float) -> Table:
    heads = ("comments/s", "core", "deliveries/s", "CPU ns", "bare loop ns", "ratio", "bytes", "p50 ms", "p99 ms")
    title = f"One video, {plan.viewers:,} viewers; {memory:,.0f} bytes of memory an idle viewer"
    made = table(title, "form", *heads, "undelivered", "faults")
    for row in rows:
        shown = [f"{row.rate:g}", f"{row.core:.2f}", f"{row.deliveries_per_s:,.0f}", f"{row.ns_per_delivery:,.0f}"]
        shown += [f"{row.floor_ns:,.0f}", f"{row.ratio:.2f}", f"{row.bytes_per_comment:,.0f}"]
        shown += [f"{row.p50_ms:,.0f}", f"{row.p99_ms:,.0f}", f"{row.undelivered}", f"{row.faults}"]
        made.add_row(row.what, *shown)
    return made


if __name__ == "__main__":
    command("fanout", __doc__, Plan(), measure)
