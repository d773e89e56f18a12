"""`python -m bench.latency`: from a POST at a real gateway, by a real Kafka, to the sockets of a real edge's viewers.

Beside it the time the POST itself took to be answered, and the broker's own acknowledgement: appends to another
partition by the same writer, while all that goes on. Every comment carries when its POST was sent.
"""

import asyncio
import random
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.stand import Stand, Text, environment, real_chat, standing
from infra.local.apps import App
from infra.local.servers import running
from livecomments_loadtest.client import Pool, Response, origin_of
from livecomments_schemas.partitions import partition_of

VIDEO: Final = "v-0"
READERS: Final = 100
WIRES: Final = 64
PROBE_RATE: Final = 20.0
_STEP_S: Final = 0.001
_TIMEOUT_S: Final = 10.0


class Plan(NamedTuple):
    """What is measured; `rates` are POSTs a second, comma-separated."""

    viewers: int = 1_000
    rates: str = "1,100,1000"
    warm_up_s: float = 20.0
    """With the largest rate, before anything is measured."""
    seconds: float = 20.0


class Times(NamedTuple):
    """Of one kind, milliseconds."""

    p50_ms: float
    p99_ms: float


class Row(NamedTuple):
    """One rate."""

    rate: float
    posts_per_s: float
    """Answered with 201."""
    refused: int
    ack: Times
    answer: Times
    socket: Times
    comments: int
    """That each viewer that was read got."""
    faults: int
    """Comments that not all of them got, holes, repetitions, gaps, ended streams."""


class Poster:
    """Posts under one video, and appends beside it."""

    def __init__(self, stand: Stand, pool: Pool, token: str) -> None:
        self._stand = stand
        self._pool = pool
        self._token = token
        self._probed = next(name for name in map(str, count()) if self._partition(name) != self._partition(VIDEO))
        self.answers_ms: list[float] = []
        self.acks_ms: list[float] = []
        self.refused = 0

    async def post(self, rate: float, seconds: float, texts: Iterator[Text]) -> None:
        """Post at random moments; return when all are answered."""
        self.answers_ms, self.acks_ms, self.refused = [], [], 0
        chance, loop = random.Random(1), asyncio.get_running_loop()
        began = loop.time()
        due, probe_due = chance.expovariate(rate), 0.0
        async with asyncio.TaskGroup() as asked:
            while (passed := loop.time() - began) < seconds:
                while due <= passed:
                    asked.create_task(self._post(next(texts)))
                    due += chance.expovariate(rate)
                while probe_due <= passed:
                    asked.create_task(self._probe(next(texts)))
                    probe_due += chance.expovariate(PROBE_RATE)
                await asyncio.sleep(_STEP_S)

    async def _post(self, text: Text) -> None:
        async with self._pool.wire() as wire:
            since = time.perf_counter()
            body = orjson.dumps({"message": text.message, "videoTimeMs": self._stand.video_time_ms()})
            headers = {"authorization": f"Bearer {self._token}"}
            answer = await wire.ask(self._pool.origin.head("POST", f"/comments/{VIDEO}", headers, body), _TIMEOUT_S)
        if answer.head.status == 201:
            self.answers_ms.append((time.perf_counter() - since) * 1000)
        else:
            self.refused += 1

    async def _probe(self, text: Text) -> None:
        since = time.perf_counter()
        await self._stand.log.append(self._partition(self._probed), self._stand.comment(self._probed, text))
        self.acks_ms.append((time.perf_counter() - since) * 1000)

    def _partition(self, video_id: str) -> int:
        return partition_of(video_id, self._stand.log.partition_count)


class Posting(NamedTuple):
    """What `posting` has set up."""

    stand: Stand
    gateway: App
    poster: Poster
    group: int
    """Of the viewers."""


