"""`livecomments verify`: compares the store with the log, row by row, up to the watermark.

What the log says is judged anew; of each chunk of it the same stretch of every video is read from the store. Both may
go on meanwhile: the comparison ends where each partition's watermark was at the beginning, and a comment that is found
deleted is checked against the deletes that came since.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from rich.console import Console

from livecomments.history.log_end import refuse_other_log
from livecomments.log.interface import Bounds
from livecomments.store.interface import CommentStore, Row
from livecomments.store.rows import rows_of
from livecomments_command.records.bars import bar
from livecomments_command.records.opened import Opened
from livecomments_command.records.scan import Deletes, Judged, deletes_of, offset_behind, patiently, scan
from livecomments_schemas.events import COMMENT_CREATED, facts_of, reports_of
from livecomments_schemas.judge import Kind
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at

_SLICE_ROWS: Final = 1_000
_SHOWN_MAX: Final = 20
"""Differences told in full."""
_UNSURE_MAX: Final = 100_000
"""Comments deleted since, checked at the end; more than that count as differences."""

_VIDEOS_MAX: Final = 200_000
"""Videos of a partition whose progress is remembered at once, some 30 MB. When there are more, all of them are compared
up to the same position and forgotten. The cost: a stored row that the log does not know is then found only if the log
has another record of its video between two such positions."""
_EXPIRING: Final = (None, *range(1, 60))
"""Seconds of life left: a row with no more may expire while it is compared, and is left out."""

NOT_STORED: Final = "not stored"
NOT_IN_LOG: Final = "stored, and nothing in the log says so"
NOT_DELETED: Final = "deleted, and still stored"
DELETED: Final = "stored as deleted, and nothing deletes it"
OTHER: Final = "stored otherwise"
GONE: Final = "records gone from the log before they were stored"


class Mismatch(NamedTuple):
    """One row in which they differ."""

    video_id: str
    position: int
    what: str


class Findings:
    """What a comparison found. Keeps a few in full and counts the rest."""

    def __init__(self) -> None:
        self.rows = 0
        self.counts: Counter[str] = Counter()
        self.shown: list[str] = []
        self.notes: list[str] = []

    @property
    def ok(self) -> bool:
        """Whether they agree."""
        return not self.counts

    def add(self, found: Iterable[Mismatch], partition: int) -> None:
        """Count differences of a partition's videos."""
        for video_id, position, what in found:
            self.counts[what] += 1
            if len(self.shown) < _SHOWN_MAX:
                self.shown.append(f"{video_id} {comment_id(position, partition)}: {what}")

    def sentences(self) -> Iterator[str]:
        """Yield the sentences for the operator."""
        yield from self.notes
        yield from self.shown
        if not self.ok:
            yield f"{self.rows:,} rows compared; " + ", ".join(f"{n:,} {what}" for what, n in self.counts.most_common())
        else:
            yield f"{self.rows:,} rows compared: no difference"


Chosen = Callable[[str], bool]
"""Whether a video is to be compared."""


def sampled(share: float, seed: int = 0) -> Chosen:
    """Return a choice of about this share of all videos, 0 to 1; the same videos for the same seed."""
    return lambda video_id: zlib.crc32(video_id.encode(), seed) < share * 2**32


def compare(expected: Iterable[Row], stored: Iterable[Row]) -> Iterator[Mismatch]:
    """Yield how the stored rows of one stretch of a video differ from the expected ones."""
    found = {row.position: row for row in stored}
    for row in expected:
        other = found.pop(row.position, None)
        if other is None:
            yield Mismatch(row.video_id, row.position, NOT_STORED)
        elif other != row:
            what = OTHER
            if row.deleted != other.deleted:
                what = NOT_DELETED if row.deleted else DELETED
            yield Mismatch(row.video_id, row.position, what)
    for row in found.values():
        yield Mismatch(row.video_id, row.position, NOT_IN_LOG)


async def verify(
    opened: Opened, console: Console, *, video_id: str | None = None, chosen: Chosen = lambda _: True
) -> Findings:
    """Compare one video, those `chosen`, or all.

    Rows that nothing in the log says are found of the video asked for, and of those that the log knows, as far as
    `_VIDEOS_MAX` lets it.

    Raises:
        LogWentBack: the store was filled from another log; there is nothing to compare.
        LogUnavailable, StoreUnavailable, OffsetUnavailable: run it again.
    """
    log, findings = opened.log, Findings()
    await patiently(lambda: refuse_other_log(log, opened.store))
    partitions = range(log.partition_count)
    if video_id is not None:
        home = partition_of(video_id, log.partition_count)
        partitions = range(home, home + 1)
    ranges: dict[int, Bounds] = {}
    for partition, held in (await patiently(lambda: log.bounds(partitions))).items():
        watermark = await patiently(lambda: opened.store.watermark(log.epoch, partition))  # noqa: B023 (awaited here)
        stored = offset_behind(watermark, log.epoch)
        end = min(held.end, stored)
        ranges[partition] = Bounds(held.start, max(end, held.start))
        if end < held.end:
            findings.notes.append(
                f"Partition {partition}: {held.end - max(end, held.start):,} records to be stored yet."
            )
        if 0 < stored < held.start:
            findings.counts[GONE] += held.start - stored
            findings.notes.append(
                f"Partition {partition}: offsets {stored} to {held.start - 1} are in neither log nor store."
            )
        if held.start:
            findings.notes.append(f"Partition {partition}: the log begins at offset {held.start}, so does this.")
    total = 2 * sum(end - start for start, end in ranges.values())
    with bar(console, "Comparing", total) as advance:
        for partition, held in ranges.items():
            await _verify_partition(_Comparison(opened, video_id, chosen, findings, advance), partition, held)
    return findings


