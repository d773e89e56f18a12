"""The page in each of its states, looked at: kept as pictures, and by axe-core.

The pictures lie in `.run/looks/BROWSER/STATE-WIDTHxHEIGHT-THEME.png`, what axe-core finds in `axe.json`.
States are brought about by the service, or by what a browser may tell a page; so every browser is shown the same.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
from playwright.async_api import APIRequestContext, async_playwright

from tests.browser.bidi import firefox
from tests.browser.conftest import CHROMIUM_FLAGS, Server
from tests.browser.test_page import SOON_MS, open_session
from tests.clients.npm import CLIENT, need_packages
from tests.conformance.programs import _FIREFOX_PREFERENCES, why_missing
from tests.gateway.test_answers import signed

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LOOKS: Final = Path(__file__).parents[2] / ".run" / "looks"
AXE: Final = CLIENT / "node_modules" / "axe-core" / "axe.min.js"
SIZES: Final = ((390, 844), (667, 375), (1280, 800), (2560, 1440))
ZOOMED: Final = (320, 200)
"""1280 × 800 at 400 %."""
THEMES: Final = ("light", "dark")
AXED: Final = {(390, 844): "light", (667, 375): "light", (1280, 800): "dark", ZOOMED: "dark"}
"""Where axe-core looks: on a phone one theme is as the other."""
FIND: Final = """axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
  violations.map(({ id, nodes }) => ({
    id,
    nodes: nodes.map(({ target, failureSummary }) => [target.join(" "), failureSummary]),
  })))"""
WAIT: Final = """new Promise((resolve) => {{
  const until = performance.now() + {ms};
  const look = () => ({condition}) ? resolve(true) : performance.now() > until ? resolve(false) : setTimeout(look, 50);
  look();
}})"""
STILL: Final = """(async () => {
  film.pause();
  film.currentTime = 2;
  await Promise.all(document.getAnimations().map((each) => each.finished.catch(() => {})));
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
})()"""
SAY: Final = """(async () => {{
  if (!ask.hidden) ask.querySelector("input").value = "Ben";
  message.value = {text};
  message.dispatchEvent(new Event("input"));
  composer.requestSubmit();
}})()"""
PRESS: Final = "document.querySelector({what}).click()"
MENU: Final = """(() => {
  rows.children[20].scrollIntoView();
  rows.children[20].querySelector(".more").click();
})()"""
OFFLINE: Final = """(() => {
  Object.defineProperty(navigator, "onLine", { get: () => false });
  dispatchEvent(new Event("offline"));
})()"""
PEOPLE: Final = ("Ana", "Noor", "Mateo", "はると", "ليلى", "Zoé", "X" * 60)
CROWD: Final = (
    "Hello from Lisbon 👋",
    "Is the sound fine for you?",
    "今の動き、すごい!もう一回見たい",
    "مساء الخير من عمّان! الصوت واضح عندي 👍",
    "A longer one, to see how a line breaks where there is little room: it goes on for a while and then it ends.",
    "w" * 300,
    "Z̡̛͚̺a̷̧̛̻l̸͎͂g̶̹̈́o̸̢͠ comes",
    "\u202eright to left, forced\u202c and back",
    "🎉" * 40,
    "<img src=x onerror=alert(1)> & <b>bold</b>",
    "two\nlines",
)


class Window(Protocol):
    """A browser's window."""

    async def goto(self, url: str) -> None: ...
    async def run(self, script: str) -> Any: ...
    async def resize(self, width: int, height: int) -> None: ...
    async def shoot(self, path: Path) -> None: ...
    async def paint(self, theme: str) -> None: ...


class Chromium:
    """A window of Playwright's."""

    def __init__(self, page: Any) -> None:
        self._page = page

    async def goto(self, url: str) -> None:
        await self._page.goto("about:blank")  # another fragment alone would load nothing
        await self._page.goto(url)

    async def run(self, script: str) -> Any:
        return await self._page.evaluate(f"async () => await ({script})")

    async def resize(self, width: int, height: int) -> None:
        await self._page.set_viewport_size({"width": width, "height": height})

    async def shoot(self, path: Path) -> None:
        await self._page.screenshot(path=path)

    async def paint(self, theme: str) -> None:
        """As one whose system is light, or dark."""
        await self._page.emulate_media(color_scheme=theme)


