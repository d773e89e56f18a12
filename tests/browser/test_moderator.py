"""The page of those who moderate or own: what they do is seen by everybody, and never fails in silence."""

from typing import Any

import pytest
from playwright.async_api import APIRequestContext, Browser, Page, Route, expect

from tests.browser.conftest import Server
from tests.browser.test_page import VIDEO, expect_comments, expect_state, open_menu, open_page, post, write
from tests.gateway.test_answers import signed

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

ANA = signed(sub="ana", name="Ana")
RUDE = signed(sub="auth0|rude/1", name="Rude")


async def open_desk(browser: Browser, server: Server, *roles: str) -> Page:
    """The page of somebody with these roles."""
    context = await browser.new_context(base_url=server.url)
    page = await context.new_page()
    token = signed(sub="idris", name="Idris", roles=[*roles])
    await page.goto(f"/?video={VIDEO}#token={token}")
    await expect_state(page, "live")
    await expect(page.locator("#as")).to_have_text("Idris")
    await expect(page.locator("#desk")).to_be_visible()
    assert token not in page.url
    return page


async def choose(page: Page, *labels: str) -> None:
    """In the menu of the whole video, and those that follow from it."""
    await page.locator("#desk").click()
    for label in labels:
        await page.locator("#menu").get_by_role("button", name=label).click()


async def pin(page: Page, text: str) -> None:
    await open_menu(page, text)
    await page.locator("#menu").get_by_role("button", name="Pin", exact=True).click()


async def expect_said(page: Page, text: str) -> None:
    await expect(page.locator("#acts p").last).to_contain_text(text)


