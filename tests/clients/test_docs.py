"""docs/CLIENTS.md and the README: what is said to run there, runs."""

import asyncio
import re
import shutil
import subprocess
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.programs import running
from tests.served import served

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "docs" / "CLIENTS.md", ROOT / "README.md")
CLIENT_FILE: Final = ROOT / "gateway" / "livecomments_gateway" / "page" / "client.js"
SNIPPETS: Final = dict(
    re.findall(r"<!-- runs: (\S+) -->\n```\w+\n(.*?)```", "".join(map(Path.read_text, PAGES)), re.DOTALL)
)
PROGRAMS: Final = {
    ".mjs": ("node",),
    ".py": (sys.executable,),
    ".sh": ("sh",),
    ".go": ("go", "run"),
    ".java": ("java",),
}
READERS: Final = ("fetch.mjs", "curl.sh", "follow.py", "follow.go", "Follow.java")
IN_BROWSERS: Final = ("page.js", "react.jsx")
"""Run by tests/browser/test_docs.py."""
SHOWN_TIMEOUT_S: Final = 60

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]


def test_there_are_some() -> None:
    assert set(SNIPPETS) == {"sdk.mjs", "readme.mjs", "post.sh", *READERS, *IN_BROWSERS}


async def test_all_of_them_run(tmp_path: Path) -> None:
    """At once, beside one service: each shows what was there, then what another of them writes."""
    if not all(map(shutil.which, ("node", "curl", "sh", "go", "java"))):
        pytest.skip("no Node, curl, Go or Java here: apt-get install nodejs curl golang-go openjdk-17-jdk-headless")
    shutil.copy(CLIENT_FILE, tmp_path / "client.mjs")
    async with served(tmp_path / "data") as deployment:
        for name, text in SNIPPETS.items():
            said = text.replace("https://comments.example", deployment.url)
            said = said.replace("http://127.0.0.1:8080", deployment.url)
            (tmp_path / name).write_text(said.replace("@livecomments/client", "./client.mjs"))
        await deployment.post("launch", "before", await deployment.token("Bo"))
        async with AsyncExitStack() as until:
            readers = [await until.enter_async_context(started(tmp_path / name)) for name in READERS]
            for reader in readers:
                await expect(reader, "before")
            writer = await until.enter_async_context(started(tmp_path / "post.sh"))
            await expect(writer, "from curl")
            for reader in readers:
                await expect(reader, "from curl")
        async with started(tmp_path / "sdk.mjs") as client:
            await expect(client, "from the client")
        async with started(tmp_path / "readme.mjs") as client:
            await expect(client, "Hello")


def started(script: Path) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """The program of such a script, killed with all it has started when this is left."""
    return running(script.with_suffix(".log"), *PROGRAMS[script.suffix], str(script), stdout=subprocess.PIPE)


async def expect(process: asyncio.subprocess.Process, words: str) -> None:
    """It says these words, soon."""
    assert process.stdout is not None
    seen = ""
    async with asyncio.timeout(SHOWN_TIMEOUT_S):
        while words not in seen:
            line = await process.stdout.readline()
            assert line, f"It has ended and said no {words!r} but {seen!r}"
            seen += line.decode()
