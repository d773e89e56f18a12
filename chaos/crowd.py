"""A crowd that polls one busy video behind a recommended cache and two edges, while all of these are killed.

Everybody must have every comment once and in order by the end of each phase: after restarts of the cache, of an edge,
of all at once, a silence longer than every timeout, and a flood. At last a comment is deleted, and its text must leave
the cache.
"""

import asyncio
import math
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

from rich.table import Table

from bench.pollers import Polled, Pollers
from bench.stand import Stand, real_chat, standing
from infra.local.apps import App
from infra.local.caches import Cache
from infra.local.ports import HOST, free_port
from infra.local.servers import running
from livecomments_schemas.events import comment_deleted
from livecomments_schemas.partitions import partition_of

VIDEO: Final = "crowd"
PARTITIONS: Final = 4
_STEP_S: Final = 0.1
_SETTLED_WITHIN_S: Final = 120.0


class CrowdPlan(NamedTuple):
    """How large, and how long."""

    cache: str = "nginx"
    pollers: int = 5_000
    before: int = 300
    """Comments that are there when the crowd comes; it comes to scattered places among them."""
    rate: float = 20.0
    span_s: float = 10.0
    """Of comments in each phase."""
    silence_s: float = 45.0
    flood: float = 1_000.0
    flood_s: float = 5.0
    gone_within_s: float = 10.0
    """A deleted text."""


class Phase(NamedTuple):
    """What one phase showed."""

    what: str
    saw: Polled
    missed: int
    """Records that the poller furthest behind does not have."""
    asked: int
    """Requests of the cache to edges."""
    seconds: float


class CrowdReport(NamedTuple):
    """All phases, and what was broken."""

    phases: list[Phase]
    deleted_s: float
    problems: list[str]

    def table(self) -> Table:
        """Return a row a phase."""
        made = Table(title=f"A deleted text was gone after {self.deleted_s:.1f} s", title_justify="left")
        for head in (
            "phase",
            "s",
            "answers",
            "asked of edges",
            "broken off",
            "refused",
            "missed",
            "skipped",
            "out of order",
        ):
            made.add_column(head, justify="right" if made.columns else "left")
        for phase in self.phases:
            saw = phase.saw
            counts = (saw.answers, phase.asked, saw.closed, saw.refused, phase.missed, saw.holes, saw.disordered)
            made.add_row(phase.what, f"{phase.seconds:.0f}", *(f"{one:,}" for one in counts))
        return made


async def run_crowd(kafka: str, directory: Path, plan: CrowdPlan, say: Callable[[str], object]) -> CrowdReport:
    """Run all phases on edges of its own on this Kafka."""
    async with AsyncExitStack() as until:
        stand = await until.enter_async_context(standing(directory, kafka, partitions=PARTITIONS))
        other = App("edge-2", "edge", directory / "edge-other", stand.environment)
        await asyncio.to_thread(until.enter_context, running(other))
        edges = (stand.edge, other)
        cache = Cache(plan.cache, directory / "cache", free_port(), [edge.ports["client"] for edge in edges])
        until.callback(cache.stop)
        await asyncio.to_thread(cache.start)
        crowd = await until.enter_async_context(Pollers.running(cache.port, stand.zero_ms))
        return await _Crowd(stand, edges, cache, crowd, plan, say).run()


class _Crowd:
    def __init__(
        self,
        stand: Stand,
        edges: Sequence[App],
        cache: Cache,
        crowd: Pollers,
        plan: CrowdPlan,
        say: Callable[[str], object],
    ) -> None:
        self._stand, self._edges, self._cache, self._crowd, self._plan, self._say = (
            stand,
            edges,
            cache,
            crowd,
            plan,
            say,
        )
        self._phases: list[Phase] = []

    async def run(self) -> CrowdReport:
        plan, stand = self._plan, self._stand
        ids = [await stand.append(VIDEO) for _ in range(plan.before)]
        await self._crowd.open(plan.pollers, VIDEO, ids, plan.span_s / 2)
        edge, other = self._edges
        await self._phase("scattered", plan.rate)
        await self._phase("the cache restarted", plan.rate, self._cache_again)
        await self._phase("an edge killed", plan.rate, lambda: _again(edge))
        await self._phase(
            "cache and both edges killed", plan.rate, self._cache_again, lambda: _again(edge), lambda: _again(other)
        )
        await self._phase("silence", 0.0, lambda: time.sleep(plan.silence_s))
        await self._phase(f"{plan.flood:,.0f} comments a second", plan.flood, span_s=plan.flood_s)
        deleted_s = await self._delete()
        problems = [
            f"{phase.what}: {phase.missed} missed, {phase.saw.holes} skipped, {phase.saw.disordered} out of order"
            for phase in self._phases
            if phase.missed or phase.saw.faults
        ]
        if deleted_s > plan.gone_within_s:
            problems.append(f"A deleted text was there for {deleted_s:.1f} s.")
        return CrowdReport(self._phases, deleted_s, problems)

    async def _phase(self, what: str, rate: float, *hurts: Callable[[], None], span_s: float | None = None) -> None:
        """Feed comments while these are done, for a span and until all are over; then until everybody has them."""
        self._say(what)
        began, asked = time.monotonic(), len(self._cache.fetches())
        feeding = asyncio.create_task(self._stand.feed([VIDEO], rate, math.inf, real_chat())) if rate else None
        await asyncio.gather(
            *(asyncio.to_thread(hurt) for hurt in hurts), asyncio.sleep(self._plan.span_s if span_s is None else span_s)
        )
        if feeding is not None:
            feeding.cancel()
            await asyncio.wait([feeding])
        await self._stand.append(VIDEO)
        newest, saw = await self._stand.newest(VIDEO), await self._crowd.saw()
        until = time.monotonic() + _SETTLED_WITHIN_S
        while saw.offset_min < newest and time.monotonic() < until:
            await asyncio.sleep(_STEP_S)
            saw = saw.and_then(await self._crowd.saw())
        missed = max(0, newest - saw.offset_min)
        requests = len(self._cache.fetches()) - asked
        self._phases.append(Phase(what, saw, missed, requests, time.monotonic() - began))

    async def _delete(self) -> float:
        """Delete a comment whose text the cache has; return after how many seconds nobody is given it any more.

        What was waited for is kept longest.
        """
        self._say("a delete")
        before, comment_id = await self._stand.append(VIDEO), await self._stand.append(VIDEO)
        await self._stand.append(VIDEO)
        url = f"http://{HOST}:{self._cache.port}/streams/{VIDEO}?live=long-poll&offset={before}"
        mark = f'"commentId":"{comment_id}","'.encode()
        until = time.monotonic() + _SETTLED_WITHIN_S
        while not await _shows(url, mark) and time.monotonic() < until:  # noqa: ASYNC110 - a cache tells nothing by itself
            await asyncio.sleep(_STEP_S)
        partition = partition_of(VIDEO, PARTITIONS)
        await self._stand.log.append(partition, comment_deleted(VIDEO, comment_id, "moderator"))
        began = time.monotonic()
        while await _shows(url, mark) and time.monotonic() < until:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(_STEP_S)
        return time.monotonic() - began

    def _cache_again(self) -> None:
        self._cache.stop()
        self._cache.start()


def _again(app: App) -> None:
    app.kill()
    app.start()
    app.wait_ready()


async def _shows(url: str, mark: bytes) -> bool:
    with suppress(OSError):
        return mark in await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=60).read())  # noqa: S310 - ours
    return False
