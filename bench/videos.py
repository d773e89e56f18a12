"""`python -m bench.videos`: many videos with a few viewers each, on one edge.

Beside it the same comments a second under one video with as few viewers, so that as many comments are delivered: the
ratio is what it costs that they are spread out. All viewers are read, all memory is counted.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.stand import SETTLED_S, Stand, real_chat, standing


class Plan(NamedTuple):
    """What is measured."""

    viewers: int = 10_000
    videos: int = 5_000
    rate: float = 2_000.0
    """Comments a second over all videos."""
    warm_up_s: float = 5.0
    seconds: float = 20.0


class Row(NamedTuple):
    """One way to spread the comments."""

    what: str
    viewers: int
    core: float
    us_per_comment: float
    """CPU of the edge."""
    bytes_per_viewer: float
    """Memory, idle; its part of the video's included."""
    rss_mb: float
    """Of the edge, at the end."""
    deliveries_per_s: float
    p50_ms: float
    p99_ms: float
    undelivered: int
    faults: int


async def measure(plan: Plan, kafka: str, directory: Path, pinned: bool) -> Outcome:
    """Spread over many videos, then all under one."""
    each = max(1, plan.viewers // plan.videos)
    rows = []
    for what, viewers, videos in ((f"{plan.videos:,} videos", each * plan.videos, plan.videos), ("1 video", each, 1)):
        async with standing(directory, kafka, pinned=pinned) as stand:
            rows.append(await _row(stand, what, viewers, [f"v-{number}" for number in range(videos)], plan))
    heads = ("viewers", "core", "CPU µs a comment", "bytes a viewer", "MB", "deliveries/s", "p50 ms", "p99 ms")
    shown = table(f"{plan.rate:,.0f} comments/s in all", "", *heads, "undelivered", "faults")
    for row in rows:
        cells = [f"{row.viewers:,}", f"{row.core:.2f}", f"{row.us_per_comment:.0f}", f"{row.bytes_per_viewer:,.0f}"]
        cells += [f"{row.rss_mb:,.0f}", f"{row.deliveries_per_s:,.0f}", f"{row.p50_ms:.0f}", f"{row.p99_ms:.0f}"]
        shown.add_row(row.what, *cells, f"{row.undelivered}", f"{row.faults}")
    ratio = over(rows[0].us_per_comment, rows[1].us_per_comment)
    shown.caption = f"CPU, spread out over not: {ratio:.2f}"
    bars = [
        Bar("CPU µs a comment", row.what, row.us_per_comment, row.us_per_comment, f"{row.us_per_comment:.0f}")
        for row in rows
    ]
    bars += [
        Bar("ms to the socket", row.what, row.p50_ms, row.p99_ms, f"{row.p50_ms:.0f} / {row.p99_ms:.0f}")
        for row in rows
    ]
    return Outcome(
        [shown], {"rows": [row._asdict() for row in rows], "ratio": ratio}, chart("Many videos, and one.", bars)
    )


async def _row(stand: Stand, what: str, viewers: int, videos: Sequence[str], plan: Plan) -> Row:
    before = stand.rss_bytes()
    group = await stand.crowd.open(viewers, "v", videos=len(videos), every=1)
    memory = (stand.rss_bytes() - before) / viewers
    feeding = asyncio.create_task(stand.feed(videos, plan.rate, plan.warm_up_s + plan.seconds, real_chat()))
    await asyncio.sleep(plan.warm_up_s)
    warm = await stand.crowd.saw(group)
    since, cpu = time.perf_counter(), stand.cpu_s()
    await asyncio.sleep(plan.seconds)
    wall, cpu = time.perf_counter() - since, stand.cpu_s() - cpu
    saw = await stand.crowd.saw(group)
    await feeding
    await asyncio.sleep(SETTLED_S)
    rest = await stand.crowd.saw(group)
    each = viewers // len(videos)
    return Row(
        what,
        viewers,
        cpu / wall,
        cpu / max(1, saw.comments) * each * 1e6,
        memory,
        stand.rss_bytes() / 2**20,
        saw.comments / wall,
        saw.p50_ms,
        saw.p99_ms,
        stand.appended * each - (warm.comments + saw.comments + rest.comments),
        warm.faults + saw.faults + rest.faults,
    )


if __name__ == "__main__":
    command("videos", __doc__, Plan(), measure)
