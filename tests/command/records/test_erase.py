"""Erasing: what one person wrote is in store and exports no more, what others wrote is, wherever it was stopped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from zlib import crc32

import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.sqlite import DurableFile
from livecomments_command.records.erase import Erased, erase
from livecomments_command.records.erase_exports import erase_from, erase_from_export
from livecomments_command.records.export import ExportPlan, Manifest, export
from livecomments_command.records.export_files import read_lines, row_of_line
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.rebuild import rebuild
from livecomments_command.records.rebuild_export import verify_export
from livecomments_command.records.verify import verify
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position
from tests.command.installation import PARTITIONS, append, comment, deletion, installation, make_file, persist, run
from tests.command.records.test_rebuild import QUIET, VIDEOS

COUNTS = {1: PARTITIONS}


@asynccontextmanager
async def chatted(directory: Path, *, is_stored: bool = True) -> AsyncIterator[Opened]:
    """An installation in which ana and ben wrote 60 comments each, and some of each were deleted."""
    settings = installation(directory)
    await make_file(settings)
    async with opened(settings) as found:
        for number in range(120):
            video, author = VIDEOS[number % len(VIDEOS)], ("ana", "ben")[number // 12 % 2]
            (offset,) = await append(found, [comment(video, number, author=author)])
            if number % 10 == 0:
                await append(found, [deletion(video, offset)])
        if is_stored:
            await persist(found)
        yield found


async def authors(found: Opened) -> list[str]:
    """Of all comments that are shown."""
    rows = [
        row
        for video in VIDEOS
        for row in (await found.store.read(video, BEFORE_EVERYTHING, first_position(2), 999, descending=False)).rows
    ]
    return [row.author_id for row in rows if row.is_shown]


@pytest.mark.parametrize("is_stored", [True, False])
async def test_all_that_one_person_wrote_is_gone_and_nothing_else(tmp_path: Path, is_stored: bool) -> None:
    async with chatted(tmp_path, is_stored=is_stored) as found:
        trial = await erase(found, QUIET, "ana", counts=COUNTS, is_trial=True)
        done = await erase(found, QUIET, "ana", counts=COUNTS)
        left = await authors(found)
        assert set(left) == {"ben"}
        assert done == trial == Erased(120 - 12 - len(left), 120 - 12 - len(left), 0)
        assert await erase(found, QUIET, "ana", counts=COUNTS) == Erased(0, 0, 0)
        assert (await verify(found, QUIET)).ok
        made = await export(found, QUIET, ExportPlan(tmp_path / "export", "jsonl"))
        assert made.comments == len(left)


class Killed(Exception):
    """The process ends here."""


class InParts(EmbeddedStore):
    """A store of several parts, whose scan is killed at one of them."""

    killed_at = -1

    def __init__(self, file: DurableFile) -> None:
        super().__init__(file)
        self.asked: list[int] = []

    @property
    def scan_parts(self) -> int:
        return 4

    async def written_by(self, author_id: str, part: int) -> list[tuple[str, int]]:
        self.asked.append(part)
        if part == self.killed_at:
            raise Killed
        found = await super().written_by(author_id, 0)
        return [one for one in found if crc32(one[0].encode()) % 4 == part]


async def test_an_erasure_that_was_killed_goes_on_at_the_part_where_it_was(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    async with (
        chatted(tmp_path / "a") as found,
        DurableFile(tmp_path / "b", LOG_TABLES + STORE_TABLES) as file,
    ):
        store = InParts(file)
        await store.__aenter__()
        over = Opened(found.topic, found.log, found.dead_letter_log, store)
        await rebuild(over, QUIET)
        whole = (await erase(over, QUIET, "ana", counts=COUNTS, is_trial=True)).found
        store.killed_at = 2
        store.asked.clear()
        with pytest.raises(Killed):
            await erase(over, QUIET, "ana", counts=COUNTS, checkpoint=kept)
        store.killed_at = -1
        assert await erase(over, QUIET, "ana", counts=COUNTS, checkpoint=kept) == Erased(whole, whole, 0)
        assert store.asked == [0, 1, 2, 2, 3, 0, 1, 2, 3]
        assert set(await authors(over)) == {"ben"}
        assert not kept.exists()
        for said, match in (
            (b'{"author": "ana", "topic": "comments-1", "part": 1, "found": 0, "inLog": 0}', "of ana"),
            (b"[]", "no checkpoint"),
        ):
            kept.write_bytes(said)
            with pytest.raises(StartRefused, match=match):
                await erase(over, QUIET, "ben", counts=COUNTS, checkpoint=kept)


async def test_two_at_once_do_no_harm(tmp_path: Path) -> None:
    async with chatted(tmp_path) as found:
        await asyncio.gather(*(erase(found, QUIET, "ana", counts=COUNTS) for _ in range(2)))
        assert set(await authors(found)) == {"ben"}
        assert (await verify(found, QUIET)).ok


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_an_export_is_written_anew_and_is_right(tmp_path: Path, form: str) -> None:
    async with chatted(tmp_path / "data") as found:
        directory = tmp_path / "export"
        made = await export(found, QUIET, ExportPlan(directory, form, part_comments_max=5))
        whole = made.comments
        await erase(found, QUIET, "ana", counts=COUNTS)
        folder = directory / made.content["files"][0]["path"]
        for name in (
            f"{found.topic}-0001-000000000000-erased1.{form}",
            f".{found.topic}-0002-000000000000-erased1.{form}.new",
        ):
            folder.with_name(name).write_bytes(b"of a run that was killed")
        mine = folder.with_name("mine.txt")
        mine.write_bytes(b"of somebody else")
        gone = erase_from_export(directory, "ana")
        assert erase_from_export(directory, "ana") == 0
        made = Manifest.load(directory) or made
        named = {path for _, path in made.files()}
        assert set(directory.glob("day=*/*")) | set(directory.glob("day=*/.*")) == named | {mine}
        rows = [row_of_line(line) for _, path in made.files() for line in read_lines(path)]
        assert {row.author_id for row in rows} == {"ben"}
        assert len(rows) == made.comments == whole - gone == len(await authors(found))
        assert (await verify_export(found, QUIET, directory)).ok


async def test_what_cannot_be_written_anew_is_refused_in_words(tmp_path: Path) -> None:
    async with chatted(tmp_path / "data") as found:
        await export(found, QUIET, ExportPlan(tmp_path / "csv", "csv"))
        with pytest.raises(StartRefused, match="CSV"):
            await erase_from(str(tmp_path / "csv"), QUIET, "ana")
        (tmp_path / "empty").mkdir()
        for name in ("empty", "nowhere"):
            with pytest.raises(StartRefused, match=r"no export\.json of a full export, and no feed"):
                await erase_from(str(tmp_path / name), QUIET, "ana")
        made = await export(found, QUIET, ExportPlan(tmp_path / "cut", "jsonl"))
        made.content["finished"] = False
        made.save()
        with pytest.raises(StartRefused, match="not finished"):
            await erase_from(str(tmp_path / "cut"), QUIET, "ana")


class Forgetting(EmbeddedStore):
    """A store that still has one comment, whatever was deleted."""

    async def written_by(self, author_id: str, part: int) -> list[tuple[str, int]]:
        return [*await super().written_by(author_id, part), ("gone", first_position(1))]


async def test_what_was_there_before_and_is_left_is_told_from_what_came_meanwhile(tmp_path: Path) -> None:
    async with (
        chatted(tmp_path / "a") as found,
        DurableFile(tmp_path / "b", LOG_TABLES + STORE_TABLES) as file,
    ):
        store = Forgetting(file)
        await store.__aenter__()
        over = Opened(found.topic, found.log, found.dead_letter_log, store)
        await rebuild(over, QUIET)
        done = await erase(over, QUIET, "ana", counts=COUNTS)
        assert (done.left, done.stayed) == (1, 1)
    tellings = {
        (left, stayed): " ".join(
            Erased(5, 5, left, stayed).sentences("ana", "comments-1", has_retention=True, is_trial=False)
        )
        for left, stayed in ((0, 0), (1, 1), (1, 0), (3, 1))
    }
    assert [
        ("more came" in said, "still stored" in said, "looked for again none" in said) for said in tellings.values()
    ] == [(False, False, True), (False, True, False), (True, False, False), (True, True, False)]


async def test_what_cannot_be_erased_there_is_said_before_anything_is(tmp_path: Path) -> None:
    async with chatted(tmp_path / "data") as found:
        before = (await found.log.bounds([0]))[0]
    run(installation(tmp_path / "data"), ["erase", "--author", "ana", "--export", str(tmp_path / "nowhere")], code=2)
    async with opened(installation(tmp_path / "data")) as found:
        assert (await found.log.bounds([0]))[0] == before


async def test_the_command_says_what_it_did_and_what_stays(tmp_path: Path) -> None:
    async with chatted(tmp_path / "data") as found:
        await export(found, QUIET, ExportPlan(tmp_path / "export", "jsonl"))
    settings = installation(tmp_path / "data")
    assert "Nothing was changed." in run(settings, ["erase", "--author", "ana", "--dry-run"])
    said = run(settings, ["erase", "--author", "ana", "--export", str(tmp_path / "export")])
    assert "looked for again none is stored" in said
    assert "for good" in said
    assert "comments removed" in said
    run(settings, ["erase", "--author", ""], code=2)
