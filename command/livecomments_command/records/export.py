"""`livecomments export`: the comments of the log, as they are through one stated position of each partition.

Beside them stands what was said of the videos, for `rebuild`.

Duplicates, voids and deleted comments are not in it: first the deletes of a partition are read, then its comments,
both through the same position, whatever is appended meanwhile. Files are partitioned by the day of the append (UTC).
`export.json` says what was exported and how far it is; an export that was stopped, run again, goes on with its next
file.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from rich.console import Console

from livecomments.log.interface import OffsetUnavailable
from livecomments.store.rows import row_of
from livecomments_command.records.bars import bar
from livecomments_command.records.export_files import FORMATS, Digest, PartFile, exported, exported_fact
from livecomments_command.records.kept_files import held_directory, on_files, sync_folder, write_atomically
from livecomments_command.records.manifests import EXPORT, VERSION, schema_of, understood
from livecomments_command.records.opened import Opened
from livecomments_command.records.parquet import pyarrow
from livecomments_command.records.scan import Deletes, Judged, deletes_of, patiently, scan
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import COMMENT_CREATED, FACT_TYPES, timestamp
from livecomments_schemas.judge import Kind
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, first_position, offset_of, parse_comment_id, position_at

PART_COMMENTS_MAX: Final = 500_000
"""Of one file: what is done again after a stop."""
PART_BYTES_MAX: Final = 128 << 20
"""Of one file's comments as JSON: Parquet keeps them until they are sorted, and has about a quarter of it."""
_DAY_CHARS: Final = len("2026-11-22")
MANIFEST: Final = "export.json"


class ExportPlan(NamedTuple):
    """What is exported. `video_id` None: all videos."""

    directory: Path
    form: str
    video_id: str | None = None
    part_comments_max: int = PART_COMMENTS_MAX
    part_bytes_max: int = PART_BYTES_MAX


class Manifest:
    """`export.json`: what the export covers, its files, and how far it is. Positions are written as comment ids."""

    def __init__(self, directory: Path, content: dict[str, Any]) -> None:
        self.directory = directory
        self.content = content

    @classmethod
    def load(cls, directory: Path) -> "Manifest | None":
        """Read the manifest of a directory; None if it has none. Raises StartRefused: it is not of an export."""
        file = directory / MANIFEST
        with on_files(str(file)):
            if not file.exists():
                return None
            said = file.read_bytes()
        return cls(directory, _as_of_now(understood(said, EXPORT, str(file))))

    def save(self) -> None:
        """Write it, whole or not at all."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(self.directory / MANIFEST, orjson.dumps(self.content, option=orjson.OPT_INDENT_2))
        sync_folder(self.directory)

    def remove_leftovers(self) -> None:
        """Remove files of ours that it does not name: a run that was cut short left them. Raises OSError."""
        named = {path for of in ("files", "facts") for _, path in self.files(of)}
        own = re.compile(
            rf"{re.escape(self.content['topic'])}-\d{{4}}-\d{{12}}(-erased\d+)?\.\w+|\.{MANIFEST}.new|\..*\.new"
        )
        for folder in (self.directory, *self.directory.glob("day=*"), self.directory / "facts"):
            for path in folder.glob("*"):
                if path not in named and own.fullmatch(path.name):
                    path.unlink()
                    sync_folder(folder)

    @property
    def is_finished(self) -> bool:
        """Whether every partition is exported through its stated position."""
        return bool(self.content["finished"])

    @property
    def comments(self) -> int:
        """In all files so far."""
        return sum(file["rows"] for file in self.content["files"])

    @property
    def facts(self) -> int:
        """In all files so far."""
        return sum(file["rows"] for file in self.content["facts"])

    @property
    def digest(self) -> str:
        """Of all comments in files so far."""
        whole = Digest()
        for file in self.content["files"]:
            whole.merge(Digest.parse(file["digest"]))
        return str(whole)

    def range_of(self, partition: int) -> tuple[int, int, int]:
        """Return the export's first offset in a partition, the next one to export, and its end (exclusive)."""
        one = self.content["partitions"][str(partition)]
        first, following, end = (offset_of(parse_comment_id(one[name])[0] + 1) for name in ("after", "done", "through"))
        return first, following, end

    def set_done(self, partition: int, following: int) -> None:
        """Note that everything before this offset is in files."""
        self.content["partitions"][str(partition)]["done"] = _id_before(self.content["epoch"], partition, following)

    def files(self, of: str = "files") -> Iterator[tuple[int, Path]]:
        """Yield `(partition, path)` of every file, ascending within a partition; of comments, or `of` "facts"."""
        for file in self.content[of]:
            yield file["partition"], self.directory / file["path"]


