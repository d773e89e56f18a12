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

from tests.clients.npm import esbuild, need_packages
from tests.conformance.programs import running
from tests.live.stream import until
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
KOTLIN: Final = "follow.kt"
COUNTS: Final = "counts.mjs"
SHOWN_TIMEOUT_S: Final = 60
COMPILE_TIMEOUT_S: Final = 300
"""Maven brings the compiler first, once a machine."""

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]


def test_there_are_some() -> None:
    assert set(SNIPPETS) == {"sdk.mjs", "readme.mjs", "post.sh", *READERS, *IN_BROWSERS, KOTLIN, COUNTS}


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


async def test_the_one_that_counts_runs(tmp_path: Path) -> None:
    """With an entry of its own, which is not in the file that the gateway serves."""
    need_packages()
    esbuild("src/counts.ts", f"--outfile={tmp_path / 'entry.mjs'}")
    async with served(tmp_path / "data", counts=True) as deployment:
        said = SNIPPETS[COUNTS].replace("https://comments.example", deployment.url)
        (tmp_path / COUNTS).write_text(said.replace("@livecomments/client/counts", "./entry.mjs"))
        await deployment.post("launch", "one", await deployment.token("Bo"))

        async def is_counted() -> bool:
            async with deployment.client.get("/videos/launch/counts") as answer:
                return answer.status == 200 and bool((await answer.json())["minutes"])

        await until(is_counted, "counted")
        async with started(tmp_path / COUNTS) as program:
            await expect(program, "Z: 1 comments by 1")


@pytest.mark.timeout(2 * COMPILE_TIMEOUT_S)
async def test_the_kotlin_one_runs(tmp_path: Path) -> None:
    if not all(map(shutil.which, ("java", "mvn"))):
        pytest.skip("no Java or Maven here: apt-get install openjdk-17-jdk-headless maven")
    async with served(tmp_path / "data") as deployment:
        source = tmp_path / KOTLIN
        source.write_text(SNIPPETS[KOTLIN].replace("https://comments.example", deployment.url))
        command = await asyncio.to_thread(compiled, source)
        token = await deployment.token("Bo")
        await deployment.post("launch", "before", token)
        async with running(source.with_suffix(".log"), *command, stdout=subprocess.PIPE) as reader:
            await expect(reader, "before")
            await deployment.post("launch", "live", token)
            await expect(reader, "live")


def compiled(source: Path) -> tuple[str, ...]:
    """Returns the command that runs it."""

    def run(*command: str) -> None:
        subprocess.run(command, cwd=source.parent, check=True, timeout=COMPILE_TIMEOUT_S, stdin=subprocess.DEVNULL)

    jars = source.parent / "jars"
    pom = Path(__file__).with_name("kotlin") / "pom.xml"
    run("mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}")
    classes = ":".join(map(str, (source.parent / "classes", *jars.glob("*.jar"))))
    compiler = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
    run("java", "-cp", f"{jars}/*", compiler, "-no-stdlib", "-no-reflect", "-cp", classes, "-d", "classes", str(source))
    return ("java", "-cp", classes, "FollowKt")


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
