"""Manifests: one form for exports and feeds, which says what the files hold; what came later is refused in words."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet
import pytest

from livecomments_command.records.export import MANIFEST, ExportPlan, Manifest, export
from livecomments_command.records.feed_steps import FeedPlan
from livecomments_command.records.manifests import VERSION
from livecomments_command.records.opened import opened
from livecomments_command.records.places import Directory
from livecomments_command.records.rebuild_export import verify_export
from livecomments_command.settings import ToolSettings
from livecomments_schemas.events import video_changed
from livecomments_schemas.positions import parse_comment_id
from tests.command.installation import append, installation, make_file, persist
from tests.command.records.test_feed import feed_on
from tests.command.records.test_kept_files import told
from tests.command.records.test_rebuild import QUIET, VIDEOS, fill

ONE_FORM = {"version", "kind", "topic", "epoch", "partitionCount", "format", "videoId", "partitions", "schema"}
OF_FILE = {"path", "rows", "firstPosition", "lastPosition", "bytes", "sha256"}
SAID = {"title": "t", "slowModeS": 0, "maxCommentsPerS": 9, "whoMayComment": "everyone"}
ARROW = {"timestamp[ms, tz=UTC]": "timestamp"}


@pytest.fixture
async def settings(tmp_path: Path) -> ToolSettings:
    made = installation(tmp_path / "data")
    await make_file(made)
    async with opened(made) as found:
        await fill(found, 60)
        await append(found, [video_changed(video, SAID, "owner") for video in VIDEOS])
        await persist(found)
    return made


async def made_both(settings: ToolSettings, directory: Path, form: str) -> list[tuple[Path, dict[str, Any]]]:
    """A full export and, but for CSV, a feed: of each its folder and its manifest."""
    async with opened(settings) as found:
        await export(found, QUIET, ExportPlan(directory / "full", form))
        if form != "csv":
            await feed_on(found, Directory(directory / "feed"), FeedPlan(form))
    paths = [directory / "full" / MANIFEST, *(directory / "feed").glob("_manifest/*.json")]
    return [(directory / path.relative_to(directory).parts[0], orjson.loads(path.read_bytes())) for path in paths]


def columns_of(path: Path) -> dict[str, str]:
    """Names and types of what a file holds; of JSON lines and CSV the names, which is all they have."""
    if path.suffix == ".parquet":
        return {field.name: ARROW.get(str(field.type), str(field.type)) for field in pyarrow.parquet.read_schema(path)}
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return dict.fromkeys(next(csv.reader(file)), "")
    return dict.fromkeys((name for line in path.read_bytes().splitlines() for name in orjson.loads(line)), "")


def contents(folder: Path) -> dict[Path, bytes]:
    """All files below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
async def test_exports_and_steps_have_one_form_that_says_what_the_files_hold(
    settings: ToolSettings, tmp_path: Path, form: str
) -> None:
    both = await made_both(settings, tmp_path, form)
    assert [one["kind"] for _, one in both] == (["export"] if form == "csv" else ["export", "changes"])
    for folder, manifest in both:
        assert manifest.keys() >= ONE_FORM
        assert manifest["version"] == VERSION
        assert manifest["facts"]
        for of in ("files", "facts"):
            for file in manifest[of]:
                content = (folder / file["path"]).read_bytes()
                assert file.keys() >= OF_FILE | ({"upserts", "deletes"} if of == "files" else set())
                assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
                columns, said = columns_of(folder / file["path"]), manifest["schema"][of]
                if form == "parquet":
                    assert columns == said
                assert columns.keys() <= said.keys()
                assert said.keys() - columns.keys() <= {"videoTimeMs", "comment"}  # not every row has them
    full, *steps = (sum(file["upserts"] - file["deletes"] for file in one["files"]) for _, one in both)
    assert steps in ([], [full])
    facts = {
        tuple(sorted((file["firstPosition"], file["lastPosition"], file["rows"]) for file in one["facts"]))
        for _, one in both
    }
    firsts = {min(first for first, _, _ in each) for each in facts}
    assert len(firsts) == len({sum(rows for _, _, rows in each) for each in facts}) == 1


async def test_facts_say_between_which_positions_they_lie(settings: ToolSettings, tmp_path: Path) -> None:
    for folder, manifest in await made_both(settings, tmp_path, "jsonl"):
        for file in manifest["facts"]:
            lines = [orjson.loads(line) for line in (folder / file["path"]).read_bytes().splitlines()]
            positions = [parse_comment_id(one["position"])[0] for one in lines]
            assert (file["firstPosition"], file["lastPosition"], file["rows"]) == (
                min(positions),
                max(positions),
                len(lines),
            )


async def test_an_export_of_before_is_read_and_gone_on_with(settings: ToolSettings, tmp_path: Path) -> None:
    await made_both(settings, tmp_path, "jsonl")
    file = tmp_path / "full" / MANIFEST
    content = orjson.loads(file.read_bytes()) | {"version": 1}
    for name in ("kind", "schema"):
        del content[name]
    for of, counted in (("files", "comments"), ("facts", "facts")):
        for one in content[of]:
            one[counted] = one.pop("rows")
            for name in ("upserts", "deletes"):
                one.pop(name, None)
    now = Manifest.load(tmp_path / "full")
    file.write_bytes(orjson.dumps(content))
    before = Manifest.load(tmp_path / "full")
    assert now is not None
    assert before is not None
    assert before.content == now.content
    async with opened(settings) as found:
        assert (await verify_export(found, QUIET, tmp_path / "full")).ok
        await export(found, QUIET, ExportPlan(tmp_path / "full", "jsonl"))
    assert orjson.loads(file.read_bytes()) == now.content


async def test_a_manifest_of_a_later_version_is_refused_in_words_and_nothing_is_touched(
    settings: ToolSettings, tmp_path: Path
) -> None:
    await made_both(settings, tmp_path, "jsonl")
    full, feeding = str(tmp_path / "full"), str(tmp_path / "feed")
    for path in (tmp_path / "full" / MANIFEST, *(tmp_path / "feed").glob("_manifest/*.json")):
        path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"version": VERSION + 1}))
    before = [contents(tmp_path / name) for name in ("full", "feed", "new")]
    for arguments in (
        ("export", full),
        ("export", feeding, "--changes"),
        ("export", str(tmp_path / "new"), "--after", full),
        ("export", str(tmp_path / "new"), "--after", feeding),
        ("verify", "--export", full),
        ("rebuild", "--from-export", full),
        ("erase", "--author", "ana", "--export", full),
        ("compact", feeding),
    ):
        code, said = told(settings, *arguments)
        assert (code, "later version" in said, "Upgrade" in said) == (2, True, True), said
    assert [contents(tmp_path / name) for name in ("full", "feed", "new")] == before