async def export(opened: Opened, console: Console, plan: ExportPlan) -> Manifest:
    """Export, or go on with the export that `plan.directory` holds.

    Raises:
        StartRefused: the directory holds something else, or the log let go of records before they were exported.
        FilesInUse: another export is at work in it.
        FilesRefused, FilesFailed: it cannot be written.
        LogUnavailable: run it again.
    """
    if plan.form not in FORMATS:
        raise StartRefused(f"--format {plan.form}: must be one of {', '.join(FORMATS)}.")
    if plan.form == "parquet":
        pyarrow()
    with on_files(f"Exporting to {plan.directory}"):
        plan.directory.mkdir(parents=True, exist_ok=True)
        with held_directory(plan.directory):
            return await _export(opened, console, plan)


async def _export(opened: Opened, console: Console, plan: ExportPlan) -> Manifest:
    manifest = Manifest.load(plan.directory) or await _begin(opened, plan)
    _refuse_other(manifest, opened, plan)
    manifest.remove_leftovers()
    ranges = {int(partition): manifest.range_of(int(partition)) for partition in manifest.content["partitions"]}
    total = sum(2 * (end - following) for _, following, end in ranges.values())
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
        "version": VERSION,
        "kind": EXPORT,
        "topic": opened.topic,
        "epoch": log.epoch,
        "partitionCount": log.partition_count,
        "format": plan.form,
        "videoId": plan.video_id,
        "finished": False,
        "partitions": places,
        "schema": schema_of(EXPORT, plan.form),
        "files": [],
        "facts": [],
    }
    manifest = Manifest(plan.directory, content)
    manifest.save()
    return manifest


def rows_of(rows: int, of: str) -> dict[str, int]:
    """Return what the manifest says of how many rows a file has, of comments ("files") or `of` "facts"."""
    return {"rows": rows} if of == "facts" else {"rows": rows, "upserts": rows, "deletes": 0}


