"""The page in a flood, from a stand-in for the service that costs next to nothing."""

import json

import pytest
from playwright.async_api import Browser, Page

from bench.page import StandIn
from tests.browser.test_page import SOON_MS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(200)]

RATE = 400
"""Comments a second: three times as many as are drawn each frame."""
KEPT = 500
"""Pairing: ROWS_MAX of page.js."""
SHORT_ROWS_MAX = 120
"""In the document while the newest is in view; at this size sixty are enough."""
WATCH = """() => {
    window.drawn = 0;
    new MutationObserver((changes) => {
        for (const { addedNodes } of changes) window.drawn += addedNodes.length;
    }).observe(rows, { childList: true });
    const number = () => Number(rows.lastElementChild.querySelector(".text").textContent.match(/\\d+/)[0]);
    window.newest = number;
    window.first = number();
}"""


async def wait(page: Page, condition: str) -> None:
    await page.wait_for_function(f"() => {condition}", timeout=2 * SOON_MS)


async def test_a_flood_is_drawn_in_part_ends_with_its_last_and_is_whole_for_who_scrolls_up(browser: Browser) -> None:
    stand = StandIn()
    async with stand.open() as url:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.goto(f"{url}/?video=v")
        await wait(page, "connection.dataset.state === 'live'")
        stand.rate = RATE
        await wait(page, "rows.children.length > 1")
        await page.evaluate(WATCH)
        await wait(page, "newest() > first + 600")
        drawn, came = await page.evaluate("() => [drawn, newest() - first]")
        assert drawn < came / 2, "nobody reads what stands for a frame"
        assert await page.evaluate("() => rows.children.length") <= SHORT_ROWS_MAX
        stand.rate = 0
        await wait(page, f"newest() >= {stand.last - 1}")  # the last id may be of a heartbeat
        assert await page.evaluate("() => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight") <= 1

        seen = await page.evaluate("() => { scroller.scrollTop -= 40; return newest(); }")
        await wait(page, f"rows.children.length === {KEPT}")
        assert await page.evaluate("() => newest()") == seen
        stand.rate = RATE
        await wait(page, "!jump.hidden && /\\d{2,} new comments/.test(jump.textContent)")
        place = "() => document.elementFromPoint(1000, 400).closest('.row').dataset.commentId"
        before = await page.evaluate(place)
        await wait(page, f"newest() >= {seen}")
        assert await page.evaluate(place) == before, "who reads stays where they read"
        await page.evaluate("() => jump.click()")  # by hand it moves with the number in it
        await wait(page, f"newest() > {seen} + 50 && rows.children.length <= {SHORT_ROWS_MAX}")
        stand.rate = 0


HOSTILE = (
    {"author": None, "message": "no author"},
    {"author": {"id": "a", "displayName": "Ana", "roles": "own"}, "message": None, "createdAt": "never"},
    {"author": {"id": {}, "displayName": ["x"]}, "message": {"toString": "x"}, "createdAt": 1e99},
    {"author": {"id": "a", "displayName": "\u202e" + "e\u0301" * 5_000}, "message": "👨‍👩‍👧‍👦" * 5_000},
    {"author": {"id": "a", "displayName": "<img src=x onerror=alert(1)>"}, "message": "<script>alert(1)</script>"},
)


async def test_what_no_service_of_ours_says_hides_nothing_else(browser: Browser) -> None:
    stand = StandIn()
    async with stand.open() as url:
        page = await browser.new_page()
        await page.goto(f"{url}/?video=v")
        await wait(page, "connection.dataset.state === 'live'")
        for said in HOSTILE:
            of = stand.id()
            data = json.dumps({"commentId": of, "videoId": "v", **said}).encode()
            stand.aside += b"event: comment\nid: %b\ndata: %b\n\n" % (of.encode(), data)
        stand.aside += b"event: comment\ndata: {\n\nevent: video\ndata: null\n\nevent: nonsense\ndata: []\n\n"
        stand.rate = 40
        await wait(page, f"rows.children.length > {len(HOSTILE)} + 5")
        stand.rate = 0
        assert await page.evaluate("() => new Set([...rows.children].map((each) => each.dataset.commentId)).size") == (
            await page.evaluate("() => rows.children.length")
        )
        assert await page.locator("#rows :is(img, script)").count() == 0
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        assert await page.evaluate("() => connection.dataset.state") == "live"
