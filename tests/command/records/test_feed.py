"""A feed of changes: an export and what came since, merged, is the export of now, wherever it was cut."""

import asyncio
import itertools
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.log.interface import Bounds
from livecomments.sqlite import DurableFile
from livecomments_command.records.export import ExportPlan, export
from livecomments_command.records.feed import Fed, Rhythm, beginning, feed, standing
from livecomments_command.records.feed_steps import FeedPlan, Step
from livecomments_command.records.feeding import run_feed, since
from livecomments_command.records.kept_files import FilesFailed, FilesInUse
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.places import Directory, Folder, PlaceUnavailable
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import VIDEO_ENDED, VIDEO_STARTED, comment_deleted, video_event
from tests.command.installation import (
    PARTITIONS,
    append,
    comment,
    deletion,
    id_of,
    installation,
    lines_of,
    make_file,
    run,
)
from tests.command.records.chain import State, digest_of, exported_state, manifests, merge
from tests.command.records.test_rebuild import VIDEOS, fill
from tests.command.records.test_rebuild_export import Retained

QUIET = Console(quiet=True)
LINES = FeedPlan("jsonl")
AT_ONCE = Rhythm()


async def grow(found: Opened, dice: random.Random, count: int) -> None:
    """Append comments, retries, deletes of what is old and new and another video's, starts, ends, and nonsense."""
    for number in range(count):
        video = dice.choice(VIDEOS)
        (offset,) = await append(
            found, [comment(video, dice.randrange(1 << 30), key=dice.choice((None, None, "k", "l")))]
        )
        what = dice.random()
        if what < 0.15:
            await append(found, [deletion(video, dice.randrange(offset + 1))])
        elif what < 0.2:
            await append(found, [comment_deleted(video, id_of(dice.choice(VIDEOS), offset), "mod")])
        elif what < 0.25:
            await append(found, [video_event(dice.choice((VIDEO_ENDED, VIDEO_STARTED)), video, "owner")])
        elif what < 0.28:
            await append(found, [comment(video, number)._replace(value=b"{")])


async def feed_on(
    found: Opened, place: Folder, plan: FeedPlan = LINES, rhythm: Rhythm = AT_ONCE, last: Step | None = None
) -> Fed:
    """What one run of the command does in one epoch."""
    begun = await standing(place, plan, rhythm.place_tries) or last
    return await feed(found, QUIET, place, plan, await beginning(found, plan, begun), rhythm)


class Cut(Exception):
    """The process ends here."""


