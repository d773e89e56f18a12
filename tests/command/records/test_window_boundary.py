"""Where a log that lost its beginning is sure again of its comments: W records behind its start, and not one before."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.rebuild import rebuild
from livecomments_command.records.scan import scan
from livecomments_command.records.verify import NOT_STORED, verify
from livecomments_schemas.judge import Kind
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import first_position, offset_of, position_at
from tests.command.installation import EPOCH, PARTITIONS, comment, installation, make_file

QUIET: Final = Console(quiet=True)
VIDEO: Final = "video"
HOME: Final = partition_of(VIDEO, PARTITIONS)
START: Final = 1
SURE_FROM: Final = START + DEDUPE_WINDOW_RECORDS
END: Final = SURE_FROM + 1


@pytest.fixture
async def begun_late(tmp_path: Path) -> AsyncIterator[Opened]:
    """Comments up to one that is sure, of which the log lost the first; a store that claims to have all."""
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await asyncio.gather(*(found.log.append(HOME, comment(VIDEO, number)) for number in range(END)))
        await found.store.advance_watermark(EPOCH, HOME, position_at(EPOCH, END - 1))
        log = found.log._log  # type: ignore[attr-defined]  # embedded, below what holds it to be one
        topic_id = log._topic_id
        lost = f"DELETE FROM log_records WHERE place = {((topic_id << 12) + HOME) << 40}"
        await log._file.write(lambda connection: connection.execute(lost))
    async with opened(settings) as found:
        assert (await found.log.bounds([HOME]))[HOME] == (START, END)
        yield found


async def stored(found: Opened) -> list[int]:
    first = first_position(EPOCH)
    rows = (await found.store.read(VIDEO, first - 1, first + END, END, descending=False)).rows
    return [offset_of(row.position) for row in rows]


async def test_a_comment_is_missed_from_a_window_behind_the_start_on(begun_late: Opened) -> None:
    assert (await verify(begun_late, QUIET)).counts[NOT_STORED] == 1
    await rebuild(begun_late, QUIET, from_start=True)
    assert await stored(begun_late) == [SURE_FROM]
    findings = await verify(begun_late, QUIET)
    assert findings.counts[NOT_STORED] == 0
    assert any(f"{DEDUPE_WINDOW_RECORDS:,} comments that may be retries" in note for note in findings.notes)


async def test_a_scan_from_the_middle_knows_a_retry_that_lies_a_whole_window_back(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        first, retry = comment(VIDEO, 0, key="k"), DEDUPE_WINDOW_RECORDS
        await found.log.append(HOME, first)
        await asyncio.gather(*(found.log.append(HOME, comment(VIDEO, number)) for number in range(1, retry)))
        await found.log.append(HOME, first)
        judged = [one async for chunk in scan(found.log, HOME, retry, retry + 1) for one in chunk]
        assert [one.verdict.kind for one in judged] == [Kind.DUPLICATE]
