"""What the embedded store does beside the contract: durability, its layout, and its file's troubles."""

import sqlite3
from pathlib import Path

import pytest

from livecomments.embedded.store import TABLES, EmbeddedStore
from livecomments.sqlite import DurableFile
from livecomments.store.interface import StoreUnavailable
from livecomments_schemas.errors import StartRefused
from tests.store.examples import END, START, comment


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    row = comment("video", START)
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedStore(file) as store:
        await store.write([row])
        await store.advance_watermark(1, 0, START)
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedStore(file) as store:
        assert (await store.read("video", START - 1, END, 10, descending=True)).rows == [row]
        assert await store.watermark(1, 0) == START


async def test_other_bucket_bits_than_those_of_the_file_are_refused(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file:
        async with EmbeddedStore(file, bucket_bits=18):
            pass
        with pytest.raises(StartRefused, match="18 bucket bits"):
            await EmbeddedStore(file).__aenter__()


async def test_a_file_that_cannot_be_written_is_an_unavailable_store(tmp_path: Path) -> None:
    commits_fail = False

    def commit(connection: sqlite3.Connection) -> None:
        if commits_fail:
            raise sqlite3.OperationalError("disk I/O error")
        connection.commit()

    async with DurableFile(tmp_path, TABLES, commit=commit) as file, EmbeddedStore(file) as store:
        commits_fail = True
        with pytest.raises(StoreUnavailable):
            await store.write([comment("video", START)])
        with pytest.raises(StoreUnavailable):
            await store.advance_watermark(1, 0, START)
        commits_fail = False
        assert (await store.read("video", START - 1, END, 10, descending=False)).rows == []
