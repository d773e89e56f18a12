"""Which alerts fire when something is wrong, how soon, and how soon they are over: the chart's rules on a Prometheus.

Flow: a stack, a probe that goes on, a Prometheus that scrapes all of them with its times made shorter. For each fault:
what fires already is noted, the fault is done, and undone once all that it must fire has fired; then all must be over.
"""

import asyncio
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
from aiokafka import AIOKafkaConsumer
from rich.table import Table

from infra.dashboards.boards import OVERVIEW
from infra.dashboards.picture import drawn
from infra.local.ports import HOST, free_port
from infra.local.prometheus import Prometheus
from infra.local.servers import KafkaCluster
from infra.local.stack import STORE, STREAM, Stack
from livecomments.log.topics import comments_topic
from livecomments_command.settings import StreamSettings

PROBE: Final = "probe"
SETTINGS: Final = {
    "LIVECOMMENTS_VIEWERS_MAX": "60",
    "LIVECOMMENTS_VIEWER_STUCK_S": "3",
}
"""So few viewers fill an edge, and so soon those who take nothing are sent away."""
FIRES_S: Final = 75.0
"""What a fault must fire, fires within."""
LASTS_S: Final = 45.0
"""A fault lasts so long at least: what fires late, and what fires that should not, is then seen too."""
OVER_S: Final = 120.0
"""After it is undone, until all is over."""
_LOOK_S: Final = 0.5
_VIDEO: Final = "alerts"
_STUCK: Final = 40
_STAYS_S: Final = 20.0
"""How long one that reads nothing stays: longer than it takes to be sent away."""
_WRITERS: Final = 4
_EACH: Final = 30
_MESSAGE: Final = "🌊" * 490
"""Nearly the longest there may be, 2 kB: 100 of them, with which a viewer begins, are more than its socket takes."""


class Ground(NamedTuple):
    """What is hurt: the processes, and the brokers under them."""

    stack: Stack
    cluster: KafkaCluster


class Hurt(NamedTuple):
    """A fault: done when entered, undone when left, and the alerts that it must fire."""

    name: str
    done: Callable[[Ground], AbstractAsyncContextManager[None]]
    fires: frozenset[str]


@dataclass
class Seen:
    """What one fault did: seconds until each alert fired, and from when it was undone until that was over."""

    name: str
    before: set[str]
    """What fired already, of which nothing can be seen."""
    missing: set[str] = field(default_factory=set)
    fired: dict[str, float] = field(default_factory=dict)
    over: dict[str, float] = field(default_factory=dict)
    lasted_s: float = 0.0


@asynccontextmanager
async def stream_killed(ground: Ground) -> AsyncIterator[None]:
    """Have no stream job."""
    await asyncio.to_thread(ground.stack[STREAM].kill)
    yield
    await asyncio.to_thread(ground.stack[STREAM].start)


@asynccontextmanager
async def stranger(ground: Ground) -> AsyncIterator[None]:
    """Have the stream job come back to a group in which somebody shares partitions out in another way."""
    stack = ground.stack
    settings = stack.settings_of(StreamSettings)
    await asyncio.to_thread(stack[STREAM].stop)  # and leave the group, which else would wait for it
    consumer = AIOKafkaConsumer(
        comments_topic(1), bootstrap_servers=settings.kafka, group_id=settings.group, enable_auto_commit=False
    )
    async with asyncio.timeout(FIRES_S):
        await consumer.start()
    try:
        await asyncio.to_thread(stack[STREAM].start)
        yield
    finally:
        await consumer.stop()
        await asyncio.to_thread(stack[STREAM].kill)
        await asyncio.to_thread(stack[STREAM].start)


@asynccontextmanager
async def broker_killed(ground: Ground) -> AsyncIterator[None]:
    """Have two brokers of three, which are enough; the third led a share of the partitions."""
    broker = ground.cluster.brokers[0]
    await asyncio.to_thread(broker.kill)
    yield
    await asyncio.to_thread(broker.start)
    await asyncio.to_thread(broker.wait_ready)


@asynccontextmanager
async def brokers_killed(ground: Ground) -> AsyncIterator[None]:
    """Have no broker."""
    await asyncio.to_thread(ground.cluster.kill)
    yield
    await asyncio.to_thread(ground.cluster.start)
    await asyncio.to_thread(ground.cluster.wait_ready)


