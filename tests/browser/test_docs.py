"""docs/CLIENTS.md: what is said to run in a browser, runs in Chromium."""

import asyncio

import pytest
from playwright.async_api import APIRequestContext, Browser, expect

from tests.browser.conftest import Server
from tests.browser.test_client import context_of
from tests.browser.test_page import open_session, post
from tests.clients.npm import esbuild, need_packages
from tests.clients.test_docs import IN_BROWSERS, SNIPPETS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

SHOWING = """
const list = document.body.appendChild(document.createElement("ol"));
function show({ commentId, message }) {
  const item = list.appendChild(document.createElement("li"));
  item.id = commentId;
  item.textContent = message;
}
const hide = (commentId) => document.getElementById(commentId)?.remove();
"""
SHELL = (
    '<!doctype html><meta charset="utf-8"><title>Docs</title><body><script type="module" src="/snippet.js"></script>'
)


def bundled(text: str) -> str:
    """A snippet with what it imports."""
    entries = {"": "index", "/react": "react"}
    aliases = [f"--alias:@livecomments/client{name}=./src/{file}.ts" for name, file in entries.items()]
    return esbuild("--loader=jsx", "--jsx=automatic", *aliases, text=text)


@pytest.mark.parametrize("name", IN_BROWSERS)
async def test_a_snippet_shows_comments(name: str, browser: Browser, server: Server, api: APIRequestContext) -> None:
    await asyncio.to_thread(need_packages)
    text = SNIPPETS[name].replace("https://comments.example", server.url)
    made = SHOWING + text if name == "page.js" else await asyncio.to_thread(bundled, text)
    context = await context_of(browser, server, {"/docs-page": SHELL, "/snippet.js": made})
    token = await open_session(api, server, "Bo")
    await post(api, server, token, "before")
    page = await context.new_page()
    await page.goto("/docs-page")
    await expect(page.locator("li")).to_have_count(1)
    await expect(page.locator("li")).to_contain_text(["before"])
    await post(api, server, token, "live")
    await expect(page.locator("li")).to_contain_text(["before", "live"])
    if name == "page.js":
        return
    await page.locator("input").click()
    await page.wait_for_function(
        "() => Object.keys(localStorage).some((name) => name.startsWith('livecomments.session'))"
    )
    await page.locator("input").fill("mine")
    await page.locator("input").press("Enter")
    await expect(page.locator("li")).to_contain_text(["before", "live", "Ana: mine"])
