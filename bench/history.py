"""`python -m bench.history`: pages of a large video at any depth, and of sparse videos in a busy partition.

The rows are loaded through the writer, once for each number of bucket bits: one video with a comment at every position,
and videos whose few comments lie far apart, since thousands of others wrote in between. Then pages are read as history
reads them, one at a time. A chart and the numbers are written beside each other.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.chart import Bar, chart
from bench.persist_stack import DATACENTER, load_average, new_keyspace, servers
from livecomments.cql.store import CqlStore
from livecomments.runtime.console import plain_console
from livecomments.store.interface import Row
from livecomments_schemas.events import COMMENT_CREATED
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position

BITS: Final = (18, 20)
START: Final = first_position(1)
DENSE: Final = "dense"
TAKE_ROWS: Final = 5_000
HEAP_MB: Final = 2_048
"""Of the store that is started: five million rows want more than those of tests."""
_VALUE: Final = b'{"videoId":"%s","message":"' + b"what a goal, unbelievable! " * 6 + b'"}'


class Plan(NamedTuple):
    """How much is loaded and read."""

    comments: int
    """Of the dense video."""
    sparse_videos: int
    sparse_comments: int
    """Of each sparse video."""
    span: int
    """Positions over which they lie."""
    pages: int
    page_size: int


FLOOR: Final = "one row by its key"
"""What the others are compared with: one query that finds next to nothing."""


class Result(NamedTuple):
    """Pages of one kind, or the floor."""

    kind: str
    bits: int
    p50_ms: float
    p99_ms: float
    queries: float
    """A page, on average."""


class CountingStore(CqlStore):
    """Counts its queries."""

    queries = 0

    async def _read(self, statement: Any, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        self.queries += 1
        return await super()._read(statement, parameters)


def sparse_video(number: int) -> str:
    """Name a sparse video."""
    return f"sparse-{number}"


def row(video_id: str, offset: int) -> Row:
    """Make a comment of some 250 bytes."""
    value = _VALUE % video_id.encode()
    return Row(video_id, START + offset, COMMENT_CREATED, f"user-{offset % 500}", value, 1_700_000_000_000)


async def load(store: CqlStore, plan: Plan, console: Console) -> float:
    """Write all rows; return how many a second of the dense video's were stored."""
    since = time.perf_counter()
    for first in track(range(0, plan.comments, TAKE_ROWS), "Dense video", console=console):
        await store.write([row(DENSE, offset) for offset in range(first, min(first + TAKE_ROWS, plan.comments))])
    rate = plan.comments / (time.perf_counter() - since)
    chance = random.Random(1)  # the same positions for every number of bits
    rows: list[Row] = []
    for number in track(range(plan.sparse_videos), "Sparse videos", console=console):
        rows += [row(sparse_video(number), offset) for offset in chance.sample(range(plan.span), plan.sparse_comments)]
        if len(rows) >= TAKE_ROWS:
            await store.write(rows)
            rows.clear()
    await store.write(rows)
    return rate


Asked = tuple[str, int, int, bool]
"""Video, after, through, descending."""


