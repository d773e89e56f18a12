"""Where a replay goes: JSON lines on standard output or in a file, or another topic; and how far it came."""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, Final, Protocol

import orjson

from livecomments.log.interface import AppendRefused, CommentLog
from livecomments.log.topics import is_ours
from livecomments_command.records.copies import copy_of
from livecomments_command.records.kept_files import (
    FilesFailed,
    FilesRefused,
    on_files,
    read_checkpoint,
    refuse_no_file,
    write_atomically,
)
from livecomments_command.records.opened import Opened
from livecomments_command.records.scan import Judged
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import ForeignHeaders, timestamp
from livecomments_schemas.judge import Kind
from livecomments_schemas.positions import comment_id, position_at

_DIGEST: Final = "digest"
_AT_ONCE: Final = 500
"""Appends to a topic under way."""
_ON_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")
_UNREADABLE: Final = (Kind.INVALID, Kind.UNKNOWN_TYPE, Kind.UNKNOWN_SCHEMA)


class Sink(Protocol):
    """Takes what is replayed."""

    async def put(self, records: Sequence[Judged]) -> int:
        """Take them; how many were written."""

    def flushed(self) -> int:
        """Make what was taken durable, as far as that is possible; the size of it in bytes."""


class Lines:
    """A line of JSON for each record, into a file or standard output."""

    def __init__(self, file: BinaryIO, epoch: int) -> None:
        self._file = file
        self._epoch = epoch
        self._is_file = file.seekable()
        self._size = file.tell() if self._is_file else 0
        """With all that was taken whole: a disk may be full in the middle."""

    async def put(self, records: Sequence[Judged]) -> int:
        with on_files("Writing lines"):
            self._file.write(b"".join(line_of(one, self._epoch) for one in records))
        if self._is_file:
            self._size = self._file.tell()
        return len(records)

    def flushed(self) -> int:
        with on_files("Writing lines"):
            self._file.flush()
            if self._is_file and S_ISREG(os.fstat(self._file.fileno()).st_mode):  # /dev/null is sought, but not synced
                os.fsync(self._file.fileno())
        return self._size


class TopicSink:
    """Another topic: keys, values and headers as they are; each partition's records in one partition, in their order.

    Each says where it was (`copies`). What nobody can read is left out: `dead-letters` has it.
    """

    def __init__(self, log: CommentLog, topic: str, origin_topic: str) -> None:
        self._log = log
        self._topic = topic
        self._origin_topic = origin_topic

    async def put(self, records: Sequence[Judged]) -> int:
        new = [
            (record.partition % self._log.partition_count, copy_of(self._origin_topic, record))
            for record, verdict in records
            if verdict.kind not in _UNREADABLE and record.key is not None and record.value is not None
        ]
        for start in range(0, len(new), _AT_ONCE):
            try:
                await asyncio.gather(*(self._log.append(*one) for one in new[start : start + _AT_ONCE]))
            except AppendRefused as error:
                raise StartRefused(f"--to-topic {self._topic}: {error} Nothing behind it is copied.") from error
        return len(new)

    def flushed(self) -> int:
        return 0


