"""Rebuild: an empty store holds afterwards what the log says, whoever else writes, and however often it was stopped."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.history.log_end import LogWentBack
from livecomments.log.interface import Bounds, CommentLog, OffsetUnavailable
from livecomments.sqlite import DurableFile
from livecomments.store.interface import Row
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.rebuild import CheckpointedStore, rebuild
from livecomments_command.records.verify import verify
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import BEFORE_EVERYTHING, comment_id, position_at
from tests.command.installation import append, comment, deletion, installation, make_file, persist, run

QUIET = Console(quiet=True)
VIDEOS = [f"video-{number}" for number in range(12)]


async def fill(found: Opened, count: int = 600, since: int = 0) -> None:
    """Comments, duplicates, deletes, also of another video's comments, and what nobody can read."""
    for number in range(since, since + count):
        video = VIDEOS[number % len(VIDEOS)]
        (offset,) = await append(found, [comment(video, number, key=f"k{number // 24}" if number % 5 == 0 else None)])
        if number % 7 == 0:
            await append(found, [deletion(video, offset)])
        if number % 11 == 0:
            deleting = deletion(VIDEOS[number * 5 % len(VIDEOS)], 0)
            target = comment_id(position_at(1, offset), partition_of(video, 8))
            await append(found, [deleting._replace(value=b'{"commentId":"%s"}' % target.encode())])
    await found.log.append(0, comment("video-0", 1)._replace(value=b"{}"))


async def test_an_empty_store_is_filled_from_the_log(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await fill(found)
        done = await rebuild(found, QUIET)
        assert done.whole
        assert done.records > 600
        assert done.invalid > 1
        assert (await found.dead_letter_log.bounds([0]))[0].end == 0
        findings = await verify(found, QUIET)
        assert findings.ok, findings.shown
        assert findings.rows > 500
        assert (await rebuild(found, QUIET)).records == 0


class Stopping(EmbeddedStore):
    """A store that fails for good after some writes."""

    writes_left = 3

    async def write(self, rows: Sequence[Row]) -> None:
        self.writes_left -= 1
        if self.writes_left < 0:
            raise KeyboardInterrupt
        await super().write(rows)


async def test_a_rebuild_that_was_stopped_goes_on_at_the_watermark(tmp_path: Path) -> None:
    settings = installation(tmp_path / "a")
    await make_file(settings)
    async with opened(settings) as found, DurableFile(tmp_path / "b", STORE_TABLES) as file:
        await fill(found)
        total = sum(held.end for held in (await found.log.bounds(range(8))).values())
        async with Stopping(file) as failing, EmbeddedStore(file) as store:
            with pytest.raises(KeyboardInterrupt):
                await rebuild(Opened(found.topic, found.log, found.dead_letter_log, failing), QUIET)
            going_on = Opened(found.topic, found.log, found.dead_letter_log, store)
            done = await rebuild(going_on, QUIET)
            assert 0 < done.records < total
            assert (await verify(going_on, QUIET)).ok


async def test_a_rebuild_beside_the_running_job_ends_the_same(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await fill(found)
        await asyncio.gather(rebuild(found, QUIET), persist(found), rebuild(found, QUIET, from_start=True))
        await fill(found, 50)
        await asyncio.gather(persist(found), rebuild(found, QUIET))
        assert (await verify(found, QUIET)).ok


async def test_from_the_start_a_store_that_lost_rows_is_mended(tmp_path: Path) -> None:
    settings = installation(tmp_path / "a")
    await make_file(settings)
    async with opened(settings) as found:
        await fill(found)
        for partition, held in (await found.log.bounds(range(8))).items():  # the watermarks lie
            if held.end:
                await found.store.advance_watermark(1, partition, (1 << 40) + held.end - 1)
        findings = await verify(found, QUIET)
        assert findings.counts["not stored"] == findings.rows > 0
        assert (await rebuild(found, QUIET)).records == 0
        file = tmp_path / "checkpoint.json"
        done = await rebuild(found, QUIET, from_start=True, checkpoint=file)
        assert done.records > 0
        assert (await verify(found, QUIET)).ok
        assert (await rebuild(found, QUIET, from_start=True, checkpoint=file)).records == 0
        assert await CheckpointedStore(found.store, file, found.topic).watermark(1, 99) == BEFORE_EVERYTHING
        with pytest.raises(StartRefused, match="comments-1"):
            CheckpointedStore(found.store, file, "comments-2")
        with pytest.raises(StartRefused, match="there is no such folder"):
            CheckpointedStore(found.store, file.parent / "none" / "checkpoint", found.topic)


@pytest.mark.parametrize("from_start", [False, True])
async def test_nothing_is_stored_of_a_log_that_ends_before_what_the_store_has(tmp_path: Path, from_start: bool) -> None:
    """Its records stand at the positions of others."""
    settings, elsewhere = installation(tmp_path), (partition_of(VIDEOS[0], 8) + 1) % 8
    await make_file(settings)
    async with opened(settings) as found:
        await fill(found, 30)
        await found.store.advance_watermark(1, elsewhere, position_at(1, 999))
        with pytest.raises(LogWentBack, match="the store has it up to 1000"):
            await rebuild(found, QUIET, from_start=from_start)
        assert not (await found.store.read(VIDEOS[0], BEFORE_EVERYTHING, 1 << 56, 10, descending=False)).rows


class Shortened:
    """A log that has lost its newest record since it was asked for its bounds."""

    def __init__(self, log: CommentLog) -> None:
        self._log = log

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        bounds = await self._log.bounds(partitions)
        return {number: held._replace(end=held.end + 1) for number, held in bounds.items()}

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)


async def test_a_log_that_loses_its_end_meanwhile_ends_a_rebuild_with_a_sentence(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await fill(found, 30)
        end = (await found.log.bounds([0]))[0].end
        short = replace(found, log=Shortened(found.log))  # type: ignore[arg-type]  # it delegates the rest
        with pytest.raises(OffsetUnavailable, match=f"Partition 0 ends at {end}, not at {end + 1}"):
            await rebuild(short, QUIET)


async def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    run(settings, ["rebuild"], code=2)
    await make_file(settings)
    async with opened(settings) as found:
        await fill(found, 30)
    assert "of them invalid" in run(settings, ["rebuild"])
    assert "0 records stored" in run(settings, ["rebuild"])
    assert "no difference" in run(settings, ["verify"])
    run(settings, ["rebuild", "--checkpoint", "x"], code=2)
