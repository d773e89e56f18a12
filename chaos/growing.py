"""Grows the epoch of a deployment on three brokers under load, again and again, and says how long writes waited.

Flow: a load plays and checks as in `faults`; a `Pulse` beside it posts fifty comments a second, whose answers tell how
long a write waited. Each growth doubles the partitions. What is to be hurt is hurt in turn, one a growth, as soon as
writes wait: a leader of some partitions, the gateway, an edge or the stream job is killed and started again, or an edge
is drained and another takes its place.
"""

import asyncio
import dataclasses
import json
import math
import os
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from rich.table import Table

from bench.post import VIDEOS, issued, load_client, of_videos, requests
from chaos.faults import QUIET_S, RECOVERY_TIMEOUT_S, FaultPlan, load_beside, load_problems, supervise
from chaos.pulse import Answer, Pulse
from infra.local.servers import KafkaCluster
from infra.local.stack import GATEWAY, STREAM, Stack
from livecomments.kafka.topics import find_leaders
from livecomments.log.topics import comments_topic
from livecomments_command.assembly.kafka import kafka_connection, told_epochs, topic_name
from livecomments_command.epochs import check_topics
from livecomments_command.settings import ToolSettings

REPLICAS: Final = 3
POST_EVERY_S: Final = 0.02
FIRST_PARTITIONS: Final = 2
LEADER: Final = "leader"
LEADER_AWAY_S: Final = 15.0
"""Longer than Kafka takes to elect others."""
EDGE: Final = "edge-1"
DRAINED: Final = "drained"
"""An edge, told to go."""
HURTS: Final = (LEADER, GATEWAY, STREAM, EDGE, DRAINED)
FLOOD_SETTINGS: Final = {f"LIVECOMMENTS_{name}": value for name, value in issued().items()}
_FLOOD_CONNECTIONS: Final = 256
"""So many POSTs at most are held at once."""
_FENCING: Final = "writes wait"
"""What the command says once writes wait, and again once all fences are there."""
_FENCED: Final = "has ended"
_OPENED: Final = "is open"
PAUSE: Final = re.compile(r"writes waited ([0-9.]+) s.*?([0-9.]+) for the stream job")
_AWAY_S: Final = 1.0
"""A process that was killed, until it is started again."""


@dataclass
class Growth:
    """One growth: what it came to, and the POSTs that were sent from its begin until a second after its end."""

    partitions: int
    hurt: str = ""
    took_s: float = 0.0
    paused_s: float = 0.0
    """From the first fence until the next epoch was open, as the command says."""
    job_s: float = 0.0
    """Of that, for the stream job to store what stood before the fences."""
    fenced_at: float = math.inf
    """When writes began to wait."""
    opened_at: float = math.inf
    """When the command said that the next epoch is open."""
    posts: list[Answer] = field(default_factory=list)

    def row(self) -> list[str]:
        """Return the waits of a POST in milliseconds: before, of those that met the fences, after; the refused."""
        before = [answer for answer in self.posts if answer.answered_at < self.fenced_at]
        met = [answer for answer in self.posts if answer.answered_at >= self.fenced_at]
        after = [answer for answer in met if answer.sent_at > self.opened_at]
        met = [answer for answer in met if answer.sent_at <= self.opened_at]
        refused = Counter(answer.code or "cut off" for answer in self.posts if answer.status != 201)
        said = ", ".join(f"{count} {code}" for code, count in refused.items()) or "0"
        paused = [f"{self.paused_s * 1_000:,.0f}", f"{self.job_s * 1_000:,.0f}"]
        return [
            str(self.partitions),
            self.hurt or "-",
            f"{self.took_s:.1f}",
            *paused,
            _waits(before),
            _waits(met),
            _waits(after),
            said,
        ]


@dataclass
class GrowthReport:
    """What came of it."""

    growths: list[Growth]
    load: Mapping[str, Any]
    load_said: str
    problems: list[str]

    def table(self) -> Table:
        """Tell how long POSTs waited."""
        table = Table(title="POSTs while the epoch grew, in ms", title_justify="left")
        for name in COLUMNS:
            table.add_column(name, justify="right")
        for one in self.growths:
            table.add_row(*one.row())
        return table


COLUMNS: Final = (
    "to partitions",
    "hurt",
    "took s",
    "pause",
    "of it the job",
    "before p50 p99 max",
    "held",
    "after",
    "refused",
)


def _waits(answers: Sequence[Answer]) -> str:
    waits = sorted(answer.took_s * 1_000 for answer in answers)
    if not waits:
        return "-"
    return " ".join(f"{wait:,.0f}" for wait in (statistics.median(waits), waits[int(len(waits) * 0.99)], waits[-1]))


def make_topics(cluster: KafkaCluster, partitions: int = FIRST_PARTITIONS) -> None:
    """Make the topics on three replicas, with few partitions: there is to be room to double them."""
    settings = ToolSettings(kafka=cluster.address, cql="none", replicas=REPLICAS)
    asyncio.run(check_topics(settings, create=True, partitions=partitions))


