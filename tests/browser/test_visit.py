"""What a visit is made of: what is loaded, who one is, and what a finger can reach."""

import re
from typing import Any, Final

import pytest
from playwright.async_api import APIRequestContext, Browser, expect

from tests.browser.conftest import Server
from tests.browser.test_page import expect_comments, expect_state, open_session, post, write
from tests.browser.test_stage import open_at

pytestmark = [pytest.mark.browser, pytest.mark.timeout(200)]


REACHES: Final = """(half) => [...document.querySelectorAll("button, input, textarea")].filter((each) => {
    const { left, top, right, bottom } = each.getBoundingClientRect();
    if (!each.checkVisibility({ visibilityProperty: true }) || each.closest(".row")) return false;
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    const places = [[x, y - half], [x, y + half], [x - half, y], [x + half, y]];
    return places.some(([at, down]) => document.elementFromPoint(at, down)?.closest("button, .box, .who") !==
        each.closest("button, .box, .who"));
}).map((each) => each.id || each.textContent)"""
HALF_PX: Final = 19.5
"""Of a target's forty."""


async def test_whatever_can_be_pressed_is_forty_pixels_high_and_wide(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    """A row is the exception: twenty of them fit on a desk, and on a phone all of it is the target."""
    token = await open_session(api, server, "Loud")
    for number in range(25):
        await post(api, server, token, f"comment {number}")
    muted = "localStorage.setItem('livecomments.muted', '[[\"other\", \"Other\"]]')"
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    for options in (phone, {}):
        page = await open_at(browser, server, **options)
        await page.evaluate(muted)
        await page.reload()
        await expect_state(page, "live")
        assert await page.evaluate(REACHES, HALF_PX) == []
        await write(page, "hello", name="Ana")
        await expect(page.locator("#rows .own")).to_be_visible()
        await page.evaluate("scroller.scrollTo(0, 100)")
        await expect(page.locator("#jump")).to_be_visible()
        await expect(page.locator("#muted")).to_be_visible()
        assert await page.evaluate(REACHES, HALF_PX) == []


LOADED: Final = """() => performance.getEntriesByType("resource").filter(({ name }) => /\\.(js|css)$/.test(name))
    .map(({ name, transferSize }) => [new URL(name).pathname, transferSize])"""
HEAD_ONLY_BYTES: Final = 300
"""What a browser counts of an answer without a body, whatever its head has. Source: Resource Timing, transferSize."""


async def test_a_first_visit_asks_for_all_in_one_round_and_a_reload_is_told_that_it_has_it(
    browser: Browser, server: Server
) -> None:
    page = await open_at(browser, server)
    answer = await page.request.get("/")
    named = set(re.findall(r'(?:href|src)="(page/[^"]+\.(?:js|css))"', await answer.text()))
    loaded = dict(await page.evaluate(LOADED))
    assert set(loaded) == {f"/{name}" for name in named}, "a module that is only found in another takes a round more"
    assert min(loaded.values()) > HEAD_ONLY_BYTES
    await page.reload()
    await expect_state(page, "live")
    again = dict(await page.evaluate(LOADED))
    assert set(again) == set(loaded)
    assert max(again.values()) <= HEAD_ONLY_BYTES
    assert await page.evaluate("performance.getEntriesByType('navigation')[0].transferSize") <= HEAD_ONLY_BYTES


async def test_a_renewed_session_and_a_new_name_keep_who_one_is(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server)
    await write(page, "as Ana", name="Ana")
    await expect_comments(page, ["as Ana"])
    await page.get_by_role("button", name="Change").click()
    await write(page, "as Anna", name="Anna")
    await expect_comments(page, ["as Ana", "as Anna"])
    aged = """() => {
        const key = Object.keys(localStorage).find((each) => each.startsWith("livecomments.session"));
        const kept = JSON.parse(localStorage.getItem(key));
        localStorage.setItem(key, JSON.stringify({ ...kept, takenAt: 0 }));
        return kept.sessionToken;
    }"""
    before = await page.evaluate(aged)
    await write(page, "renewed")
    await expect_comments(page, ["as Ana", "as Anna", "renewed"])
    assert before not in await page.evaluate("() => JSON.stringify(localStorage)"), "half of its life was over"
    await page.reload()
    await expect(page.locator("#as")).to_have_text("Anna")
    await expect(page.locator("#rows .name")).to_have_text(["Ana", "Anna", "Anna"])
    await expect(page.locator("#rows .own")).to_have_count(3)
    assert await page.evaluate("() => new Set([...rows.children].map((row) => row.dataset.author)).size") == 1
