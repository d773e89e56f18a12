"""Steps of a feed written anew, without what somebody wrote or several as one: the feed says the same, wherever cut."""

import asyncio
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from livecomments_command.records.compacting import Compacted, compact, compact_in
from livecomments_command.records.erase_exports import erase_from, erase_from_export
from livecomments_command.records.erase_feeds import erase_from_feed
from livecomments_command.records.export import ExportPlan, Manifest, export
from livecomments_command.records.export_files import read_lines
from livecomments_command.records.feed import Rhythm
from livecomments_command.records.feed_steps import FeedPlan, numbers_of
from livecomments_command.records.feeding import since
from livecomments_command.records.kept_files import FilesInUse, FilesRefused, held_directory
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.places import Directory
from livecomments_command.records.rewriting import finish_rewriting
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import video_changed
from tests.command.installation import append, comment, deletion, installation, make_file, run
from tests.command.records.chain import State, exported_state, manifests, merge, rows
from tests.command.records.killed import killed_at_each_event
from tests.command.records.test_feed import Cut, Cutting, feed_on
from tests.command.records.test_rebuild import QUIET, VIDEOS

MUCH = 64 << 20
SAID = {"title": "t", "slowModeS": 0, "maxCommentsPerS": 9, "whoMayComment": "everyone"}


async def chat(found: Opened, dice: random.Random, count: int) -> None:
    """Comments of ana and ben, deletes of new and old ones, and what is said of videos."""
    for number in range(count):
        video = dice.choice(VIDEOS)
        (offset,) = await append(found, [comment(video, number, author=dice.choice(("ana", "ben")))])
        if dice.random() < 0.2:
            await append(found, [deletion(video, dice.randrange(offset + 1))])
        if dice.random() < 0.05:
            await append(found, [video_changed(video, SAID, "owner")])


async def fed(settings: ToolSettings, directory: Path, form: str, steps: int = 5) -> State:
    """A feed of some steps; what readers see in the end."""
    dice = random.Random(7)
    async with opened(settings) as found:
        for _ in range(steps):
            await chat(found, dice, 12)
            await feed_on(found, Directory(directory), FeedPlan(form))
        return exported_state(await export(found, QUIET, ExportPlan(directory.with_name("now"), "jsonl")))


def of_others(state: State) -> State:
    """Without what ana wrote."""
    return {key: line for key, line in state.items() if orjson.loads(line)["author"]["id"] != "ana"}


def fact_count(directory: Path) -> int:
    return sum(file["rows"] for one in manifests(directory, is_cut=True) for file in one["facts"])


@pytest.mark.parametrize("seed", range(10))
async def test_a_chain_that_was_erased_in_and_merged_is_what_a_full_export_is(
    settings: ToolSettings, tmp_path: Path, seed: int
) -> None:
    """Whatever is done to it in which order, and wherever a command was cut off in between."""
    dice, where = random.Random(seed), tmp_path / "feed"
    plan = FeedPlan(("jsonl", "parquet")[seed % 2], None, str(tmp_path / "base"))
    async with opened(settings) as found:
        await chat(found, dice, 20)
        base = await export(found, QUIET, ExportPlan(tmp_path / "base", "jsonl"))
        for _ in range(12):
            await chat(found, dice, dice.randrange(20))
            place = Cutting(where, dice, dice.randrange(1, 15))
            try:
                await feed_on(found, place, plan, Rhythm(bytes_max=dice.choice((1, MUCH))), await since(plan))
                if dice.random() < 0.3:
                    await erase_from_feed(place, QUIET, "ana")
            except Cut:
                pass
            if dice.random() < 0.4 and numbers_of(place.names()):
                await compact(str(where), QUIET, dice.choice((9_000, 40_000, MUCH)))
        await feed_on(found, Directory(where), plan, last=await since(plan))
        if is_erased := bool(seed % 3):
            await erase_from(str(where), QUIET, "ana")
        now = exported_state(await export(found, QUIET, ExportPlan(tmp_path / "now", "jsonl")))
    state = merge(where, exported_state(base))
    assert of_others(state) == of_others(now)
    if is_erased:
        assert not [one for one in manifests(where) for file in one["files"] for _ in texts_of_ana(where, file)]


