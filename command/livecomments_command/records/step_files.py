"""The files of a feed's step: changes and facts as bytes, in either form.

day=2026-11-22/000000017-changes.parquet    what was appended that day (UTC), of step 17
facts/000000017-facts.parquet               what was said of videos
"""

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from livecomments_command.records.changes import COMMENT, Change
from livecomments_command.records.manifests import checked
from livecomments_command.records.parquet import (
    CHANGE_COLUMNS,
    FACT_COLUMNS,
    UPSERT,
    Cells,
    SortedParquet,
    change_rows,
    fact_cells,
    parquet_lines,
)
from livecomments_schemas.events import timestamp
from livecomments_schemas.positions import parse_comment_id

FEED_FORMATS: Final = ("jsonl", "parquet")
_AT_ONCE: Final = 2_000
_DAY_CHARS: Final = len("2026-11-22")


class StepFile(NamedTuple):
    """A file of a step: its content, and what the manifest says of it."""

    content: bytes
    said: dict[str, Any]

    @property
    def path(self) -> str:
        """Where it belongs in the feed's folder."""
        return str(self.said["path"])


def files_of_changes(form: str, name: str, rows: Sequence[Change]) -> list[StepFile]:
    """Return the files of changes, one for each day. `rows` have their order; `name` has `{}` for what they hold."""
    days: defaultdict[str, list[Change]] = defaultdict(list)
    for row in rows:
        days[timestamp(row.appended_at_ms)[:_DAY_CHARS]].append(row)
    return [file_of_changes(f"day={day}/{name.format('changes')}.{form}", days[day]) for day in sorted(days)]


def file_of_changes(path: str, rows: Sequence[Change]) -> StepFile:
    """Return one file of changes, at least one, in the form that its name says."""
    if path.endswith(".parquet"):
        content = _sheet(CHANGE_COLUMNS, [row.to_cells() for row in rows])
    else:
        content = b"".join(row.to_line() + b"\n" for row in rows)
    upserts = sum(row.op == UPSERT for row in rows)
    said = checked(path, content, [row.position for row in rows])
    return StepFile(content, said | {"upserts": upserts, "deletes": len(rows) - upserts})


def changes_in(path: str, content: bytes) -> list[Change]:
    """Return the changes of a file, in its order."""
    if path.endswith(".parquet"):
        return [Change(*row) for row in change_rows(io.BytesIO(content))]
    return [_change_of(line) for line in content.split(b"\n")[:-1]]


def facts_in(path: str, content: bytes) -> list[bytes]:
    """Return the facts of a file, as their JSON lines."""
    if path.endswith(".parquet"):
        return list(parquet_lines(io.BytesIO(content), _AT_ONCE))
    return content.split(b"\n")[:-1]


def files_of_facts(form: str, name: str, lines: Sequence[bytes]) -> list[StepFile]:
    """Return the file of facts, of their JSON lines; none if there are none."""
    if not lines:
        return []
    content = _sheet(FACT_COLUMNS, [fact_cells(line) for line in lines]) if form == "parquet" else b""
    content = content or b"".join(line + b"\n" for line in lines)
    positions = [parse_comment_id(orjson.loads(line)["position"])[0] for line in lines]
    return [StepFile(content, checked(f"facts/{name.format('facts')}.{form}", content, positions))]


def _change_of(line: bytes) -> Change:
    head, _, comment = line.partition(COMMENT)
    one = orjson.loads(head + b"}" if comment else line)
    place = (one["position"], one["partition"], one["videoId"], one["commentId"], one["appendedAtMs"])
    return Change(one["op"], *place, comment[:-1] or None)


def _sheet(columns: Sequence[str], rows: Sequence[Cells]) -> bytes:
    file = io.BytesIO()
    sheet = SortedParquet(file, columns)
    sheet.write(rows)
    sheet.close()
    return file.getvalue()
