"""What the page costs: CPU still, playing and in a flood, frames in a flood, heap and DOM over many comments.

Beside a bare page with the same `<video>`, in turns, in the same Chromium. Comments come from a stand-in that writes
streams as an edge does and costs next to nothing, so that two cores are enough: the browser is what is measured.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web
from playwright.async_api import Browser, CDPSession, Page, async_playwright

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from livecomments_gateway import site
from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.positions import comment_id, first_position
from livecomments_schemas.render import render_comment

_PAGE: Final = Path(site.__file__).parent / "page"
_BLOCK_S: Final = 0.05
"""Between two blocks of a stream, as an edge joins comments."""
_HEARTBEAT_S: Final = 15.0
_SETTLE_S: Final = 3.0
_WIDTH, _HEIGHT = 1280, 800
_BARE: Final = (
    '<!doctype html><title>bare</title><body style="margin:0"><video autoplay muted loop playsinline '
    'style="width:883px;height:800px;object-fit:cover" src="/page/clip.webm"></video>'
)
"""As much video as the page shows at this size."""
_FRAMES: Final = """seconds => new Promise((resolve) => {
  const frames = [];
  let last = performance.now();
  const until = last + seconds * 1000;
  const next = (now) => {
    frames.push(now - last);
    last = now;
    if (now > until) resolve(frames.slice(1).sort((a, b) => a - b));
    else requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})"""


class PagePlan(NamedTuple):
    """How long, and how much."""

    seconds: int = 10
    """Of each measurement of CPU and frames."""
    turns: int = 2
    rate: int = 1_000
    """Comments a second of the flood."""
    comments: int = 600_000
    """Of the flood whose heap and DOM are looked at: ten minutes of it."""
    hurry: int = 10
    """How many times as fast those come: what stays in memory is a matter of how many came."""


class StandIn:
    """The page's files, and one video's comments at a rate that may be set."""

    def __init__(self) -> None:
        self.rate = 0
        self._is_over = False
        self.last = 1
        """The number in the id that was given last."""
        self.aside = b""
        """Frames that go into the next block as they are."""

    def id(self) -> str:
        """Give the next id."""
        self.last += 1
        return comment_id(first_position(1) + self.last, 0)

    def _block(self) -> bytes:
        """Comments of `_BLOCK_S` seconds."""
        frames, self.aside = [self.aside], b""
        for _ in range(round(self.rate * _BLOCK_S)):
            of = self.id()
            number = self.last
            who = Author(f"guest-{number % 400}", f"Person {number % 400}")
            said = comment_created("v", f"Comment {number} of a flood, as long as most", who, created_at_ms=1)
            frames.append(b"event: comment\nid: %b\ndata: %b\n\n" % (of.encode(), render_comment(of, said.value)))
        return b"".join(frames)

    async def read_page(self, _request: web.Request) -> web.Response:
        """Answer with an empty page, behind which the stream begins."""
        url = f"v/stream?after={self.id()}"
        return web.json_response({"comments": [], "deletes": [], "nextCursor": None, "streamUrl": url})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Write comments and heartbeats until the browser goes."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await answer.prepare(request)
        beat_at = 0.0
        while not (self._is_over or request.transport is None or request.transport.is_closing()):
            now = asyncio.get_running_loop().time()
            block = self._block()
            if now >= beat_at:
                beat_at = now + _HEARTBEAT_S
                block += b'event: heartbeat\nid: %b\ndata: {"everyMs":15000,"viewers":1}\n\n' % self.id().encode()
            if block:
                await answer.write(block)
            await asyncio.sleep(_BLOCK_S)
        return answer

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Serve; gives the address."""
        app = web.Application()
        index = (_PAGE / "index.html").read_text()

        async def read_bare(_request: web.Request) -> web.Response:
            return web.Response(text=_BARE, content_type="text/html")

        async def read_index(_request: web.Request) -> web.Response:
            return web.Response(text=index, content_type="text/html")

        app.router.add_get("/bare", read_bare)
        app.router.add_get("/comments/v", self.read_page)
        app.router.add_get("/comments/v/stream", self.stream)
        app.router.add_get("/", read_index)
        app.router.add_static("/page", _PAGE)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            self._is_over = True  # a stream that never ends would be waited for
            await runner.cleanup()


def _ticks(root: int) -> int:
    """CPU ticks of a process and all that it has started."""
    parents: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                said = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue  # it has ended
            parents[int(name)] = int(said[1]), int(said[11]) + int(said[12])
    mine, grown = {root}, True
    while grown:
        found = {pid for pid, (parent, _) in parents.items() if parent in mine} - mine
        mine |= found
        grown = bool(found)
    return sum(parents[pid][1] for pid in mine if pid in parents)


async def _cpu(pid: int, seconds: int) -> float:
    """Return percent of a core that a browser takes."""
    await asyncio.sleep(_SETTLE_S)
    before = _ticks(pid)
    await asyncio.sleep(seconds)
    return 100 * (_ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / seconds


class _Measured:
    """One browser on the stand-in."""

    def __init__(self, browser: Browser, pid: int, url: str, stand: StandIn, plan: PagePlan) -> None:
        self._browser, self._pid, self._url, self._stand, self._plan = browser, pid, url, stand, plan

    @asynccontextmanager
    async def page(self, path: str) -> AsyncIterator[Page]:
        page = await self._browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        await page.goto(self._url + path)
        if path != "/bare":
            await page.wait_for_function("() => document.querySelector('#connection').dataset.state === 'live'")
        await page.wait_for_function("() => document.querySelector('video').currentTime > 0")
        try:
            yield page
        finally:
            await page.close()

    async def turn(self) -> dict[str, float]:
        """Measure all once, one after the other."""
        found: dict[str, float] = {}
        async with self.page("/bare") as page:
            found["bare playing"] = await _cpu(self._pid, self._plan.seconds)
            found["bare p95"] = _p95(await page.evaluate(_FRAMES, self._plan.seconds))
        async with self.page("/?video=v") as page:
            found["page playing"] = await _cpu(self._pid, self._plan.seconds)
            await page.click("#play")
            found["page paused"] = await _cpu(self._pid, self._plan.seconds)
            await page.click("#play")
            self._stand.rate = self._plan.rate
            await page.wait_for_function("() => document.querySelectorAll('#rows .row').length >= 20")
            found["page in a flood"] = await _cpu(self._pid, self._plan.seconds)
            found["flood p95"] = _p95(await page.evaluate(_FRAMES, self._plan.seconds))
            self._stand.rate = 0
        return found

    async def flood(self) -> list[tuple[int, float, float]]:
        """Flood; comments so far, heap in MB after a collection, and DOM nodes, at each tenth of it."""
        found = []
        async with self.page("/?video=v") as page:
            told: CDPSession = await page.context.new_cdp_session(page)
            await told.send("Performance.enable")
            began = self._stand.last
            self._stand.rate = self._plan.rate * self._plan.hurry
            for tenth in range(1, 11):
                while (came := self._stand.last - began) < self._plan.comments * tenth / 10:  # noqa: ASYNC110 - it counts
                    await asyncio.sleep(_BLOCK_S)
                await told.send("HeapProfiler.collectGarbage")
                said: dict[str, Any] = await told.send("Performance.getMetrics")
                values = {each["name"]: each["value"] for each in said["metrics"]}
                found.append((came, values["JSHeapUsedSize"] / 2**20, values["Nodes"]))
            self._stand.rate = 0
        return found


def _p95(frames: list[float]) -> float:
    return frames[int(len(frames) * 0.95)]


async def measure(plan: PagePlan, _kafka: str, _directory: Path, _is_apart: bool) -> Outcome:
    """Measure the page as `plan` says."""
    stand = StandIn()
    async with stand.open() as url, async_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        session = await browser.new_browser_cdp_session()
        told: dict[str, Any] = await session.send("SystemInfo.getProcessInfo")
        pid = next(each["id"] for each in told["processInfo"] if each["type"] == "browser")
        measured = _Measured(browser, pid, url, stand, plan)
        turns = [await measured.turn() for _ in range(plan.turns)]
        grown = await measured.flood() if plan.comments else []
        await browser.close()
    least = {name: min(turn[name] for turn in turns) for name in turns[0]}
    shown = table(f"The page, the least of {plan.turns} turns", "", "page", "bare", "ratio")
    playing, bare = least["page playing"], least["bare playing"]
    shown.add_row("playing, % of a core", f"{playing:.1f}", f"{bare:.1f}", f"{over(playing, bare):.2f}")
    shown.add_row("paused, % of a core", f"{least['page paused']:.1f}", "", "")
    shown.add_row(f"at {plan.rate}/s, % of a core", f"{least['page in a flood']:.1f}", f"{bare:.1f}", "")
    flood, still = least["flood p95"], least["bare p95"]
    shown.add_row(f"frames p95 at {plan.rate}/s, ms", f"{flood:.1f}", f"{still:.1f}", f"{over(flood, still):.2f}")
    memory = table(f"At {plan.rate * plan.hurry} comments a second", "comments", "heap MB", "DOM nodes")
    for came, heap, nodes in grown:
        memory.add_row(f"{came:,}", f"{heap:.1f}", f"{nodes:,.0f}")
    drawn = [Bar(name, "", value, value, f"{value:.1f}") for name, value in least.items()]
    return Outcome([shown, memory], {"turns": turns, "flood": grown}, chart("The page", drawn))


if __name__ == "__main__":
    command("page", __doc__, PagePlan(), measure, pinned=False, kafka=False)