def _as_of_now(content: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest, whatever wrote it, in the form of today."""
    content |= {"version": VERSION, "kind": EXPORT, "schema": schema_of(EXPORT, content["format"])}
    content.setdefault("facts", [])
    for of, counted in (("files", "comments"), ("facts", "facts")):
        for file in content[of]:
            if counted in file:
                file |= rows_of(file.pop(counted), of)
    return content


def _refuse_other(manifest: Manifest, opened: Opened, plan: ExportPlan) -> None:
    wanted = {"topic": opened.topic, "format": plan.form, "videoId": plan.video_id}
    for name, value in wanted.items():
        if manifest.content[name] != value:
            raise StartRefused(
                f"{plan.directory} holds an export with {name} {manifest.content[name]}, not {value}. Name another."
            )


class _Segment:
    """The files being made of one partition: what is done again after a stop, and named by where it begins."""

    def __init__(self, plan: ExportPlan, manifest: Manifest, partition: int) -> None:
        self._plan = plan
        self._manifest = manifest
        self._partition = partition
        self._parts: dict[str, PartFile] = {}
        self._ends: dict[str, Sequence[int]] = {}
        """First and last position of what is in each."""
        self._day = ""

    def write(self, day: str, run: list[Judged], deleted: Deletes) -> None:
        """Add what is exported of records of one day."""
        part = self._parts.get("files")
        is_full = part is not None and (
            part.comments >= self._plan.part_comments_max or part.line_bytes >= self._plan.part_bytes_max
        )
        if part is not None and (is_full or day != self._day):
            self.finish(run[0].record.offset)
        epoch, comments, facts = self._manifest.content["epoch"], [], []
        positions: dict[str, list[int]] = {"files": [], "facts": []}
        for record, verdict in run:
            if verdict.kind is not Kind.ACCEPTED or self._plan.video_id not in (None, verdict.video_id):
                continue
            position = position_at(epoch, record.offset)
            if record.headers["type"] in FACT_TYPES:
                row = row_of(record, verdict, epoch)
                facts.append(exported_fact(comment_id(position, self._partition), row))
                positions["facts"].append(position)
            elif record.headers["type"] == COMMENT_CREATED and not deleted.covers(verdict.video_id, position):
                assert record.value is not None
                comments.append(exported(comment_id(position, self._partition), record.value, record.appended_at_ms))
                positions["files"].append(position)
        for of, met in positions.items():
            if met:
                self._ends[of] = (self._ends.get(of, met)[0], met[-1])
        if comments:
            self._day = day
            self._part("files", f"day={day}", self._plan.form).write(comments)
        if facts:
            form = "parquet" if self._plan.form == "parquet" else "jsonl"  # a CSV could not hold their values
            self._part("facts", "facts", form).write(facts)

    def finish(self, following: int) -> None:
        """Make them visible, and everything before `following` done."""
        for of, part in self._parts.items():
            part.finish()
            file = {
                "path": part.path.relative_to(self._manifest.directory).as_posix(),
                "partition": self._partition,
                **rows_of(part.comments, of),
                "firstPosition": self._ends[of][0],
                "lastPosition": self._ends[of][1],
                "digest": str(part.digest),
                **part.checks(),
            }
            self._manifest.content[of].append(file)
        self._parts.clear()
        self._ends.clear()
        self._manifest.set_done(self._partition, following)
        self._manifest.save()

    def abandon(self) -> None:
        """Remove what is not finished."""
        for part in self._parts.values():
            part.abandon()

    def _part(self, of: str, folder: str, form: str) -> PartFile:
        """Return the file to write on, begun first if there is none. Its name has the offset at which it begins."""
        if of not in self._parts:
            offset = self._manifest.range_of(self._partition)[1]
            name = f"{self._manifest.content['topic']}-{self._partition:04d}-{offset:012d}.{form}"
            self._parts[of] = PartFile(self._plan.directory / folder / name, form, of_facts=of == "facts")
        return self._parts[of]


async def _export_partition(
    opened: Opened, plan: ExportPlan, manifest: Manifest, partition: int, advance: Callable[[int], None]
) -> None:
    log = opened.log
    first, following, end = manifest.range_of(partition)
    start = (await patiently(lambda: log.bounds([partition])))[partition].start
    if start > max(first, following - DEDUPE_WINDOW_RECORDS):  # with them went what tells retries of what is in files
        raise OffsetUnavailable(f"Partition {partition} begins at {start} by now.")
    deleted = await deletes_of(
        log, partition, following, end, advance, opened.later
    )  # a delete lies behind its comment
    segment = _Segment(plan, manifest, partition)
    try:
        async for chunk in scan(log, partition, following, end):
            advance(len(chunk))
            for day, run in _days(chunk):
                segment.write(day, run, deleted)
        segment.finish(end)
    finally:
        segment.abandon()


def _days(chunk: list[Judged]) -> Iterator[tuple[str, list[Judged]]]:
    """Yield a chunk in runs of one UTC day each, with the day."""
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


def _id_before(epoch: int, partition: int, offset: int) -> str:
    """Return the id of the position before this offset: a range is written as "after this id, through that one"."""
    return comment_id(first_position(epoch) + offset - 1, partition)
