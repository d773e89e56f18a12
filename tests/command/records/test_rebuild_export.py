"""A store out of an export and what is left of the log: the same pages, and every way it can go wrong is said."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from livecomments.embedded.store import TABLES, EmbeddedStore
from livecomments.log.interface import Bounds, OffsetUnavailable, Slice
from livecomments.sqlite import DurableFile
from livecomments.store.interface import CommentStore, Row
from livecomments_command.records.export import ExportPlan, Manifest, export
from livecomments_command.records.export_files import read_lines
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.rebuild import rebuild
from livecomments_command.records.rebuild_export import store_export, verify_export
from livecomments_command.records.verify import GONE, NOT_DELETED, NOT_STORED, verify
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import (
    USER_BANNED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    comment_pinned,
    comment_reported,
    facts_of,
    reports_dismissed,
    reports_of,
    user_event,
    video_changed,
    video_event,
)
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position
from tests.command.installation import append, comment, deletion, id_of, installation, make_file, run
from tests.command.records.test_rebuild import VIDEOS, fill

QUIET = Console(quiet=True)
SAID = {"title": 'a, "value":', "slowModeS": 0, "maxCommentsPerS": 9, "whoMayComment": "everyone"}
OF = id_of(VIDEOS[0], 0)
FACTS = [
    video_changed(VIDEOS[1], SAID, 'o,"value":'),
    user_event(USER_BANNED, VIDEOS[0], "troll", "mod"),
    video_event(VIDEO_ENDED, VIDEOS[0], "owner"),
    video_event(VIDEO_STARTED, VIDEOS[0], "owner"),
    comment_pinned(VIDEOS[0], OF, "mod"),
    comment_reported(VIDEOS[0], OF, "spam", "ana"),
    reports_dismissed(VIDEOS[0], OF, "mod"),
]


class Retained:
    """A log whose oldest offsets of each partition are gone."""

    def __init__(self, found: Opened, start: int) -> None:
        self._log = found.log
        self.start = start

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        bounds = await self._log.bounds(partitions)
        return {partition: Bounds(min(self.start, held.end), held.end) for partition, held in bounds.items()}

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        if start < self.start:
            raise OffsetUnavailable("gone")
        return await self._log.read(partition, start, end, limit)

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)


@asynccontextmanager
async def retained(found: Opened, directory: Path, start: int) -> AsyncIterator[Opened]:
    """The same log without its beginning, and an empty store."""
    async with DurableFile(directory, TABLES) as file, EmbeddedStore(file) as store:
        yield Opened(found.topic, Retained(found, start), found.dead_letter_log, store)  # type: ignore[arg-type]  # it delegates the rest


async def shown(store: CommentStore) -> list[tuple[int, bytes]]:
    """Everything that readers could see."""
    rows: list[Row] = []
    for video in VIDEOS:
        rows += (await store.read(video, BEFORE_EVERYTHING, first_position(2), 10_000, descending=False)).rows
    return [(row.position, row.value) for row in rows if row.is_shown]


async def facts(store: CommentStore) -> list[Row]:
    """What is known of the videos."""
    return [
        row
        for video in VIDEOS
        for apart in (facts_of(video), reports_of(video))
        for row in (await store.read(apart, BEFORE_EVERYTHING, first_position(2), 10_000, descending=False)).rows
    ]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_what_the_log_lost_comes_from_the_export(tmp_path: Path, form: str) -> None:
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as found:
        await fill(found, 60)
        await append(found, FACTS)
        await fill(found, 540, since=60)
        directory = tmp_path / "export"
        await export(found, QUIET, ExportPlan(directory, form, part_comments_max=100))
        await fill(found, 100, since=10_000)
        await append(found, [deletion(VIDEOS[0], 30)])  # of a comment that comes from the export
        await rebuild(found, QUIET)
        async with retained(found, tmp_path / "new", 40) as left:
            notes, judge = await store_export(left, QUIET, directory)
            assert notes == []
            done = await rebuild(left, QUIET, judge=judge)
            assert done.whole
            assert done.notes == []
            assert await shown(left.store) == await shown(found.store)
            assert len(await facts(left.store)) == len(FACTS)
            assert await facts(left.store) == await facts(found.store)
            assert (await verify_export(left, QUIET, directory)).ok
            assert (await verify_export(found, QUIET, directory)).ok
            findings = await verify(left, QUIET)
            assert findings.ok, findings.shown
            await store_export(left, QUIET, directory)
            assert await shown(left.store) == await shown(found.store)
        async with retained(found, tmp_path / "none", 40) as left:
            done = await rebuild(left, QUIET)
            assert any("the log begins at offset 40" in note for note in done.notes)
            findings = await verify_export(left, QUIET, directory)
            assert findings.counts["not stored"] > 50


async def test_a_retry_whose_first_copy_is_gone_does_not_come_back_into_a_store_that_knew(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await append(found, [comment(VIDEOS[0], number, key=f"k{number % 10}") for number in range(20)])
        await append(found, [video_event(VIDEO_ENDED, VIDEOS[0], "owner"), comment(VIDEOS[0], 99)])
        await rebuild(found, QUIET)
        before = await shown(found.store)
        assert len(before) == 10
        for start, left in ((10, 10), (21, 1)):
            cut = replace(found, log=Retained(found, start))  # type: ignore[arg-type]  # it delegates the rest
            done = await rebuild(cut, QUIET, from_start=True)
            assert any(f"{left} comments before offset 22 may be retries" in note for note in done.notes)
            assert await shown(found.store) == before
            assert (await verify(cut, QUIET)).ok


@pytest.mark.parametrize("exported", [5, 12])
async def test_a_retry_does_not_come_back_behind_an_export_that_ends_before_it(tmp_path: Path, exported: int) -> None:
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as found:
        for since, end in ((0, exported), (exported, 20)):
            await append(found, [comment(VIDEOS[0], number, key=f"k{number % 10}") for number in range(since, end)])
            if not since:
                await export(found, QUIET, ExportPlan(tmp_path / "export", "jsonl"))
        await rebuild(found, QUIET)
        before = await shown(found.store)
        assert len(before) == 10
        cut = replace(found, log=Retained(found, 10))  # type: ignore[arg-type]  # it delegates the rest
        _, judge = await store_export(cut, QUIET, tmp_path / "export")
        done = await rebuild(cut, QUIET, from_start=True, judge=judge)
        assert any(f"{20 - max(exported, 10)} comments before offset 20" in note for note in done.notes)
        assert await shown(found.store) == before


async def test_of_a_log_without_its_beginning_all_is_stored_again_but_what_may_be_a_retry(tmp_path: Path) -> None:
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as found:
        await append(found, [comment(VIDEOS[0], number) for number in range(30)])
        await rebuild(found, QUIET)
        (offset, *_) = await append(found, [deletion(VIDEOS[0], 20), *FACTS[1:4]])
        home = partition_of(VIDEOS[0], 8)
        watermark = first_position(1) + offset + 3
        await found.store.advance_watermark(1, home, watermark)  # it lies: the delete and the facts are missing
        cut = replace(found, log=Retained(found, 10))  # type: ignore[arg-type]  # it delegates the rest
        assert (await verify(cut, QUIET)).counts == {NOT_DELETED: 1, NOT_STORED: 7}
        done = await rebuild(cut, QUIET, from_start=True)
        assert done.records == 24
        assert done.notes == [
            f"Partition {home}: 20 comments before offset 34 may be retries of what is gone, and are left as they are "
            "stored; an export tells more."
        ]
        assert (await verify(cut, QUIET)).ok
        assert len(await shown(found.store)) == 29
        async with retained(found, tmp_path / "lost", 10) as left:  # all rows are
            await left.store.advance_watermark(1, home, watermark)
            assert (await verify(left, QUIET)).counts == {NOT_STORED: 7}
            await rebuild(left, QUIET, from_start=True)
            findings = await verify(left, QUIET)
            assert findings.ok
            assert any("20 comments that may be retries" in note for note in findings.notes)
            assert len(await facts(left.store)) == 3
        async with retained(found, tmp_path / "hole", 10) as left:
            await left.store.advance_watermark(1, home, first_position(1) + 6)
            findings = await verify(left, QUIET)
            assert findings.counts == {GONE: 3}
            assert f"Partition {home}: offsets 7 to 9 are in neither log nor store." in findings.notes
            done = await rebuild(left, QUIET, from_start=True)
            assert not done.whole
            assert done.notes == [f"Partition {home}: offsets 7 to 9 are in neither log nor store."]
        async with retained(found, tmp_path / "empty", 10) as left:
            done = await rebuild(left, QUIET, from_start=True)
            assert done.notes == [f"Partition {home}: the log begins at offset 10; what lay before needs an export."]
            assert len(await shown(left.store)) == 19


async def test_a_hole_between_export_and_log_is_said(tmp_path: Path) -> None:
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as found:
        await fill(found, 200)
        directory = tmp_path / "export"
        manifest = await export(found, QUIET, ExportPlan(directory, "jsonl"))
        ends = {partition: manifest.range_of(partition)[2] for partition in range(8)}
        await fill(found, 400)
        async with retained(found, tmp_path / "new", max(ends.values()) + 5) as left:
            await store_export(left, QUIET, directory)
            done = await rebuild(left, QUIET)
            assert not done.whole
            assert any("are in neither log nor store" in note for note in done.notes)


async def test_an_export_that_begins_where_the_log_does_calls_nothing_stored_that_lay_before(tmp_path: Path) -> None:
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as found:
        home = partition_of(VIDEOS[0], 8)
        await append(found, (comment(VIDEOS[0], number) for number in range(20)))
        directory = tmp_path / "export"
        async with retained(found, tmp_path / "exported", 10) as left:
            await export(left, QUIET, ExportPlan(directory, "jsonl"))
        async with retained(found, tmp_path / "empty", 10) as left:
            await store_export(left, QUIET, directory)
            assert await left.store.watermark(1, home) == BEFORE_EVERYTHING
            done = await rebuild(left, QUIET)
            assert done.notes == [f"Partition {home}: the log begins at offset 10; what lay before needs an export."]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_an_export_that_was_touched_is_refused_before_anything_is_stored(tmp_path: Path, form: str) -> None:
    pytest.importorskip("pyarrow") if form == "parquet" else None
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as found:
        await append(found, [*FACTS, *(comment(VIDEOS[0], number) for number in range(20))])
        directory = tmp_path / "export"
        manifest = await export(found, QUIET, ExportPlan(directory, form))
        (_, path), *_ = manifest.files()
        (_, of_facts), *_ = manifest.files("facts")
        whole = {file: file.read_bytes() for file in (path, of_facts)}
        content = whole[path]
        by_form = {
            "jsonl": [content.replace(b"number 3", b"number 4"), content + content],
            "parquet": [content.replace(b"json", b"else")],
        }
        for file, changed in (
            *((path, changed) for changed in by_form[form]),
            (path, content[:-40]),
            (path, content[:100]),
            (path, b""),
            (of_facts, whole[of_facts].replace(b'":', b'" :', 1)),
        ):
            file.write_bytes(changed)
            async with retained(found, tmp_path / "new", 10) as left:
                with pytest.raises(StartRefused, match="changed or cut"):
                    await store_export(left, QUIET, directory)
                if file == path and form == "parquet":
                    with pytest.raises(StartRefused, match="changed or cut"):
                        await verify_export(left, QUIET, directory)
                assert await shown(left.store) == []
            file.write_bytes(whole[file])
        path.unlink()
        with pytest.raises(StartRefused, match="No such file"):
            await verify_export(found, QUIET, directory)
        manifest.content["finished"] = False
        manifest.save()
        with pytest.raises(StartRefused, match="no whole export"):
            await store_export(found, QUIET, directory)
        with pytest.raises(StartRefused, match="no whole export"):
            await store_export(found, QUIET, tmp_path / "nothing")
        csv = await export(found, QUIET, ExportPlan(tmp_path / "csv", "csv"))
        assert isinstance(csv, Manifest)
        with pytest.raises(StartRefused, match="whole comments"):
            await store_export(found, QUIET, tmp_path / "csv")
    run(settings, ["verify", "--export", str(directory)], code=2)


async def test_a_row_beside_the_export_is_a_difference(tmp_path: Path) -> None:
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as found:
        await append(found, [comment(VIDEOS[0], number) for number in range(9)])
        await rebuild(found, QUIET)
        await append(found, [deletion(VIDEOS[0], 4)])
        await export(found, QUIET, ExportPlan(tmp_path / "export", "jsonl"))
    said = run(settings, ["verify", "--export", str(tmp_path / "export")], code=1)
    assert "1 stored, and not in the export" in said
    assert "records stored" in run(settings, ["rebuild", "--from-export", str(tmp_path / "export")])
    assert "no difference" in run(settings, ["verify", "--export", str(tmp_path / "export")])


async def test_facts_in_parquet_are_the_lines_of_the_other_form_byte_for_byte(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    settings = installation(tmp_path / "data")
    await make_file(settings)
    async with opened(settings) as found:
        said = {"title": 'a, "value":ü', "slowModeS": 0, "maxCommentsPerS": 9, "whoMayComment": "everyone"}
        for video in VIDEOS[:5]:
            await append(found, [video_changed(video, said, "owner"), user_event(USER_BANNED, video, "troll", "mod")])
        made = {
            form: await export(found, QUIET, ExportPlan(tmp_path / form, form)) for form in ("jsonl", "csv", "parquet")
        }
    lines = {form: [sorted(read_lines(path)) for _, path in manifest.files("facts")] for form, manifest in made.items()}
    assert lines["jsonl"] == lines["csv"] == lines["parquet"]
    assert sum(map(len, lines["jsonl"])) == 10
    digests = {form: [file["digest"] for file in manifest.content["facts"]] for form, manifest in made.items()}
    assert digests["jsonl"] == digests["parquet"]
    assert {path.suffix for _, path in made["parquet"].files("facts")} == {".parquet"}