@asynccontextmanager
async def store_frozen(ground: Ground) -> AsyncIterator[None]:
    """Have a store that takes requests and answers none."""
    pid = ground.stack[STORE].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def full_edge(ground: Ground) -> AsyncIterator[None]:
    """Have more viewers come to an edge than it takes."""
    viewers = int(SETTINGS["LIVECOMMENTS_VIEWERS_MAX"])
    address = ground.stack.edges[0].address
    crowd = asyncio.create_task(_coming_back(address, viewers + 4))
    yield
    crowd.cancel()
    await asyncio.wait([crowd])


@asynccontextmanager
async def stuck_viewers(ground: Ground) -> AsyncIterator[None]:
    """Have a crowd come again and again to a video with more than their sockets take, and read nothing."""
    await asyncio.gather(*(_write(ground.stack.url, _EACH) for _ in range(_WRITERS)))
    crowd = asyncio.create_task(_coming_back(ground.stack.edges[0].address, _STUCK, reads=False))
    yield
    crowd.cancel()
    await asyncio.wait([crowd])


HURTS: Final = (
    Hurt("stream job killed and absent", stream_killed, frozenset(("LivecommentsDown", "LivecommentsStreamGone"))),
    Hurt("foreign member in its group", stranger, frozenset(("LivecommentsStreamGone",))),
    Hurt("one broker of three killed", broker_killed, frozenset()),
    Hurt(
        "all brokers killed",
        brokers_killed,
        frozenset(("LivecommentsLogSilent", "LivecommentsPostsBurnFast", "LivecommentsProbeFails")),
    ),
    Hurt(
        "store frozen",
        store_frozen,
        frozenset(("LivecommentsPartitionsUnobserved",)),
    ),
    Hurt("viewers who read nothing", stuck_viewers, frozenset(("LivecommentsViewersStuck",))),
    Hurt(
        "edge full",
        full_edge,
        frozenset(("LivecommentsViewersNearlyFull", "LivecommentsViewersTurnedAway")),
    ),
)


async def run_hurts(
    ground: Ground, faster: float, hurts: Sequence[Hurt], say: Callable[[str], None], picture: Path | None = None
) -> list[Seen]:
    """Do one fault after the other to what is up, and return what the rules made of each.

    Args:
        ground: it is up.
        faster: how many times as short the times of the rules are.
        hurts: the faults, in their order.
        say: is told each step.
        picture: where to draw the overview of all that time.
    """
    port, stack = free_port(), ground.stack
    targets = {app.kind: app.internal_address for app in stack.apps} | {PROBE: f"{HOST}:{port}"}
    prometheus = Prometheus(stack.run_dir / "prometheus", lambda: targets, faster)
    probe = await asyncio.create_subprocess_exec(*_probe_command(stack, port), stderr=asyncio.subprocess.DEVNULL)
    try:
        await asyncio.to_thread(prometheus.start)
        await asyncio.to_thread(prometheus.wait_ready)
        say("until nothing fires")
        await _until(lambda firing: not firing, prometheus, OVER_S)
        began = time.time()
        seen = [await _suffer(ground, prometheus, hurt, say) for hurt in hurts]
        if picture is not None:
            await asyncio.to_thread(_draw, prometheus, began, time.time(), picture)
        return seen
    finally:
        probe.terminate()
        await probe.wait()
        await asyncio.to_thread(prometheus.stop)


def _draw(prometheus: Prometheus, begin: float, end: float, file: Path) -> None:
    file.write_text(drawn(OVERVIEW, lambda query: prometheus.series(query, begin, end), begin, end))


