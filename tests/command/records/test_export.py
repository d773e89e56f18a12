"""Export: what history shows, byte for byte, through one position, however often it was stopped."""

import asyncio
import csv
import gc
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import orjson
import pyarrow.parquet
import pytest
from rich.console import Console

from livecomments.following.follower import Follower
from livecomments.following.tail import TailBounds
from livecomments.history.pages import newest_first, oldest_first
from livecomments.history.reading import History
from livecomments.log.interface import Slice
from livecomments_command.records.export import ExportPlan, Manifest, export
from livecomments_command.records.export_files import FORMATS, Digest, Exported, PartFile, exported, read_lines
from livecomments_command.records.opened import Opened, opened
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import BEFORE_EVERYTHING, comment_id, parse_comment_id, position_at
from livecomments_schemas.render import render_comment
from tests.command.installation import (
    PARTITIONS,
    append,
    comment,
    deletion,
    installation,
    lines_of,
    make_file,
    persist,
    run,
)
from tests.command.records.test_rebuild import VIDEOS, fill
from tests.command.records.test_rebuild_export import Retained

QUIET = Console(quiet=True)


@pytest.fixture
async def settings(tmp_path: Path) -> ToolSettings:
    """An installation with comments, duplicates, deletes and nonsense, all stored."""
    made = installation(tmp_path / "data")
    await make_file(made)
    async with opened(made) as found:
        await fill(found)
        await persist(found)
    return made


@asynccontextmanager
async def history(found: Opened) -> AsyncIterator[History]:
    follower = Follower(found.log, range(PARTITIONS), TailBounds(100, 10**6, 60.0))
    following = asyncio.create_task(follower.run())
    for partition in range(PARTITIONS):
        await follower.ready_partition(partition, 30.0)
    try:
        yield History(follower, found.store)
    finally:
        following.cancel()
        await asyncio.wait([following])


async def pages(reading: History, video_id: str, *, newest: bool) -> str:
    """The digest of everything that pages show of a video."""
    digest = Digest()
    cursor: int | None = None if newest else BEFORE_EVERYTHING
    while True:
        page = await (
            newest_first(reading, reading.home(video_id), video_id, cursor, 7)
            if newest
            else oldest_first(reading, reading.home(video_id), video_id, cursor or 0, 7)
        )
        for entry in page.comments:
            digest.add(render_comment(entry.comment_id, entry.value))
        cursor = page.next_cursor
        if cursor is None:
            return str(digest)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_an_export_is_what_history_shows(settings: ToolSettings, tmp_path: Path, form: str) -> None:
    pytest.importorskip("pyarrow") if form == "parquet" else None
    async with opened(settings) as found, history(found) as reading:
        done = await export(found, QUIET, ExportPlan(tmp_path / "out", form, part_comments_max=100))
        assert done.is_finished
        whole = Digest()
        of_video = {video: Digest() for video in VIDEOS}
        for _, path in done.files():
            for line in read_lines(path):
                whole.add(line)
                of_video[next(video for video in VIDEOS if f'"videoId":"{video}"'.encode() in line)].add(line)
        assert str(whole) == done.digest
        for video in VIDEOS:
            assert str(of_video[video]) == await pages(reading, video, newest=True), video
            assert str(of_video[video]) == await pages(reading, video, newest=False), video


