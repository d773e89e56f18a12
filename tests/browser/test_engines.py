"""`clients/js` in Chromium, Firefox and WebKitGTK, against the real command: the same stories, by each transport."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import APIRequestContext

from infra.local.ports import free_port
from tests.browser.conftest import Server
from tests.browser.test_client import bundle
from tests.browser.test_page import VIDEO, open_session, post
from tests.clients.npm import CLIENT, esbuild, need_packages
from tests.conformance.programs import open_page, why_missing

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

STORY: Final = Path(__file__).with_name("story.js").read_text()
PAGE: Final = '<!doctype html><meta charset="utf-8"><title>Story</title><body><script type="module" src="{}"></script>'
AWAY: Final = """<!doctype html><title>Away</title><script>
addEventListener("load", async () => {
  await fetch("/act/write/while away", { method: "POST" });
  history.back();
});
</script>"""
REACT: Final = (CLIENT / "examples" / "react" / "index.html").read_text().replace("main.js", "react.js")
BOUND_S: Final = 150.0
ENGINES: Final = ("chromium", "firefox", "webkit")
RUNS: Final = (
    *itertools.product(ENGINES, ("fetch", "eventSource", "xhr")),
    *itertools.product(ENGINES[:1], ("poll", "auto")),  # made of nothing that browsers do each in its own way
)
ENTRIES: Final = ("index", "transports", "share", "poll", "rn")
PASSED_ON: Final = frozenset(("authorization", "content-type", "idempotency-key", "idempotency-after", "accept"))


def sdk() -> str:
    """All entries in one module."""
    return esbuild(text="".join(f'export * from "./src/{entry}.ts";' for entry in ENTRIES))


class Stage:
    """One address for the story's files and the service behind it, which the story may kill."""

    def __init__(self, server: Server, api: APIRequestContext, files: dict[str, str]) -> None:
        self._server = server
        self._api = api
        self._files = files
        self._upstream: aiohttp.ClientSession | None = None
        self.told: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.streams = 0
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        app = web.Application()
        app.router.add_post("/told", self._tell)
        app.router.add_post("/act/{what:.*}", self._act)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0)
        port = free_port()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout()) as self._upstream:
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _tell(self, request: web.Request) -> web.Response:
        self.told.set_result(json.loads(await request.text()))
        return web.Response()

    async def _act(self, request: web.Request) -> web.Response:
        what, _, text = request.match_info["what"].partition("/")
        if what == "kill":
            await self._server.kill()
        elif what == "start":
            await self._server.start()
        elif what == "write":
            await post(self._api, self._server, await open_session(self._api, self._server, "Cleo"), text)
        return web.Response(text=str(self.streams))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        file = self._files.get(request.path)
        if file is not None:
            kind = "text/javascript" if request.path.endswith(".js") else "text/html"
            return web.Response(text=file, content_type=kind, headers={"Cache-Control": "no-cache"})
        self.streams += request.path.endswith("/stream")
        assert self._upstream is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() in PASSED_ON}
        headers["Accept-Encoding"] = "identity"
        url = f"{self._server.url}{request.raw_path}"
        try:
            async with self._upstream.request(
                request.method, url, data=await request.read(), headers=headers
            ) as answer:
                kept = {name: value for name, value in answer.headers.items() if name.lower().startswith("stream-")}
                kept |= {"Content-Type": answer.headers.get("Content-Type", ""), "Cache-Control": "no-store"}
                told = web.StreamResponse(status=answer.status, headers=kept)
                await told.prepare(request)
                async for piece in answer.content.iter_any():
                    await told.write(piece)
                return told
        except (aiohttp.ClientError, OSError):
            if request.transport is not None:  # it may have gone itself
                request.transport.abort()
            return web.Response(status=502)

    async def play(self, browser: str, story: str, transport: str, folder: Path) -> dict[str, Any]:
        """Return what the story has told."""
        async with AsyncExitStack() as until:
            url = f"{self.url}/story.html?story={story}&transport={transport}&video={VIDEO}"
            await open_page(browser, folder / browser, url, until)
            async with asyncio.timeout(BOUND_S):
                told = await self.told
        print(browser, transport, told)
        assert "failed" not in told, told
        return told


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    missing = why_missing(request.param)
    if missing:
        pytest.skip(missing)
    return str(request.param)


@pytest.fixture
async def stage(server: Server, api: APIRequestContext) -> AsyncIterator[Stage]:
    await asyncio.to_thread(need_packages)
    files = {
        "/sdk.js": await asyncio.to_thread(sdk),
        "/react.js": await asyncio.to_thread(bundle),
        "/story.js": STORY,
        "/story.html": PAGE.format("/story.js"),
        "/react.html": REACT,
        "/away.html": AWAY,
    }
    async with Stage(server, api, files).open() as made:
        yield made


@pytest.mark.parametrize(("engine", "transport"), [*RUNS], indirect=["engine"])
async def test_a_killed_service_costs_no_comment(engine: str, transport: str, stage: Stage, tmp_path: Path) -> None:
    told = await stage.play(engine, "killed", transport, tmp_path)
    assert sorted(told["messages"]) == ["after", "before", "meanwhile"]


async def test_offline_is_said_and_what_was_missed_comes(engine: str, stage: Stage, tmp_path: Path) -> None:
    told = await stage.play(engine, "offline", "fetch", tmp_path)
    assert told["messages"] == ["meanwhile"]


async def test_a_page_that_is_gone_back_to_goes_on(engine: str, stage: Stage, tmp_path: Path) -> None:
    told = await stage.play(engine, "restored", "fetch", tmp_path)
    assert told["messages"] == ["while away"]


async def test_a_hidden_page_lets_go_and_resumes(engine: str, stage: Stage, tmp_path: Path) -> None:
    told = await stage.play(engine, "hidden", "fetch", tmp_path)
    assert told["messages"] == ["meanwhile"]


async def test_eight_tabs_have_one_stream(engine: str, stage: Stage, tmp_path: Path) -> None:
    told = await stage.play(engine, "tabs", "shared", tmp_path)
    assert told["told"] == [8] * 8
    assert told["streams"] <= 3, "one, and what a tab reads by itself while it joins"


async def test_strict_mode_opens_one_stream(engine: str, stage: Stage, tmp_path: Path) -> None:
    told = await stage.play(engine, "strict", "fetch", tmp_path)
    assert told["streams"] == 1
