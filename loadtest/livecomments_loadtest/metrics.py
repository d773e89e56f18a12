"""What the deployment says of itself: where backfills and history reads were served from. Only where it says so."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from livecomments_loadtest.client import CONNECT_TIMEOUT_S, Pool

SERIES: Final = {
    "livecomments_edge_backfills_total": "backfills",
    "livecomments_history_reads_total": "history reads",
}
"""The counters that are read, and what they are called in the report."""

_LINE: Final = re.compile(r'^(\w+)\{[^}]*\bsource="([^"]*)"[^}]*\} ([0-9.eE+]+)', re.MULTILINE)


def by_source(text: str) -> Counter[str]:
    """Read counters such as `backfills from tail` from the Prometheus text format; other series are passed over."""
    counts: Counter[str] = Counter()
    for name, source, value in _LINE.findall(text):
        if name in SERIES:
            counts[f"{SERIES[name]} from {source}"] += int(float(value))
    return counts


async def scrape(pool: Pool) -> Counter[str] | None:
    """Read the counters of one address; None if it does not answer `/metrics`, or not with 200."""
    try:
        async with pool.wire() as wire:
            response = await wire.ask(pool.origin.head("GET", "/metrics", {}), CONNECT_TIMEOUT_S)
    except OSError:
        return None
    return by_source(response.body.decode("utf-8", "replace")) if response.head.status == 200 else None


def since(before: Counter[str] | None, after: Counter[str] | None) -> dict[str, int] | None:
    """Return what was counted in between; None if either is missing. A process that restarted counts from its start."""
    if before is None or after is None:
        return None
    return {name: after[name] - (before[name] if before[name] <= after[name] else 0) for name in sorted(after)}


Counts = list[Counter[str] | None]
"""Of several addresses, in their order."""


async def scrape_all(pools: Iterable[Pool]) -> Counts:
    """Read the counters of each address."""
    return list(await asyncio.gather(*map(scrape, pools)))


def since_all(before: Counts, after: Counts) -> dict[str, int] | None:
    """Return what was counted in between, over all addresses; None if none of them has both readings."""
    known = [counts for old, new in zip(before, after, strict=True) if (counts := since(old, new)) is not None]
    total: Counter[str] = Counter()
    for counts in known:
        total.update(counts)
    return dict(sorted(total.items())) if known else None
