"""Two epochs on one embedded file, the second grown out of the first, whose clock the test sets; as jobs read them."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.log.interface import CommentLog
from livecomments.sqlite import DurableFile
from livecomments_command.deriving.clean import Clean
from livecomments_command.deriving.counts import Counts
from livecomments_schemas.epochs import Contract, Epoch, Epochs
from livecomments_schemas.events import (
    EPOCH_FENCE,
    VIDEO_ENDED,
    VIDEO_STARTED,
    NewRecord,
    Record,
    comment_deleted,
    epoch_event,
    video_event,
)
from livecomments_schemas.judge import Kind, Verdict, judge
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from livecomments_schemas.window import Window
from tests.command.installation import comment
from tests.log.faults import ClockedLog

OLD: Final = 2
NEW: Final = 6
VIDEOS: Final = [f"video-{number}" for number in range(9)]
START_MS: Final = 1_764_000_000_000
STEP_MS: Final = 700
"""Between two records of a partition."""


@dataclass
class Grown:
    """A source of both epochs. What is over is said by `is_over`."""

    old: ClockedLog
    new: ClockedLog
    is_over: bool = False

    async def epochs(self) -> Epochs:
        old = Epoch(Contract(1, OLD, "", 1), 0)
        if not self.is_over:
            return Epochs((old,))
        return Epochs((replace(old, closed_at_ms=1, fences=(0,) * OLD), Epoch(Contract(2, NEW, "", 1), 1)))

    def log(self, number: int) -> AbstractAsyncContextManager[CommentLog]:
        return nullcontext(self.old if number == 1 else self.new)

    @property
    def current(self) -> ClockedLog:
        """The epoch that is written to."""
        return self.new if self.is_over else self.old

    async def say(self, records: Iterable[NewRecord]) -> list[tuple[int, int]]:
        """Append each to the partition of its video, in their order; where they lie."""
        log = self.current
        homes = [(partition_of(one.key.decode(), log.partition_count), one) for one in records]
        offsets = await asyncio.gather(*(log.append(*one) for one in homes))
        return [(partition, offset) for (partition, _), offset in zip(homes, offsets, strict=True)]

    async def chat(self, dice: random.Random, count: int) -> None:
        """Comments of few people, retries, deletes, ends and starts, another's delete, and nonsense."""
        log, records = self.current, []
        ends = {number: held.end for number, held in (await log.bounds(range(log.partition_count))).items()}
        for _ in range(count):
            video, author = dice.choice(VIDEOS), dice.choice(("ana", "ben", "cleo"))
            said = comment(video, dice.randrange(1 << 30), author=author, key=dice.choice((None, None, "k", "l")))
            records.append(said)
            partition, what = partition_of(video, log.partition_count), dice.random()
            target = comment_id(position_at(log.epoch, dice.randrange(ends[partition] + 1)), partition)
            ends[partition] += 1 + (what < 0.3)
            if what < 0.2:
                records.append(comment_deleted(video, target, "mod"))
            elif what < 0.25:
                records.append(video_event(dice.choice((VIDEO_ENDED, VIDEO_STARTED)), video, "owner"))
            elif what < 0.3:
                records.append(said._replace(value=b"{"))
        await self.say(records)

    async def end_epoch(self) -> None:
        """Write the fences, and what comes too late; from now on the new epoch is written to, at a later time."""
        ends = [held.end for held in (await self.old.bounds(range(OLD))).values()]
        for number in range(OLD):
            await self.old.append(number, epoch_event(EPOCH_FENCE, 1))
        await self.say([comment(VIDEOS[0], 1)])
        begun_ms = START_MS + (max(ends) + 1) * STEP_MS
        self.new.clock_ms = lambda offset: begun_ms + offset * STEP_MS
        self.is_over = True

    async def judged(self) -> list[tuple[int, Record, Verdict]]:
        """All records of both epochs with epoch and verdict, read from the start by code that is not the jobs'."""
        found = []
        for log in (self.old, self.new):
            for number, held in (await log.bounds(range(log.partition_count))).items():
                window, following = Window(log.epoch, number, log.partition_count, since=0, whole=True), 0
                while following < held.end:
                    records, following = await log.read(number, following, held.end, 1_000)
                    found += [(log.epoch, record, judge(record, window)) for record in records]
        return found


def is_accepted(verdict: Verdict) -> bool:
    """Whether the record counts."""
    return verdict.kind is Kind.ACCEPTED


@asynccontextmanager
async def grown(directory: Path) -> AsyncIterator[tuple[Grown, DurableFile]]:
    """Both epochs, empty, and their file."""
    async with (
        DurableFile(directory, TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, OLD) as old,
        EmbeddedLog(file, "comments-2", 2, NEW) as new,
    ):
        first, second = (ClockedLog(log, lambda offset: START_MS + offset * STEP_MS) for log in (old, new))
        yield Grown(first, second), file


async def is_current_at_the_end_alone(job: Clean | Counts, source: Grown) -> None:
    """Run a job, which is not current at any look into the newest epoch, and is at its end."""
    was_current: list[bool] = []

    async def around(call: str) -> None:
        if call == "read":
            was_current.append(job.is_current)

    source.new.around = around
    await job.run()
    assert was_current
    assert not any(was_current)
    assert job.is_current
