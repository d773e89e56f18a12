"""The tools over the end of an epoch: each of the epochs is replayed, exported, stored anew and compared by itself, and
what one says of the other counts.
"""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.sqlite import DurableFile
from livecomments_command.records.export import ExportPlan, export
from livecomments_command.records.opened import Opened
from livecomments_command.records.rebuild import rebuild
from livecomments_command.records.replay import replay
from livecomments_command.records.replay_plan import ReplayPlan
from livecomments_command.records.replay_sinks import Lines
from livecomments_command.records.scan import deletes_of
from livecomments_command.records.verify import verify
from livecomments_schemas.events import EPOCH_FENCE, comment_deleted, epoch_event
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.job import Job
from tests.command.records.test_verify import QUIET
from tests.schemas.records import comment

OLD, NEW = 2, 6
VIDEO = next(f"v{n}" for n in range(99) if partition_of(f"v{n}", NEW) >= OLD)
BEFORE, AFTER = partition_of(VIDEO, OLD), partition_of(VIDEO, NEW)


@asynccontextmanager
async def grown(directory: Path) -> AsyncIterator[tuple[Opened, Opened]]:
    """Two epochs, of which the second deletes a comment of the first; a comment came too late for the first."""
    async with (
        DurableFile(directory, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, OLD) as old,
        EmbeddedLog(file, "comments-2", 2, NEW) as new,
        EmbeddedLog(file, "letters", 0, 1) as letters,
        EmbeddedStore(file) as store,
    ):
        for text in ("deleted", "kept"):
            await old.append(BEFORE, comment(VIDEO, text))
        for number in range(OLD):
            await old.append(number, epoch_event(EPOCH_FENCE, 1))
        await old.append(BEFORE, comment(VIDEO, "late"))
        await new.append(AFTER, comment_deleted(VIDEO, comment_id(position_at(1, 0), BEFORE), "ana"))
        await new.append(AFTER, comment(VIDEO, "late"))
        yield (
            Opened("comments-1", old, letters, store, later=[new]),
            Opened("comments-2", new, letters, store),
        )


async def store_all(opened: Opened) -> None:
    """As the stream job does."""
    job = Job(opened.log, opened.store, DeadLetters(opened.dead_letter_log, opened.topic))
    for number in range(opened.log.partition_count):
        if records := (await opened.log.read(number, 0, 100, 100)).records:
            await job.take(records)
    await job.advance_watermarks()


async def test_deletes_of_the_next_epoch_reach_back_to_the_comments_of_this_one(tmp_path: Path) -> None:
    async with grown(tmp_path) as (old, new):
        for one in (old, new):
            await store_all(one)
        deleted = await deletes_of(old.log, BEFORE, 0, 3, lambda _: None, old.later)
        assert [deleted.covers(VIDEO, position_at(1, offset)) for offset in (0, 1)] == [True, False]
        alone = await verify(Opened("comments-1", old.log, old.dead_letter_log, old.store), QUIET)
        assert [(await verify(one, QUIET)).ok for one in (old, new)] == [True, True]
        assert not alone.ok


@pytest.mark.parametrize("is_newest_first", [False, True])
async def test_a_store_that_is_made_anew_epoch_by_epoch_is_right_in_either_order(
    tmp_path: Path, is_newest_first: bool
) -> None:
    async with grown(tmp_path) as (old, new):
        order = (new, old) if is_newest_first else (old, new)
        records = [(await rebuild(one, QUIET)).records for one in order]
        assert sorted(records) == [2, 5]
        findings = [await verify(one, QUIET) for one in (old, new)]
        assert [one.ok for one in findings] == [True, True], [one.shown for one in findings]
        assert [one.rows for one in findings] == [2, 2]


async def test_the_exports_of_both_epochs_are_what_pages_show(tmp_path: Path) -> None:
    async with grown(tmp_path) as epochs:
        messages = []
        for one in epochs:
            made = await export(one, QUIET, ExportPlan(tmp_path / one.topic, "jsonl"))
            lines = [line for _, path in made.files() for line in path.read_bytes().splitlines()]
            messages.append([orjson.loads(line)["message"] for line in lines])
        assert messages == [["kept"], ["late"]]


async def test_a_replay_tells_what_came_too_late_for_its_epoch(tmp_path: Path) -> None:
    async with grown(tmp_path) as epochs:
        verdicts = []
        for one in epochs:
            written = io.BytesIO()
            await replay(one, QUIET, ReplayPlan(video_id=VIDEO), Lines(written, one.log.epoch))
            verdicts.append([json.loads(line)["verdict"] for line in written.getvalue().splitlines()])
        assert verdicts == [["accepted", "accepted", "void"], ["accepted", "accepted"]]
