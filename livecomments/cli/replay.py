"""`livecomments replay`: the topic again, from a time, an offset or an id, as JSON lines: every record and its verdict.

What is replayed is fixed when it begins: each partition ends where it ended then. It joins no group, so that nobody's
offsets move, and it keeps one chunk of records at a time. Partitions come one after the other, each in its order.
"""

import base64
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console

from livecomments.cli.bars import bar
from livecomments.cli.opened import Opened
from livecomments.cli.replay_plan import ReplayPlan, ranges_of
from livecomments.cli.scan import Judged, scan
from schemas.errors import StartRefused
from schemas.events import timestamp
from schemas.judge import Kind
from schemas.positions import comment_id, position_at

_DIGEST: Final = "digest"

Write = Callable[[bytes], object]


@dataclass(frozen=True)
class Replayed:
    """What a replay wrote, and where the next one goes on."""

    lines: int
    next_offsets: Mapping[int, int]

    def options(self) -> str:
        """What to give to the next one."""
        return " ".join(f"--from-offset {partition}:{offset}" for partition, offset in self.next_offsets.items())


async def replay(opened: Opened, console: Console, plan: ReplayPlan, write: Write) -> Replayed:
    """Write a line for every record of the plan.

    Raises:
        StartRefused: an id, offset or partition that is not in the log.
        OffsetUnavailable: the log lets go of records faster than they are read.
        LogUnavailable: for more than a minute.
    """
    log = opened.log
    ranges = await ranges_of(log, plan)
    for partition, held in ranges.items():
        if plan.from_offsets.get(partition, held.start) < held.start:
            console.print(f"Partition {partition} begins at offset {held.start}; what lay before is gone.")
    key = None if plan.video_id is None else plan.video_id.encode()
    lines = 0
    with bar(console, "Replaying", sum(held.end - held.start for held in ranges.values())) as advance:
        for partition, (first, end) in ranges.items():
            if first == end:
                continue  # and no window is read back for nothing
            async for chunk in scan(log, partition, first, end):
                wanted = [one for one in chunk if key is None or one.record.key == key]
                write(b"".join(line_of(one, log.epoch) for one in wanted))
                lines += len(wanted)
                advance(len(chunk))
    return Replayed(lines, {partition: held.end for partition, held in ranges.items()})


def line_of(judged: Judged, epoch: int) -> bytes:
    """A record as one line of JSON, with a newline. A key that is no text, or a value that is no JSON, is Base64."""
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
    _put(line, "value", record.value, _json)
    line["appendedAt"] = timestamp(record.appended_at_ms)
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


@contextmanager
def written(file: Path | None) -> Iterator[Write]:
    """Where the lines go: a new file, or standard output for as long as somebody reads it. Raises StartRefused."""
    if file is None:
        try:
            yield sys.stdout.buffer.write
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # `| head`: enough was read. At its end the interpreter would flush into the pipe again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        opened = file.open("xb")
    except OSError as error:
        raise StartRefused(f"--out {file}: {error.strerror}. Name a new file.") from error
    with opened:
        yield opened.write


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
    """The value's own bytes, where they are JSON on one line: what is replayed is what was written, byte for byte."""
    parsed = orjson.loads(value)
    return parsed if b"\n" in value or b"\r" in value else orjson.Fragment(value)


def _header(name: str, value: bytes) -> str:
    return value.hex() if name == _DIGEST else value.decode(errors="backslashreplace")