async def run_growth(
    stack: Stack,
    cluster: KafkaCluster,
    plan: FaultPlan,
    rounds: int,
    hurts: Sequence[str],
    say: Callable[[str], None],
    *,
    flood_per_s: float = 0.0,
) -> GrowthReport:
    """Grow so many times under load, on a stack that is up, hurting each of `hurts` in turn; return when the load ends.

    Args:
        hurts: of HURTS; nothing is hurt if there are none.
        flood_per_s: POSTs beside the load, by a client that costs next to nothing; the stack knows FLOOD_SETTINGS.
    """
    away, restarted = set[str](), list[str]()
    supervising = asyncio.create_task(supervise(stack, away, restarted, say))
    pulse = Pulse(stack.url, stack.settings, f"{int(time.time()):x}", post_every_s=POST_EVERY_S)
    beating = asyncio.create_task(pulse.run())
    growths: list[Growth] = []
    problems: list[str] = []
    async with load_beside(stack, plan) as load, _flood(stack, flood_per_s, plan.lasts_s, say):
        try:
            async with asyncio.timeout(RECOVERY_TIMEOUT_S):
                await pulse.beats.wait()
            for number in range(rounds):
                await asyncio.sleep(QUIET_S)
                hurt = Hurt(stack, cluster, hurts[number % len(hurts)] if hurts else "", away, say)
                growths.append(await _grow(stack, pulse, problems, hurt, say))
            say("waiting for the load to end")
            await load.process.wait()
        finally:
            for task in (beating, supervising):
                task.cancel()
            await asyncio.wait([beating, supervising])
    problems += restarted
    problems += load_problems(load.report(), load.said())
    problems += [f"A viewer of {watch.video_id} was told {watch.gaps} gaps." for watch in pulse.watches if watch.gaps]
    missing = pulse.missing(time.monotonic())
    if missing:
        problems.append(f"Viewers never got {missing} comments of the pulse.")
    return GrowthReport(growths, load.report(), load.said(), problems)


@asynccontextmanager
async def _flood(stack: Stack, per_s: float, lasts_s: float, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Post to a thousand videos beside what is done within the context, straight to the gateway; tell how many were."""
    if not per_s:
        yield
        return
    workload = stack.run_dir / "flood.requests"
    workload.write_bytes(requests(of_videos(VIDEOS)))
    client = await asyncio.to_thread(load_client)
    given = (stack.gateway.ports["client"], _FLOOD_CONNECTIONS, lasts_s, 10**9, workload, stack.gateway.pid, per_s)
    flooding = await asyncio.create_subprocess_exec(client, *map(str, given), stdout=asyncio.subprocess.PIPE)
    try:
        yield
        told, _ = await flooding.communicate()
        found = json.loads(told)
        say(f"flood: {found['done'] / found['seconds']:,.0f} POSTs a second answered 201, {found['refused']} otherwise")
    finally:
        if flooding.returncode is None:
            flooding.kill()
            await flooding.wait()


class Hurt:
    """What is hurt in one growth, and mended."""

    def __init__(
        self, stack: Stack, cluster: KafkaCluster, name: str, away: set[str], say: Callable[[str], None]
    ) -> None:
        self.name = name
        self._stack = stack
        self._cluster = cluster
        self._away = away
        self._say = say
        self._mending: asyncio.Task[None] | None = None

    def begin(self, leaders: Mapping[int, int], line: str) -> None:
        """Begin once the command says this line, if it is time: a leader when all fences are there, others before."""
        if self.name and self._mending is None and (_FENCED if self.name == LEADER else _FENCING) in line:
            self._mending = asyncio.create_task(self._hurt(next(iter(leaders.values()))))

    async def end(self) -> None:
        """Wait until it is mended. Raises ServerUnavailable, TimeoutError."""
        if self._mending is not None:
            await self._mending

    async def _hurt(self, leader: int) -> None:
        self._say(f"{self.name}: hurt")
        if self.name == LEADER:
            broker = next(one for one in self._cluster.brokers if one.node_id == leader)
            await asyncio.to_thread(broker.kill)
            await asyncio.sleep(LEADER_AWAY_S)
            await asyncio.to_thread(broker.start)
            await asyncio.to_thread(self._cluster.wait_ready)
            return
        name = EDGE if self.name == DRAINED else self.name
        server = self._stack[name]
        self._away.add(name)
        await asyncio.to_thread(server.stop if self.name == DRAINED else server.kill)
        await asyncio.sleep(_AWAY_S)
        await asyncio.to_thread(server.start)
        self._away.discard(name)
        await asyncio.to_thread(server.wait_ready)


async def _grow(stack: Stack, pulse: Pulse, problems: list[str], hurt: Hurt, say: Callable[[str], None]) -> Growth:
    settings = dataclasses.replace(stack.settings, replicas=REPLICAS)
    newest = (await told_epochs(settings)).newest
    assert newest is not None
    growth = Growth(newest.contract.partitions * 2, hurt.name)
    leaders = await find_leaders(kafka_connection(settings), topic_name(settings, comments_topic(newest.number)))
    began_at = time.monotonic()
    command = [sys.executable, "-m", "livecomments_command", "epochs", "grow", "--partitions", str(growth.partitions)]
    environ = {
        **os.environ,
        "LIVECOMMENTS_KAFKA": settings.kafka,
        "LIVECOMMENTS_CQL": settings.cql,
        "LIVECOMMENTS_REPLICAS": str(REPLICAS),
        "PYTHONUNBUFFERED": "1",
    }
    growing = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environ
    )
    assert growing.stdout is not None
    async for read in growing.stdout:
        line = read.decode().rstrip()
        say(line)
        if _FENCING in line:
            growth.fenced_at = min(growth.fenced_at, time.monotonic())
        if _OPENED in line:
            growth.opened_at = min(growth.opened_at, time.monotonic())
        if (pause := PAUSE.search(line)) is not None:
            growth.paused_s, growth.job_s = float(pause[1]), float(pause[2])
        hurt.begin(leaders, line)
    if await growing.wait():
        problems.append(f"Growing to {growth.partitions} partitions ended with exit code {growing.returncode}.")
    growth.took_s = time.monotonic() - began_at
    await hurt.end()
    await asyncio.sleep(1.0)
    growth.posts = [answer for answer in pulse.posts if answer.answered_at > began_at]
    say("; ".join(f"{name}: {value}" for name, value in zip(COLUMNS, growth.row(), strict=True)))
    return growth
