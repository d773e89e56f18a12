"""The tools over the end of an epoch: a comment that was deleted in the next one is shown by none of them."""

from pathlib import Path

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.sqlite import DurableFile
from livecomments_command.records.opened import Opened
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


async def test_deletes_of_the_next_epoch_reach_back_to_the_comments_of_this_one(tmp_path: Path) -> None:
    before, after = partition_of(VIDEO, OLD), partition_of(VIDEO, NEW)
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, OLD) as old,
        EmbeddedLog(file, "comments-2", 2, NEW) as new,
        EmbeddedLog(file, "letters", 0, 1) as letters,
        EmbeddedStore(file) as store,
    ):
        for text in ("deleted", "kept"):
            await old.append(before, comment(VIDEO, text))
        for number in range(OLD):
            await old.append(number, epoch_event(EPOCH_FENCE, 1))
        victim = position_at(1, 0)
        await new.append(after, comment_deleted(VIDEO, comment_id(victim, before), "ana"))
        for log, topic in ((old, "comments-1"), (new, "comments-2")):
            job = Job(log, store, DeadLetters(letters, topic))
            for number in range(log.partition_count):
                if records := (await log.read(number, 0, 100, 100)).records:
                    await job.take(records)
            await job.advance_watermarks()
        deleted = await deletes_of(old, before, 0, 3, lambda _: None, [new])
        assert [deleted.covers(VIDEO, position_at(1, offset)) for offset in (0, 1)] == [True, False]
        alone = await verify(Opened("comments-1", old, letters, store), QUIET)
        whole = await verify(Opened("comments-1", old, letters, store, later=[new]), QUIET)
        assert (alone.ok, whole.ok) == (False, True)
