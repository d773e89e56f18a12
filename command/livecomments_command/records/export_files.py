"""The files of an export: comments as JSON lines, CSV or Parquet, each file whole or not there at all.

A line of the JSON form, and the column `json` of the Parquet form, are the bytes that pages and streams show. What was
said of a video (title, end, bans) stands beside them: a table of its own in Parquet, else JSON lines.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import orjson

from livecomments.store.interface import Row
from livecomments_command.records.kept_files import on_files, sync_folder
from livecomments_command.records.parquet import (
    COMMENT_COLUMNS,
    FACT_COLUMNS,
    FACT_VALUE,
    SortedParquet,
    comment_cells,
    fact_cells,
    fact_line,
    instant,
    parquet_lines,
    text_cells,
)
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import COMMENT_CREATED, FACT_TYPES, timestamp
from livecomments_schemas.positions import COMMENT_ID_CHARS, parse_comment_id
from livecomments_schemas.render import render_comment

FORMATS: Final = ("jsonl", "csv", "parquet")
_READ_BYTES: Final = 1 << 20
_READ_LINES: Final = 2_000
_HEAD: Final = len(b'{"commentId":"')
_DIGEST_MODULUS: Final = 1 << 256
_CSV_END: Final = b"\r\n"
_TO_QUOTE: Final = re.compile(r'[",\r\n]')
CSV_COLUMNS: Final = (
    "comment_id",
    "video_id",
    "author_id",
    "author_name",
    "message",
    "created_at",
    "appended_at",
    "video_time_ms",
)


class Exported(NamedTuple):
    """A comment to be written. `line` is its public JSON."""

    line: bytes
    appended_at_ms: int


class Digest:
    """Which comments these are, byte for byte, in whatever order and in however many parts they were met.

    The sum of the lines' SHA-256, as numbers of 256 bits: ids are in the lines, and no id comes twice.
    """

    def __init__(self, number: int = 0) -> None:
        self._number = number

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Parse a digest from its text, hexadecimal."""
        return cls(int(text, 16))

    def add(self, line: bytes) -> None:
        """Count one comment in."""
        self._number = (self._number + int.from_bytes(hashlib.sha256(line).digest(), "big")) % _DIGEST_MODULUS

    def merge(self, other: "Digest") -> None:
        """Count in all that another counted."""
        self._number = (self._number + other._number) % _DIGEST_MODULUS

    def __str__(self) -> str:
        return f"{self._number:064x}"


class _FileFormat(Protocol):
    def write(self, comments: Sequence[Exported]) -> None: ...

    def close(self) -> None: ...


class PartFile:
    """One file, invisible until it is finished. `of_facts`: its lines are of facts."""

    def __init__(self, path: Path, form: str, *, of_facts: bool = False) -> None:
        self.path = path
        self.comments = 0
        self.line_bytes = 0
        self.digest = Digest()
        self._making = path.with_name(f".{path.name}.new")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._making.open("wb")
        forms: dict[str, Callable[[io.BufferedWriter], _FileFormat]] = {
            "jsonl": _JsonLinesFormat,
            "csv": _CsvFormat,
            "parquet": _ParquetFacts if of_facts else _ParquetFormat,
        }
        self._form = forms[form](self._file)

    def write(self, comments: Sequence[Exported]) -> None:
        """Add comments."""
        self._form.write(comments)
        self.comments += len(comments)
        for line, _ in comments:
            self.digest.add(line)
            self.line_bytes += len(line)

    def finish(self) -> None:
        """Make it durable and visible, in place of any other of its name."""
        self._form.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._making.rename(self.path)
        sync_folder(self.path.parent)

    def checks(self) -> dict[str, object]:
        """Return what anybody can check a finished file by: its size and what `sha256sum` says."""
        with self.path.open("rb") as file:
            return {"bytes": self.path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}

    def abandon(self) -> None:
        """Remove what was written so far."""
        with suppress(OSError):  # the disk may be full
            self._file.close()
        self._making.unlink(missing_ok=True)


