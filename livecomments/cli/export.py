"""`livecomments export`: the comments of the log, as they are through one stated position of each partition.

Duplicates, voids and deleted comments are not in it: first the deletes of a partition are read, then its comments,
both through the same position, whatever is appended meanwhile. Files are partitioned by the day of the append (UTC).
`export.json` says what was exported and how far it is; an export that was stopped, run again, goes on with its next
file.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from rich.console import Console

from livecomments.cli.bars import bar
from livecomments.cli.export_files import FORMATS, Digest, PartFile, exported, pyarrow
from livecomments.cli.opened import Opened
from livecomments.cli.rebuild import write_atomically
from livecomments.cli.scan import Judged, deletes_of, patiently, scan
from livecomments.log.interface import OffsetUnavailable
from schemas.errors import StartRefused
from schemas.events import COMMENT_CREATED, timestamp
from schemas.judge import Kind
from schemas.partitions import partition_of
from schemas.positions import comment_id, first_position, offset_of, parse_comment_id, position_at

PART_COMMENTS_MAX: Final = 500_000
"""Of one file: what is done again after a stop."""
_DAY_CHARS: Final = len("2026-11-22")
MANIFEST: Final = "export.json"


class ExportPlan(NamedTuple):
    """What is exported. `video_id` None: all videos."""

    directory: Path
    form: str
    video_id: str | None = None
    part_comments_max: int = PART_COMMENTS_MAX


class Manifest:
    """`export.json`: what the export covers, its files, and how far it is. Positions are written as comment ids."""

    def __init__(self, directory: Path, content: dict[str, Any]) -> None:
        self.directory = directory
        self.content = content

    @classmethod
    def load(cls, directory: Path) -> "Manifest | None":
        """That of a directory, if it has one. Raises StartRefused: it is not ours."""
        file = directory / MANIFEST
        if not file.exists():
            return None
        try:
            content = orjson.loads(file.read_bytes())
            assert content["version"] == 1
        except (orjson.JSONDecodeError, KeyError, TypeError, AssertionError) as error:
            raise StartRefused(f"{file} is not of an export that this livecomments understands.") from error
        return cls(directory, content)

    def save(self) -> None:
        """Write it, whole or not at all."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(self.directory / MANIFEST, orjson.dumps(self.content, option=orjson.OPT_INDENT_2))

    @property
    def is_finished(self) -> bool:
        """Whether every partition is exported through its stated position."""
        return bool(self.content["finished"])

    @property
    def comments(self) -> int:
        """In all files so far."""
        return sum(file["comments"] for file in self.content["files"])

    @property
    def digest(self) -> str:
        """Of all files so far."""
        whole = Digest()
        for file in self.content["files"]:
            whole.merge(Digest.parse(file["digest"]))
        return str(whole)

    def range_of(self, partition: int) -> tuple[int, int, int]:
        """`(first, next, end)` offsets of a partition: of the export, and of what is still to be done."""
        one = self.content["partitions"][str(partition)]
        first, following, end = (offset_of(parse_comment_id(one[name])[0] + 1) for name in ("after", "done", "through"))
        return first, following, end

    def set_done(self, partition: int, following: int) -> None:
        """Everything before this offset is in files."""
        self.content["partitions"][str(partition)]["done"] = _id_before(self.content["epoch"], partition, following)

    def files(self) -> Iterator[tuple[int, Path]]:
        """`(partition, path)` of every file, ascending within a partition."""
        for file in self.content["files"]:
            yield file["partition"], self.directory / file["path"]


async def export(opened: Opened, console: Console, plan: ExportPlan) -> Manifest:
    """Export, or go on with the export that `plan.directory` holds.

    Raises:
        StartRefused: the directory holds something else, or the log let go of records before they were exported.
        LogUnavailable: run it again.
    """
    if plan.form not in FORMATS:
        raise StartRefused(f"--format {plan.form}: must be one of {', '.join(FORMATS)}.")
    if plan.form == "parquet":
        pyarrow()
    manifest = Manifest.load(plan.directory) or await _begin(opened, plan)
    _refuse_other(manifest, opened, plan)
    for leftover in plan.directory.glob("day=*/.*.new"):
        leftover.unlink()
    ranges = {int(partition): manifest.range_of(int(partition)) for partition in manifest.content["partitions"]}
    total = sum(end - first + end - following for first, following, end in ranges.values() if following < end)
    try:
        with bar(console, "Exporting", total) as advance:
            for partition, (_, following, end) in ranges.items():
                if following < end:
                    await _export_partition(opened, plan, manifest, partition, advance)
    except OffsetUnavailable as error:
        raise StartRefused(
            f"The log let go of records before they were exported ({error}). Begin a new one."
        ) from error
    manifest.content["finished"] = True
    manifest.save()
    return manifest