@dataclass(frozen=True)
class _Comparison:
    """What is compared, and who is told of it."""

    opened: Opened
    video_id: str | None
    """If one video alone."""
    chosen: Chosen
    findings: Findings
    advance: Callable[[int], None]
    """Told how many records were read."""


async def _verify_partition(comparison: _Comparison, partition: int, held: Bounds) -> None:
    opened, findings = comparison.opened, comparison.findings
    log = opened.log
    deleted = await deletes_of(log, partition, held.start, held.end, comparison.advance, opened.later)
    after = position_at(log.epoch, held.start) - 1
    sure_from = position_at(log.epoch, held.start + (DEDUPE_WINDOW_RECORDS if held.start else 0))
    """A comment before may be a retry of what the log no longer holds."""
    forgiven = 0
    unsure: list[Mismatch] = []
    compared: dict[str, int] = {}
    """Up to where, of the videos met since `after`."""

    async def compare_through(through: int, by_video: Mapping[str, list[Row]]) -> None:
        nonlocal forgiven
        for of_video, rows in by_video.items():
            findings.rows += len(rows)
            expiring = {row.position for row in rows if opened.lifetime.left_s(row.appended_at_ms) in _EXPIRING}
            since, compared[of_video] = compared.get(of_video, after), through
            stored = [
                row async for row in stored_rows(opened.store, of_video, since, through) if row.position not in expiring
            ]
            rows = [row for row in rows if row.position not in expiring]
            maybe = {row.position for row in rows if row.position < sure_from and row.kind == COMMENT_CREATED}
            differing = list(compare(rows, stored))
            found = [one for one in differing if one.what != NOT_STORED or one.position not in maybe]
            forgiven += len(differing) - len(found)
            unsure.extend(one for one in found if one.what == DELETED)
            findings.add((one for one in found if one.what != DELETED), partition)

    async for chunk in scan(log, partition, held.start, held.end):
        comparison.advance(len(chunk))
        through = position_at(log.epoch, chunk[-1].record.offset)
        await compare_through(through, _expected(comparison, chunk, deleted))
        if len(compared) > _VIDEOS_MAX:
            await compare_through(through, {of_video: [] for of_video in compared})
            compared.clear()
            after = through
        if len(unsure) > _UNSURE_MAX:
            findings.add(unsure, partition)
            unsure.clear()
    await compare_through(position_at(log.epoch, held.end) - 1, {of_video: [] for of_video in compared})
    if forgiven:
        findings.notes.append(
            f"Partition {partition}: {forgiven:,} comments that may be retries of what is gone are not stored."
        )
    if unsure:
        end = (await patiently(lambda: log.bounds([partition])))[partition].end
        since = await deletes_of(log, partition, held.end, end, lambda _: None)
        findings.add((one for one in unsure if not since.covers(one.video_id, one.position)), partition)


def _expected(comparison: _Comparison, chunk: Iterable[Judged], deleted: Deletes) -> Mapping[str, list[Row]]:
    """Return the rows of a chunk of the log as they must be stored, by video."""
    video_id, chosen, epoch = comparison.video_id, comparison.chosen, comparison.opened.log.epoch
    by_video: defaultdict[str, list[Row]] = defaultdict(list)
    if video_id is not None:
        # Even if the log has nothing of it.
        by_video |= {video_id: [], facts_of(video_id): [], reports_of(video_id): []}
    for record, verdict in chunk:
        if verdict.kind is Kind.ACCEPTED and (verdict.video_id == video_id if video_id else chosen(verdict.video_id)):
            for row in rows_of(record, verdict, epoch):
                if deleted.covers(row.video_id, row.position):
                    row = row._replace(value=b"", deleted=True)
                by_video[row.video_id].append(row)
    return by_video


async def stored_rows(store: CommentStore, video_id: str, after: int, through: int) -> AsyncIterator[Row]:
    """Yield the video's rows with after < position ≤ through, ascending."""
    while after < through:
        read = partial(store.read, video_id, after, through, _SLICE_ROWS, descending=False)
        found = await patiently(read)
        for row in found.rows:
            yield row
        after = found.examined