def texts_of_ana(where: Path, file: dict[str, Any]) -> list[bytes]:
    lines = [row.line for row in rows(where, file) if row.line]
    return [line for line in lines if orjson.loads(line)["author"]["id"] == "ana"]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_who_reads_step_by_step_sees_the_same_after_steps_were_merged(
    settings: ToolSettings, tmp_path: Path, form: str
) -> None:
    """A reader that remembers the last step it read, and reads what has a larger number, merged or not."""
    dice, where, seen, read = random.Random(5), tmp_path / "feed", State(), 0
    async with opened(settings) as found:
        for turn in range(12):
            await chat(found, dice, 15)
            await feed_on(found, Directory(where), FeedPlan(form))
            if turn % 3 == 1:
                for one in manifests(where):
                    for row in [row for file in one["files"] for row in rows(where, file) if one["step"] > read]:
                        if row.op == "delete":
                            seen.pop((row.video_id, row.comment_id), None)
                        else:
                            seen[row.video_id, row.comment_id] = row.line or b""
                read = turn + 1
            if turn % 4 == 3:
                await compact(str(where), QUIET, MUCH, last=turn + 1)
        now = exported_state(await export(found, QUIET, ExportPlan(tmp_path / "now", "jsonl")))
        for one in manifests(where):
            for row in [row for file in one["files"] for row in rows(where, file) if one["step"] > read]:
                if row.op == "delete":
                    seen.pop((row.video_id, row.comment_id), None)
                else:
                    seen[row.video_id, row.comment_id] = row.line or b""
    assert seen == now


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_merging_leaves_what_is_large_and_the_newest_and_says_all_of_it(
    settings: ToolSettings, tmp_path: Path, form: str
) -> None:
    where = tmp_path / "feed"
    now = await fed(settings, where, form, 6)
    facts = fact_count(where)
    assert await compact(str(where), QUIET, MUCH, first=2, last=4) == Compacted(6, 4)
    assert [(one["firstStep"], one["step"]) for one in manifests(where)] == [(1, 1), (2, 4), (5, 5), (6, 6)]
    assert await compact(str(where), QUIET, 1) == Compacted(4, 4)
    assert await compact(str(where), QUIET, MUCH) == Compacted(4, 2)
    assert [(one["firstStep"], one["step"]) for one in manifests(where)] == [(1, 5), (6, 6)]
    assert merge(where, {}) == now
    assert fact_count(where) == facts > 1
    async with opened(settings) as found:
        await chat(found, random.Random(1), 9)
        await feed_on(found, Directory(where), FeedPlan(form))
        behind = FeedPlan("jsonl", None, str(where))
        await chat(found, random.Random(2), 9)
        await feed_on(found, Directory(tmp_path / "behind"), behind, last=await since(behind))
        then = exported_state(await export(found, QUIET, ExportPlan(tmp_path / "then", "jsonl")))
    assert merge(tmp_path / "behind", merge(where, {})) == then


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("what", ["erase", "merge"])
def test_killed_at_any_event_a_feed_is_whole_and_the_next_command_clears_up(
    tmp_path: Path, form: str, what: str
) -> None:
    made, where, kept = installation(tmp_path / "data"), tmp_path / "feed", tmp_path / "kept"

    async def begin() -> State:
        await make_file(made)
        return await fed(made, kept, form, 3)

    now, events = asyncio.run(begin()), 0
    work: Callable[[], Any] = {
        "erase": lambda: asyncio.run(erase_from(str(where), QUIET, "ana")),
        "merge": lambda: asyncio.run(compact(str(where), QUIET, MUCH, last=3)),
    }[what]

    async def export_on() -> None:
        async with opened(made) as found:
            await feed_on(found, Directory(where), FeedPlan(form))

    for events in killed_at_each_event(partial(copied, kept, where), work):
        state = merge(where, {}, is_cut=True)
        assert of_others(state) == of_others(now)
        assert what == "erase" or state == now
        asyncio.run(export_on())
        assert of_others(merge(where, {})) == of_others(now)
        if events % 5 == 0:
            work()
            assert merge(where, {}) == (of_others(now) if what == "erase" else now)
            assert what == "merge" or b'"ana"' not in b"".join(path.read_bytes() for path in where.glob("day=*/*"))
    assert events > 10


