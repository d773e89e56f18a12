"""Rebuild and verify of a store and a log that were damaged and truncated, by seeds: verify names what differs and
nothing else, rebuild makes right all that the log still says, tells what it cannot, and no watermark runs ahead."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from livecomments.history.log_end import LogWentBack
from livecomments.store.interface import CommentStore, Row, StoredSlice
from livecomments_command.records.opened import Opened
from livecomments_command.records.rebuild import Rebuilt, UnsureLeft, rebuild
from livecomments_command.records.verify import DELETED, GONE, NOT_IN_LOG, verify
from livecomments_schemas.events import COMMENT_CREATED, Record
from livecomments_schemas.judge import Verdict, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import comment_id, first_position, offset_of
from livecomments_schemas.window import Window
from tests.command.installation import EPOCH
from tests.command.records.damage import PARTITIONS, World, damaged, put_all

QUIET: Final = Console(quiet=True)
SEEDS: Final = range(36)
_SHOWN_MAX: Final = 20
_FIRST: Final = first_position(EPOCH)
_STOPS_MAX: Final = 3


class Stopped(Exception):
    """The rebuild was killed."""


class WatchedStore:
    """A store that stops who writes, half way, and lets no watermark run ahead of the rows that must be behind it."""

    def __init__(self, world: World, dice: random.Random, begun: Sequence[int]) -> None:
        self._world = world
        self._dice = dice
        self._begun = begun
        self.stops_left = dice.choice((0, _STOPS_MAX))

    async def write(self, rows: Sequence[Row]) -> None:
        if self.stops_left and self._dice.random() < 0.5:
            self.stops_left -= 1
            await self._world.store.write(rows[len(rows) // 2 :])
            raise Stopped
        await self._world.store.write(rows)

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        assert offset_of(position) < self._world.held[partition].end, "the watermark is beyond the log"
        rows, _ = self._world.demanded(partition, self._begun[partition], offset_of(position) + 1)
        stored = await self._world.read_store()
        for row in rows:
            found = stored.get((row.video_id, row.position))
            assert found is not None, f"the watermark is ahead of {row}"
            assert found.kind == row.kind, f"the watermark is ahead of {row}"
        await self._world.store.advance_watermark(epoch, partition, position)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.store, name)


Wrap = Callable[[CommentStore], CommentStore]


@dataclass(frozen=True)
class Parts:
    """What a planted fault replaces."""

    store: Wrap = lambda store: store
    judge: type[UnsureLeft] = UnsureLeft


async def run(directory: Path, seed: int, parts: Parts = Parts()) -> Counter[str]:
    """One seed; what it met. Raises AssertionError."""
    dice = random.Random(seed)
    async with damaged(directory, dice) as world:
        await check_verify(world, parts)
        if dice.random() < 0.5:
            await check_rebuild(world, dice, parts, None)
            await check_verify(world, parts)
        await check_rebuild(world, dice, parts, directory / "checkpoint")
        await check_verify(world, parts)
        check_mended(world)
        await check_refused(world, dice)
        return world.met


async def check_verify(world: World, parts: Parts) -> None:
    """It says all that differs, how much was compared, and what it could not tell."""
    opened = replace(world.opened, store=parts.store(world.store))
    findings = await verify(opened, QUIET)
    counts, sentences, notes, rows = Counter[str](), set[str](), set[str](), 0
    for partition, (start, end) in enumerate(world.held):
        found, mark = world.found(partition), max(min(world.marks[partition], end), start)
        counts.update(what for _, _, what in found.differences)
        sentences |= {f"{video} {comment_id(at, partition)}: {what}" for video, at, what in found.differences}
        rows += found.rows
        if mark < end:
            notes.add(f"Partition {partition}: {end - mark:,} records to be stored yet.")
        if 0 < (stored := world.marks[partition]) < start:
            counts[GONE] += start - stored
            notes.add(f"Partition {partition}: offsets {stored} to {start - 1} are in neither log nor store.")
        if start:
            notes.add(f"Partition {partition}: the log begins at offset {start}, so does this.")
        if found.forgiven:
            lost = f"{found.forgiven:,} comments that may be retries of what is gone are not stored."
            notes.add(f"Partition {partition}: {lost}")
        world.met["forgiven"] += found.forgiven > 0
    world.met.update(counts)
    assert findings.counts == counts
    assert findings.rows == rows
    assert set(findings.notes) == notes
    assert set(findings.shown) <= sentences
    assert len(findings.shown) == min(_SHOWN_MAX, len(sentences))


async def check_rebuild(world: World, dice: random.Random, parts: Parts, checkpoint: Path | None) -> None:
    """It leaves exactly the rows that it must, however often it is stopped; with a checkpoint, from the start."""
    begun = [world.begun(partition, from_start=checkpoint is not None) for partition in range(PARTITIONS)]
    notes, records, whole = set[str](), 0, True
    for partition, (start, end) in enumerate(world.held):
        mark = world.marks[partition]
        rows, left = world.demanded(partition, begun[partition], end)
        put_all(world.rows, rows)
        records += end - begun[partition] if end > begun[partition] else 0
        if mark and mark < start:
            whole = False
            notes.add(f"Partition {partition}: offsets {mark} to {start - 1} are in neither log nor store.")
        elif start and not mark:
            notes.add(f"Partition {partition}: the log begins at offset {start}; what lay before needs an export.")
        if left:
            unsure_end = min(start + DEDUPE_WINDOW_RECORDS, mark)
            notes.add(
                f"Partition {partition}: {left:,} comments before offset {unsure_end} may "
                "be retries of what is gone, and are left as they are stored; an export tells more."
            )
            world.met["left"] += 1
    watched = WatchedStore(world, dice, begun)
    stops = watched.stops_left
    done = await _until_done(replace(world.opened, store=parts.store(watched)), parts, checkpoint)
    world.met["stopped"] += stops > watched.stops_left
    if stops == watched.stops_left:  # else some of it was said before
        assert set(done.notes) == notes
        assert (done.records, done.whole) == (records, whole)
    world.marks = [held.end for held in world.held]
    for partition, mark in enumerate(world.marks):
        assert await world.store.watermark(EPOCH, partition) == _FIRST + mark - 1
    assert await world.read_store() == world.rows


async def _until_done(opened: Opened, parts: Parts, checkpoint: Path | None) -> Rebuilt:
    for _ in range(_STOPS_MAX):
        try:
            return await rebuild(
                opened, QUIET, from_start=checkpoint is not None, checkpoint=checkpoint, judge=parts.judge()
            )
        except Stopped:
            pass
    return await rebuild(opened, QUIET, from_start=checkpoint is not None, checkpoint=checkpoint, judge=parts.judge())


def check_mended(world: World) -> None:
    """After a rebuild from the start nothing is wrong but what no log undoes: rows that it knows nothing of, deletes
    that nobody said, and comments that it can no longer judge."""
    for partition, (start, _) in enumerate(world.held):
        unsure_before = _FIRST + (start + DEDUPE_WINDOW_RECORDS if start else 0)
        for video, at, what in world.found(partition).differences:
            is_left = at < unsure_before and world.rows[video, at].kind is not None
            assert what in (NOT_IN_LOG, DELETED) or is_left, f"{video} {at}: {what}"


async def check_refused(world: World, dice: random.Random) -> None:
    """Of a log that ends before what is stored nothing is compared, and nothing is stored."""
    partition = dice.randrange(PARTITIONS)
    await world.mark(partition, world.held[partition].end + dice.randint(1, 9))
    for from_start in (False, True):
        with pytest.raises(LogWentBack, match=f"Partition {partition} of the log ends at"):
            await rebuild(world.opened, QUIET, from_start=from_start)
    with pytest.raises(LogWentBack):
        await verify(world.opened, QUIET)
    assert await world.read_store() == world.rows


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_differs_is_named_and_what_the_log_says_is_made_right(tmp_path: Path, seed: int) -> None:
    await run(tmp_path / "data", seed)


async def test_the_model_meets_everything(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    for seed in SEEDS[:16]:
        met += await run(tmp_path / str(seed), seed)
    kinds = {"missing", "altered", "delete lost", "emptied", "extra", "watermark too high", "watermark too low"}
    kinds |= {"log's beginning gone", "leap", "stopped", "left", "forgiven", GONE}
    kinds |= {"not stored", "stored otherwise", "deleted, and still stored", DELETED, NOT_IN_LOG}
    assert met.keys() >= kinds, kinds - met.keys()


class Planted:
    """A store with a fault."""

    def __init__(self, inner: CommentStore) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class LosesRows(Planted):
    async def write(self, rows: Sequence[Row]) -> None:
        await self.inner.write(rows[:-1])


class LosesDeletes(Planted):
    async def write(self, rows: Sequence[Row]) -> None:
        await self.inner.write([row._replace(target=0) for row in rows])


class Ahead(Planted):
    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        await self.inner.advance_watermark(epoch, partition, position + 1)


class Behind(Planted):
    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        await self.inner.advance_watermark(epoch, partition, position - 1)


class Blind(Planted):
    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        found = await self.inner.read(video_id, after, through, limit, descending=descending)
        return found._replace(rows=found.rows[:-1])


class NothingLeft(UnsureLeft):
    """Judges all, and believes it."""

    def __call__(self, record: Record, window: Window) -> Verdict:
        return judge(record, window)


class OneMoreLeft(UnsureLeft):
    """Leaves one comment too many."""

    def __call__(self, record: Record, window: Window) -> Verdict:
        end = self.ends.get(record.partition, 0)
        is_next = record.offset == end and record.headers.get("type") == COMMENT_CREATED
        return super().__call__(record._replace(offset=record.offset - 1) if is_next else record, window)


PLANTS: Final = {
    "rows are lost": Parts(store=LosesRows),
    "deletes are lost": Parts(store=LosesDeletes),
    "the watermark runs ahead": Parts(store=Ahead),
    "the watermark stays behind": Parts(store=Behind),
    "rows are not seen": Parts(store=Blind),
    "what is unsure is judged": Parts(judge=NothingLeft),
    "what is sure is left": Parts(judge=OneMoreLeft),
}


@pytest.mark.parametrize("plant", PLANTS)
async def test_a_planted_fault_is_noticed(tmp_path: Path, plant: str) -> None:
    for seed in SEEDS:
        try:
            await run(tmp_path / str(seed), seed, PLANTS[plant])
        except AssertionError:
            return
    pytest.fail("no seed noticed it")
