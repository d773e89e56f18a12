"""Verify: agrees with a store that is right, and sees everything that can be wrong with one."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rich.console import Console

from livecomments.history.log_end import LogWentBack
from livecomments.store.interface import Lifetime, Row
from livecomments.store.rows import row_of
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.verify import (
    DELETED,
    NOT_DELETED,
    NOT_IN_LOG,
    NOT_STORED,
    OTHER,
    compare,
    sampled,
    verify,
)
from livecomments_schemas.events import (
    COMMENT_CREATED,
    COMMENT_DELETED,
    VIDEO_STARTED,
    NewRecord,
    comment_reported,
    facts_of,
    reports_of,
    video_event,
)
from livecomments_schemas.judge import Kind, Verdict
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import first_position
from tests.command.installation import (
    PARTITIONS,
    append,
    comment,
    deletion,
    id_of,
    installation,
    make_file,
    persist,
    run,
)

QUIET = Console(quiet=True)
VIDEO = "video"
HOME = partition_of(VIDEO, PARTITIONS)
ROW = Row(VIDEO, 7, COMMENT_CREATED, "ana", b'{"a":1}', 5)
EMPTIED = ROW._replace(value=b"", deleted=True)


@pytest.mark.parametrize(
    ("expected", "stored", "what"),
    [
        ([ROW], [ROW], []),
        ([ROW], [], [NOT_STORED]),
        ([], [ROW], [NOT_IN_LOG]),
        ([EMPTIED], [ROW], [NOT_DELETED]),
        ([ROW], [EMPTIED], [DELETED]),
        ([ROW], [ROW._replace(value=b'{"a":2}')], [OTHER]),
        ([ROW], [ROW._replace(author_id="bob")], [OTHER]),
        ([EMPTIED], [EMPTIED._replace(value=b"x")], [OTHER]),
        ([ROW], [ROW._replace(position=8)], [NOT_STORED, NOT_IN_LOG]),
    ],
)
def test_rows_are_compared_in_everything(expected: list[Row], stored: list[Row], what: list[str]) -> None:
    assert [one.what for one in compare(expected, stored)] == what


async def lost(found: Opened) -> None:
    """The watermark is ahead of a row."""
    await append(found, [comment(VIDEO, 9)])
    held = (await found.log.bounds([HOME]))[HOME]
    await found.store.advance_watermark(1, HOME, first_position(1) + held.end - 1)


async def invented(found: Opened) -> None:
    """A row that nobody appended, between two that somebody did."""
    row = await found.store.read_one(VIDEO, first_position(1) + 1)
    assert row is not None
    await append(found, [comment("other", 1)] if partition_of("other", PARTITIONS) == HOME else [])
    await found.store.write([row._replace(position=first_position(1) + 2)])


async def invented_in_silence(found: Opened) -> None:
    """Rows of a video where the log has others alone: before its first record, and long after its last."""
    row = await found.store.read_one(VIDEO, first_position(1))
    assert row is not None
    other = next(name for name in map(str, range(99)) if partition_of(name, PARTITIONS) == HOME)
    await append(found, [comment(other, number) for number in range(7)])
    await persist(found)
    for at in (6, 12):
        await found.store.write([row._replace(position=first_position(1) + at)])
    await found.store.write([row._replace(video_id=other, position=first_position(1) + 1)])


async def deleted_by_nobody(found: Opened) -> None:
    """A comment emptied without a delete in the log; the delete's own row is one too many as well."""
    position = first_position(1)
    await found.store.write([Row(VIDEO, position + 3, COMMENT_DELETED, "mod", b"{}", 5, position)])


async def fact_forgotten(found: Opened) -> None:
    """A video's fact is stored, and not where facts are looked for."""
    await _forgotten(found, video_event(VIDEO_STARTED, VIDEO, "owner"), facts_of(VIDEO))


async def report_forgotten(found: Opened) -> None:
    """So is a report, which stands apart from the facts."""
    await _forgotten(found, comment_reported(VIDEO, id_of(VIDEO, 0), "spam", "ana"), reports_of(VIDEO))


