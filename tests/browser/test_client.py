"""`clients/js` in a real Chromium, against the real command: its examples, through what happens to browsers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import APIRequestContext, Browser, BrowserContext, Page, Route, expect

from tests.browser.conftest import Server
from tests.browser.test_page import SOON_MS, VIDEO, open_session, post, read_messages
from tests.clients.npm import CLIENT, esbuild, need_packages

pytestmark = pytest.mark.browser

EXAMPLE: Final = (CLIENT / "examples" / "no-build" / "index.html").read_text()
SERVED: Final = CLIENT.parents[1] / "gateway" / "livecomments_gateway" / "page" / "client.js"
TABS: Final = 8
"""Two more than a browser opens connections to a site over HTTP/1.1."""


def answering(text: str, path: str) -> Callable[[Route], Awaitable[None]]:
    kind = "text/javascript" if path.endswith(".js") else "text/html"

    async def answer(route: Route) -> None:
        await route.fulfill(body=text, content_type=kind)

    return answer


async def context_of(browser: Browser, server: Server, files: dict[str, str]) -> BrowserContext:
    """Somebody's browser, for which the service has these files, too."""
    context = await browser.new_context(base_url=server.url)
    await serve(context, server, files)
    return context


async def serve(context: BrowserContext, server: Server, files: dict[str, str], part: str = "") -> None:
    """Answer with those of the files whose path has `part` in it."""
    for path, text in files.items():
        if part in path:
            await context.route(f"{server.url}{path}*", answering(text, path))


async def open_example(context: BrowserContext, path: str = "/example") -> Page:
    page = await context.new_page()
    await page.goto(f"{path}?video={VIDEO}")
    return page


async def expect_state(page: Page, state: str) -> None:
    await expect(page.locator("#state")).to_have_text(state, timeout=SOON_MS)


async def expect_comments(page: Page, messages: list[str]) -> None:
    """Exactly these, in this order, and none still on its way."""
    await expect(page.locator("#comments li")).to_have_text(messages, timeout=2 * SOON_MS)
    await expect(page.locator("#pending li")).to_have_count(0, timeout=2 * SOON_MS)


async def write(page: Page, message: str) -> None:
    await page.get_by_label("Comment").fill(message)
    await page.get_by_label("Comment").press("Enter")