@asynccontextmanager
async def posting(directory: Path, kafka: str, viewers: int, *, pinned: bool) -> AsyncIterator[Posting]:
    """Set up a stand with a gateway, who posts there, and so many viewers of the video."""
    async with AsyncExitStack() as stack:
        stand = await stack.enter_async_context(standing(directory, kafka, pinned=pinned))
        settings = {"SESSION_SECRET": secrets.token_hex(32)}
        gateway = App("gateway", "gateway", directory / "gateway", lambda: environment(stand.topics, settings))
        await asyncio.to_thread(stack.enter_context, running(gateway))
        pool = Pool(origin_of(f"http://{gateway.address}"), WIRES)
        stack.callback(pool.close)
        poster = Poster(stand, pool, await guest_token(pool))
        group = await stand.crowd.open(viewers, "v", every=max(1, viewers // READERS))
        yield Posting(stand, gateway, poster, group)


async def measure(plan: Plan, kafka: str, directory: Path, pinned: bool) -> Outcome:
    """Measure all rates, one after the other, after a warm-up with the largest."""
    rates, texts = [float(rate) for rate in plan.rates.split(",")], real_chat()
    async with posting(directory, kafka, plan.viewers, pinned=pinned) as (stand, _, poster, group):
        await poster.post(max(rates), plan.warm_up_s, texts)
        rows = [await _row(stand, poster, group, rate, plan, texts) for rate in rates]
    shown = table(
        f"POST to socket, {plan.viewers:,} viewers of one video, p50 / p99 ms",
        "POSTs/s",
        "answered/s",
        "broker's ack",
        "POST answered",
        "at the socket",
        "× ack p99",
        "faults",
    )
    for row in rows:
        pairs = [f"{one.p50_ms:.1f} / {one.p99_ms:.1f}" for one in (row.ack, row.answer, row.socket)]
        ratio = over(row.socket.p99_ms, row.ack.p99_ms)
        shown.add_row(f"{row.rate:g}", f"{row.posts_per_s:,.1f}", *pairs, f"{ratio:.1f}", f"{row.faults}")
    bars = [
        Bar(f"{row.rate:g} POSTs/s", name, times.p50_ms, times.p99_ms, f"{times.p50_ms:.1f} / {times.p99_ms:.1f} ms")
        for row in rows
        for name, times in (("broker's ack", row.ack), ("POST answered", row.answer), ("at the socket", row.socket))
    ]
    numbers: dict[str, Any] = {
        "rows": [
            {name: part._asdict() if isinstance(part, Times) else part for name, part in row._asdict().items()}
            for row in rows
        ]
    }
    return Outcome([shown], numbers, chart("Bar p50, line to p99.", bars))


async def _row(stand: Stand, poster: Poster, group: int, rate: float, plan: Plan, texts: Iterator[Text]) -> Row:
    await stand.settle(group, VIDEO)
    await stand.crowd.saw(group)
    await poster.post(rate, plan.seconds, texts)
    saw = await stand.settle(group, VIDEO)
    answered = len(poster.answers_ms)
    missing = answered * saw.readers - saw.comments
    return Row(
        rate,
        answered / plan.seconds,
        poster.refused,
        times_of(poster.acks_ms),
        times_of(poster.answers_ms),
        Times(saw.p50_ms, saw.p99_ms),
        saw.comments // saw.readers,
        abs(missing) + poster.refused + saw.faults,
    )


def times_of(each_ms: list[float]) -> Times:
    """Return half and 99 in 100 of them."""
    cuts = statistics.quantiles(each_ms, n=100, method="inclusive")
    return Times(cuts[49], cuts[98])


async def guest_token(pool: Pool) -> str:
    """Open a session."""
    async with pool.wire() as wire:
        body = orjson.dumps({"displayName": "viewer-0001"})
        answer: Response = await wire.ask(pool.origin.head("POST", "/sessions", {}, body), _TIMEOUT_S)
    token: str = orjson.loads(answer.body)["sessionToken"]
    return token


if __name__ == "__main__":
    command("latency", __doc__, Plan(), measure, pinned=False)
