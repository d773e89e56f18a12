"""What people see at `/`, from two windows at once."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import APIRequestContext, Browser, Page, Route, expect

from tests.browser.conftest import Server

pytestmark = pytest.mark.browser

VIDEO = "launch"
SOON_MS = 20_000
"""A native reconnect is three seconds away, a comment's next try up to some more, on a machine that may be busy."""
expect.set_options(timeout=SOON_MS)
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> & <b>bold</b>"


async def open_page(browser: Browser, server: Server) -> Page:
    """A window of a person of its own, with the stream open."""
    context = await browser.new_context(base_url=server.url)
    page = await context.new_page()
    await page.goto(f"/?video={VIDEO}")
    await expect_state(page, "live")
    return page


async def expect_state(page: Page, state: str) -> None:
    await expect(page.locator(f"#connection[data-state={state}]")).to_be_visible(timeout=SOON_MS)


async def expect_comments(page: Page, messages: list[str]) -> None:
    """Exactly these, in this order, and none still on its way."""
    await expect(page.locator("#rows .row:not(.leaving) .text")).to_have_text(messages)
    await expect(page.locator("#pending .row")).to_have_count(0)


async def write(page: Page, message: str, name: str | None = None) -> None:
    """As one does: the name on first use, the text, Enter."""
    if name is not None:
        await page.get_by_label("Your name").fill(name)
    await page.get_by_label("Comment", exact=True).fill(message)
    await page.get_by_label("Comment", exact=True).press("Enter")


async def open_menu(page: Page, text: str) -> None:
    """What can be done about the comment with this text."""
    row = page.locator("#rows .row", has_text=text)
    await row.hover()
    await row.locator(".more").click()
    await expect(page.locator("#menu")).to_be_visible()


async def open_session(api: APIRequestContext, server: Server, name: str) -> str:
    answer = await api.post(f"{server.url}/sessions", data={"displayName": name})
    assert answer.status == 201, await answer.text()
    token: str = (await answer.json())["sessionToken"]
    return token