async def test_a_killed_server_costs_nothing_and_doubles_nothing(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    # The client comes from elsewhere here, as on most sites: a page that is loaded while the server is down has it.
    context = await context_of(browser, server, {"/example": EXAMPLE, "/client.js": SERVED.read_text()})
    page = await open_example(context)
    await expect_state(page, "live")
    await write(page, "before")
    await expect_comments(page, ["Guest: before"])
    await server.kill()
    await expect_state(page, "reconnecting")
    await write(page, "while it was down")
    await expect(page.locator("#pending li")).to_have_count(1)
    await page.reload()  # what is on its way survives that, too
    await server.start()
    await post(api, server, await open_session(api, server, "Cleo"), "by another")
    await expect_state(page, "live")
    await expect(page.locator("#comments li")).to_have_count(3, timeout=2 * SOON_MS)
    assert sorted(await read_messages(api, server)) == ["before", "by another", "while it was down"]


async def test_offline_is_said_at_once_and_what_was_missed_comes_with_the_network(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    context = await context_of(browser, server, {"/example": EXAMPLE})
    page = await open_example(context)
    await expect_state(page, "live")
    await write(page, "before")
    await expect_comments(page, ["Guest: before"])
    await context.set_offline(True)
    await expect_state(page, "offline")
    await write(page, "mine")
    await post(api, server, await open_session(api, server, "Cleo"), "another's")
    await context.set_offline(False)
    await expect_state(page, "live")
    await expect(page.locator("#comments li")).to_have_count(3, timeout=SOON_MS)
    await expect(page.locator("#pending li")).to_have_count(0)


async def test_eight_tabs_live_on_one_stream_and_one_can_write_in_each(browser: Browser, server: Server) -> None:
    context = await context_of(browser, server, {"/example": EXAMPLE})
    pages = [await open_example(context) for _ in range(TABS)]
    for page in pages:
        await expect_state(page, "live")
    for number, page in enumerate(pages):
        await write(page, f"from tab {number}")
    said = [f"Guest: from tab {number}" for number in range(TABS)]
    for page in pages:
        await expect(page.locator("#comments li")).to_have_count(TABS, timeout=SOON_MS)
        assert sorted(await page.locator("#comments li").all_text_contents()) == said
    assert await viewers(server, pages[0]) == 1

    leading = pages.pop(0)
    await leading.close()
    await write(pages[0], "the leader is gone")
    for page in pages:
        await expect(page.locator("#comments li").last).to_have_text("Guest: the leader is gone", timeout=SOON_MS)
        await expect_state(page, "live")
    assert await viewers(server, pages[0]) == 1


async def viewers(server: Server, page: Page) -> int:
    """Streams that the server has open, once that number stands."""
    answer = await page.request.get(f"{server.url}/metrics")
    text = await answer.text()
    return sum(
        int(float(line.split()[-1])) for line in text.splitlines() if line.startswith("livecomments_edge_viewers{")
    )


async def test_a_hidden_tab_lets_its_stream_go_and_resumes_exactly(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    context = await context_of(browser, server, {"/example": EXAMPLE})
    page = await open_example(context)
    await expect_state(page, "live")
    hide = """(hidden) => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
        document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    }"""
    await page.evaluate("window.client.close()")
    await page.evaluate(f"window.video = window.client.video('{VIDEO}')")
    quick = """async (id) => {
        const { createCommentsClient } = await import("/client.js");
        window.video = createCommentsClient({ baseUrl: "/" }).video(id, { hiddenAfterMs: 300 });
        video.subscribe(() => {
            document.querySelector("#state").textContent = video.getSnapshot().state.is;
        });
    }"""
    await page.evaluate(quick, VIDEO)
    await expect_state(page, "live")
    await page.evaluate(hide, True)
    await expect_state(page, "paused")
    await post(api, server, await open_session(api, server, "Cleo"), "meanwhile")
    await page.evaluate(hide, False)
    await expect_state(page, "live")
    await page.wait_for_function("video.getSnapshot().comments.at(-1)?.message === 'meanwhile'")


@pytest.mark.timeout(400)  # the packages may have to be installed
async def test_react_in_strict_mode_opens_one_stream(browser: Browser, server: Server, api: APIRequestContext) -> None:
    await asyncio.to_thread(need_packages)
    made = await asyncio.to_thread(bundle)
    page_text = (CLIENT / "examples" / "react" / "index.html").read_text()
    context = await context_of(browser, server, {"/example": page_text, "/main.js": made})
    streams: list[str] = []
    context.on("request", lambda request: streams.append(request.url) if "/stream" in request.url else None)
    page = await open_example(context)
    await expect_state(page, "live")
    await write(page, "hello")
    await expect_comments(page, ["Guest: hello"])
    assert len(streams) == 1


def bundle() -> str:
    aliases = ("--alias:@livecomments/client=./src/index.ts", "--alias:@livecomments/client/react=./src/react.ts")
    return esbuild("examples/react/main.tsx", "--jsx=automatic", *aliases)


FRAMES: Final = "<!doctype html><title>Frames</title><iframe src=/frame></iframe><iframe src=/frame></iframe>"
FRAME: Final = """<!doctype html><title>Frame</title><script type="module">
import { createCommentsClient } from "/client.js";
const client = createCommentsClient({ baseUrl: "/" });
window.video = client.video("VIDEO");
video.connect();
client.session.get() ?? await client.session.open("Ana");
window.isReady = true;
</script>""".replace("VIDEO", VIDEO)


async def test_what_two_frames_left_unsent_is_sent_once_after_a_reload(
    browser: Browser, server: Server, api: APIRequestContext
) -> None:
    context = await context_of(browser, server, {"/both": FRAMES, "/frame": FRAME})
    page = await context.new_page()
    posts = f"{server.url}/comments/{VIDEO}"

    async def refuse(route: Route) -> None:
        await (route.abort() if route.request.method == "POST" else route.fallback())

    await context.route(posts, refuse)
    await page.goto("/both")
    await of_both(page, "({ isReady }) => isReady")
    await page.evaluate("() => [0, 1].forEach((at) => frames[at].video.post(`of frame ${at}`).catch(() => {}))")
    await of_both(page, "({ video }) => video.getSnapshot().pending[0]?.is === 'unknown'")
    await context.unroute(posts, refuse)
    await page.reload()
    await of_both(page, "({ video }) => video?.getSnapshot().comments.length === 2")
    await of_both(page, "({ video }) => !video.getSnapshot().pending.length")
    assert sorted(await read_messages(api, server)) == ["of frame 0", "of frame 1"]
    assert await page.evaluate("() => sessionStorage.length") == 0


async def of_both(page: Page, fact: str) -> None:
    await page.wait_for_function(f"() => frames.length === 2 && [frames[0], frames[1]].every({fact})")


@pytest.mark.timeout(400)
async def test_what_is_loaded_later_and_cannot_be_is_said_and_asked_for_again(
    browser: Browser, server: Server, api: APIRequestContext, tmp_path: Path
) -> None:
    """As after a deployment that has taken the old files away: who watches goes on, and who writes is told."""
    await asyncio.to_thread(need_packages)
    files = await asyncio.to_thread(split, tmp_path)
    context = await context_of(browser, server, {"/example": "<!doctype html><title>Split</title>", **files})
    page = await context.new_page()
    await page.goto("/example")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    watch = """async (id) => {
        const { createCommentsClient } = await import("/split/index.js");
        window.client = createCommentsClient({ baseUrl: "/" });
        window.video = client.video(id);
        video.connect();
    }"""
    author = await open_session(api, server, "Cleo")
    await post(api, server, author, "zero")
    following = f"{server.url}/split/follow-*"
    await context.route(following, lambda route: route.abort())
    await page.evaluate(watch, VIDEO)
    await page.wait_for_function("() => video.getSnapshot().comments.length === 1")
    await page.wait_for_function("() => video.getSnapshot().state.is === 'reconnecting'")
    assert await page.evaluate("() => video.getSnapshot().state.cause.code") == "unreachable"
    await context.unroute(following)
    await serve(context, server, files, "/follow-")
    await page.wait_for_function("() => video.getSnapshot().state.is === 'live'")
    await post(api, server, author, "one")
    await page.wait_for_function("() => video.getSnapshot().comments.length === 2")
    later = f"{server.url}/split/rest-*"
    assert not [url for url in asked if "/rest-" in url], "who only watches does not load it"
    await context.route(later, lambda route: route.abort())
    failed = "() => client.session.open('Ana').then(() => 'opened', ({ code }) => code)"
    assert await page.evaluate(failed) == "unreachable"
    assert await page.evaluate("() => video.getSnapshot().state.is") == "live"
    await context.unroute(later)
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await context.route(later, hold)
    assert await page.evaluate(failed) == "timeout"
    for route in held:
        await route.abort()
    await context.unroute(later)
    await serve(context, server, files, "/rest-")
    assert await page.evaluate(failed) == "opened"
    await page.evaluate("() => video.post('two')")
    await page.wait_for_function("() => video.getSnapshot().comments.length === 3")


def split(folder: Path) -> dict[str, str]:
    """The client as bundlers split it."""
    esbuild("src/index.ts", "--splitting", f"--outdir={folder}")
    return {f"/split/{path.name}": path.read_text() for path in folder.glob("*.js")}


FLOOD: Final = """async () => {
    const { createCommentsClient } = await import("/client.js");
    const encoder = new TextEncoder();
    const idOf = (n) => String(n).padStart(16, "0");
    const total = 5_000;
    const stream = new ReadableStream({
        async start(control) {
            control.enqueue(encoder.encode(":\\n\\n"));
            for (let n = 1; n <= total; ) {
                let text = "";
                for (const end = n + 50; n < end; n++) {
                    const comment = {
                        commentId: idOf(n), videoId: "v", message: `comment ${n}`,
                        author: { id: `u${n % 97}`, displayName: "Ana" }, createdAt: "2026-01-01T00:00:00.000Z",
                    };
                    text += `event: comment\\nid: ${idOf(n)}\\ndata: ${JSON.stringify(comment)}\\n\\n`;
                }
                control.enqueue(encoder.encode(text));
                await new Promise((resolve) => setTimeout(resolve, 50));
            }
        },
    });
    const client = createCommentsClient({
        baseUrl: "/",
        fetch: async () => new Response(stream, { headers: { "Content-Type": "text/event-stream" } }),
    });
    const video = client.video("v", { history: 0, maxComments: 300 });
    let changes = 0, told = 0, longest = 0;
    video.on("comments", ({ news }) => { told += news.length; });
    const began = performance.now();
    await new Promise((resolve) => video.subscribe(() => {
        changes++;
        longest = Math.max(longest, video.getSnapshot().comments.length);
        if (told >= total) resolve();
    }));
    const took = performance.now() - began;
    client.close();
    return { changes, told, longest, took };
}"""


async def test_a_thousand_comments_a_second_are_a_change_a_frame(browser: Browser, server: Server) -> None:
    context = await context_of(browser, server, {"/example": "<!doctype html><title>Flood</title>"})
    page = await context.new_page()
    await page.goto("/example")
    devtools = await context.new_cdp_session(page)
    await devtools.send("Performance.enable")
    before = await task_seconds(devtools)
    seen: dict[str, float] = await page.evaluate(FLOOD)
    busy = await task_seconds(devtools) - before
    print(f"{seen}, {1e6 * busy / seen['told']:.0f} us of the main thread a comment")
    assert seen["told"] == 5_000
    assert seen["longest"] == 300
    assert seen["changes"] <= seen["took"] / 1_000 * 60 + 10


async def task_seconds(devtools: Any) -> float:
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")