@pytest.mark.parametrize("form", FORMATS)
async def test_the_manifest_says_of_each_file_what_anybody_can_check(
    settings: ToolSettings, tmp_path: Path, form: str
) -> None:
    async with opened(settings) as found:
        in_pieces = replace(found, log=Breaking(found, 10_000))  # type: ignore[arg-type]  # it delegates the rest
        done = await export(in_pieces, QUIET, ExportPlan(tmp_path / "out", form, part_bytes_max=9_000))
    assert len(done.content["files"]) > PARTITIONS
    for file in done.content["files"]:
        content = (tmp_path / "out" / file["path"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        if form != "csv":
            lines = [orjson.loads(line) for line in read_lines(tmp_path / "out" / file["path"])]
            positions = [parse_comment_id(line["commentId"])[0] for line in lines]
            assert positions == sorted(positions)
            assert (file["firstPosition"], file["lastPosition"]) == (positions[0], positions[-1])
            assert file["rows"] == file["upserts"] == len(lines)


async def test_parquet_has_times_and_places_and_is_sorted_by_video(settings: ToolSettings, tmp_path: Path) -> None:
    async with opened(settings) as found:
        done = await export(found, QUIET, ExportPlan(tmp_path / "out", "parquet"))
    for partition, path in done.files():
        file = pyarrow.parquet.ParquetFile(path)
        rows = file.read().to_pylist()
        order = file.metadata.row_group(0).sorting_columns
        assert [file.schema_arrow.names[one.column_index] for one in order] == ["video_id", "position"]
        assert [(row["video_id"], row["position"]) for row in rows] == sorted(
            (row["video_id"], row["position"]) for row in rows
        )
        for row in rows:
            said = orjson.loads(row["json"])
            assert row["created_at"] == datetime.fromisoformat(said["createdAt"])
            assert row["appended_at"].utcoffset() == timedelta(0)
            assert comment_id(row["position"], partition) == row["comment_id"] == said["commentId"]
            place = (row["epoch"], row["log_partition"], row["log_offset"])
            assert place == (1, partition, row["position"] - position_at(1, 0))


@pytest.mark.parametrize("form", FORMATS)
async def test_one_video_alone_has_the_digest_of_its_pages(settings: ToolSettings, tmp_path: Path, form: str) -> None:
    pytest.importorskip("pyarrow") if form == "parquet" else None
    async with opened(settings) as found, history(found) as reading:
        done = await export(found, QUIET, ExportPlan(tmp_path / "out", form, VIDEOS[3]))
        assert done.digest == await pages(reading, VIDEOS[3], newest=True)
        assert done.comments > 30


async def test_what_comes_after_the_stated_position_is_not_in_it(settings: ToolSettings, tmp_path: Path) -> None:
    plan = ExportPlan(tmp_path / "out", "jsonl", part_comments_max=50)
    async with opened(settings) as found:
        before = await export(found, QUIET, plan._replace(directory=tmp_path / "before"))
        manifest = await stopped_after(found, plan, 30)
        assert not manifest.is_finished
        last = {partition: held.end for partition, held in (await found.log.bounds(range(PARTITIONS))).items()}
        for video in VIDEOS:
            await append(found, [comment(video, 1_000), deletion(video, last[partition_of(video, PARTITIONS)] - 2)])
        done = await export(found, QUIET, plan)
        assert done.digest == before.digest
        assert done.content["partitions"] == before.content["partitions"]
        later = await export(found, QUIET, plan._replace(directory=tmp_path / "later"))
        assert later.digest != before.digest


async def test_an_export_stopped_anywhere_goes_on_to_the_same_end(settings: ToolSettings, tmp_path: Path) -> None:
    async with opened(settings) as found:
        whole = await export(found, QUIET, ExportPlan(tmp_path / "whole", "jsonl", part_comments_max=1))
        for after in range(1, 60, 12):
            plan = ExportPlan(tmp_path / f"out-{after}", "jsonl", part_comments_max=1)
            await stopped_after(found, plan, after)
            assert list(plan.directory.glob("day=*/.*.new")) == []
            (plan.directory / "day=2026-01-01").mkdir()
            (plan.directory / "day=2026-01-01" / ".killed.jsonl.new").touch()
            done = await export(found, QUIET, plan)
            assert done.digest == whole.digest
            assert done.comments == whole.comments
            files = [path for path in plan.directory.rglob("*.*") if path.is_file()]
            assert len(files) == len(done.content["files"]) + 1
            assert sum(len(lines_of(path)) for path in files if path.suffix == ".jsonl") == done.comments


@pytest.mark.parametrize("start", [1, 40, 10_000])
async def test_an_export_that_retention_overtook_is_refused_and_not_short(
    settings: ToolSettings, tmp_path: Path, start: int
) -> None:
    """At 1 nothing is gone but what tells whether what follows are retries."""
    plan = ExportPlan(tmp_path / "out", "jsonl", part_comments_max=5)
    async with opened(settings) as found:
        stopped = await stopped_after(found, plan, 9)
        assert 1 < stopped.range_of(0)[1] < 40
        left = Opened(found.topic, Retained(found, start), found.dead_letter_log, found.store)  # type: ignore[arg-type]  # it delegates the rest
        with pytest.raises(StartRefused, match="let go of records before they were exported"):
            await export(left, QUIET, plan)


class Breaking:
    """A log that breaks off after some reads."""

    def __init__(self, found: Opened, reads: int) -> None:
        self._log = found.log
        self._left = reads

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return await self._log.read(partition, start, end, min(limit, 20))

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)


async def stopped_after(found: Opened, plan: ExportPlan, reads: int) -> Manifest:
    """The manifest of an export that broke off after some reads of the log."""
    breaking = Opened(found.topic, Breaking(found, reads), found.dead_letter_log, found.store)  # type: ignore[arg-type]  # it delegates the rest
    with pytest.raises(KeyboardInterrupt):
        await export(breaking, QUIET, plan)
    manifest = Manifest.load(plan.directory)
    assert manifest is not None
    return manifest


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "day=2026-11-22" / "one.jsonl"
    part = PartFile(path, "jsonl")
    part.write([Exported(b"{}", 0)])
    assert not path.exists()
    part.abandon()
    assert list(path.parent.iterdir()) == []
    part = PartFile(path, "jsonl")
    part.write([Exported(b"{}", 0)])
    part.finish()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("form", FORMATS)
def test_an_abandoned_file_leaves_nothing_open_to_complain_of(tmp_path: Path, form: str) -> None:
    PartFile(tmp_path / "day" / "one", form).abandon()
    gc.collect()  # what complains is an error here
    assert list((tmp_path / "day").iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
async def test_a_number_that_only_json_can_hold_ends_no_export(tmp_path: Path, form: str) -> None:
    pytest.importorskip("pyarrow") if form == "parquet" else None
    made = installation(tmp_path / "data")
    await make_file(made)
    late = comment(VIDEOS[0], 1)
    late = late._replace(value=late.value.replace(b'"message"', b'"videoTimeMs":%d,"message"' % (1 << 63)))
    async with opened(made) as found:
        await append(found, [late, comment(VIDEOS[0], 2)])
        done = await export(found, QUIET, ExportPlan(tmp_path / "out", form))
    assert done.comments == 2
    if form != "csv":
        lines = [line for _, path in done.files() for line in read_lines(path)]
        assert b'"videoTimeMs":9223372036854775808' in lines[0]


def test_csv_tells_a_text_that_is_empty_from_what_is_not_there(tmp_path: Path) -> None:
    texts = ["", "NULL", "null", '"', ",", " lead", "=1+1", "a\r\nb", "\u2028", "x"]
    part = PartFile(tmp_path / "part.csv", "csv")
    for number, text in enumerate(texts):
        value: dict[str, object] = {
            "videoId": "v",
            "message": text,
            "author": {"id": "a", "displayName": text},
            "createdAt": "t",
        }
        value |= {"videoTimeMs": number} if number % 2 else {}
        part.write([exported(comment_id(position_at(1, number), 0), orjson.dumps(value), 0)])
    part.finish()
    found = (
        duckdb.connect()
        .sql(
            f"SELECT message, author_name, video_time_ms FROM read_csv('{tmp_path}/part.csv', all_varchar = true, "
            "header = true, allow_quoted_nulls = false, nullstr = '')"
        )
        .fetchall()
    )
    assert found == [(text, text, str(number) if number % 2 else None) for number, text in enumerate(texts)]
    with (tmp_path / "part.csv").open(newline="", encoding="utf-8") as file:
        assert [row["message"] for row in csv.DictReader(file)] == texts


async def test_csv_reads_back_as_it_was_written(settings: ToolSettings, tmp_path: Path) -> None:
    async with opened(settings) as found:
        done = await export(found, QUIET, ExportPlan(tmp_path / "csv", "csv"))
        lines = await export(found, QUIET, ExportPlan(tmp_path / "jsonl", "jsonl"))
    rows = []
    for _, path in done.files():
        with path.open(newline="", encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    objects = [one for _, path in lines.files() for one in lines_of(path)]
    assert {row["comment_id"]: row["message"] for row in rows} == {one["commentId"]: one["message"] for one in objects}
    assert done.digest == lines.digest
    with pytest.raises(StartRefused, match="whole comments"):
        next(read_lines(next(done.files())[1]))


async def test_a_directory_holds_one_export(settings: ToolSettings, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    async with opened(settings) as found:
        await export(found, QUIET, ExportPlan(tmp_path / "out", "jsonl"))
        for plan in (
            ExportPlan(tmp_path / "out", "csv"),
            ExportPlan(tmp_path / "out", "jsonl", VIDEOS[0]),
            ExportPlan(tmp_path / "other", "jsonl"),
            ExportPlan(tmp_path / "new", "xml"),
        ):
            with pytest.raises(StartRefused):
                await export(found, QUIET, plan)
    said = run(settings, ["export", str(tmp_path / "out")])
    assert "digest" in said
