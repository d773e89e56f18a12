"""`python -m bench.resume`: a crowd that was cut off comes back at once, while the video goes on.

All viewers take shared gzip. One crowd is away for half a minute, a larger one for some seconds; each comes back from
the last id it had. What counts: nothing is missing, the store is read at most once, and the p99 of those who stayed is
at most twice what it was before.
"""

import asyncio
import math
import time
from pathlib import Path
from typing import Final, NamedTuple

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.stand import Stand, real_chat, standing
from bench.viewers import Saw

VIDEO: Final = "v-0"
READERS: Final = 50
"""Of each crowd."""
_BACKFILLS: Final = "livecomments_edge_backfills_total"


class Plan(NamedTuple):
    """What is measured."""

    stay: int = 1_000
    rate: float = 1_000.0
    crowd: int = 1_000
    away_s: float = 30.0
    later_crowd: int = 4_000
    later_away_s: float = 5.0
    warm_up_s: float = 5.0
    seconds: float = 10.0
    """Over which those who stay are measured: before, and from each return on."""


class Row(NamedTuple):
    """One span: before anybody left, or from a return on."""

    what: str
    returned_in_s: float
    """Until the last one was connected again."""
    caught_up_in_s: float
    """From the first reconnect until those who are read have all that was there when the last one was in."""
    comments: int
    """That they were given meanwhile, those who are read."""
    store_reads: int
    core: float
    p50_ms: float
    p99_ms: float
    """Of those who stayed."""
    faults: int
    """Of all."""


async def measure(plan: Plan, kafka: str, directory: Path, pinned: bool) -> Outcome:
    """Measure before, and both returns."""
    async with standing(directory, kafka, pinned=pinned) as stand:
        opened = [
            await stand.crowd.open(count, "v", every=max(1, count // READERS), gzip=True)
            for count in (plan.stay, plan.crowd, plan.later_crowd)
        ]
        stay, crowd, later = opened
        feeding = asyncio.create_task(stand.feed([VIDEO], plan.rate, math.inf, real_chat()))
        await asyncio.sleep(plan.warm_up_s)
        for group in opened:
            await stand.crowd.saw(group)
        rows = [await _span(stand, stay, None, "before", plan)]
        for group, away_s in ((crowd, plan.away_s), (later, plan.later_away_s)):
            left = await stand.crowd.saw(group)
            await stand.crowd.away(group)
            await asyncio.sleep(away_s)
            what = f"{len_of(left)} back after {away_s:g} s"
            row = await _span(stand, stay, group, what, plan)
            rows.append(row._replace(faults=row.faults + left.faults))
        feeding.cancel()
        await asyncio.wait([feeding])
        rest = [await stand.settle(group, VIDEO) for group in opened]
    rows[-1] = rows[-1]._replace(faults=rows[-1].faults + sum(one.faults for one in rest))
    heads = ("back in s", "caught up in s", "comments each", "store reads", "core", "p50 ms", "p99 ms", "× before")
    shown = table(f"{plan.stay:,} viewers stay, {plan.rate:g} comments/s, gzip", "", *heads, "faults")
    for row in rows:
        cells = [f"{row.returned_in_s:.2f}", f"{row.caught_up_in_s:.2f}", f"{row.comments:,}", f"{row.store_reads}"]
        cells += [
            f"{row.core:.2f}",
            f"{row.p50_ms:.0f}",
            f"{row.p99_ms:.0f}",
            f"{over(row.p99_ms, rows[0].p99_ms):.2f}",
        ]
        shown.add_row(row.what, *cells, f"{row.faults}")
    bars = [
        Bar(row.what, "those who stay", row.p50_ms, row.p99_ms, f"{row.p50_ms:.0f} / {row.p99_ms:.0f} ms")
        for row in rows
    ]
    drawn = chart("Age at the socket: bar p50, line to p99, dashed: twice that of before.", bars, 2 * rows[0].p99_ms)
    return Outcome([shown], {"rows": [row._asdict() for row in rows]}, drawn)


def len_of(saw: Saw) -> str:
    """Tell how many viewers there are in a group."""
    return f"{saw.open:,}"


async def _span(stand: Stand, stay: int, group: int | None, what: str, plan: Plan) -> Row:
    await stand.crowd.saw(stay)
    counts, cpu, since = await stand.counts(), stand.cpu_s(), time.perf_counter()
    await stand.crowd.saw(stay)
    returned_s = caught_up_s = 0.0
    got, faults = 0, 0
    if group is not None:
        returned_s = await stand.crowd.back(group)
        back = await stand.settle(group, VIDEO)
        caught_up_s = time.perf_counter() - since
        got, faults = back.comments // back.readers, back.faults
    await asyncio.sleep(max(0.0, plan.seconds - caught_up_s))
    wall, cpu = time.perf_counter() - since, stand.cpu_s() - cpu
    saw = await stand.crowd.saw(stay)
    after = await stand.counts()
    store_reads = sum(after[name] - counts.get(name, 0) for name in after if name == f'{_BACKFILLS}{{source="store"}}')
    return Row(
        what, returned_s, caught_up_s, got, int(store_reads), cpu / wall, saw.p50_ms, saw.p99_ms, faults + saw.faults
    )


if __name__ == "__main__":
    command("resume", __doc__, Plan(), measure)