async def write_status(api: APIRequestContext, server: Server, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return (await api.post(f"{server.url}/comments/{VIDEO}", data={"message": "again"}, headers=headers)).status


async def test_a_flood_is_deleted_and_its_author_banned_and_let_in_again(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    for token, message in ((ANA, "hello"), (RUDE, "spam one"), (RUDE, "spam two"), (ANA, "a question")):
        await post(api, server, token, message)
    desk, viewer = await open_desk(browser, server, "moderate"), await open_page(browser, server)
    await open_menu(desk, "spam one")
    await desk.locator("#menu").get_by_role("button", name="Delete and ban").click()
    await desk.locator("#menu .armed").click()
    await expect_said(desk, "Rude is banned")
    await expect_comments(viewer, ["hello", "a question"])
    assert await write_status(api, server, RUDE) == 403
    await desk.locator("#acts").get_by_role("button", name="Undo").click()
    await expect_said(desk, "may write again")
    assert await write_status(api, server, RUDE) == 201
    await open_menu(desk, "hello")
    await desk.locator("#menu").get_by_role("button", name="Delete", exact=True).click()
    await desk.locator("#menu .armed").click()
    await expect_comments(viewer, ["a question", "again"])


async def test_a_pinned_comment_stands_above_the_others_for_everybody(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    await post(api, server, ANA, "to be pinned")
    desk, viewer = await open_desk(browser, server, "moderate"), await open_page(browser, server)
    await pin(desk, "to be pinned")
    for page in (desk, viewer):
        await expect(page.locator("#pin p")).to_have_text("to be pinned")
    await viewer.reload()
    await expect(viewer.locator("#pin bdi")).to_have_text("Ana")
    await expect(viewer.locator("#pin p")).to_have_attribute("dir", "auto")
    await choose(desk, "Unpin")
    for page in (desk, viewer):
        await expect(page.locator("#pin")).to_be_hidden()


async def test_a_pinned_comment_that_is_deleted_goes_from_above_too(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    await post(api, server, ANA, "to be deleted")
    desk, viewer = await open_desk(browser, server, "moderate"), await open_page(browser, server)
    await pin(desk, "to be deleted")
    await expect(viewer.locator("#pin p")).to_have_text("to be deleted")
    await open_menu(desk, "to be deleted")
    await desk.locator("#menu").get_by_role("button", name="Delete", exact=True).click()
    await desk.locator("#menu .armed").click()
    for page in (desk, viewer):
        await expect(page.locator("#pin")).to_be_hidden()


async def test_an_owner_slows_ends_and_starts_and_stays_who_they_are(browser: Browser, server: Server) -> None:
    desk, viewer = await open_desk(browser, server, "own"), await open_page(browser, server)
    await choose(desk, "Slow mode", "30 seconds")
    await expect_said(desk, "Slow mode: 30 seconds")
    await desk.locator("#desk").click()
    await desk.locator("#menu").get_by_role("button", name="Slow mode").click()
    await expect(desk.locator("#menu").get_by_role("button", name="30 seconds")).to_contain_text("✓")
    await desk.keyboard.press("Escape")
    await choose(desk, "End the video")
    await desk.locator("#menu .armed").click()
    for page in (desk, viewer):
        await expect(page.locator("#badge")).to_have_text("Ended")
    await choose(desk, "Start the video")
    await expect(desk.locator("#badge")).to_have_text("Live")
    await expect(desk.get_by_label("Comment", exact=True)).to_be_enabled()
    await desk.reload()
    await expect(desk.locator("#as")).to_have_text("Idris")


async def test_an_act_that_is_refused_or_has_no_answer_says_so_and_can_be_tried_again(
    browser: Browser, server: Server
) -> None:
    desk = await open_desk(browser, server, "own")
    problem: dict[str, Any] = {
        "status": 403,
        "content_type": "application/problem+json",
        "body": '{"code":"role_missing","detail":"This takes a token with the role own."}',
    }

    async def refuse(route: Route) -> None:
        await route.fulfill(**problem)

    await desk.route("**/videos/**", refuse)
    await choose(desk, "Who may comment", "Members")
    await expect_said(desk, "This takes a token with the role own.")
    await expect(desk.locator("#acts").get_by_role("button", name="Try again")).to_have_count(0)
    await desk.unroute("**/videos/**")
    await desk.route("**/videos/**", lambda route: route.abort())
    await choose(desk, "Who may comment", "Members")
    again = desk.locator("#acts").get_by_role("button", name="Try again")
    await expect(again).to_be_visible()
    await desk.unroute("**/videos/**")
    await again.click()
    await expect_said(desk, "May comment: Members")


async def test_what_a_viewer_reports_is_left_or_deleted_by_who_moderates(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    for message in ("odd", "nasty"):
        await post(api, server, RUDE, message)
    viewer = await open_page(browser, server)
    await open_menu(viewer, "nasty")
    await viewer.locator("#menu").get_by_role("button", name="Report").click()
    await expect(viewer.get_by_role("alert")).to_contain_text("Choose a name first")
    await write(viewer, "hello", name="Ben")
    menu = viewer.locator("#menu")
    for message, reason in (("nasty", "Hate or harassment"), ("odd", "Something else"), ("nasty", "Spam or a scam")):
        await open_menu(viewer, message)
        await menu.get_by_role("button", name="Report").click()
        await menu.get_by_role("button", name=reason).click()
        await expect(menu).to_contain_text("Reported. The moderators see it")
        await menu.get_by_role("button", name="Close").click()
    desk = await open_desk(browser, server, "moderate")
    await expect(desk.locator("#desk")).to_have_text("Moderate · 2 reports")
    await choose(desk, "Reports (2)")
    listed = desk.locator("#reports li")
    await expect(listed.locator("p")).to_have_text(["Rude odd", "Rude nasty"])
    await expect(listed.locator("small")).to_have_text(["1 report · other 1", "1 report · hate or harassment 1"])
    await listed.first.get_by_role("button", name="Leave it").click()
    await expect(listed.first).to_contain_text("Left as it is.")
    await listed.last.get_by_role("button", name="Delete", exact=True).click()
    await listed.last.get_by_role("button", name="Delete for everybody?").click()
    await expect(listed.last).to_contain_text("Deleted.")
    await expect_comments(viewer, ["odd", "hello"])
    await desk.keyboard.press("Escape")
    await expect(desk.locator("#reports")).to_have_count(0)
    await expect(desk.locator("#desk")).to_have_text("Moderate")
    await expect(desk.locator("#desk")).to_be_focused()
