"""What the log no longer holds, out of an export: filling the store from it, and comparing the store with it.

An export holds comments and facts, and no deletes: what the log still holds is taken from there, and of the export only
what lies before. A comment that was deleted before the export was made is then unknown to the store, instead of known
as deleted. The first records of a log that has lost its beginning may be duplicates of what it lost; there the export,
which knows, says which comments count.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from rich.console import Console

from livecomments.store.interface import Row
from livecomments.store.rows import rows_of_row
from livecomments_command.records.bars import bar
from livecomments_command.records.export import MANIFEST, Manifest
from livecomments_command.records.export_files import Digest, read_lines, row_of_fact, row_of_line
from livecomments_command.records.opened import Opened
from livecomments_command.records.rebuild import TAKE_RECORDS, UnsureLeft
from livecomments_command.records.scan import offset_behind, patiently
from livecomments_command.records.verify import NOT_IN_LOG, Chosen, Findings, Mismatch, compare, stored_rows
from livecomments_schemas.errors import Corrupt, Rejected, StartRefused
from livecomments_schemas.events import COMMENT_CREATED, FACT_TYPES, Record
from livecomments_schemas.judge import Kind, Verdict, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import first_position, offset_of, position_at
from livecomments_schemas.window import Window

NOT_IN_EXPORT: Final = "stored, and not in the export"
_CONTENT: Final = (("files", frozenset((COMMENT_CREATED,)), row_of_line), ("facts", FACT_TYPES, row_of_fact))
"""Of an export: where its files are named, of which types they are, and how a line is read."""


class ExportedJudge(UnsureLeft):
    """Judges the rest of the log as one who had read what it lost: by the export, as far as that reaches.

    Leaves what is unsure behind that. Remembers at most a window of positions a partition, 8 bytes each.
    """

    def __init__(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> None:
        super().__init__()
        self._starts = starts
        self._told = {number: min(ends[number], start + DEDUPE_WINDOW_RECORDS) for number, start in starts.items()}
        self._shown: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))

    def note(self, partition: int, offset: int) -> None:
        """Note that the export has a comment at this offset. Offsets must ascend within a partition."""
        if self._starts[partition] <= offset < self._told[partition]:
            self._shown[partition].append(offset)

    def __call__(self, record: Record, window: Window) -> Verdict:
        if record.offset >= self._told.get(record.partition, 0):
            return super().__call__(record, window)
        verdict = judge(record, window)
        if verdict.kind is not Kind.ACCEPTED or record.headers["type"] != COMMENT_CREATED:
            return verdict
        shown = self._shown[record.partition]
        at = bisect_left(shown, record.offset)
        return (
            verdict if shown[at : at + 1] == array("Q", [record.offset]) else Verdict(Kind.DUPLICATE, verdict.video_id)
        )


async def store_export(opened: Opened, console: Console, directory: Path) -> tuple[list[str], UnsureLeft]:
    """Store the export's comments that lie before the log's beginning.

    Returns what the operator should know, and the judge of the rest of the log.

    The watermarks follow, where the export begins no later than the store ends. Run again, it stores all of it again,
    which changes nothing. Nothing is stored of an export with a file that is not what its manifest says.

    Raises:
        StartRefused: no whole export, of this log or an earlier one.
        LogUnavailable, StoreUnavailable: run it again.
    """
    manifest = _whole(directory, opened)
    with bar(console, "Checking the export", manifest.comments) as advance:
        for file in (*manifest.content["files"], *manifest.content["facts"]):
            _check_file(manifest.directory / file["path"], file["digest"], advance)
    starts = await _starts(opened, manifest)
    whole = manifest.content["videoId"] is None and manifest.content["epoch"] == opened.log.epoch
    ends = {partition: manifest.range_of(partition)[2] if whole else 0 for partition in starts}
    rest = ExportedJudge(starts, ends)
    with bar(console, "Storing the export", manifest.comments) as advance:
        for partition, path in manifest.files():
            before = position_at(manifest.content["epoch"], starts[partition])
            for rows in _takes(path):
                advance(len(rows))
                for row in rows:
                    rest.note(partition, offset_of(row.position))
                await patiently(partial(opened.store.write, [row for row in rows if row.position < before]))
    for partition, path in manifest.files("facts"):
        before = position_at(manifest.content["epoch"], starts[partition])
        for rows in _takes(path, row_of_fact):
            lost = [one for row in rows if row.position < before for one in rows_of_row(row)]
            await patiently(partial(opened.store.write, lost))
    if manifest.content["videoId"] is not None:
        said = f"The export is of the video {manifest.content['videoId']} alone: the watermarks stay where they are."
        return [said], UnsureLeft()
    return await _advance_watermarks(opened, manifest, starts), rest


async def verify_export(
    opened: Opened, console: Console, directory: Path, *, video_id: str | None = None, chosen: Chosen = lambda _: True
) -> Findings:
    """Compare the store with a whole export. What was deleted since is no difference.

    Raises:
        StartRefused: no whole export, of this log or an earlier one.
        StoreUnavailable: run it again.
    """
    manifest, findings, deleted = _whole(directory, opened), Findings(), 0
    with bar(console, "Comparing with the export", manifest.comments + manifest.facts) as advance:
        for of, kinds, row_of in _CONTENT:
            after: dict[int, int] = {}
            for partition, rows in (
                (partition, rows) for partition, path in manifest.files(of) for rows in _takes(path, row_of)
            ):
                advance(len(rows))
                since, after[partition] = after.get(partition, rows[0].position - 1), rows[-1].position
                by_video: defaultdict[str, list[Row]] = defaultdict(list)
                for row in rows:
                    if video_id in (None, row.video_id) and chosen(row.video_id):
                        for one in rows_of_row(row):
                            by_video[one.video_id].append(one)
                for of_video, expected in by_video.items():
                    found = {
                        row.position: row
                        async for row in stored_rows(opened.store, of_video, since, after[partition])
                        if row.kind in kinds
                    }
                    gone = {position for position, row in found.items() if row.deleted}
                    deleted += len(gone)
                    findings.rows += len(expected)
                    findings.add(_differences(expected, found, gone), partition)
    if deleted:
        findings.notes.append(f"{deleted:,} comments were deleted.")
    return findings


def _differences(expected: list[Row], found: dict[int, Row], gone: set[int]) -> Iterator[Mismatch]:
    shown = [row for row in found.values() if row.position not in gone]
    alike = [
        row._replace(appended_at_ms=found[row.position].appended_at_ms) if row.position in found else row
        for row in expected
        if row.position not in gone
    ]
    for one in compare(alike, shown):
        yield one._replace(what=NOT_IN_EXPORT) if one.what == NOT_IN_LOG else one


def _whole(directory: Path, opened: Opened) -> Manifest:
    manifest = Manifest.load(directory)
    if manifest is None or not manifest.is_finished:
        raise StartRefused(
            f"{directory} holds no whole export: {MANIFEST} is missing, or says that it is not finished."
        )
    epoch, count = manifest.content["epoch"], manifest.content["partitionCount"]
    if epoch > opened.log.epoch or (epoch == opened.log.epoch and count != opened.log.partition_count):
        raise StartRefused(f"{directory} is an export of {manifest.content['topic']}, not of {opened.topic}.")
    return manifest


def _check_file(path: Path, digest: str, advance: Callable[[int], None]) -> None:
    found = Digest()
    for line in _lines(path):
        found.add(line)
        advance(1)
    if str(found) != digest:
        raise _changed(path)


def _changed(path: Path) -> StartRefused:
    return StartRefused(f"{path} is not what {MANIFEST} says: it was changed or cut.")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        yield from read_lines(path)
    except (OSError, ValueError, IndexError, NotImplementedError) as error:  # all of them by pyarrow
        if isinstance(error, OSError) and error.strerror:
            raise StartRefused(f"{path} cannot be read: {error.strerror}.") from error
        raise _changed(path) from error


def _takes(path: Path, row_of: Callable[[bytes], Row] = row_of_line) -> Iterator[list[Row]]:
    lines = _lines(path)
    while take := list(islice(lines, TAKE_RECORDS)):
        try:
            yield [row_of(line) for line in take]
        except (KeyError, TypeError, AttributeError, ValueError, Rejected, Corrupt) as error:
            raise StartRefused(f"{path} holds a line that is none of ours.") from error


async def _starts(opened: Opened, manifest: Manifest) -> dict[int, int]:
    """Return the offset, exclusive, up to which the export is needed, by partition: the log has the rest."""
    partitions = [int(partition) for partition in manifest.content["partitions"]]
    if manifest.content["epoch"] < opened.log.epoch:
        return {partition: manifest.range_of(partition)[2] for partition in partitions}
    bounds = await patiently(lambda: opened.log.bounds(partitions))
    return {partition: held.start for partition, held in bounds.items()}


async def _advance_watermarks(opened: Opened, manifest: Manifest, starts: dict[int, int]) -> list[str]:
    notes, epoch = [], manifest.content["epoch"]
    for partition, start in starts.items():
        first, _, end = manifest.range_of(partition)
        watermark = await patiently(partial(opened.store.watermark, epoch, partition))
        stored = offset_behind(watermark, epoch)
        through = min(start, end)
        if first > stored:
            if through > first:  # else nothing of the export is needed, and what is missing `rebuild` says
                notes.append(f"Partition {partition}: offsets {stored} to {first - 1} are in neither export nor store.")
        elif through > stored:
            advance = partial(opened.store.advance_watermark, epoch, partition, first_position(epoch) + through - 1)
            await patiently(advance)
    return notes