def kinds(plan: Plan, chance: random.Random) -> dict[str, Callable[[], Asked]]:
    """List what is asked for, by kind."""

    def deep(top: int) -> int:
        return START + chance.randrange(top // 100, top)

    def sparse() -> str:
        return sparse_video(chance.randrange(plan.sparse_videos))

    end, span = START + plan.comments - 1, START + plan.span
    return {
        "dense, newest": lambda: (DENSE, BEFORE_EVERYTHING, end, True),
        "dense, oldest": lambda: (DENSE, BEFORE_EVERYTHING, end, False),
        "dense, any depth": lambda: (DENSE, BEFORE_EVERYTHING, deep(plan.comments), True),
        "dense, any depth, forward": lambda: (DENSE, deep(plan.comments), end, False),
        "sparse, newest": lambda: (sparse(), BEFORE_EVERYTHING, span, True),
        "sparse, oldest": lambda: (sparse(), BEFORE_EVERYTHING, span, False),
        "sparse, any depth": lambda: (sparse(), BEFORE_EVERYTHING, deep(plan.span), True),
    }


async def read(stores: Mapping[int, CountingStore], plan: Plan) -> list[Result]:
    """Read pages of every kind; each is read from all stores in turn, so that a busy moment hits all alike."""
    results = []
    floors: dict[int, list[float]] = {bits: [] for bits in stores}
    for kind, ask in kinds(plan, random.Random(2)).items():
        times: dict[int, list[float]] = {bits: [] for bits in stores}
        queries = dict.fromkeys(stores, 0)
        for _ in range(plan.pages):
            video_id, after, through, descending = ask()
            for bits, store in stores.items():
                floors[bits].append(await _timed_ms(store.watermark(1, 0)))
                before = store.queries
                times[bits].append(
                    await _timed_ms(store.read(video_id, after, through, plan.page_size, descending=descending))
                )
                queries[bits] += store.queries - before
        results += [_result(kind, bits, times[bits], queries[bits] / plan.pages) for bits in stores]
    return results + [_result(FLOOR, bits, floors[bits], 1.0) for bits in stores]


def _result(kind: str, bits: int, times_ms: list[float], queries: float) -> Result:
    cuts = statistics.quantiles(times_ms, n=100)
    return Result(kind, bits, cuts[49], cuts[98], queries)


async def _timed_ms(reading: Awaitable[object]) -> float:
    since = time.perf_counter()
    await reading
    return (time.perf_counter() - since) * 1000


async def run(cql: str, plan: Plan, console: Console) -> dict[str, Any]:
    """Load and read with every number of bits."""
    stores: dict[int, CountingStore] = {}
    rates = {}
    try:
        for bits in BITS:
            keyspace = await asyncio.to_thread(new_keyspace, cql, bits)
            store = CountingStore(cql, keyspace=keyspace, datacenter=DATACENTER, bucket_bits=bits)
            await store.__aenter__()
            stores[bits] = store
            rates[bits] = await load(store, plan, console)
        await read(stores, plan._replace(pages=max(2, plan.pages // 2)))  # a JVM is slow at what it has not done often
        results = await read(stores, plan)
    finally:
        for store in stores.values():
            await store.aclose()
    console.print(_table(results), f"load average {load_average()} on {os.cpu_count()} cores")
    return {
        "plan": plan._asdict(),
        "rowsPerSecondLoaded": rates,
        "loadAverage": load_average(),
        "pages": [result._asdict() for result in results],
    }


def _table(results: list[Result]) -> Table:
    table = Table(title="Pages at the store", title_justify="left")
    for head in ("pages", "bucket bits", "p50 ms", "p99 ms", "queries a page"):
        table.add_column(head, justify="left" if head == "pages" else "right")
    for one in sorted(results, key=lambda result: result.kind):
        table.add_row(one.kind, str(one.bits), f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.queries:.1f}")
    return table


def drawn(results: Iterable[Result]) -> str:
    """Draw the chart."""
    bars = [
        Bar(one.kind, f"{one.bits} bucket bits", one.p50_ms, one.p99_ms, f"{one.p50_ms:.1f} / {one.p99_ms:.1f} ms")
        for one in results
    ]
    return chart("One page at the store: bar p50, line to p99.", bars)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--comments", type=int, default=300_000, help="of the dense video; 5000000 for a release")
    parser.add_argument("--sparse-videos", type=int, default=300, help="10000 for a release")
    parser.add_argument("--sparse-comments", type=int, default=60, help="of each")
    parser.add_argument("--span", type=int, default=60 << 20, help="positions over which they lie")
    parser.add_argument("--pages", type=int, default=300, help="of each kind")
    parser.add_argument("--page-size", type=int, default=10)
    parser.add_argument("--cql", help="contact points; one is started by default")
    parser.add_argument("--out", type=Path, help="write FILE.json and FILE.svg")
    given = parser.parse_args()
    plan = Plan(given.comments, given.sparse_videos, given.sparse_comments, given.span, given.pages, given.page_size)
    with servers(None, given.cql, needs_kafka=False, cql_heap_mb=HEAP_MB) as (_, cql, _directory):
        report = asyncio.run(run(cql, plan, plain_console(width=120)))
    if given.out:
        given.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
        given.out.with_suffix(".svg").write_text(drawn([Result(**page) for page in report["pages"]]))


if __name__ == "__main__":
    main()
