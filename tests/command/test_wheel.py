"""The wheel, installed away from the checkout: what is in it, and that it runs without what is not."""

import asyncio
import os
import subprocess
import sys
import sysconfig
import zipfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.docs_tables import commands

ROOT: Final = Path(__file__).parents[2]
BOUND_S: Final = 60.0
STAYS_BEHIND: Final = ("chaos", "infra", "bench", "tests")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout's wheel, built offline."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=BOUND_S)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel and nothing of the checkout.

    What the wheel depends on comes from this environment: a line in a `.pth` file adds a folder, and not what the
    `.pth` files in that folder add, which is where the checkout is named.
    """
    directory = tmp_path_factory.mktemp("environment") / "venv"
    run = [sys.executable, "-m", "venv", "--without-pip", str(directory)]
    subprocess.run(run, check=True, capture_output=True, timeout=BOUND_S)
    python = directory / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=BOUND_S)
    (site,) = directory.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory / "bin"


def call(installed: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of the environment, in a folder and an environment where nothing else is found."""
    return subprocess.run(
        [installed / arguments[0], *arguments[1:]],
        cwd=directory,
        env=bare(),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )


def bare() -> dict[str, str]:
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "COLUMNS": "200"}


@asynccontextmanager
async def running(installed: Path, directory: Path) -> AsyncIterator[str]:
    """The URL of the demo, which runs until this is left."""
    run = (installed / "livecomments", "run", "--demo", "--port", "0", "--data-dir", directory / "data")
    process = await asyncio.create_subprocess_exec(*run, cwd=directory, env=bare(), stdout=PIPE, stderr=PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(BOUND_S):
            line = (await process.stdout.readline()).decode()
        yield line.split("running: ")[1].split()[0].rstrip("/")
    finally:
        process.terminate()
        await process.communicate()


def test_its_names_cannot_collide_and_nothing_that_is_not_for_production_is_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert all(top.startswith("livecomments") for top in tops), tops
    assert not [name for name in names if set(STAYS_BEHIND) & set(name.split("/"))]
    assert "livecomments_loadtest/real-chat.jsonl" in names


def test_nothing_of_the_checkout_is_found_beside_it(installed: Path, tmp_path: Path) -> None:
    for name in STAYS_BEHIND:
        assert "ModuleNotFoundError" in call(installed, tmp_path, "python", "-c", f"import {name}").stderr
    where = call(installed, tmp_path, "python", "-c", "import livecomments_gateway as it; print(it.__file__)").stdout
    assert where.startswith(str(installed.parent))


async def test_the_demo_plays_and_a_load_test_passes_beside_it(installed: Path, tmp_path: Path) -> None:
    async with running(installed, tmp_path) as url, aiohttp.ClientSession() as client:
        async with asyncio.timeout(BOUND_S):
            comments: list[object] = []
            while not comments:
                async with client.get(f"{url}/comments/demo") as answer:
                    comments = (await answer.json()).get("comments", [])
                await asyncio.sleep(0.05)
        small = ["--videos", "2", "--viewers", "4", "--comments", "60", "--speed", "100", "--deadline-s", "30"]
        load = await asyncio.to_thread(call, installed, tmp_path, "livecomments", "load", "--url", url, *small)
        assert load.returncode == 0, load.stdout + load.stderr


def test_a_demo_that_cannot_play_ends_and_says_why(installed: Path, tmp_path: Path) -> None:
    (chat,) = installed.parent.glob("lib/python*/site-packages/livecomments_loadtest/real-chat.jsonl")
    aside = chat.rename(tmp_path / chat.name)
    try:
        run = ("livecomments", "run", "--demo", "--port", "0", "--data-dir", "data")
        done = call(installed, tmp_path, *run)
    finally:
        aside.rename(chat)
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr
    assert chat.name in done.stderr


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_says_how_it_is_called(installed: Path, tmp_path: Path, command: str) -> None:
    done = call(installed, tmp_path, "livecomments", *command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert f"livecomments {command}" in done.stdout
