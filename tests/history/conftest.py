"""Worlds: one for a test, or one durable file for many small ones."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from livecomments.sqlite import DurableFile
from tests.history.world import TABLES, World, open_world


@dataclass(frozen=True)
class Ground:
    """A durable file and the loop it lives in."""

    runner: asyncio.Runner
    file: DurableFile


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Its commits do not wait for the disk: thousands of worlds are made on it, and none outlives the test."""
    with asyncio.Runner() as runner:
        file = DurableFile(tmp_path_factory.mktemp("worlds"), TABLES, commit=_commit_to_memory)
        runner.run(file.__aenter__())
        yield Ground(runner, file)
        runner.run(file.aclose())


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[DurableFile]:
    """A file of its own, in the test's own loop."""
    async with DurableFile(tmp_path, TABLES) as file:
        yield file


@pytest.fixture
async def world(file: DurableFile) -> AsyncIterator[World]:
    """A world of its own, in the test's own loop."""
    async with open_world(file) as world:
        yield world


def _commit_to_memory(connection: sqlite3.Connection) -> None:
    connection.commit()
    connection.execute("PRAGMA synchronous=OFF")
