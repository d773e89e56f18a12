"""`python -m bench.slow`: some viewers never read a byte; what do the others notice, and what does it cost?

Pairs of spans on one edge, without them and with them, while the video goes on. What counts: the p99 of the others,
with over without (medians over the pairs), and the memory of one that is stuck, the kernel's included.
"""

import asyncio
import math
import os
import statistics
from pathlib import Path
from typing import Final, NamedTuple

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.stand import SETTLED_S, Stand, real_chat, standing
from bench.viewers import Saw

VIDEO: Final = "v-0"
READERS: Final = 100
MEMORY_BOUND: Final = 300 * 1024


class Plan(NamedTuple):
    """What is measured."""

    viewers: int = 1_000
    stuck_share: float = 0.2
    rate: float = 1_000.0
    pairs: int = 5
    warm_up_s: float = 5.0
    seconds: float = 8.0
    """Of each span; less than it takes until one that is stuck is cut off."""


class Pair(NamedTuple):
    """One span without them, and one with them."""

    without_p50_ms: float
    without_p99_ms: float
    with_p50_ms: float
    with_p99_ms: float
    kernel_bytes: float
    """That the kernel held for each that is stuck."""
    edge_bytes: float
    """By which the edge grew meanwhile, for each that is stuck; its tail, which grows all the time, is in it."""
    cut_off: int
    """Of those that are stuck, meanwhile."""
    faults: int
    """Of the others."""


async def measure(plan: Plan, kafka: str, directory: Path, pinned: bool) -> Outcome:
    """Measure all pairs."""
    stuck = max(1, round(plan.viewers * plan.stuck_share))
    reading = plan.viewers - stuck
    async with standing(directory, kafka, pinned=pinned) as stand:
        group = await stand.crowd.open(reading, "v", every=max(1, reading // READERS))
        feeding = asyncio.create_task(stand.feed([VIDEO], plan.rate, math.inf, real_chat()))
        await asyncio.sleep(plan.warm_up_s)
        pairs = [await _pair(stand, group, stuck, plan.seconds) for _ in range(plan.pairs)]
        feeding.cancel()
        await asyncio.wait([feeding])
        rest = await stand.settle(group, VIDEO)
    pairs[-1] = pairs[-1]._replace(faults=pairs[-1].faults + rest.faults)
    without, beside = (
        statistics.median(column) for column in ([p.without_p99_ms for p in pairs], [p.with_p99_ms for p in pairs])
    )
    heads = (
        "without p50 / p99",
        "with p50 / p99",
        "ratio of p99",
        "KiB a stuck one: kernel + edge",
        "cut off",
        "faults",
    )
    shown = table(f"{reading:,} viewers read, {stuck:,} never do; {plan.rate:g} comments/s, plain, ms", "pair", *heads)
    for at, pair in enumerate(pairs, 1):
        cells = [
            f"{pair.without_p50_ms:.0f} / {pair.without_p99_ms:.0f}",
            f"{pair.with_p50_ms:.0f} / {pair.with_p99_ms:.0f}",
        ]
        cells += [
            f"{over(pair.with_p99_ms, pair.without_p99_ms):.2f}",
            f"{pair.kernel_bytes / 1024:.0f} + {pair.edge_bytes / 1024:.0f}",
        ]
        shown.add_row(f"{at}", *cells, f"{pair.cut_off}", f"{pair.faults}")
    each = statistics.median(pair.kernel_bytes + pair.edge_bytes for pair in pairs)
    shown.add_row(
        "medians", f"{without:.0f}", f"{beside:.0f}", f"{over(beside, without):.2f}", f"{each / 1024:.0f}", "", ""
    )
    bars = [
        Bar(f"pair {at}", name, p50, p99, f"{p50:.0f} / {p99:.0f} ms")
        for at, pair in enumerate(pairs, 1)
        for name, p50, p99 in (
            ("without stuck viewers", pair.without_p50_ms, pair.without_p99_ms),
            ("with them", pair.with_p50_ms, pair.with_p99_ms),
        )
    ]
    numbers = {
        "pairs": [pair._asdict() for pair in pairs],
        "ratioOfMedianP99": over(beside, without),
        "stuckBytes": each,
        "stuckBytesBound": MEMORY_BOUND,
    }
    return Outcome([shown], numbers, chart("Age at the socket of those who read: bar p50, line to p99.", bars))


async def _pair(stand: Stand, group: int, stuck: int, seconds: float) -> Pair:
    without = await _span(stand, group, seconds)
    before = stand.rss_bytes()
    away = await stand.crowd.open(stuck, "v", stalled=True)
    beside = await _span(stand, group, seconds)
    cut_off = (await stand.crowd.saw(away)).closed
    edge, kernel = stand.rss_bytes() - before, kernel_bytes()
    await stand.crowd.away(away)
    await asyncio.sleep(SETTLED_S)
    kernel -= kernel_bytes()
    faults = without.faults + beside.faults
    return Pair(
        without.p50_ms, without.p99_ms, beside.p50_ms, beside.p99_ms, kernel / stuck, edge / stuck, cut_off, faults
    )


async def _span(stand: Stand, group: int, seconds: float) -> Saw:
    await asyncio.sleep(SETTLED_S)
    turned = await stand.crowd.saw(group)
    await asyncio.sleep(seconds)
    saw = await stand.crowd.saw(group)
    return saw._replace(closed=saw.closed + turned.closed, gaps=saw.gaps + turned.gaps, holes=saw.holes + turned.holes)


def kernel_bytes() -> int:
    """Return what the kernel holds for all TCP connections of this machine."""
    line = next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    return int(line.split()[-1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    command("slow", __doc__, Plan(), measure)