class Checkpoint:
    """A file that says how far a replay came, and how large its output file was then.

    It is of one replay: of one topic, with the same options.
    """

    def __init__(self, file: Path, plan: Mapping[str, Any]) -> None:
        self._file = file
        self._plan = dict(plan)
        self.next_offsets: dict[int, int] = {}
        self.size = 0
        said = read_checkpoint(file)
        if said is not None:
            self._take(said)

    def save(self, next_offsets: Mapping[int, int], size: int) -> None:
        """Save how far the replay is, whole or not at all."""
        following = {str(number): offset for number, offset in next_offsets.items()}
        write_atomically(self._file, orjson.dumps({"plan": self._plan, "next": following, "size": size}))

    def _take(self, said: bytes) -> None:
        try:
            found = orjson.loads(said)
            self.next_offsets = {int(number): int(offset) for number, offset in found["next"].items()}
            self.size, plan = int(found["size"]), found["plan"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StartRefused(f"{self._file} is no checkpoint of a replay; remove it or name another.") from error
        if plan != self._plan:
            raise StartRefused(f"{self._file} is the checkpoint of another replay: {plan}. Name another.")


@contextmanager
def lines_file(file: Path | None, size: int | None = None) -> Iterator[BinaryIO]:
    """Open a new file for lines, one of `size` bytes to go on with, or standard output while somebody reads it.

    Raises StartRefused.
    """
    if file is None:
        try:
            with on_files("Standard output"):
                yield sys.stdout.buffer
                sys.stdout.buffer.flush()
        except (BrokenPipeError, FilesFailed) as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # at its end the interpreter flushes again
            if isinstance(error, FilesFailed):
                raise  # else it was `| head`: enough was read
        return
    try:
        refuse_no_file(file, "--out")
        opened = file.open("xb" if size is None else "r+b")
    except OSError as error:
        raise FilesRefused(f"--out {file}: {error.strerror}. Name a new file.") from error
    with on_files(f"--out {file}"), opened:
        if size is not None:
            if opened.seek(0, os.SEEK_END) < size:
                raise StartRefused(f"--out {file} is shorter than its checkpoint says.")
            opened.truncate(size)  # what lies behind was written after the checkpoint, and is written again
            opened.seek(size)
        yield opened


@asynccontextmanager
async def opened_sink(
    settings: ToolSettings, opened: Opened, out: Path | None, to_topic: str | None, checkpoint: Checkpoint | None
) -> AsyncIterator[Sink]:
    """Open what a replay writes to, for the context. Raises StartRefused."""
    if to_topic is None:
        is_begun = checkpoint is not None and bool(checkpoint.next_offsets)
        with lines_file(out, checkpoint.size if checkpoint is not None and is_begun else None) as file:
            yield Lines(file, opened.log.epoch)
        return
    if out is not None:
        raise StartRefused("Say --out or --to-topic, not both.")
    if not settings.kafka:
        raise StartRefused("--to-topic needs a Kafka: LIVECOMMENTS_KAFKA.")
    if to_topic.startswith(settings.topic_prefix) and is_ours(to_topic.removeprefix(settings.topic_prefix)):
        raise StartRefused(f"--to-topic {to_topic}: what is appended there is read by livecomments. Name another.")
    from livecomments_command.assembly.kafka import foreign_log

    async with foreign_log(settings, to_topic) as log:
        yield TopicSink(log, to_topic, opened.topic)


def line_of(judged: Judged, epoch: int) -> bytes:
    """Return a record as one line of JSON; a key that is no text, or a value that is no JSON, as Base64."""
    record, verdict = judged
    position = position_at(epoch, record.offset)
    line: dict[str, Any] = {
        "partition": record.partition,
        "offset": record.offset,
        "position": position,
        "commentId": comment_id(position, record.partition),
        "type": _header("type", record.headers.get("type", b"")) or None,
        "verdict": verdict.kind.value,
    }
    if verdict.kind is Kind.INVALID:
        line["reason"] = verdict.reason
    if verdict.survivor is not None:
        line["survivor"] = comment_id(position_at(epoch, verdict.survivor.survivor), record.partition)
    if verdict.target:
        line["target"] = comment_id(verdict.target, record.partition)
    _put(line, "key", record.key, _text)
    line["headers"] = {name: _header(name, value) for name, value in record.headers.items()}
    if isinstance(record.headers, ForeignHeaders):
        listed = record.headers.listed
        line["headerList"] = [(name, None if value is None else _header(name, value)) for name, value in listed]
    _put(line, "value", record.value, _json)
    line["appendedAt"] = timestamp(record.appended_at_ms)
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _put(line: dict[str, Any], name: str, value: bytes | None, read: Callable[[bytes], object]) -> None:
    """Add a member as `read` understands it; what it does not understand as Base64, under a name of its own."""
    try:
        line[name] = None if value is None else read(value)
    except ValueError:
        line[name] = None
        line[f"{name}Base64"] = base64.b64encode(value or b"").decode()


def _text(value: bytes) -> str:
    return value.decode()


def _json(value: bytes) -> object:
    """Return a JSON value's own bytes, as they were written, but with spaces for its line breaks.

    Line breaks stand only between the tokens of JSON, so the value stays the same.

    Raises:
        orjson.JSONDecodeError: it is no JSON.
    """
    orjson.loads(value)
    return orjson.Fragment(value.translate(_ON_ONE_LINE))


def _header(name: str, value: bytes) -> str:
    return value.hex() if name == _DIGEST else value.decode(errors="backslashreplace")
