"""A real Chromium, and the real server as a process that a test may kill."""

import asyncio
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import APIRequestContext, Browser, Error, Playwright, async_playwright

from infra.local.ports import free_port
from tests.gateway.test_answers import JWT
from tests.live.stream import environment_of

START_TIMEOUT_S: Final = 120.0
"""A start is a second of CPU, which took a minute beside six other test runs on two cores."""
STOP_TIMEOUT_S: Final = 15.0
POLL_INTERVAL_S: Final = 0.05

CHROMIUM_FLAGS: Final = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class Server:
    """`livecomments run` on a port and a data directory of its own, both the same after a restart."""

    def __init__(self, folder: Path, api: APIRequestContext, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._command = (
            *(str(Path(sys.executable).with_name("livecomments")), "run", "--host", "127.0.0.1"),
            *("--port", str(port), "--data-dir", str(folder / "data")),
        )
        self._output = folder / "server.log"
        self._api = api
        self._process: Process | None = None

    async def start(self) -> None:
        """Returns when the server says that it is ready."""
        with self._output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=environment_of({name.upper(): value for name, value in JWT.items()}),
                stdout=output,
                stderr=output,
            )
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await self._is_ready():
                assert self._process.returncode is None, f"It has ended: {self._output.read_text()}"
                await asyncio.sleep(POLL_INTERVAL_S)

    async def kill(self) -> None:
        """As a crash does: no drain, no goodbye."""
        await self._stop(signal.SIGKILL)

    async def aclose(self) -> None:
        """Ends it in order; may be called twice."""
        await self._stop(signal.SIGTERM)

    async def _stop(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(number)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise

    async def _is_ready(self) -> bool:
        try:
            return (await self._api.get(f"{self.url}/healthz/ready")).ok
        except Error:  # nobody listens yet
            return False


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is. A machine without one skips these tests; CI may not: tests/ci_rules.py."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("No Chromium here: apt-get install chromium")
    return path


@pytest.fixture
async def playwright(chromium: str) -> AsyncIterator[Playwright]:
    async with async_playwright() as running:
        yield running


@pytest.fixture
async def browser(playwright: Playwright, chromium: str) -> AsyncIterator[Browser]:
    browser = await playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
    yield browser
    await browser.close()


@pytest.fixture
async def api(playwright: Playwright) -> AsyncIterator[APIRequestContext]:
    """A client that is no browser."""
    context = await playwright.request.new_context()
    yield context
    await context.dispose()


@pytest.fixture
async def server(api: APIRequestContext, tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path, api, free_port())
    try:
        await server.start()
        yield server
    finally:
        await server.aclose()