class Cutting(Directory):
    """A directory whose writer is cut off at a write: before it, after it, or in the middle, as the dice say."""

    def __init__(self, root: Path, dice: random.Random, writes: int) -> None:
        super().__init__(root)
        self.root = root
        self._dice = dice
        self._left = writes

    def write(self, path: str, content: bytes) -> None:
        self._left -= 1
        if self._left:
            return super().write(path, content)
        if self._dice.random() < 0.5:
            super().write(path, content)
        else:
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_name(f".{file.name}.new").write_bytes(content[: len(content) // 2])
        raise Cut


@pytest.mark.parametrize("seed", range(12))
async def test_an_export_and_its_changes_are_the_export_of_now(
    settings: ToolSettings, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    form, video = ("jsonl", "parquet")[seed % 2], dice.choice((None, None, VIDEOS[2]))
    plan, cuts = FeedPlan(form, video, str(tmp_path / "base")), 0
    async with opened(settings) as found:
        await grow(found, dice, dice.randrange(60))
        base = await export(found, QUIET, ExportPlan(tmp_path / "base", form, video))
        for _ in range(5):
            await grow(found, dice, dice.randrange(60))
            rhythm = Rhythm(bytes_max=dice.choice((1, 5_000, 1 << 20)))
            last = await since(plan)
            try:
                await feed_on(found, Cutting(tmp_path / "feed", dice, dice.randrange(1, 12)), plan, rhythm, last)
            except Cut:
                cuts += 1
        await feed_on(found, Directory(tmp_path / "feed"), plan, last=await since(plan))
        now = await export(found, QUIET, ExportPlan(tmp_path / "now", "jsonl", video))
        state = merge(tmp_path / "feed", exported_state(base))
        assert digest_of(state) == now.digest
        assert len(state) == now.comments
        assert cuts + len(manifests(tmp_path / "feed")) > 1
        again = await feed_on(found, Directory(tmp_path / "feed"), plan)
        assert again == Fed(0, 0, 0, False)


async def test_a_feed_from_the_beginning_holds_everything_and_facts(settings: ToolSettings, tmp_path: Path) -> None:
    async with opened(settings) as found:
        await grow(found, random.Random(1), 200)
        now = await export(found, QUIET, ExportPlan(tmp_path / "now", "jsonl"))
        for form in ("jsonl", "parquet"):
            await feed_on(found, Directory(tmp_path / form), FeedPlan(form), Rhythm(bytes_max=20_000))
            assert digest_of(merge(tmp_path / form, {})) == now.digest
        facts = [
            line
            for one in manifests(tmp_path / "jsonl")
            for file in one["facts"]
            for line in lines_of(tmp_path / "jsonl" / file["path"])
        ]
        assert facts
        assert sorted(facts, key=str) == sorted(
            (line for _, path in now.files("facts") for line in lines_of(path)), key=str
        )


async def test_a_feed_behind_a_feed_goes_on_where_that_ended(settings: ToolSettings, tmp_path: Path) -> None:
    async with opened(settings) as found:
        await fill(found, 100)
        await feed_on(found, Directory(tmp_path / "one"))
        await fill(found, 100, 100)
        plan = FeedPlan("parquet", None, str(tmp_path / "one"))
        await feed_on(found, Directory(tmp_path / "two"), plan, last=await since(plan))
        now = await export(found, QUIET, ExportPlan(tmp_path / "now", "jsonl"))
    assert digest_of(merge(tmp_path / "two", merge(tmp_path / "one", {}))) == now.digest


async def test_a_feed_goes_on_in_the_next_epoch_whose_deletes_reach_back(tmp_path: Path) -> None:
    made, place, dice = installation(tmp_path / "data"), Directory(tmp_path / "feed"), random.Random(3)
    async with DurableFile(made.data_dir, LOG_TABLES) as file:  # two epochs, the second with twice the partitions
        for epoch, count in ((1, PARTITIONS), (2, 2 * PARTITIONS)):
            async with EmbeddedLog(file, f"comments-{epoch}", epoch, count) as log:
                await log.append(0, comment("nobody's", epoch))
    async with opened(made, epoch=1) as found:
        await grow(found, dice, 60)
        await feed_on(found, place)
        before = merge(tmp_path / "feed", {})
        await grow(found, dice, 60)
    async with opened(made) as found:
        assert (found.log.epoch, found.log.partition_count) == (2, 2 * PARTITIONS)
        for video, gone in (*dice.sample(sorted(before), 9), (VIDEOS[0], id_of(VIDEOS[1], 0))):
            await append(found, [comment(video, 1), comment_deleted(video, gone, "mod")])
    assert (await run_feed(made, QUIET, place.name, LINES, AT_ONCE)).steps == 2
    state, now = merge(tmp_path / "feed", {}), State()
    for epoch in (1, 2):
        async with opened(made, epoch=epoch) as found:
            plan = ExportPlan(tmp_path / f"now-{epoch}", "jsonl")
            now |= exported_state(await export(found, QUIET, plan))
    assert state == now
    assert len(before.keys() - now.keys()) >= 9
    assert [one["epoch"] for one in manifests(tmp_path / "feed")] == [1, 1, 2]


class Telling(Directory):
    """A directory that tells of each manifest."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.steps: asyncio.Queue[str] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def write(self, path: str, content: bytes) -> None:
        super().write(path, content)
        if path.startswith("_manifest"):
            self._loop.call_soon_threadsafe(self.steps.put_nowait, path)


@pytest.mark.parametrize(("bytes_max", "every_s"), [(1, 1e9), (1 << 30, 3.0)])
async def test_following_ends_a_step_by_the_clock_or_by_its_size_and_the_last_when_told_to(
    settings: ToolSettings, tmp_path: Path, bytes_max: int, every_s: float
) -> None:
    place, stop, seconds = Telling(tmp_path / "feed"), asyncio.Event(), itertools.count()
    rhythm = Rhythm(bytes_max=bytes_max, every_s=every_s, stop=stop, clock=lambda: next(seconds), poll_s=0.01)
    async with opened(settings) as found:
        await append(found, [comment(VIDEOS[0], 1), comment(VIDEOS[1], 1)])
        following = asyncio.create_task(feed_on(found, place, rhythm=rhythm))
        assert await place.steps.get() == "_manifest/000000001.json"
        await append(found, [comment(VIDEOS[0], 2), comment(VIDEOS[1], 2)])
        assert await place.steps.get() == "_manifest/000000002.json"
        stop.set()
        done = await following
        assert len(merge(tmp_path / "feed", {})) == done.upserts >= 2
        await feed_on(found, place)
        now = await export(found, QUIET, ExportPlan(tmp_path / "now", "jsonl"))
    assert digest_of(merge(tmp_path / "feed", {})) == now.digest


async def test_what_retention_took_before_it_was_exported_ends_a_feed_and_what_it_took_after_does_not(
    settings: ToolSettings, tmp_path: Path
) -> None:
    async with opened(settings) as found:
        await fill(found, 200)
        await feed_on(found, Directory(tmp_path / "feed"))
        whole = merge(tmp_path / "feed", {})
        (offset, *_) = await append(found, [comment(VIDEOS[0], 1_000 + number) for number in range(20)])
        left = replace(found, log=Retained(found, offset + 1))  # type: ignore[arg-type]  # it delegates the rest
        with pytest.raises(StartRefused, match=r"let go of records before they were exported .* make a full export"):
            await feed_on(left, Directory(tmp_path / "feed"))
        assert merge(tmp_path / "feed", {}) == whole
        kept = replace(found, log=Retained(found, offset))  # type: ignore[arg-type]  # it delegates the rest
        await feed_on(kept, Directory(tmp_path / "feed"))
        assert len(merge(tmp_path / "feed", {})) == len(whole) + 20


class Ended:
    """A log that ends before what was read."""

    def __init__(self, found: Opened) -> None:
        self._log = found.log

    async def bounds(self, partitions: Any) -> dict[int, Bounds]:
        return {number: Bounds(0, min(held.end, 1)) for number, held in (await self._log.bounds(partitions)).items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


async def test_a_feed_of_another_log_or_kind_or_of_something_else_is_refused(
    settings: ToolSettings, tmp_path: Path
) -> None:
    async with opened(settings) as found:
        await fill(found, 50)
        await feed_on(found, Directory(tmp_path / "feed"))
        ended = replace(found, log=Ended(found))
        with pytest.raises(StartRefused, match="another log, or lost its end"):
            await feed_on(ended, Directory(tmp_path / "feed"))
        for plan in (FeedPlan("parquet"), FeedPlan("jsonl", VIDEOS[0]), FeedPlan("jsonl", None, "elsewhere")):
            with pytest.raises(StartRefused, match="holds a feed with"):
                await feed_on(found, Directory(tmp_path / "feed"), plan)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    (tmp_path / "later" / "_manifest").mkdir(parents=True)
    (tmp_path / "later" / "_manifest" / "000000001.json").write_bytes(b'{"version":3,"kind":"changes"}')
    for where, plan, rhythm in (
        ("other", LINES, AT_ONCE),
        ("later", LINES, AT_ONCE),
        ("new", FeedPlan("csv"), AT_ONCE),
        ("new", FeedPlan("jsonl", None, str(tmp_path / "nothing")), AT_ONCE),
        ("new", LINES, Rhythm(every_s=1.0)),
    ):
        with pytest.raises(StartRefused):
            await run_feed(settings, QUIET, str(tmp_path / where), plan, rhythm)
    assert Directory(tmp_path / "new").names() == []


async def test_two_who_write_one_feed_are_noticed_and_nothing_is_twice(settings: ToolSettings, tmp_path: Path) -> None:
    """As in a bucket, where nothing can be locked."""
    place, plan = Directory(tmp_path / "feed"), FeedPlan("jsonl")
    async with opened(settings) as found:
        await fill(found, 30)
        one = await beginning(found, plan, None)
        await feed(found, QUIET, place, plan, one)
        await fill(found, 30, 30)
        with pytest.raises(FilesInUse):
            await feed(found, QUIET, place, plan, one)
        behind = await standing(place, plan)
        assert behind is not None
        (tmp_path / "feed" / "_manifest" / "000000001.json").write_bytes(behind.written + b" ")
        with pytest.raises(FilesInUse):
            await feed(found, QUIET, place, plan, behind)


class Away(Directory):
    """A bucket that is away for some calls."""

    def __init__(self, root: Path, calls: int) -> None:
        super().__init__(root)
        self._left = calls

    def write(self, path: str, content: bytes) -> None:
        self._left -= 1
        if self._left >= 0:
            raise PlaceUnavailable("s3://bucket: no answer")
        super().write(path, content)


async def test_a_bucket_that_is_away_is_waited_for_and_then_told(settings: ToolSettings, tmp_path: Path) -> None:
    async with opened(settings) as found:
        await fill(found, 30)
        with pytest.raises(FilesFailed, match=r"no answer\. What is there is whole"):
            await feed_on(found, Away(tmp_path / "feed", 2), rhythm=Rhythm(place_tries=2))
        await feed_on(found, Away(tmp_path / "feed", 1), rhythm=Rhythm(place_tries=2))
        now = await export(found, QUIET, ExportPlan(tmp_path / "now", "jsonl"))
    assert digest_of(merge(tmp_path / "feed", {})) == now.digest


def test_killed_at_any_write_it_goes_on_and_has_everything_once(tmp_path: Path) -> None:
    made, feeding = installation(tmp_path / "data"), tmp_path / "feed"

    async def begin() -> None:
        await make_file(made)
        async with opened(made) as found:
            await fill(found, 150)

    async def end() -> None:
        assert (await run_feed(made, QUIET, str(feeding), LINES, AT_ONCE)).steps
        async with opened(made) as found:
            now = await export(found, QUIET, ExportPlan(tmp_path / "now", "jsonl"))
        assert digest_of(merge(feeding, {})) == now.digest

    asyncio.run(begin())
    for event in (1, 2, 5):
        done = subprocess.run(
            [sys.executable, "-m", "tests.command.records.dying_feed", str(made.data_dir), str(feeding), str(event)],
            timeout=100,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
    asyncio.run(end())


def test_the_command_writes_a_feed_that_says_what_others_need(tmp_path: Path) -> None:
    made = installation(tmp_path / "data")

    async def make() -> None:
        await make_file(made)
        async with opened(made) as found:
            await fill(found, 20)

    asyncio.run(make())
    said = run(made, ["export", str(tmp_path / "feed"), "--changes", "--format", "parquet"])
    (manifest,) = manifests(tmp_path / "feed")
    (file,) = manifest["files"]
    assert said == f"1 steps: {file['upserts']} comments, {file['deletes']} deletes\n"
    assert (manifest["kind"], manifest["topic"], manifest["epoch"]) == ("changes", "comments-1", 1)
    assert file["path"].startswith("day=")
    assert merge(tmp_path / "feed", {})
