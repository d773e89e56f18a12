"""The page as one looks at it: the clip, the layout at each size, and what the service says in its place."""

import json
import re
from typing import Any, Final

import pytest
from playwright.async_api import APIRequestContext, Browser, BrowserContext, Page, Route, expect

from tests.browser.conftest import Server
from tests.browser.test_page import (
    SOON_MS,
    VIDEO,
    expect_comments,
    expect_state,
    open_menu,
    open_session,
    post,
    write,
)
from tests.gateway.test_answers import signed

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


async def test_roles_are_badges_and_read_aloud_where_a_flood_is_not(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    page = await open_at(browser, server)
    said = page.locator("#said")
    for role, name in (("own", "Mara"), ("moderate", "Idris")):
        await post(api, server, signed(sub=name, name=name, roles=[role, "admin"]), f"by {name}")
        await expect(said).to_have_text(f"{name}: by {name}")
    await post(api, server, signed(sub="ana", name="Ana", roles=["admin"]), "by Ana")
    await expect_comments(page, ["by Mara", "by Idris", "by Ana"])
    await expect(page.locator("#rows .role:visible")).to_have_text(["Host", "Mod"])
    await expect(said).to_have_text("Idris: by Idris")
    await write(page, "mine", name="Ben")
    await expect(said).to_have_text("Ben: mine")
    await page.reload()  # from a page of history as from the stream
    await expect(page.locator("#rows .role:visible")).to_have_text(["Host", "Mod"])
    await expect(said).to_be_empty()


async def test_who_is_muted_is_not_seen_here_until_shown_again(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    loud, calm = await open_session(api, server, "Loud"), await open_session(api, server, "Calm")
    await post(api, server, loud, "first")
    await post(api, server, calm, "second")
    page, other = await open_at(browser, server), await open_at(browser, server)
    await open_menu(page, "first")
    await expect(page.locator("#menu p")).to_have_text(re.compile(r"Loud · .*\d:\d\d"))  # when, to the second
    await page.get_by_role("button", name="Mute").click()
    await post(api, server, loud, "third")
    await expect(other.locator("#rows .text:visible")).to_have_text(["first", "second", "third"])
    await expect(page.locator("#rows .row")).to_have_count(3)
    await expect(page.locator("#rows .text:visible")).to_have_text(["second"])
    await page.reload()
    await expect(page.locator("#rows .row")).to_have_count(3)
    await expect(page.locator("#rows .text:visible")).to_have_text(["second"])
    await page.get_by_role("button", name="1 muted").click()
    await page.get_by_role("button", name="Show Loud").click()
    await expect(page.locator("#rows .text:visible")).to_have_text(["first", "second", "third"])
    await expect(page.locator("#muted")).to_be_hidden()


async def test_rows_are_walked_with_arrows_and_focus_comes_back(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    token = await open_session(api, server, "Ana")
    for number in range(3):
        await post(api, server, token, f"comment {number}")
    page = await open_at(browser, server)
    await expect(page.locator("#rows .more[tabindex='0']")).to_have_count(1)
    await page.locator("#rows .more[tabindex='0']").focus()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(page.locator("#menu button").first).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#rows .row", has_text="comment 1").locator(".more")).to_be_focused()


async def test_a_text_that_is_not_sent_survives_a_reload_and_no_other_video_has_it(
    browser: Browser, server: Server
) -> None:
    page = await open_at(browser, server)
    box = page.get_by_label("Comment", exact=True)
    await box.fill("half a thou")
    await page.reload()
    await expect(box).to_have_value("half a thou")
    await expect(page.get_by_role("button", name="Send")).to_be_enabled()
    await page.goto("/?video=other")
    await expect(box).to_have_value("")
    await page.go_back()
    await write(page, "half a thought", name="Ana")
    await expect_comments(page, ["half a thought"])
    await page.reload()
    await expect(box).to_have_value("")


async def test_a_comment_on_its_way_survives_a_reload(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server)
    await write(page, "hello", name="Ana")
    await expect_comments(page, ["hello"])
    await page.context.route(f"**/comments/{VIDEO}", lambda route: route.abort())
    await write(page, "on its way")
    await expect(page.locator("#pending .text")).to_have_text(["on its way"])
    await page.reload()
    await expect(page.locator("#pending .text")).to_have_text(["on its way"])
    await page.context.unroute(f"**/comments/{VIDEO}")
    await expect_comments(page, ["hello", "on its way"])


async def test_who_comes_after_the_end_reads_whose_end_it_was(browser: Browser, server: Server) -> None:
    context = await browser.new_context(base_url=server.url)
    owner = {"Authorization": f"Bearer {signed(sub='own', roles=['own'])}"}
    said = {"title": "Last night", "state": "ended"}
    assert (await context.request.put(f"/videos/{VIDEO}", data=said, headers=owner)).ok
    page = await context.new_page()
    await page.goto(f"/?video={VIDEO}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Last night")
    await expect(page.locator("#badge")).to_have_text("Ended")


async def test_under_a_keyboard_that_covers_the_page_the_box_stays_in_sight(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    covered = """() => { Object.defineProperty(visualViewport, "height", { get: () => 480, configurable: true });
        visualViewport.dispatchEvent(new Event("resize")); }"""
    box = page.get_by_label("Comment", exact=True)

    async def bottom() -> float:
        found = await box.bounding_box()
        assert found
        return found["y"] + found["height"]

    assert await bottom() > 480
    await page.wait_for_function(f"() => {{ ({covered})(); return document.body.offsetHeight === 480; }}")
    assert await bottom() <= 480
    film = await page.locator("#film").bounding_box()
    assert film
    assert film["height"] >= FILM_PX_MIN


async def test_in_forced_colours_and_right_to_left_nothing_is_lost(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server, forced_colors="active", viewport={"width": 1280, "height": 800})
    await write(page, "مرحبا", name="ليلى")
    await expect_comments(page, ["مرحبا"])
    edges = """() => ["#send", "#play"].map((id) => getComputedStyle(document.querySelector(id)).borderTopWidth)"""
    assert await page.evaluate(edges) == ["1px", "1px"]
    await page.evaluate("() => { document.documentElement.dir = 'rtl'; }")
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), (width, height)
        for name in ("Send", "Pause the video"):
            await expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)


async def test_an_address_that_names_no_video_says_so(browser: Browser, server: Server) -> None:
    context = await browser.new_context(base_url=server.url)
    page = await context.new_page()
    await page.goto("/?video=no%20video")
    await expect_state(page, "failed")
    await expect(page.get_by_role("alert")).not_to_be_empty()


HOSTILE: Final = (
    "w" * 500,
    "line\n" * 60,
    "e\u0301\u0301\u0301" * 100,
    "\u202egnorw\u202c",
    "👨‍👩‍👧‍👦" * 60,
    "<b>bold</b>",
)


async def test_no_text_or_name_leaves_its_row_and_all_of_it_is_in_its_menu(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    for number, message in enumerate(HOSTILE):
        await post(api, server, signed(sub=f"p{number}", name=message[:40].replace("\n", "")), message)
    page = await open_at(browser, server, viewport={"width": 390, "height": 844})
    await expect(page.locator("#rows .row")).to_have_count(len(HOSTILE))
    outside = """() => [...document.querySelectorAll("#rows .row")].filter((row) =>
        row.scrollWidth > row.clientWidth || row.offsetHeight > 8 * 22 + 8 || row.querySelector("b")).length"""
    assert await page.evaluate(outside) == 0
    row = page.locator("#rows .row").nth(1)
    await row.scroll_into_view_if_needed()
    await row.locator(".more").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#menu p span")).to_have_text("line\n" * 59 + "line")
    assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


async def test_what_is_set_while_one_writes_takes_no_text(browser: Browser, server: Server) -> None:
    page = await open_at(browser, server)
    await write(page, "hello", name="Ana")
    await expect_comments(page, ["hello"])
    owner = {"Authorization": f"Bearer {signed(sub='own', roles=['own'])}"}
    box = page.get_by_label("Comment", exact=True)
    await box.fill("in the middle of")
    for said in ({"whoMayComment": "members"}, {"state": "ended"}):
        assert (await page.request.put(f"/videos/{VIDEO}", data=said, headers=owner)).ok
        if "state" in said:
            await expect(box).to_be_disabled()
            await expect(page.get_by_role("button", name="Send")).to_be_disabled()
        else:
            await box.press("Enter")
            await expect(page.locator("#pending .why")).to_contain_text("guests cannot write")
            await expect(page.locator("#pending .text")).to_have_text("in the middle of")
            await box.fill("and again")
    await expect(box).to_have_value("and again")