async def _suffer(ground: Ground, prometheus: Prometheus, hurt: Hurt, say: Callable[[str], None]) -> Seen:
    seen = Seen(hurt.name, await asyncio.to_thread(prometheus.firing))
    say(f"{hurt.name}: done" + (f", while there fires {', '.join(seen.before)}" if seen.before else ""))

    async with hurt.done(ground):
        began = time.monotonic()

        def note(firing: Collection[str]) -> bool:
            for alert in set(firing) - seen.before:
                seen.fired.setdefault(alert, time.monotonic() - began)
            return hurt.fires - seen.before <= seen.fired.keys() and time.monotonic() - began > LASTS_S

        await _until(note, prometheus, FIRES_S)
        seen.lasted_s = time.monotonic() - began
    seen.missing = set(hurt.fires - seen.before - seen.fired.keys())
    say(f"{hurt.name}: undone after {seen.lasted_s:.0f} s; fired: {_after(seen.fired)}")
    ended = time.monotonic()

    def is_over(firing: Collection[str]) -> bool:
        for alert in set(firing) - seen.before:
            seen.fired.setdefault(alert, time.monotonic() - began)
            seen.over.pop(alert, None)
        for alert in seen.fired.keys() - set(firing):
            seen.over.setdefault(alert, time.monotonic() - ended)
        return not set(firing) - seen.before

    await _until(is_over, prometheus, OVER_S)
    say(f"{hurt.name}: over: {_after(seen.over)}; in all {time.monotonic() - ended:.0f} s; fired: {_after(seen.fired)}")
    return seen


def _after(times: Mapping[str, float]) -> str:
    return ", ".join(f"{alert} after {after_s:.0f} s" for alert, after_s in times.items()) or "nothing"


async def _until(holds: Callable[[Collection[str]], bool], prometheus: Prometheus, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    for pause_s in itertools.repeat(_LOOK_S):
        if holds(await asyncio.to_thread(prometheus.firing)) or time.monotonic() > deadline:
            return
        await asyncio.sleep(pause_s)


def table(seen: Sequence[Seen], faster: float) -> Table:
    """Tell of each fault what fired, how soon, and how soon it was over."""
    made = Table(title=f"alerts, with times of the rules {faster:g} times as short", title_justify="left")
    for name in ("fault", "lasted s", "alert", "fired after s", "over after s"):
        made.add_column(name, no_wrap=True)
    for each in seen:
        for number, (alert, after_s) in enumerate(sorted(each.fired.items(), key=lambda item: item[1])):
            first = (each.name, f"{each.lasted_s:.0f}") if number == 0 else ("", "")
            over = f"{each.over[alert]:.0f}" if alert in each.over else "not yet"
            made.add_row(*first, alert, f"{after_s:.0f}", over)
        if not each.fired:
            made.add_row(each.name, f"{each.lasted_s:.0f}", "none", "", "")
        for alert in sorted(each.before):
            made.add_row(each.name, f"{each.lasted_s:.0f}", alert, "before", "")
        for alert in sorted(each.missing):
            made.add_row(each.name, f"{each.lasted_s:.0f}", alert, "did not", "")
    return made


def _probe_command(stack: Stack, port: int) -> list[str]:
    words = [sys.executable, "-m", "livecomments_command", "probe", "--url", stack.url, "--follow", "--every-s", "0.5"]
    words += ["--timeout-s", "8", "--metrics", str(port), "--session-file", str(stack.run_dir / "probe-session")]
    return [*words, *(word for edge in stack.edges for word in ("--edge", f"http://{edge.address}"))]


async def _coming_back(address: str, count: int, *, reads: bool = True) -> None:
    """Be so many viewers, each of whom comes again as soon as its stream is ended."""
    host, port = address.split(":")

    async def view() -> None:
        while True:
            try:
                await _one(host, int(port), reads=reads)
            except OSError:
                pass
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(view())


async def _one(host: str, port: int, *, reads: bool) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as viewer:
        if not reads:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        viewer.setblocking(False)
        await loop.sock_connect(viewer, (host, port))
        asked = f"GET /comments/{_VIDEO}/stream?history=100 HTTP/1.1\r\nhost: {host}\r\n\r\n"
        await loop.sock_sendall(viewer, asked.encode())
        while reads and await loop.sock_recv(viewer, 65_536):
            pass
        if not reads:
            await asyncio.sleep(_STAYS_S)


async def _write(url: str, count: int) -> None:
    async with aiohttp.ClientSession(url) as client:
        async with client.post("/sessions", json={"displayName": "Alerts"}) as answer:
            token = (await answer.json())["sessionToken"]
        headers = {"Authorization": f"Bearer {token}"}
        for number in range(count):
            async with client.post(
                f"/comments/{_VIDEO}", json={"message": f"{number} {_MESSAGE}"}, headers=headers
            ) as answer:
                await answer.read()
