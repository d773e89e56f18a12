"""From a judged record to the rows that hold it. Pure, so that who compares log and store needs no stream job."""

from livecomments.store.interface import Row
from livecomments_schemas.events import FACT_TYPES, REPORT_TYPES, Record, facts_of, reports_of
from livecomments_schemas.judge import Verdict
from livecomments_schemas.positions import position_at


def row_of(record: Record, verdict: Verdict, epoch: int) -> Row:
    """Return the row of an accepted record."""
    assert record.value is not None
    return Row(
        verdict.video_id,
        position_at(epoch, record.offset),
        record.headers["type"],
        record.headers["author"].decode("utf-8", "replace"),
        record.value,
        record.appended_at_ms,
        verdict.target,
    )


def rows_of(record: Record, verdict: Verdict, epoch: int) -> list[Row]:
    """Return the rows of an accepted record: its own, and of a fact one more in the video's log of such."""
    return rows_of_row(row_of(record, verdict, epoch))


def rows_of_row(row: Row) -> list[Row]:
    """Return a row, and where it is a fact the same once more, where facts are looked for."""
    if row.kind not in FACT_TYPES:
        return [row]
    apart = reports_of if row.kind in REPORT_TYPES else facts_of
    return [row, row._replace(video_id=apart(row.video_id))]
