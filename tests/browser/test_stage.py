"""The page as one looks at it: the clip, the layout at each size, and what the service says in its place."""

import json
from typing import Any, Final

import pytest
from playwright.async_api import APIRequestContext, Browser, BrowserContext, Page, Route, expect

from tests.browser.conftest import Server
from tests.browser.test_page import SOON_MS, VIDEO, expect_comments, expect_state, open_session, post, write

pytestmark = [pytest.mark.browser, pytest.mark.timeout(200)]

SIZES: Final = ((390, 844), (667, 375), (640, 400), (1280, 800), (2560, 1440), (390, 420), (320, 200))
"""Phones, upright, flat and with their keyboard open; 200 % and 400 % of 1280 × 800; desks."""
FILM_PX_MIN: Final = 60
ROWS_MIN: Final = 20
NARROW_PX_MAX: Final = 599
"""Pairing: page.css."""


async def open_at(browser: Browser, server: Server, **options: Any) -> Page:
    context = await browser.new_context(base_url=server.url, **options)
    page = await context.new_page()
    await page.goto(f"/?video={VIDEO}")
    await expect_state(page, "live")
    return page


async def test_the_clip_moves_and_can_be_stopped(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server)
    await page.wait_for_function("() => film.currentTime > 0")
    await page.get_by_role("button", name="Pause the video").click()
    assert await page.evaluate("() => film.paused")
    await page.get_by_role("button", name="Play the video").click()
    await page.wait_for_function("() => !film.paused")


async def test_who_wants_no_motion_gets_none_unasked(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server, reduced_motion="reduce")
    play = page.get_by_role("button", name="Play the video")
    await expect(play).to_be_visible()
    assert await page.evaluate("() => film.paused")
    await play.click()
    await page.wait_for_function("() => !film.paused")


async def test_at_each_size_there_are_a_video_comments_and_where_to_write(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    token = await open_session(api, server, "Ana")
    for number in range(25):
        await post(api, server, token, f"comment {number}")
    page = await open_at(browser, server)
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        last = page.locator("#rows .row").last
        await expect(last).to_be_in_viewport()
        film = await page.locator("#film").bounding_box()
        comments = await page.locator(".comments").bounding_box()
        box = await page.get_by_label("Comment", exact=True).bounding_box()
        assert film
        assert comments
        assert box
        assert min(film["width"], film["height"]) >= FILM_PX_MIN, (width, height)
        assert box["x"] >= 0
        assert box["y"] + box["height"] <= height, (width, height)
        is_over = comments["x"] < film["x"] + film["width"]
        assert is_over == (width <= NARROW_PX_MAX), (width, height)
        for name in ("Send", "Pause the video"):
            target = await page.get_by_role("button", name=name).bounding_box()
            assert target
            assert min(target["width"], target["height"]) >= 40, name
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), (width, height)


async def test_twenty_rows_fit_on_a_desk(browser: Browser, server: Server, api: APIRequestContext) -> None:
    token = await open_session(api, server, "Ana")
    for number in range(25):
        await post(api, server, token, f"comment {number}")
    page = await open_at(browser, server, viewport={"width": 1280, "height": 800})
    await expect(page.locator("#rows .row")).to_have_count(25)
    whole = """() => [...document.querySelectorAll("#rows .row")].filter((row) =>
        row.getBoundingClientRect().top >= scroller.getBoundingClientRect().top).length"""
    await page.wait_for_function(f"() => ({whole})() >= {ROWS_MIN}")


def refusal(status: int, code: str, detail: str, **headers: str) -> dict[str, Any]:
    body = json.dumps({"code": code, "detail": detail, "status": status})
    return {"status": status, "body": body, "headers": {"Content-Type": "application/problem+json", **headers}}


async def refuse_next(context: BrowserContext, answer: dict[str, Any]) -> None:
    """Of POSTs alone: reads have a query."""

    async def refuse(route: Route) -> None:
        await route.fulfill(**answer)

    await context.route(f"**/comments/{VIDEO}", refuse, times=1)


async def test_a_refusal_stands_in_its_row_with_what_can_help(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server)
    await write(page, "hello", name="Ana")
    await expect_comments(page, ["hello"])
    await refuse_next(page.context, refusal(403, "message_refused", "There is a word in it."))
    await write(page, "refused")
    row = page.locator("#pending .row")
    await expect(row).to_contain_text("There is a word in it.")
    await expect(row.get_by_role("button", name="Try again")).to_have_count(0)
    await expect(page.locator("#note")).to_be_empty()
    await row.get_by_role("button", name="Discard").click()
    await expect(row).to_have_count(0)


async def test_slow_mode_counts_down_in_the_button_and_sends_by_itself(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server)
    await write(page, "hello", name="Ana")
    await expect_comments(page, ["hello"])
    await refuse_next(page.context, refusal(429, "slow_mode", "Slow mode.", **{"Retry-After": "6"}))
    await write(page, "a moment later")
    await expect(page.locator("#send[data-left='6'], #send[data-left='5']")).to_be_visible()
    await expect(page.locator("#send[data-left='3']")).to_be_visible(timeout=SOON_MS)
    await expect_comments(page, ["hello", "a moment later"])
    await expect(page.locator("#send[data-left='']")).to_be_visible()


async def test_live_is_said_only_while_it_is(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server)
    await expect(page.locator("#badge")).to_have_text("Live")
    await page.context.set_offline(True)
    await expect_state(page, "offline")
    await expect(page.locator("#badge")).to_be_hidden()
    await page.context.set_offline(False)
    await expect(page.locator("#badge")).to_have_text("Live", timeout=SOON_MS)