@pytest.mark.parametrize("is_done", [False, True])
def test_who_clears_up_may_be_killed_as_well(tmp_path: Path, is_done: bool) -> None:
    """Behind a merging that was killed before its manifest, or behind it."""
    made, where, kept = installation(tmp_path / "data"), tmp_path / "feed", tmp_path / "kept"

    async def begin() -> State:
        await make_file(made)
        now = await fed(made, kept, "jsonl", 4)
        with pytest.raises(Cut):
            await compact_in(Stopping(kept, at_manifest=not is_done), QUIET, MUCH, last=4)
        return now

    now, deaths = asyncio.run(begin()), 0
    assert len(list(kept.glob("day=*/*"))) == 5
    for _ in killed_at_each_event(partial(copied, kept, where), lambda: finish_rewriting(Directory(where))):
        deaths += 1
        assert merge(where, {}, is_cut=True) == now
        finish_rewriting(Directory(where))
        assert merge(where, {}) == now
    assert deaths > 3
    assert len(manifests(where)) == (1 if is_done else 4)


class Stopping(Directory):
    """A directory whose writer is cut off before it replaces a manifest, or before it removes anything."""

    def __init__(self, root: Path, *, at_manifest: bool) -> None:
        super().__init__(root)
        self._at_manifest = at_manifest

    def write(self, path: str, content: bytes) -> None:
        if self._at_manifest and path.startswith("_manifest/0"):
            raise Cut
        super().write(path, content)

    def remove(self, path: str) -> None:
        raise Cut


def copied(kept: Path, where: Path) -> None:
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(kept, where)


def test_killed_at_any_event_a_full_export_is_whole_and_the_next_export_clears_up(tmp_path: Path) -> None:
    made, where, kept = installation(tmp_path / "data"), tmp_path / "full", tmp_path / "kept"

    async def begin() -> None:
        await make_file(made)
        async with opened(made) as found:
            await chat(found, random.Random(3), 40)
            await export(found, QUIET, ExportPlan(kept, "jsonl"))

    async def again() -> Manifest:
        async with opened(made) as found:
            return await export(found, QUIET, ExportPlan(where, "jsonl"))

    asyncio.run(begin())
    before = Manifest.load(kept)
    assert before is not None
    whole, deaths = of_others(exported_state(before)), 0
    for _ in killed_at_each_event(partial(copied, kept, where), lambda: erase_from_export(where, "ana")):
        deaths += 1
        manifest = Manifest.load(where)
        assert manifest is not None
        assert of_others(exported_state(manifest)) == whole
        named = {path for of in ("files", "facts") for _, path in asyncio.run(again()).files(of)}
        assert {path for path in where.rglob("*") if path.is_file()} == named | {where / "export.json"}
    assert deaths > 10
    assert not [line for _, path in asyncio.run(again()).files() for line in read_lines(path) if b'"ana"' in line]


class Meeting(Directory):
    """A bucket: nobody is kept out. At one of the calls that change it, another command does all of its work first.

    But at no manifest: between a look at one and writing it nobody can be noticed, without locks.
    """

    def __init__(self, root: Path, call: int, other: Callable[[], object]) -> None:
        super().__init__(root)
        self._left = call
        self._other = other

    def write(self, path: str, content: bytes) -> None:
        if not path.startswith("_manifest/0"):
            self._meet()
        super().write(path, content)

    def remove(self, path: str) -> None:
        self._meet()
        super().remove(path)

    def _meet(self) -> None:
        self._left -= 1
        if not self._left:
            self._other()