async def _begin(opened: Opened, plan: ExportPlan) -> Manifest:
    if plan.directory.exists() and any(plan.directory.iterdir()):
        raise StartRefused(f"{plan.directory} is not empty, and no export. Name another directory.")
    log = opened.log
    partitions = range(log.partition_count)
    if plan.video_id is not None:
        home = partition_of(plan.video_id, log.partition_count)
        partitions = range(home, home + 1)
    places = {}
    for partition, (start, end) in (await patiently(lambda: log.bounds(partitions))).items():
        after, through = _id_before(log.epoch, partition, start), _id_before(log.epoch, partition, end)
        places[str(partition)] = {"after": after, "through": through, "done": after}
    content = {
        "version": 1,
        "topic": opened.topic,
        "epoch": log.epoch,
        "partitionCount": log.partition_count,
        "format": plan.form,
        "videoId": plan.video_id,
        "finished": False,
        "partitions": places,
        "files": [],
    }
    manifest = Manifest(plan.directory, content)
    manifest.save()
    return manifest


def _refuse_other(manifest: Manifest, opened: Opened, plan: ExportPlan) -> None:
    wanted = {"topic": opened.topic, "format": plan.form, "videoId": plan.video_id}
    for name, value in wanted.items():
        if manifest.content[name] != value:
            raise StartRefused(
                f"{plan.directory} holds an export with {name} {manifest.content[name]}, not {value}. Name another."
            )


async def _export_partition(
    opened: Opened, plan: ExportPlan, manifest: Manifest, partition: int, advance: Callable[[int], None]
) -> None:
    log = opened.log
    first, following, end = manifest.range_of(partition)
    deleted = await deletes_of(log, partition, first, end, advance)
    part: PartFile | None = None
    part_day = ""
    try:
        async for chunk in scan(log, partition, following, end):
            advance(len(chunk))
            for day, run in _days(chunk):
                if part is not None and (day != part_day or part.comments >= plan.part_comments_max):
                    _finish(manifest, partition, part, run[0].record.offset)
                    part = None
                comments = []
                for record, verdict in run:
                    position = position_at(log.epoch, record.offset)
                    if (
                        verdict.kind is Kind.ACCEPTED
                        and record.headers["type"] == COMMENT_CREATED
                        and plan.video_id in (None, verdict.video_id)
                        and not deleted.covers(verdict.video_id, position)
                    ):
                        assert record.value is not None
                        comments.append(exported(comment_id(position, partition), record.value, record.appended_at_ms))
                if comments:
                    part = part or PartFile(_path(plan, manifest, partition, day), plan.form)
                    part_day = day
                    part.write(comments)
        _finish(manifest, partition, part, end)
        part = None
    finally:
        if part is not None:
            part.abandon()


def _finish(manifest: Manifest, partition: int, part: PartFile | None, following: int) -> None:
    if part is not None:
        part.finish()
        file = {
            "path": part.path.relative_to(manifest.directory).as_posix(),
            "partition": partition,
            "comments": part.comments,
            "digest": str(part.digest),
        }
        manifest.content["files"].append(file)
    manifest.set_done(partition, following)
    manifest.save()


def _days(chunk: list[Judged]) -> Iterator[tuple[str, list[Judged]]]:
    """A chunk in runs of one day each."""
    run: list[Judged] = []
    run_day = ""
    for one in chunk:
        day = timestamp(one.record.appended_at_ms)[:_DAY_CHARS]
        if run and day != run_day:
            yield run_day, run
            run = []
        run_day = day
        run.append(one)
    if run:
        yield run_day, run


def _path(plan: ExportPlan, manifest: Manifest, partition: int, day: str) -> Path:
    """Named by where it begins: begun again after a stop, wherever it then ends, a file takes its own place."""
    offset = manifest.range_of(partition)[1]
    name = f"{manifest.content['topic']}-{partition:04d}-{offset:012d}.{plan.form}"
    return plan.directory / f"day={day}" / name


def _id_before(epoch: int, partition: int, offset: int) -> str:
    """The id of the position before this offset: what is exported ends with it, or begins behind it."""
    return comment_id(first_position(epoch) + offset - 1, partition)
