"""Comments and changes as Parquet, with the types that engines compute with, a video's rows together.

Times are UTC timestamps in milliseconds. Beside the columns stands `json`, the bytes that pages and streams show. Rows
are ordered by video and position, and the file says so, so that an engine that asks for one video reads few row groups.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Final

import orjson

from livecomments_schemas.errors import StartRefused
from livecomments_schemas.positions import comment_id, epoch_of, offset_of, parse_comment_id

_ROW_GROUP_ROWS: Final = 50_000
"""10 MB as they are: enough for engines to read in parallel, few enough to pass over most for one video."""
_INT64_MAX: Final = (1 << 63) - 1
_ORDER: Final = ("video_id", "position")
TYPES: Final = {
    "op": "string",
    "comment_id": "string",
    "video_id": "string",
    "author_id": "string",
    "author_name": "string",
    "message": "string",
    "created_at": "timestamp",
    "appended_at": "timestamp",
    "video_time_ms": "int64",
    "epoch": "int32",
    "log_partition": "int32",
    "log_offset": "int64",
    "position": "int64",
    "type": "string",
    "value": "string",
    "json": "string",
}
_PLACE: Final = ("epoch", "log_partition", "log_offset", "position")
_SAID: Final = ("author_id", "author_name", "message", "created_at", "appended_at", "video_time_ms")
COMMENT_COLUMNS: Final = ("comment_id", "video_id", *_SAID, *_PLACE, "json")
CHANGE_COLUMNS: Final = ("op", *COMMENT_COLUMNS)
FACT_COLUMNS: Final = ("type", "video_id", "author_id", "appended_at", *_PLACE, "value")

FACT_VALUE: Final = b',"value":'
"""What stands in a fact's line before the record's value, which ends it. Quotes within a string are escaped."""

UPSERT: Final = "upsert"
DELETE: Final = "delete"

Cells = Sequence[Any]
"""Of one row, in the order of its columns."""


class SortedParquet:
    """A Parquet file being made: rows are kept, by column, and written in their order when it is closed."""

    def __init__(self, file: IO[bytes], columns: Sequence[str]) -> None:
        self._arrow, self._parquet = pyarrow()
        types = {"string": self._arrow.string(), "timestamp": self._arrow.timestamp("ms", tz="UTC")}
        types |= {"int32": self._arrow.int32(), "int64": self._arrow.int64()}
        self._schema = self._arrow.schema([(name, types[TYPES[name]]) for name in columns])
        self._file = file
        self._batches: list[Any] = []

    def write(self, rows: Sequence[Cells]) -> None:
        """Add rows, in any order."""
        columns = zip(*rows, strict=True) if rows else [()] * len(self._schema)
        arrays = [self._arrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._batches.append(self._arrow.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        """Write them all."""
        table = self._arrow.Table.from_batches(self._batches, self._schema)
        table = table.sort_by([(name, "ascending") for name in _ORDER])
        self._batches.clear()
        order = [self._parquet.SortingColumn(self._schema.get_field_index(name)) for name in _ORDER]
        self._parquet.write_table(
            table, self._file, compression="zstd", row_group_size=_ROW_GROUP_ROWS, sorting_columns=order
        )


def text_cells(comment: Mapping[str, Any]) -> Cells:
    """Return what begins a row of any table: the ids of comment, video and author, the author's name, the message."""
    author = comment["author"]
    return comment["commentId"], comment["videoId"], author["id"], author["displayName"], comment["message"]


def comment_cells(line: bytes, appended_at_ms: int) -> Cells:
    """Return the row of a comment, by `COMMENT_COLUMNS`, of its public JSON."""
    comment = orjson.loads(line)
    time_ms = comment.get("videoTimeMs")
    position, partition = parse_comment_id(comment["commentId"])
    return (
        *text_cells(comment),
        instant(comment["createdAt"]),
        appended_at_ms,
        time_ms if (time_ms or 0) <= _INT64_MAX else None,  # of a foreign producer; `json` has it
        *place_cells(position, partition),
        line.decode(),
    )


def delete_cells(place: Cells, video_id: str, comment_id: str, appended_at_ms: int) -> Cells:
    """Return the row of a delete, by `CHANGE_COLUMNS`: what it deletes, where it lies itself, and nothing else."""
    nothing = (None,) * (_SAID.index("appended_at"))
    return (DELETE, comment_id, video_id, *nothing, appended_at_ms, None, *place, None)


