"""`livecomments verify --clean`: compares the clean topic, as compaction keeps it, with the log, comment by comment.

Of each partition what the log holds is compared up to the record that was cleaned last; what lies before the log's
beginning is not. A comment that is deleted behind that, or in a later epoch, may still stand there, and is counted.
"""

from hashlib import blake2b
from typing import Final

from rich.console import Console

from livecomments.log.interface import CommentLog
from livecomments_command.deriving.cleaning import origin_of
from livecomments_command.records.bars import Advance, bar
from livecomments_command.records.opened import Opened
from livecomments_command.records.scan import CHUNK_RECORDS, deletes_of, patiently, scan
from livecomments_command.records.verify import NOT_DELETED, NOT_IN_LOG, OTHER, Findings, Mismatch
from livecomments_schemas.events import COMMENT_CREATED
from livecomments_schemas.judge import Kind
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import CursorRejected, comment_id, offset_of, parse_comment_id, position_at
from livecomments_schemas.render import render_comment

NOT_CLEANED: Final = "not in the clean topic"
NO_ID: Final = "under a key that is no comment id"
ELSEWHERE: Final = "in another partition or epoch than its id says"
_DIGEST_BYTES: Final = 8
"""Of each comment of one partition, with its offset: some 100 bytes in memory."""


async def verify_clean(opened: Opened, console: Console, clean: CommentLog) -> Findings:
    """Compare all partitions of an epoch with its clean topic.

    Raises:
        LogUnavailable: for more than a minute.
        OffsetUnavailable: the log lets go of records faster than they are compared.
    """
    findings = Findings()
    ranges = await patiently(lambda: opened.log.bounds(range(opened.log.partition_count)))
    with bar(console, "Comparing", 2 * sum(held.end - held.start for held in ranges.values())) as advance:
        for partition in ranges:
            await _CleanPartition(opened, clean, findings, partition).compare(advance)
    return findings


class _CleanPartition:
    """One partition and what the clean topic keeps of it."""

    def __init__(self, opened: Opened, clean: CommentLog, findings: Findings, partition: int) -> None:
        self._opened = opened
        self._clean = clean
        self._findings = findings
        self._partition = partition
        self._kept: dict[int, bytes] = {}
        """By offset in the log, the digest of what stands there."""
        self._through = -1
        """The last offset of the log that was cleaned."""

    async def compare(self, advance: Advance) -> None:
        await self._read()
        log, number, findings = self._opened.log, self._partition, self._findings
        start, end = (await patiently(lambda: log.bounds([number])))[number]
        behind = min(end, self._through + 1)
        if behind < end:
            findings.notes.append(f"Partition {number}: {end - behind:,} records are not cleaned yet, or need not be.")
        deleted = await deletes_of(log, number, start, behind, advance)
        pending = await deletes_of(log, number, behind, end, advance, self._opened.later)
        sure_from = start + DEDUPE_WINDOW_RECORDS if start else 0
        still = 0
        async for chunk in scan(log, number, start, behind):
            advance(len(chunk))
            for record, verdict in chunk:
                kept = self._kept.pop(record.offset, None)
                is_comment = verdict.kind is Kind.ACCEPTED and record.headers["type"] == COMMENT_CREATED
                position = position_at(log.epoch, record.offset)
                if not is_comment or deleted.covers(verdict.video_id, position):
                    what = NOT_DELETED if is_comment else NOT_IN_LOG
                    wrong = kept is not None and what
                else:
                    assert record.value is not None
                    findings.rows += 1
                    is_pending = pending.covers(verdict.video_id, position)
                    still += is_pending and kept is not None
                    said = _digest(render_comment(comment_id(position, number), record.value))
                    is_forgiven = is_pending or record.offset < sure_from
                    wrong = (not is_forgiven and NOT_CLEANED) if kept is None else (kept != said and OTHER)
                if wrong:
                    findings.add([Mismatch(verdict.video_id, position, wrong)], number)
        findings.add(
            (
                Mismatch("", position_at(log.epoch, offset), NOT_IN_LOG)
                for offset in sorted(self._kept)
                if start <= offset
            ),
            number,
        )
        if still:
            findings.notes.append(f"Partition {number}: {still:,} comments stand there that were deleted since.")

    async def _read(self) -> None:
        """Read what the clean partition keeps."""
        topic, clean, number = self._opened.topic, self._clean, self._partition
        following, end = (await patiently(lambda: clean.bounds([number])))[number]
        while following < end:
            at = following
            found = await patiently(lambda: clean.read(number, at, end, CHUNK_RECORDS))  # noqa: B023 (awaited)
            following = found.next
            for record in found.records:
                self._through = max(self._through, -1 if (at_origin := origin_of(topic, record)) is None else at_origin)
                try:
                    position, home = parse_comment_id((record.key or b"").decode())
                except (UnicodeDecodeError, CursorRejected):
                    self._findings.add([Mismatch("", 0, NO_ID)], number)
                    continue
                offset = offset_of(position)
                if home != number or position != position_at(self._opened.log.epoch, offset):
                    self._findings.add([Mismatch("", position, ELSEWHERE)], number)
                    continue
                if record.value is None:
                    self._kept.pop(offset, None)
                else:
                    self._kept[offset] = _digest(record.value)


def _digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=_DIGEST_BYTES).digest()
