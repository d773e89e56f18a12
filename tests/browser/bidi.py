"""Firefox by WebDriver BiDi: the few commands that looking at a page takes.

Source: https://w3c.github.io/webdriver-bidi/.
"""

import asyncio
import base64
import itertools
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.conformance.programs import running

START_TIMEOUT_S: Final = 120.0
_SCHEMES: Final = {"dark": 0, "light": 1}
_LOOK_S: Final = 0.05
_ADDRESS: Final = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")


class BidiError(Exception):
    """A command that the browser refused, or a script that threw."""


class Firefox:
    """One window. `told`: answers by the number of their command."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._context = ""
        self._around = ""  # the browser's own window, whose scripts may set preferences

    async def begin(self) -> None:
        """Open a session and take its window."""
        await self._ask("session.new", capabilities={})
        self._context = (await self._ask("browsingContext.getTree"))["contexts"][0]["context"]
        around = await self._ask("browsingContext.getTree", **{"moz:scope": "chrome"})
        self._around = around["contexts"][0]["context"]

    async def goto(self, url: str) -> None:
        await self._ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def run(self, script: str) -> Any:
        """The JSON of what an expression gives, awaited."""
        told = await self._ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({script})))()",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if told["type"] != "success":
            raise BidiError(told["exceptionDetails"]["text"])
        value = told["result"].get("value")
        return None if value is None else json.loads(value)

    async def resize(self, width: int, height: int) -> None:
        viewport = {"width": width, "height": height}
        await self._ask("browsingContext.setViewport", context=self._context, viewport=viewport)

    async def shoot(self, path: Path) -> None:
        told = await self._ask("browsingContext.captureScreenshot", context=self._context)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(told["data"]))

    async def paint(self, theme: str) -> None:
        """As one whose system is light, or dark."""
        await self.prefer("layout.css.prefers-color-scheme.content-override", _SCHEMES[theme])

    async def prefer(self, name: str, value: int) -> None:
        """Set a preference of the browser's, as about:config does."""
        script = f'Services.prefs.setIntPref("{name}", {value})'
        target = {"context": self._around}
        await self._ask("script.evaluate", expression=script, target=target, awaitPromise=False)

    async def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told = await self._socket.receive_json()
            if told.get("id") != number:
                continue  # an event
            if told["type"] == "error":
                raise BidiError(told["message"])
            result: dict[str, Any] = told["result"]
            return result


@asynccontextmanager
async def firefox(folder: Path, preferences: Mapping[str, str]) -> AsyncIterator[Firefox]:
    """A Firefox with a profile of its own, without a screen."""
    await asyncio.to_thread(_make_profile, folder, preferences)
    log = folder.with_suffix(".log")
    command = (
        "firefox-esr",
        "--headless",
        "--no-remote",
        "--profile",
        str(folder),
        "--remote-debugging-port=0",
        "--remote-allow-system-access",
    )
    async with running(log, *command, environment={"HOME": str(folder)}):
        async with asyncio.timeout(START_TIMEOUT_S):
            while (found := _ADDRESS.search(await asyncio.to_thread(log.read_bytes))) is None:  # noqa: ASYNC110 - a file tells
                await asyncio.sleep(_LOOK_S)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{found[1].decode()}/session", max_msg_size=2**26) as socket,
        ):
            browser = Firefox(socket)
            await browser.begin()
            yield browser


def _make_profile(folder: Path, preferences: Mapping[str, str]) -> None:
    folder.mkdir()
    lines = [f'user_pref("{name}", {value});' for name, value in preferences.items()]
    (folder / "user.js").write_text("\n".join(lines))