def change_rows(file: IO[bytes]) -> Iterator[Cells]:
    """Yield op, position, partition, video, comment, time of append (Unix ms) and JSON of each row of a feed's file."""
    arrow, parquet = pyarrow()
    table = parquet.read_table(
        file, columns=["op", "position", "log_partition", "video_id", "comment_id", "appended_at", "json"]
    )
    *columns, times, lines = table.columns
    milliseconds = times.cast(arrow.int64()).to_pylist()
    texts = [None if text is None else text.encode() for text in lines.to_pylist()]
    return zip(*(column.to_pylist() for column in columns), milliseconds, texts, strict=True)


def fact_cells(line: bytes) -> Cells:
    """Return the row of a fact, by `FACT_COLUMNS`, of its JSON line; `value` is the record's, byte for byte."""
    fact = orjson.loads(line)
    value = line.partition(FACT_VALUE)[2][:-1].decode()
    return (
        fact["type"],
        fact["videoId"],
        fact["authorId"],
        fact["appendedAtMs"],
        *place_cells(*parse_comment_id(fact["position"])),
        value,
    )


def place_cells(position: int, partition: int) -> Cells:
    """Return where a record lies: epoch, partition, offset and position."""
    return epoch_of(position), partition, offset_of(position), position


def instant(text: str) -> int | None:
    """Return the Unix milliseconds of a time by RFC 3339; None for what is none, as a foreign producer may write."""
    try:
        found = datetime.fromisoformat(text)
        return round(found.timestamp() * 1000) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def parquet_lines(path: Path | IO[bytes], at_once: int) -> Iterator[bytes]:
    """Yield the line of each comment or fact of a file, by position; texts are kept, `at_once` of them as Python's.

    Raises:
        StartRefused: pyarrow is not installed. OSError, ValueError: it is no such file.
    """
    _, parquet = pyarrow()
    with parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if tuple(names) == FACT_COLUMNS:
            yield from _fact_lines(file.read().sort_by(_ORDER[1]), at_once)
            return
        if "json" not in names:
            raise ValueError("There is no column json.")
        is_sorted = _ORDER[1] in names
        table = file.read(columns=["json", _ORDER[1]] if is_sorted else ["json"])
    if is_sorted:  # those of before were written by position
        table = table.sort_by(_ORDER[1])
    for batch in table.select(["json"]).to_batches(at_once):
        yield from (text.encode() for text in batch.column(0).to_pylist())


def _fact_lines(table: Any, at_once: int) -> Iterator[bytes]:
    """Yield facts as the JSON lines that they were written from, byte for byte."""
    for batch in table.to_batches(at_once):
        for row in batch.to_pylist():
            head = {
                "position": comment_id(row["position"], row["log_partition"]),
                "type": row["type"],
                "videoId": row["video_id"],
                "authorId": row["author_id"],
                "appendedAtMs": round(row["appended_at"].timestamp() * 1_000),
            }
            yield fact_line(head, row["value"].encode())


def fact_line(head: Mapping[str, object], value: bytes) -> bytes:
    """Return a fact's JSON line, which ends with the record's value, byte for byte."""
    return orjson.dumps(head)[:-1] + FACT_VALUE + value + b"}"


def timed_lines(path: Path, at_once: int) -> Iterator[tuple[bytes, int]]:
    """Yield the public JSON of each comment of a file, and when it was appended, Unix milliseconds.

    Raises:
        StartRefused: pyarrow is not installed, or the file was written before it had that. OSError: it cannot be read.
    """
    arrow, parquet = pyarrow()
    with parquet.ParquetFile(path) as file:
        if file.schema_arrow.names.count("json") != 1 or not arrow.types.is_timestamp(
            file.schema_arrow.field("appended_at").type
        ):
            raise StartRefused(f"{path} was written by an earlier version. Remove the export, and export anew.")
        table = file.read(columns=["json", "appended_at"])
    for batch in table.to_batches(at_once):
        times = batch.column(1).cast(arrow.timestamp("ms", tz="UTC")).cast(arrow.int64()).to_pylist()
        yield from zip((text.encode() for text in batch.column(0).to_pylist()), times, strict=True)


def pyarrow() -> tuple[ModuleType, ModuleType]:
    """Import pyarrow and its Parquet module. Raises StartRefused: it is not installed."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet
    except ImportError as error:
        raise StartRefused("Parquet needs pyarrow: pip install 'livecomments[data]', or --format jsonl.") from error
    return arrow, pyarrow.parquet
