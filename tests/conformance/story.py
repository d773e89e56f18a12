"""What happens to all viewers at once, on one video that is written to all the time.

They join; their streams are cut in the middle of an event, and again as soon as they are back; then once more, in
another way. One edge is told to go, and comes back; then the other one; the last one is killed, so that nobody is
there; and both come back.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson
from aiohttp import web

from infra.local.ports import HOST
from livecomments.kafka.log import KafkaLog
from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, first_position, position_at
from tests.conformance.deployment import PARTITIONS, Deployment
from tests.conformance.programs import open_page, why_missing
from tests.conformance.relay import END, RESET, Opened, Relay
from tests.conformance.viewers import (
    BROWSERS,
    Event,
    Viewer,
    everybody,
    watch_with_curl,
    watch_with_eventsource,
    watch_with_httpx_sse,
)
from tests.live.stream import until

VIDEO: Final = "story"
TEXTS: Final = (
    "plain",
    "line\nfeed, carriage\rreturn, both\r\n, and a blank line\n\nafter it",
    "data: not a field\n\nevent: bye\nretry: 1\nid: 0\n\n: no comment",
    "\ufeffmarks at both ends\ufeff",
    "separators \u2028 and \u2029, next line \x85, form feed \x0c",
    "nul \x00, escape \x1b, delete \x7f",
    'quotes " and \\ backslash, <b>markup</b> &amp;',
    "مرحبا 👋 שלום สวัสดี नमस्ते 안녕 你好 𝕳𝖊𝖑𝖑𝖔",
    "👨‍👩‍👧‍👦" * 80,
    "",
)
"""As they would never pass the gateway, some of them: whatever is in the log must not break a stream."""
_PAGE: Final = Path(__file__).with_name("page.html")
_STEP_S: Final = 45.0
_JOIN_S: Final = 90.0
_BURST: Final = 4
_EVERY_S: Final = 0.15


@dataclass
class Story:
    """All that happened. `truth`: every comment in order, as (id, message)."""

    viewers: dict[str, Viewer] = field(default_factory=dict)
    truth: list[tuple[str, str]] = field(default_factory=list)
    opened: dict[str, list[Opened]] = field(default_factory=dict)
    """What each viewer has asked for."""
    lanes: dict[str, int] = field(default_factory=dict)
    """Streams that were opened when all joined, by lane."""
    pages: dict[str, int] = field(default_factory=dict)
    """How often each viewer was told to come back by its load balancer while an edge was there."""
    took_s: dict[str, float] = field(default_factory=dict)


class _Telling:
    def __init__(
        self,
        deployment: Deployment,
        log: KafkaLog,
        relays: dict[tuple[str, str], Relay],
        lanes_before: dict[str, int],
    ) -> None:
        self.story = Story()
        self.epoch = deployment.epoch
        self._deployment = deployment
        self._log = log
        self._relays = relays
        self._lanes_before = lanes_before
        self._partition = partition_of(VIDEO, log.partition_count)
        self._over = asyncio.Event()

    @property
    def watching(self) -> list[Viewer]:
        return [viewer for viewer in self.story.viewers.values() if viewer.late_for is None]

    async def append(self, message: str) -> None:
        record = comment_created(VIDEO, message, Author("u1", "Ana"), created_at_ms=1_700_000_000_000)
        offset = await self._log.append(self._partition, record)
        position = position_at(self.epoch, offset)
        self.story.truth.append((comment_id(position, self._partition), message))

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Meanwhile, comments in small bursts."""
        over = asyncio.Event()

        async def write() -> None:
            while not over.is_set():
                for number in range(_BURST):
                    await self.append(f"{len(self.story.truth)} {TEXTS[number]}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), _EVERY_S)

        writer = asyncio.create_task(write())
        try:
            yield
        finally:
            over.set()
            await writer

    async def step(self, what: str, act: Callable[[], Awaitable[None]], within_s: float = _STEP_S) -> None:
        """Do something, and wait until every viewer has every comment written until then, and one more."""
        began_at = time.monotonic()
        await act()
        count = len(self.story.truth) + (1 if self.story.took_s else 0)
        await until(lambda: len(self.story.truth) >= count, "the next comment")
        await self.all(what, lambda viewer: len(viewer.comments) >= count, within_s)
        self.story.took_s[what] = round(time.monotonic() - began_at, 1)

    async def all(self, what: str, holds: Callable[[Viewer], bool], within_s: float = _STEP_S) -> None:
        """Wait until it holds for every viewer; for whom it does not in time is late."""
        with suppress(TimeoutError):
            await until(lambda: all(holds(viewer) for viewer in self.watching), what, within_s)
        for viewer in self.watching:
            if not holds(viewer):
                viewer.late_for = what

    def opened(self, viewer: Viewer) -> list[Opened]:
        return self.relay(viewer).of(viewer.name)

    def relay(self, viewer: Viewer) -> Relay:
        return self._relays[viewer.balancer, "plain" if viewer.form == "plain" else "gzip"]

    async def cut(self, how: str) -> None:
        for relay in self._relays.values():
            relay.cut(how)
        await self.all(f"{how}: cut", lambda viewer: any(how in stream.cuts for stream in self.opened(viewer)))

    async def drain(self, number: int) -> None:
        """SIGTERM to one edge; the other one takes its viewers."""
        await asyncio.to_thread(self._deployment.edges[number].stop)

    async def start(self) -> None:
        await asyncio.to_thread(self._deployment.start)

    async def be_away(self) -> None:
        """Nobody is there: each viewer is told to come back, by the load balancer itself. Then both edges are there."""
        before = self.story.pages = {viewer.name: self._pages(viewer) for viewer in self.story.viewers.values()}
        for edge in self._deployment.edges:
            await asyncio.to_thread(edge.kill)
        await self.all("a page of the load balancer's own", lambda v: self._pages(v) > before[v.name])
        await self.start()

    def _pages(self, viewer: Viewer) -> int:
        return sum(stream.is_own_page for stream in self.opened(viewer))

    async def tell(self) -> None:
        """From the first comment, which is there already, to the last."""
        await self.step("joining", self.start, _JOIN_S)
        joined = await self._deployment.lanes()
        self.story.lanes = {lane: count - self._lanes_before[lane] for lane, count in joined.items()}
        async with self.writing():
            await self.step("a reset in the middle of an event", lambda: self.cut(RESET))
            await self.step("an end in the middle of an event", lambda: self.cut(END))
            await self.step("the drain of one edge", lambda: self.drain(0))
            await self.start()
            await self.step("the drain of the other edge", lambda: self.drain(1))
            await self.step("no edge at all", self.be_away)
        await self.all("the last comment", lambda viewer: len(viewer.comments) >= len(self.story.truth))
        for viewer in self.story.viewers.values():
            self.story.opened[viewer.name] = self.opened(viewer)


async def tell(deployment: Deployment, directory: Path) -> Story:
    """Everything, with all viewers that can be had here, by way of all load balancers that can."""
    async with AsyncExitStack() as until_over, deployment.log() as log:
        relays = {
            (name, form): await until_over.enter_async_context(
                Relay(balancer.address, is_plain=form == "plain").running()
            )
            for name, balancer in deployment.balancers.items()
            for form in ("gzip", "plain")
        }
        telling = _Telling(deployment, log, relays, await deployment.lanes())
        for viewer in everybody():
            if viewer.balancer in deployment.balancers and why_missing(viewer.program) is None:
                telling.story.viewers[viewer.name] = viewer
        for text in TEXTS:
            await telling.append(text)
        await until_over.enter_async_context(_pages(telling, deployment.page_port))
        watching = [asyncio.create_task(each) for each in _watch(telling, directory)]
        try:
            await _open_pages(telling, deployment, directory, until_over)
            await telling.tell()
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        return telling.story


def _urls(telling: _Telling, viewers: Iterable[Viewer]) -> dict[str, tuple[Viewer, str]]:
    partition = partition_of(VIDEO, PARTITIONS)
    after = comment_id(first_position(telling.epoch) - 1, partition)
    return {each.name: (each, telling.relay(each).origin + each.path(VIDEO, after)) for each in viewers}


def _watch(telling: _Telling, directory: Path) -> Iterator[Coroutine[None, None, None]]:
    """What has no page watches by itself."""
    for program in ("httpx-sse", "curl", "eventsource"):
        urls = _urls(telling, (viewer for viewer in telling.watching if viewer.program == program))
        if program == "eventsource" and urls:
            yield watch_with_eventsource(urls, directory / "eventsource.log")
        elif program == "curl":
            yield from (watch_with_curl(viewer, url, directory / "curl.log") for viewer, url in urls.values())
        elif program == "httpx-sse":
            yield from (watch_with_httpx_sse(viewer, url) for viewer, url in urls.values())


async def _open_pages(telling: _Telling, deployment: Deployment, directory: Path, until_over: AsyncExitStack) -> None:
    """A page a browser, which frames one page a relay, so that each watches streams of its own origin but one."""
    report = f"{deployment.page_origin}/report"
    for program in BROWSERS:
        urls = _urls(telling, (viewer for viewer in telling.watching if viewer.program == program))
        if not urls:
            continue
        foreign, frames = [], []
        for viewer, url in urls.values():
            if viewer.form == "foreign":
                foreign.append((viewer.name, url))
            else:
                frames.append(_page(telling.relay(viewer).origin, [(viewer.name, url)], [], report))
        page = _page(deployment.page_origin, foreign, frames, report)
        await open_page(program, directory / program, page, until_over)


def _page(origin: str, streams: list[tuple[str, str]], frames: list[str], report: str) -> str:
    said = orjson.dumps({"streams": streams, "frames": frames, "report": report}).decode()
    return f"{origin}/page#{quote(said)}"


@asynccontextmanager
async def _pages(telling: _Telling, port: int) -> AsyncIterator[None]:
    """What browsers open, and where their pages report to."""

    async def report(request: web.Request) -> web.Response:
        name, begin, events = orjson.loads(await request.read())
        known = telling.story.viewers[name].events
        known[begin:] = [Event(*event) for event in events]  # a report that got no answer comes again
        return web.Response()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE.read_text(), content_type="text/html")

    async def ready(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(client_max_size=2**24)
    app.add_routes([web.get("/page", page), web.get("/healthz/ready", ready), web.post("/report", report)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    try:
        yield
    finally:
        await runner.cleanup()