class _JsonLinesFormat:
    def __init__(self, file: io.BufferedWriter) -> None:
        self._file = file

    def write(self, comments: Sequence[Exported]) -> None:
        self._file.writelines(line + b"\n" for line, _ in comments)

    def close(self) -> None:
        """Do nothing: nothing is left to write."""


class _CsvFormat:
    """By RFC 4180; a text that is empty is quoted, and what is not there is nothing at all (as PostgreSQL reads it)."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self._file = file
        self._file.write(",".join(CSV_COLUMNS).encode() + _CSV_END)

    def write(self, comments: Sequence[Exported]) -> None:
        for one in comments:
            self._file.write(",".join(map(_cell, _csv_cells(one))).encode("utf-8", "surrogatepass") + _CSV_END)

    def close(self) -> None:
        """Do nothing: nothing is left to write."""


def _cell(value: str | int | None) -> str:
    if value is None:
        return ""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if not text or _TO_QUOTE.search(text) else text


class _ParquetFormat:
    def __init__(self, file: io.BufferedWriter) -> None:
        self._sheet = SortedParquet(file, COMMENT_COLUMNS)

    def write(self, comments: Sequence[Exported]) -> None:
        self._sheet.write([comment_cells(*one) for one in comments])

    def close(self) -> None:
        self._sheet.close()


class _ParquetFacts:
    def __init__(self, file: io.BufferedWriter) -> None:
        self._sheet = SortedParquet(file, FACT_COLUMNS)

    def write(self, facts: Sequence[Exported]) -> None:
        self._sheet.write([fact_cells(line) for line, _ in facts])

    def close(self) -> None:
        self._sheet.close()


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the line of each comment or fact of a JSON Lines or Parquet file, by position, in bounded memory.

    Raises:
        StartRefused: a CSV file, which does not hold all of it. FilesRefused, FilesFailed: it cannot be read.
    """
    if path.suffix == ".jsonl":
        with on_files(str(path)), path.open("rb", buffering=_READ_BYTES) as file:
            for line in file:
                yield line.rstrip(b"\n")
    elif path.suffix == ".parquet":
        with on_files(str(path)):
            yield from parquet_lines(path, _READ_LINES)
    else:
        raise StartRefused(f"{path} does not hold whole comments; only exports as jsonl or parquet do.")


def exported(comment_id: str, value: bytes, appended_at_ms: int) -> Exported:
    """Return a record's comment as its public JSON."""
    return Exported(render_comment(comment_id, value), appended_at_ms)


def row_of_line(line: bytes) -> Row:
    """Return the row of an exported comment; its `createdAt` stands for its time of appending, which is close to it."""
    comment = orjson.loads(line)
    position, _ = parse_comment_id(comment["commentId"])
    value = b"{" + line[_HEAD + COMMENT_ID_CHARS + 2 :]
    return Row(
        comment["videoId"],
        position,
        COMMENT_CREATED,
        comment["author"]["id"],
        value,
        instant(comment["createdAt"]) or 0,
    )


def exported_fact(position_id: str, row: Row) -> Exported:
    """Return a fact's row as a JSON line, which ends with the record's value, byte for byte."""
    head = {
        "position": position_id,
        "type": row.kind.decode(),
        "videoId": row.video_id,
        "authorId": row.author_id,
        "appendedAtMs": row.appended_at_ms,
    }
    return Exported(fact_line(head, row.value), row.appended_at_ms)


def row_of_fact(line: bytes) -> Row:
    """Return the row of an exported fact."""
    head, _, value = line.partition(FACT_VALUE)  # quotes within a string are escaped, so this is the first
    fact = orjson.loads(head + b"}")
    position, _ = parse_comment_id(fact["position"])
    if (kind := fact["type"].encode()) not in FACT_TYPES:
        raise ValueError(fact["type"])
    return Row(fact["videoId"], position, kind, fact["authorId"], value[:-1], fact["appendedAtMs"])


def _csv_cells(one: Exported) -> tuple[str | int | None, ...]:
    """Return the values of a CSV row, in the order of `CSV_COLUMNS`."""
    comment = orjson.loads(one.line)
    appended_at = timestamp(one.appended_at_ms)
    return (*text_cells(comment), comment["createdAt"], appended_at, comment.get("videoTimeMs"))
