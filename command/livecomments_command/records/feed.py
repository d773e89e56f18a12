"""`livecomments export --changes`, `--after`, `--follow`: what changes in the log, in steps, each whole or not there.

A feed begins behind an export, another feed, or where the log begins. Each step covers a stretch of every partition;
what came and went within a step is in none of its files. Where a step ends is said by its manifest alone, so that a
feed that was killed anywhere goes on behind its last step and writes nothing twice.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeVar

from rich.console import Console

from livecomments.log.interface import OffsetUnavailable
from livecomments.runtime.retrying import after, retrying
from livecomments_command.records.changes import Changes
from livecomments_command.records.feed_steps import FeedPlan, Step, commit, newest_step, remove_leftovers
from livecomments_command.records.kept_files import FilesFailed
from livecomments_command.records.looking import Looking
from livecomments_command.records.opened import Opened
from livecomments_command.records.places import Folder, PlaceUnavailable
from livecomments_command.records.rewriting import finish_rewriting
from livecomments_command.records.scan import CHUNK_RECORDS, JudgedReader, patiently
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.partitions import partition_of

STEP_BYTES_MAX: Final = 64 << 20
"""Of one step's changes in memory, unless the operator says otherwise; a Parquet file of them has a quarter."""
_PLACE_TRIES: Final = 60
_PLACE_AGAIN_S: Final = 1.0
"""Between two of them: a bucket may be away for a minute."""

T = TypeVar("T")


@dataclass(frozen=True)
class Rhythm(Looking):
    """When a step ends: at so many bytes, or, while following, so many seconds after the one before; or stopped."""

    bytes_max: int = STEP_BYTES_MAX
    every_s: float | None = None
    """None: nothing is followed; the feed ends where the log ended when it began."""
    clock: Callable[[], float] = time.monotonic
    place_tries: int = _PLACE_TRIES


class Fed(NamedTuple):
    """What was added to a feed."""

    steps: int
    upserts: int
    deletes: int
    is_over: bool
    """All of the epoch is in it, and the epoch is over: the next one follows."""

    def and_then(self, more: "Fed") -> "Fed":
        """Return both together."""
        return Fed(self.steps + more.steps, self.upserts + more.upserts, self.deletes + more.deletes, more.is_over)

    def __str__(self) -> str:
        return f"{self.steps:,} steps: {self.upserts:,} comments, {self.deletes:,} deletes"


async def standing(place: Folder, plan: FeedPlan, tries: int = _PLACE_TRIES) -> Step | None:
    """Return the newest step of the feed in this place, and remove what was cut short behind it; None if it is empty.

    Raises:
        StartRefused: the place holds something else, or a feed of another kind.
        FilesFailed: a bucket is away for more than a minute.
    """
    await placed(partial(finish_rewriting, place), tries)
    newest = await placed(partial(newest_step, place, plan), tries)
    await placed(partial(remove_leftovers, place, newest.number if newest else 0), tries)
    return newest


async def beginning(opened: Opened, plan: FeedPlan, last: Step | None) -> Step:
    """Return where a feed goes on in this log: behind `last`; if that is of an earlier epoch, where the log begins.

    Raises:
        StartRefused: it is of a later epoch, or the log ends before it.
    """
    log = opened.log
    if last is not None and last.epoch > log.epoch:
        raise StartRefused(f"The feed is at epoch {last.epoch} by now, and {opened.topic} lies before it.")
    if last is not None and last.epoch == log.epoch:
        return last
    partitions = range(log.partition_count)
    if plan.video_id is not None:
        home = partition_of(plan.video_id, log.partition_count)
        partitions = range(home, home + 1)
    following = {number: held.start for number, held in (await patiently(lambda: log.bounds(partitions))).items()}
    number, written = (last.number, last.written) if last else (0, b"")
    return Step(number, log.epoch, log.partition_count, following, written)


async def feed(
    opened: Opened, console: Console, place: Folder, plan: FeedPlan, last: Step, rhythm: Rhythm = Rhythm()
) -> Fed:
    """Add to the feed what lies behind `last`; to where the log ends now or, with a rhythm of seconds, for ever.

    Ends early where an epoch ends. The place is held by the caller.

    Raises:
        StartRefused: the log let go of records before they were exported.
        FilesInUse: another command writes the same feed.
        FilesRefused, FilesFailed: it cannot be written.
        LogUnavailable: run it again.
    """
    feeding = _Feeding(opened, console, place, plan, last, rhythm)
    try:
        return await feeding.run()
    except OffsetUnavailable as error:
        raise StartRefused(
            f"The log let go of records before they were exported ({error}). What is in {place.name} is whole up to "
            "its last step; make a full export, and begin a new feed after it."
        ) from error