class Looks:
    """One window on one server, and what is seen in it."""

    def __init__(self, window: Window, server: Server, api: APIRequestContext, folder: Path) -> None:
        self.window = window
        self.url = server.url
        self.found: dict[str, Any] = {}
        self._api = api
        self._folder = folder
        self._server = server
        self._axe = AXE.read_text()

    async def act(self, method: str, path: str, token: str, data: Any = None) -> Any:
        """Ask the service, as somebody."""
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self._api.fetch(f"{self.url}{path}", method=method, data=data, headers=headers)
        assert answer.ok, await answer.text()
        return await answer.json() if answer.status != 204 else None

    async def guest(self, name: str) -> str:
        return await open_session(self._api, self._server, name)

    async def until(self, condition: str) -> None:
        """Wait until an expression of the page is true."""
        assert await self.window.run(WAIT.format(ms=SOON_MS, condition=condition)), condition

    async def open(self, video: str, token: str = "", state: str = "live") -> None:
        await self.window.goto(f"{self.url}/?video={video}{f'#token={token}' if token else ''}")
        await self.until(f'connection.dataset.state === "{state}"')

    async def say(self, text: str) -> None:
        await self.window.run(SAY.format(text=json.dumps(text)))

    async def look(self, name: str, *more: tuple[int, int]) -> None:
        """Keep what is seen at each size."""
        for width, height in (*SIZES, *more):
            await self.window.resize(width, height)
            await self.until(f"innerWidth === {width} && innerHeight === {height}")
            for theme in THEMES:
                await self.window.paint(theme)
                await self.window.run(STILL)
                assert await self.window.run("message.offsetWidth === message.clientWidth"), "one line, and a scrollbar"
                await self.window.shoot(self._folder / f"{name}-{width}x{height}-{theme}.png")
                if AXED.get((width, height)) == theme:
                    await self._find(f"{name} {width}x{height} {theme}")

    async def _find(self, name: str) -> None:
        if not await self.window.run("Boolean(window.axe)"):
            await self.window.run(f"(() => {{ {self._axe} }})()")
        self.found[name] = await self.window.run(FIND)


OWNER: Final = signed(sub="mara", name="Mara Lindqvist", roles=["own"])
MODERATOR: Final = signed(sub="idris", name="Idris", roles=["moderate", "own"])


async def crowd(looks: Looks, video: str, count: int) -> list[str]:
    """A video with a title, a pinned comment, a host and a crowd; ids of the comments."""
    await looks.act("PUT", f"/videos/{video}", OWNER, {"title": "Friday night games"})
    welcome = await looks.act("POST", f"/comments/{video}", OWNER, {"message": "Welcome! Questions go in here."})
    await looks.act("PUT", f"/videos/{video}/pin/{welcome['commentId']}", OWNER)
    people = [signed(sub=name, name=name) for name in PEOPLE]
    made = []
    for number in range(count):
        data = {"message": CROWD[number % len(CROWD)]}
        made.append(await looks.act("POST", f"/comments/{video}", people[number % len(people)], data))
    return [each["commentId"] for each in made]


async def walk(looks: Looks) -> None:
    """All states, one after the other."""
    await looks.act("PUT", "/videos/empty", OWNER, {"title": "Nobody here yet"})
    await looks.open("empty")
    await looks.look("empty")

    ids = await crowd(looks, "crowd", 45)
    await looks.open("crowd")
    await looks.until('document.querySelectorAll("#rows .row").length >= 30 && document.querySelector("#pin p")')
    await looks.look("live", ZOOMED)
    await looks.window.run("scroller.scrollTo(0, 150)")
    await looks.until("!jump.hidden")
    for number in range(3):
        await looks.act("POST", "/comments/crowd", OWNER, {"message": f"news {number}"})
    await looks.until('jump.textContent === "3 new comments"')
    await looks.look("scrolled")
    await looks.window.run(MENU)
    await looks.until('document.querySelector("#menu:popover-open")')
    await looks.look("menu")

    await looks.open("crowd")
    await looks.window.run(OFFLINE)
    await looks.until('connection.dataset.state === "offline"')
    await looks.look("offline")

    await flood(looks)
    await refused(looks)
    for of in ids[-3:]:
        for number in range(3):
            data = {"reason": ("spam", "abuse")[number % 2]}
            await looks.act("PUT", f"/videos/crowd/reports/{of}", signed(sub=f"p{number}"), data)
    await looks.open("crowd", MODERATOR)
    await looks.until("document.getElementById('desk')?.textContent === 'Moderate · 3 reports'")
    await looks.window.run(PRESS.format(what='"#desk"'))
    await looks.until('document.querySelector("#menu:popover-open")')
    await looks.look("moderator")
    await looks.window.run(PRESS.format(what='"#menu button"'))
    await looks.until('document.querySelectorAll("#reports li").length === 3')
    await looks.look("reports", ZOOMED)


