"""Grows the epoch of a deployment on three brokers under load, again and again, and says how long writes waited.

Flow: a load plays and checks as in `faults`; a `Pulse` beside it posts fifty comments a second, whose answers tell how
long a write waited. Each growth doubles the partitions; with `kill` a broker that leads some of them is killed between
the last fence and the opening of the next epoch.
"""

import asyncio
import dataclasses
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rich.table import Table

from chaos.faults import QUIET_S, RECOVERY_TIMEOUT_S, FaultPlan, load_beside, load_problems
from chaos.pulse import Answer, Pulse
from infra.local.servers import KafkaCluster, KafkaServer
from infra.local.stack import Stack
from livecomments.kafka.topics import find_leaders
from livecomments.log.topics import comments_topic
from livecomments_command.assembly.kafka import kafka_connection, told_epochs, topic_name
from livecomments_command.epochs import check_topics
from livecomments_command.settings import ToolSettings

REPLICAS: Final = 3
POST_EVERY_S: Final = 0.02
FIRST_PARTITIONS: Final = 2
_FENCED: Final = "has ended"
"""What the command says once all fences are there, and the next epoch is not open."""


@dataclass
class Growth:
    """One growth: what it came to, and the POSTs that were sent from its begin until a second after its end."""

    partitions: int
    killed: str = ""
    took_s: float = 0.0
    posts: list[Answer] = field(default_factory=list)

    def row(self) -> list[str]:
        """Return the waits of a POST in milliseconds, and what was refused."""
        waits = sorted(answer.took_s * 1_000 for answer in self.posts)
        p99 = waits[int(len(waits) * 0.99)] if waits else 0.0
        refused = Counter(answer.code or "cut off" for answer in self.posts if answer.status != 201)
        said = ", ".join(f"{count} {code}" for code, count in refused.items()) or "0"
        numbers = [statistics.median(waits), p99, waits[-1]] if waits else [0.0] * 3
        return [str(self.partitions), self.killed or "-", f"{self.took_s:.1f}", *(f"{n:,.0f}" for n in numbers), said]


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
        for name in ("to partitions", "killed", "took s", "p50", "p99", "max", "refused"):
            table.add_column(name, justify="right")
        for one in self.growths:
            table.add_row(*one.row())
        return table


def make_topics(cluster: KafkaCluster) -> None:
    """Make the topics on three replicas, with few partitions: there is to be room to double them."""
    settings = ToolSettings(kafka=cluster.address, cql="none", replicas=REPLICAS)
    asyncio.run(check_topics(settings, create=True, partitions=FIRST_PARTITIONS))


async def run_growth(
    stack: Stack, cluster: KafkaCluster, plan: FaultPlan, rounds: int, *, kill: bool, say: Callable[[str], None]
) -> GrowthReport:
    """Grow so many times under load, on a stack that is up; return when the load is done."""
    pulse = Pulse(stack.url, stack.settings, f"{int(time.time()):x}", post_every_s=POST_EVERY_S)
    beating = asyncio.create_task(pulse.run())
    growths: list[Growth] = []
    problems: list[str] = []
    async with load_beside(stack, plan) as load:
        try:
            async with asyncio.timeout(RECOVERY_TIMEOUT_S):
                await pulse.beats.wait()
            for _ in range(rounds):
                await asyncio.sleep(QUIET_S)
                growths.append(await _grow(stack, cluster, pulse, problems, kill=kill, say=say))
            say("waiting for the load to end")
            await load.process.wait()
        finally:
            beating.cancel()
            await asyncio.wait([beating])
    problems += load_problems(load.report(), load.said())
    problems += [f"A viewer of {watch.video_id} was told {watch.gaps} gaps." for watch in pulse.watches if watch.gaps]
    missing = pulse.missing(time.monotonic())
    if missing:
        problems.append(f"Viewers never got {missing} comments of the pulse.")
    return GrowthReport(growths, load.report(), load.said(), problems)


async def _grow(
    stack: Stack, cluster: KafkaCluster, pulse: Pulse, problems: list[str], *, kill: bool, say: Callable[[str], None]
) -> Growth:
    settings = dataclasses.replace(stack.settings, replicas=REPLICAS)
    newest = (await told_epochs(settings)).newest
    assert newest is not None
    growth = Growth(newest.contract.partitions * 2)
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
    killed: KafkaServer | None = None
    async for line in growing.stdout:
        say(line.decode().rstrip())
        if kill and killed is None and _FENCED in line.decode():
            killed = next(one for one in cluster.brokers if one.node_id == next(iter(leaders.values())))
            await asyncio.to_thread(killed.kill)
            growth.killed = f"broker {killed.node_id}"
    if await growing.wait():
        problems.append(f"Growing to {growth.partitions} partitions ended with exit code {growing.returncode}.")
    growth.took_s = time.monotonic() - began_at
    await asyncio.sleep(1.0)
    if killed is not None:
        await asyncio.to_thread(killed.start)
        await asyncio.to_thread(cluster.wait_ready)
    growth.posts = [answer for answer in pulse.posts if answer.answered_at > began_at]
    say("to partitions, killed, took s, POSTs in ms p50, p99, max, refused: " + ", ".join(growth.row()))
    return growth