class _Feeding:
    def __init__(
        self, opened: Opened, console: Console, place: Folder, plan: FeedPlan, last: Step, rhythm: Rhythm
    ) -> None:
        self._opened = opened
        self._console = console
        self._place = place
        self._plan = plan
        self._last = last
        self._rhythm = rhythm
        self._readers: dict[int, JudgedReader] = {}
        self._changes = self._none()
        self._due_s = rhythm.clock() + (rhythm.every_s or 0)
        self._steps = self._upserts = self._deletes = 0

    async def run(self) -> Fed:
        rhythm = self._rhythm
        ends = await self._ends()
        while True:
            has_more = await self._read(ends)
            is_due = rhythm.every_s is not None and rhythm.clock() >= self._due_s
            is_last = not has_more and (rhythm.every_s is None or rhythm.is_stopped or self._is_over(ends))
            if self._changes.has_read and (has_more or is_due or is_last):
                await self._commit()
            if is_due:
                self._due_s = rhythm.clock() + (rhythm.every_s or 0)
            if is_last or rhythm.is_stopped:
                return Fed(self._steps, self._upserts, self._deletes, self._is_over(ends))
            if not has_more:
                await rhythm.pause()
                ends = await self._ends()

    async def _ends(self) -> Mapping[int, int]:
        bounds = await patiently(lambda: self._opened.log.bounds(list(self._last.following)))
        for partition, held in bounds.items():
            following = self._changes.following[partition]
            if held.start > following:
                raise OffsetUnavailable(f"Partition {partition} begins at {held.start} by now, not at {following}.")
            if held.end < following:
                raise StartRefused(
                    f"Partition {partition} of {self._opened.topic} ends at {held.end}, and {self._place.name} has it "
                    f"up to {following}: it is another log, or lost its end. Begin a new feed elsewhere."
                )
        return {partition: held.end for partition, held in bounds.items()}

    async def _read(self, ends: Mapping[int, int]) -> bool:
        """Read on to `ends`, as far as one step reaches; return whether there is more."""
        for partition, end in ends.items():
            while self._changes.following[partition] < end:
                if self._changes.kept_bytes >= self._rhythm.bytes_max or self._rhythm.is_stopped:
                    return True
                reader = self._readers.get(partition)
                if reader is None:
                    reader = await JudgedReader.open(self._opened.log, partition, self._changes.following[partition])
                    self._readers[partition] = reader
                self._changes.take(partition, await reader.read(end, CHUNK_RECORDS))
                self._changes.following[partition] = reader.following  # what a transaction left may stand at its end
        return False

    def _is_over(self, ends: Mapping[int, int]) -> bool:
        """Tell whether all of the epoch was read, and nothing comes any more that counts."""
        if self._changes.following != dict(ends) and not self._all_fenced:
            return False
        return bool(self._opened.later) or self._all_fenced

    @property
    def _all_fenced(self) -> bool:
        return len(self._readers) == len(self._last.following) and all(one.is_fenced for one in self._readers.values())

    async def _commit(self) -> None:
        place, changes = self._place, self._changes
        made = partial(commit, place, self._plan, self._opened.topic, self._last, changes)
        self._last = await placed(made, self._rhythm.place_tries)
        rows = changes.rows()
        upserts = sum(row.line is not None for row in rows)
        self._steps += 1
        self._upserts += upserts
        self._deletes += len(rows) - upserts
        self._console.print(f"Step {self._last.number}: {upserts:,} comments, {len(rows) - upserts:,} deletes.")
        self._changes = self._none()

    def _none(self) -> Changes:
        return Changes(self._last.epoch, self._last.following, self._plan.video_id)


async def placed(call: Callable[[], T], tries: int = _PLACE_TRIES) -> T:
    """Do something with a place, off the loop; again while a bucket is away. Raises FilesFailed: for too long."""
    try:
        return await retrying(
            lambda: asyncio.to_thread(call), after(tries), on=PlaceUnavailable, first_s=_PLACE_AGAIN_S
        )
    except PlaceUnavailable as error:
        raise FilesFailed(f"{error}. What is there is whole; run this again, it goes on.") from error