async def flood(looks: Looks) -> None:
    """What is looked at while it moves: comments as fast as they are taken."""
    people = [signed(sub=f"f{number}", name=PEOPLE[number % len(PEOPLE)]) for number in range(200)]

    async def pour() -> None:
        for number in count():
            data = {"message": f"{CROWD[number % len(CROWD)][:80]} {number}"}
            await looks.act("POST", "/comments/flood", people[number % len(people)], data)

    await looks.act("PUT", "/videos/flood", OWNER, {"title": "Friday night games"})
    await looks.open("flood")
    pouring = asyncio.create_task(pour())
    try:
        await looks.until('document.querySelectorAll("#rows .row").length >= 25')
        await looks.look("flood")
        assert not pouring.done(), "it went on"
    finally:
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)


async def refused(looks: Looks) -> None:
    """What one is told who may not write, or not now."""
    await looks.act("PUT", "/videos/slow", OWNER, {"title": "Slow", "slowModeS": 600})
    await looks.open("slow")
    await looks.say("The first goes out at once")
    await looks.until("rows.children.length === 1 && pending.children.length === 0")
    await looks.say("and this one when its time has come")
    await looks.until("send.dataset.left === '10m'")
    await looks.look("slow")

    await looks.act("PUT", "/videos/members", OWNER, {"title": "For members", "whoMayComment": "members"})
    await looks.open("members")
    await looks.say("May I?")
    await looks.until('document.querySelector("#pending [data-state=unsent] .why")')
    await looks.look("refused")

    await looks.act("PUT", "/videos/banned", OWNER, {"title": "Friday night games"})
    await looks.open("banned")
    await looks.say("something rude")
    await looks.until('rows.querySelector(".own")')
    user_id = await looks.window.run("rows.querySelector('.own').dataset.author")
    await looks.act("PUT", f"/videos/banned/bans/{user_id}", MODERATOR)
    await looks.say("and again")
    await looks.until('document.querySelector("#pending [data-state=unsent] .why")')
    await looks.look("banned")

    await looks.act("PUT", "/videos/ended", OWNER, {"title": "Last night"})
    await looks.act("POST", "/comments/ended", OWNER, {"message": "Thank you all, good night!"})
    await looks.act("PUT", "/videos/ended", OWNER, {"title": "Last night", "state": "ended"})
    await looks.open("ended", state="ended")
    await looks.look("ended")


@pytest.fixture(params=("chromium", "firefox"))
async def looks(
    request: pytest.FixtureRequest, server: Server, api: APIRequestContext, tmp_path: Path
) -> AsyncIterator[Looks]:
    browser = request.param
    if missing := why_missing(browser):
        pytest.skip(missing)
    await asyncio.to_thread(need_packages)
    folder = LOOKS / browser
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as until:
        window: Window
        if browser == "chromium":
            playwright = await until.enter_async_context(async_playwright())
            found = shutil.which("chromium") or shutil.which("google-chrome")
            started = await playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_FLAGS))
            context = await started.new_context(bypass_csp=True, locale="en-GB")
            window = Chromium(await context.new_page())
        else:
            window = await until.enter_async_context(firefox(tmp_path / "firefox", _FIREFOX_PREFERENCES))
        yield Looks(window, server, api, folder)
        if browser == "chromium":
            await started.close()


async def test_each_state_is_fit_to_be_seen(looks: Looks) -> None:
    try:
        await walk(looks)
    finally:
        kept = looks._folder / "axe.json"
        await asyncio.to_thread(kept.write_text, json.dumps(looks.found, indent=1))
    counts = {name: [each["id"] for each in found] for name, found in looks.found.items()}
    print(counts)
    assert not any(counts.values()), looks.found