async def _forgotten(found: Opened, fact: NewRecord, apart: str) -> None:
    await append(found, [fact])
    await persist(found)
    (end,) = [held.end for held in (await found.log.bounds([HOME])).values()]
    row = await found.store.read_one(apart, first_position(1) + end - 1)
    assert row is not None
    assert (await verify(found, QUIET)).ok
    await append(found, [fact])
    (record,) = (await found.log.read(HOME, end, end + 1, 1)).records
    await found.store.write([row_of(record, Verdict(Kind.ACCEPTED, VIDEO), 1)])
    await found.store.advance_watermark(1, HOME, first_position(1) + end)


PLANTED: list[tuple[Callable[[Opened], Awaitable[None]], set[str]]] = [
    (lost, {NOT_STORED}),
    (invented, {OTHER}),
    (invented_in_silence, {NOT_IN_LOG}),
    (deleted_by_nobody, {DELETED, OTHER}),
    (fact_forgotten, {NOT_STORED}),
    (report_forgotten, {NOT_STORED}),
]


@pytest.mark.parametrize(("plant", "what"), PLANTED)
@pytest.mark.parametrize("video", [VIDEO, None])
async def test_what_is_wrong_is_told(
    tmp_path: Path, plant: Callable[[Opened], Awaitable[None]], what: set[str], video: str | None
) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await append(found, [comment(VIDEO, number) for number in range(5)])
        await append(found, [deletion(VIDEO, 4)])
        await persist(found)
        assert (await verify(found, QUIET, video_id=video)).ok
        await plant(found)
        findings = await verify(found, QUIET, video_id=video)
        assert set(findings.counts) == what
    assert VIDEO in run(settings, ["verify", "--video", VIDEO], code=1)


async def test_what_was_deleted_since_is_no_difference(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await append(found, [comment(VIDEO, number) for number in range(5)])
        await persist(found)
        await append(found, [deletion(VIDEO, 2)])
        (record,) = (await found.log.read(HOME, 5, 6, 1)).records
        row = Row(VIDEO, first_position(1) + 5, COMMENT_DELETED, "mod", record.value or b"", 0, first_position(1) + 2)
        await found.store.write([row])  # the job is ahead of its watermark
        findings = await verify(found, QUIET)
        assert findings.ok
        assert any("1 records to be stored yet" in note for note in findings.notes)


@pytest.mark.parametrize("video", [VIDEO, None])
async def test_a_store_that_is_ahead_of_the_log_is_refused(tmp_path: Path, video: str | None) -> None:
    """Of a log made anew nothing is left to differ from: what it holds may even be the same."""
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await append(found, [comment(VIDEO, number) for number in range(5)])
        await persist(found)
        await found.store.advance_watermark(1, HOME, first_position(1) + 7)
        with pytest.raises(LogWentBack, match="ends at 5, but the store has it up to 8"):
            await verify(found, QUIET, video_id=video)


@pytest.mark.parametrize("video", ["ü", ""])
async def test_a_video_that_cannot_be_is_refused_by_whoever_takes_one(tmp_path: Path, video: str) -> None:
    settings = installation(tmp_path / "data")
    await make_file(settings)
    run(settings, ["verify", "--video", video], code=2)
    run(settings, ["export", str(tmp_path / "export"), "--video", video], code=2)


def test_a_sample_is_a_share_of_the_videos_and_the_same_again() -> None:
    videos = [f"video-{number}" for number in range(2_000)]
    some = [video for video in videos if sampled(0.1)(video)]
    assert 100 < len(some) < 300
    assert some == [video for video in videos if sampled(0.1)(video)]
    assert all(sampled(1.0)(video) for video in videos)
    assert not any(sampled(0.0)(video) for video in videos)


async def test_what_expired_is_not_missed(tmp_path: Path) -> None:
    settings = installation(tmp_path, store_ttl_s=3_600)
    await make_file(settings)
    async with opened(settings) as found:
        await append(found, [comment(VIDEO, number) for number in range(5)])
        held = (await found.log.bounds([HOME]))[HOME]
        await found.store.advance_watermark(1, HOME, first_position(1) + held.end - 1)
        assert (await verify(found, QUIET)).counts[NOT_STORED] == 5
        for hours, missing in ((0.9, 5), (0.99, 0), (2, 0)):
            later = Lifetime(3_600, clock=lambda hours=hours: time.time() + hours * 3_600)  # type: ignore[misc]  # bound now
            findings = await verify(Opened(found.topic, found.log, found.dead_letter_log, found.store, later), QUIET)
            assert findings.counts[NOT_STORED] == missing