async def post(api: APIRequestContext, server: Server, token: str, message: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await api.post(f"{server.url}/comments/{VIDEO}", data={"message": message}, headers=headers)
    assert answer.status == 201, await answer.text()


async def read_messages(api: APIRequestContext, server: Server) -> list[str]:
    """The history, oldest first."""
    messages: list[str] = []
    query: dict[str, str | float | bool] = {"sort": "asc", "pageSize": 100}
    while True:
        answer = await api.get(f"{server.url}/comments/{VIDEO}", params=query)
        page: dict[str, Any] = await answer.json()
        messages += [comment["message"] for comment in page["comments"]]
        if page["nextCursor"] is None:
            return messages
        query["cursor"] = page["nextCursor"]


async def test_a_comment_of_one_window_appears_in_the_other(browser: Browser, server: Server) -> None:
    ana, ben = await open_page(browser, server), await open_page(browser, server)
    await write(ana, "Hello from Lisbon", name="Ana")
    await expect_comments(ben, ["Hello from Lisbon"])
    await write(ben, "مرحبا 👋", name="Ben")
    await write(ben, "two\nlines")
    for page in (ana, ben):
        await expect_comments(page, ["Hello from Lisbon", "مرحبا 👋", "two\nlines"])
        await expect(page.locator("#rows .name")).to_have_text(["Ana", "Ben", "Ben"])


async def test_a_killed_server_costs_no_window_a_comment(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    ana, ben = await open_page(browser, server), await open_page(browser, server)
    await write(ana, "before", name="Ana")
    await expect_comments(ana, ["before"])
    await expect_comments(ben, ["before"])

    await server.kill()
    await expect_state(ana, "reconnecting")
    await expect_state(ben, "reconnecting")
    await write(ana, "written while it was down")
    await expect(ana.locator("#pending .text")).to_have_text(["written while it was down"])
    await server.start()
    await post(api, server, await open_session(api, server, "Cleo"), "posted before anyone was back")

    await expect(ana.locator("#pending .row")).to_have_count(0, timeout=2 * SOON_MS)
    await expect_state(ana, "live")
    await expect_state(ben, "live")
    await write(ana, "after")
    await expect(ana.locator("#rows .row .text")).to_contain_text(["after"])
    messages = await read_messages(api, server)
    assert sorted(messages) == sorted(["before", "written while it was down", "posted before anyone was back", "after"])
    await expect_comments(ana, messages)
    await expect_comments(ben, messages)


async def test_a_stream_that_was_refused_for_good_is_taken_up_where_it_stood(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    page = await open_page(browser, server)
    await write(page, "before", name="Ana")
    await expect_comments(page, ["before"])
    comment_id = await page.locator("#rows .row").get_attribute("data-comment-id")

    opened: list[str] = []
    page.on("request", lambda request: opened.append(request.url) if "/stream?" in request.url else None)
    refused = "**/stream?*"
    await page.route(refused, lambda route: route.fulfill(status=503))
    await server.kill()
    await server.start()
    await expect_state(page, "reconnecting")
    token = await open_session(api, server, "Ben")
    async with page.expect_response(refused):
        pass
    await post(api, server, token, "meanwhile")
    await page.unroute(refused)
    await expect(page.locator("#rows .row")).to_have_count(2, timeout=2 * SOON_MS)
    await expect_comments(page, ["before", "meanwhile"])
    await expect_state(page, "live")
    assert f"after={comment_id}" in opened[-1]


@pytest.mark.timeout(300)  # eight pages on a machine that may be busy
@pytest.mark.parametrize("videos", [1, 8])
async def test_eight_tabs_of_one_browser_all_live_and_one_can_write_in_each(
    browser: Browser, server: Server, videos: int
) -> None:
    """Over HTTP/1.1 a browser opens six connections to a site, and streams would take them all."""
    context = await browser.new_context(base_url=server.url)
    pages = []
    for number in range(8):
        page = await context.new_page()
        await page.goto(f"/?video={VIDEO}{number % videos}")
        await expect_state(page, "live")
        pages.append(page)
    await write(pages[0], "tab 0", name="Ana")
    await expect_comments(pages[0], ["tab 0"])
    for number, page in enumerate(pages[1:], 1):
        await write(page, f"tab {number}")
    for page in pages:
        await expect(page.locator("#rows .row:not(.leaving) .text")).to_have_count(8 // videos)
        await expect(page.locator("#pending .row")).to_have_count(0)
        await expect_state(page, "live")


async def test_behind_what_holds_streams_back_comments_come_all_the_same(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    context = await browser.new_context(base_url=server.url)
    held: list[Route] = []
    await context.route("**/stream?*", lambda route: held.append(route))
    page = await context.new_page()
    await page.goto(f"/?video={VIDEO}")
    await expect_state(page, "live")
    token = await open_session(api, server, "Ben")
    await post(api, server, token, "by a page")
    await expect_comments(page, ["by a page"])
    await write(page, "mine", name="Ana")
    await expect_comments(page, ["by a page", "mine"])
    assert held, "a stream was asked for, and nothing of it came"
    await context.unroute("**/stream?*")
    await context.close()


async def test_a_deleted_comment_vanishes_from_the_other_window(browser: Browser, server: Server) -> None:
    ana, ben = await open_page(browser, server), await open_page(browser, server)
    await write(ana, "to stay", name="Ana")
    await write(ana, "to go")
    await expect_comments(ben, ["to stay", "to go"])
    await open_menu(ben, "to go")
    await expect(ben.get_by_role("button", name="Delete")).to_have_count(0)

    await open_menu(ana, "to go")
    button = ana.locator("#menu button")
    await button.click()
    await expect(button).to_have_text("Delete?")  # the first click only asks
    await ana.keyboard.press("Escape")
    await expect(ana.locator("#menu")).to_be_hidden()
    await expect_comments(ben, ["to stay", "to go"])
    await open_menu(ana, "to go")
    await expect(button).to_have_text("Delete")
    await button.dblclick()
    await expect_comments(ana, ["to stay"])
    await expect_comments(ben, ["to stay"])
    await ben.reload()
    await expect_comments(ben, ["to stay"])


async def test_markup_stays_text_and_the_page_stays_at_home(browser: Browser, server: Server) -> None:
    ana, ben = await open_page(browser, server), await open_page(browser, server)
    requested: list[str] = []
    complaints: list[str] = []
    ben.on("request", lambda request: requested.append(request.url))
    ben.on("console", lambda message: complaints.append(message.text))
    ben.on("pageerror", lambda error: complaints.append(str(error)))
    await write(ana, MARKUP, name="<i>Ana</i>")
    await expect_comments(ben, [MARKUP])
    await ben.reload()  # once from the stream, once from the history
    await expect_comments(ben, [MARKUP])
    await expect(ben.locator("#rows .name")).to_have_text(["<i>Ana</i>"])
    await expect(ben.locator("#rows :is(img, script, b, i)")).to_have_count(0)
    assert VIDEO in await ben.title()
    assert [url for url in requested if not url.startswith((f"{server.url}/", "data:"))] == []
    assert complaints == []  # a breach of the content policy would be one


async def test_scrolling_up_reads_the_whole_history_once(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    messages = [f"comment {number}" for number in range(120)]
    tokens = [await open_session(api, server, f"Guest {number}") for number in range(10)]
    for number, message in enumerate(messages):
        await post(api, server, tokens[number % len(tokens)], message)
    page = await open_page(browser, server)
    texts = page.locator("#rows .text")
    await expect(texts.last).to_have_text(messages[-1])
    assert await texts.count() < len(messages)
    await expect(page.get_by_text(messages[-1], exact=True)).to_be_in_viewport()

    await page.locator("#rows").hover()
    for _ in range(20):  # more than it takes
        await page.mouse.wheel(0, -1_000)
    await expect_comments(page, messages)
    await expect(page.get_by_text("Start of the conversation")).to_have_count(1)


async def test_a_name_is_asked_once_and_remembered(browser: Browser, server: Server) -> None:
    page = await open_page(browser, server)
    await write(page, "Who am I?")
    await expect(page.get_by_role("alert")).to_contain_text("name")
    await expect(page.get_by_label("Your name")).to_be_focused()
    await page.keyboard.type("Ana")
    await page.keyboard.press("Enter")
    await expect_comments(page, ["Who am I?"])
    await page.reload()
    await expect(page.get_by_text("Commenting as Ana")).to_be_visible()
    await expect(page.get_by_label("Your name")).to_be_hidden()
    await page.evaluate(
        "Object.keys(localStorage).filter((key) => /session/.test(key)).forEach((key) => localStorage.removeItem(key))"
    )
    await page.reload()
    await expect(page.get_by_label("Your name")).to_have_value("Ana")  # a session that is over takes no name


async def test_what_is_sent_before_there_is_a_session_is_sent_as_it_was(browser: Browser, server: Server) -> None:
    page = await open_page(browser, server)
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/sessions", hold)
    await write(page, "one", name="Ana")
    await write(page, "two")
    await page.get_by_label("Comment", exact=True).press("Enter")  # twice is once
    await page.get_by_label("Comment", exact=True).fill("a thi")
    held.set()
    await expect_comments(page, ["one", "two"])
    await expect(page.get_by_label("Comment", exact=True)).to_have_value("a thi")
    await page.get_by_label("Comment", exact=True).press("Enter")
    await expect_comments(page, ["one", "two", "a thi"])


async def test_an_over_long_comment_cannot_be_sent(browser: Browser, server: Server) -> None:
    page = await open_page(browser, server)
    send = page.get_by_role("button", name="Send")
    await expect(send).to_be_disabled()
    field = page.get_by_label("Comment", exact=True)
    await field.fill("a" * 500)
    await expect(send).to_be_enabled()
    await expect(page.locator("#counter")).to_have_text("0")
    await field.fill("a" * 501)
    await expect(send).to_be_disabled()
    await expect(page.locator("#counter")).to_have_text("-1")
    await field.fill("👨‍👩‍👧‍👦" * 82)  # 82 characters of 25 bytes
    await expect(send).to_be_disabled()
    await expect(page.locator("#counter")).to_have_text("Too long")


async def test_a_tab_that_gets_no_connection_says_what_helps(browser: Browser, server: Server) -> None:
    context = await browser.new_context(base_url=server.url)
    held: list[Route] = []
    for path in ("**/stream?*", "**/streams/**"):
        await context.route(path, lambda route: held.append(route))
    page = await context.new_page()
    await page.goto(f"/?video={VIDEO}")
    await expect(page.locator("#connection")).to_have_text("No connection free: close a tab")
    await expect(page.locator("#badge")).to_be_hidden()
    for route in held:
        await route.abort()
    await context.unroute_all()
    await expect_state(page, "live")
    await context.close()