@pytest.mark.parametrize("call", range(1, 12))
async def test_two_at_once_in_a_bucket_lose_nothing_and_the_one_who_finds_out_says_so(
    settings: ToolSettings, tmp_path: Path, call: int
) -> None:
    where = tmp_path / "feed"
    now = await fed(settings, where, "jsonl", 2)
    met: list[object] = []

    def other() -> None:
        met.append(asyncio.run(compact(str(where), QUIET, MUCH, last=2)))

    try:
        await erase_from_feed(Meeting(where, call, other), QUIET, "ana")
    except (FilesInUse, StartRefused):
        assert met
    await erase_from(str(where), QUIET, "ana")
    assert merge(where, {}) == of_others(now)


async def test_beside_another_command_and_where_there_is_no_feed_nothing_is_done(
    settings: ToolSettings, tmp_path: Path
) -> None:
    where = tmp_path / "feed"
    now = await fed(settings, where, "jsonl", 2)
    with held_directory(where):
        for work in (erase_from(str(where), QUIET, "ana"), compact(str(where), QUIET, MUCH, last=2)):
            with pytest.raises(FilesInUse):
                await work
    assert merge(where, {}) == now
    (tmp_path / "other").mkdir()
    for name in ("nowhere", "other", "now"):
        with pytest.raises(StartRefused, match="no feed"):
            await compact(str(tmp_path / name), QUIET, MUCH)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("what", ["link", "folder", "gone", "changed", "elsewhere", "manifest"])
async def test_what_is_not_as_the_manifest_says_is_refused_in_words_and_left(
    settings: ToolSettings, tmp_path: Path, what: str
) -> None:
    """A link would be removed, and what it leads to would keep the text."""
    where = tmp_path / "feed"
    await fed(settings, where, "jsonl", 2)
    (manifest, _), path = manifests(where), where / "_manifest/000000001.json"
    file = where / manifest["files"][0]["path"]
    if what == "link":
        file.rename(tmp_path / "real")
        file.symlink_to(tmp_path / "real")
    elif what == "folder":
        file.parent.rename(tmp_path / "real")
        file.parent.symlink_to(tmp_path / "real")
    elif what == "gone":
        file.unlink()
    elif what == "changed":
        file.write_bytes(file.read_bytes().replace(b"ana", b"eva"))
    elif what == "elsewhere":
        (tmp_path / "mine").write_bytes(file.read_bytes())
        manifest["files"][0]["path"] = "../mine"
        path.write_bytes(orjson.dumps(manifest))
    else:
        path.unlink()
    there = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}  # noqa: ASYNC240 (a test)
    for work in (erase_from(str(where), QUIET, "ana"), compact(str(where), QUIET, MUCH, last=2)):
        with pytest.raises(StartRefused):
            await work
    assert there == {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}  # noqa: ASYNC240 (a test)


async def test_a_full_export_whose_files_are_links_or_elsewhere_is_refused(
    settings: ToolSettings, tmp_path: Path
) -> None:
    async with opened(settings) as found:
        await chat(found, random.Random(3), 20)
        made = await export(found, QUIET, ExportPlan(tmp_path / "full", "jsonl"))
    (_, file), *_ = made.files()
    file.rename(tmp_path / "real")
    file.symlink_to(tmp_path / "real")
    with pytest.raises(FilesRefused, match="is a link"):
        erase_from_export(tmp_path / "full", "ana")
    made.content["files"][0]["path"] = "../real"
    made.save()
    with pytest.raises(StartRefused, match="no file of an export"):
        erase_from_export(tmp_path / "full", "ana")


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    made, where = installation(tmp_path / "data"), tmp_path / "feed"

    async def begin() -> State:
        await make_file(made)
        return await fed(made, where, "parquet", 4)

    now = asyncio.run(begin())
    assert run(made, ["compact", str(where)]) == "4 steps are 2 now\n"
    said = run(made, ["erase", "--author", "ana", "--export", str(where)])
    count = sum(orjson.loads(line)["author"]["id"] == "ana" for line in now.values())
    assert f"feed: {count} comments removed." in said.replace("\n", "")
    assert merge(where, {}) == of_others(now)
    run(made, ["export", str(where), "--changes", "--format", "parquet"])
    assert merge(where, {}) == of_others(now)
