"""Where a replay goes, and that one that was stopped goes on: in a file every line once."""

import io
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from rich.console import Console

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.sqlite import DurableFile
from livecomments_command.records.copies import origin_headers
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.replay import replay
from livecomments_command.records.replay_plan import ReplayPlan
from livecomments_command.records.replay_sinks import Checkpoint, Lines, TopicSink, line_of, lines_file, opened_sink
from livecomments_command.records.scan import Judged
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import ForeignHeaders, listed_headers
from livecomments_schemas.partitions import partition_of
from tests.command.installation import PARTITIONS, append, comment, run
from tests.command.records.test_rebuild import fill

QUIET = Console(quiet=True)
VIDEO = "video"


@pytest.fixture
async def found(settings: ToolSettings) -> AsyncIterator[Opened]:
    async with opened(settings) as log_and_store:
        yield log_and_store


class Stopped(BaseException):
    """The process ends here."""


class Stopping(Lines):
    """Takes so many chunks, then a part of the next, as on a full disk, and the process ends."""

    left = 3

    async def put(self, records: Sequence[Judged]) -> int:
        if not self.left:
            self._file.write(line_of(records[0], 1) + b'{"half')
            raise Stopped
        self.left -= 1
        return await super().put(records)


async def test_a_file_holds_every_line_once_wherever_it_was_stopped(found: Opened, tmp_path: Path) -> None:
    await fill(found)
    whole = io.BytesIO()
    await replay(found, QUIET, ReplayPlan(), Lines(whole, 1))
    file, marks = tmp_path / "lines", tmp_path / "checkpoint"
    with lines_file(file) as out, pytest.raises(Stopped):
        await replay(found, QUIET, ReplayPlan(), Stopping(out, 1), checkpoint=Checkpoint(marks, {}))
    known = Checkpoint(marks, {})
    assert len(known.next_offsets) == PARTITIONS
    with lines_file(file, known.size) as out:
        await replay(found, QUIET, ReplayPlan(), Lines(out, 1), checkpoint=known)
    assert file.read_bytes() == whole.getvalue()


class Watching(Lines):
    """Sees what a run that is killed now would leave."""

    checkpoint: Path
    left: dict[int, int] | None = None

    async def put(self, records: Sequence[Judged]) -> int:
        if self.left is None:
            self.left = Checkpoint(self.checkpoint, {}).next_offsets
        return await super().put(records)


async def test_one_that_was_killed_at_its_first_record_goes_on(found: Opened, tmp_path: Path) -> None:
    await fill(found, 10)
    marks = tmp_path / "checkpoint"
    with lines_file(tmp_path / "lines") as out:
        sink = Watching(out, 1)
        sink.checkpoint = marks
        await replay(found, QUIET, ReplayPlan(), sink, checkpoint=Checkpoint(marks, {}))
    assert sink.left == dict.fromkeys(range(PARTITIONS), 0)


@pytest.fixture
def device() -> Iterator[BinaryIO]:
    with Path("/dev/null").open("wb") as opened_device:
        yield opened_device


async def test_a_device_takes_lines_with_a_checkpoint(found: Opened, tmp_path: Path, device: BinaryIO) -> None:
    await fill(found, 10)
    marks = tmp_path / "checkpoint"
    done = await replay(found, QUIET, ReplayPlan(), Lines(device, 1), checkpoint=Checkpoint(marks, {}))
    assert Checkpoint(marks, {}).next_offsets == done.next_offsets


async def test_the_command_goes_on_with_what_was_appended_since(settings: ToolSettings, tmp_path: Path) -> None:
    file, marks = tmp_path / "lines", tmp_path / "checkpoint"
    command = ["replay", "--video", "video-0", "--out", str(file), "--checkpoint", str(marks)]
    for count in (3, 3, 5):
        async with opened(settings) as found:
            await append(found, [comment("video-0", number) for number in range(count)])
        run(settings, command)
    offsets = [json.loads(line)["offset"] for line in file.read_text().splitlines()]
    assert offsets == list(range(11))
    run(settings, [*command, "--until", "2999-01-01T00:00:00Z"], code=2)  # of another replay
    file.write_bytes(b"")
    run(settings, command, code=2)  # shorter than it was
    marks.write_text("{}")
    run(settings, command, code=2)
    run(settings, ["replay", "--to-topic", "other"], code=2)  # there is no Kafka
    run(settings, ["replay", "--pace", "0"], code=2)


async def test_another_topic_gets_what_can_be_read_byte_for_byte(found: Opened, tmp_path: Path) -> None:
    await fill(found)
    foreign = comment(VIDEO, 1)
    listed = [("x", None), ("type", b"no"), *foreign.headers.items(), ("x", b"1"), ("x", b"2")]
    await append(found, [foreign._replace(headers=ForeignHeaders(listed))])
    async with DurableFile(tmp_path / "other", TABLES) as file, EmbeddedLog(file, "other", 1, 3) as other:
        done = await replay(found, QUIET, ReplayPlan(), TopicSink(other, "other", "comments-1"))
        copied = [
            (record.key, record.value, listed_headers(record.headers))
            for number, held in (await other.bounds(range(3))).items()
            for record in (await other.read(number, held.start, held.end, 10_000)).records
        ]
    readable = []
    whole = io.BytesIO()
    await replay(found, QUIET, ReplayPlan(), Lines(whole, 1))
    for line in map(json.loads, whole.getvalue().splitlines()):
        if line["verdict"] != "invalid":
            (record,) = (await found.log.read(line["partition"], line["offset"], line["offset"] + 1, 1)).records
            copy = (record.key, record.value, (*listed_headers(record.headers), *origin_headers("comments-1", record)))
            readable.append((record.partition % 3, copy))
    assert done.lines == len(copied) == len(readable) > 600
    assert sum(set(listed) <= set(headers) for _, _, headers in copied) == 1
    assert copied == [record for number in range(3) for home, record in readable if home == number]


async def test_a_copy_says_where_and_when_the_record_was_and_its_line_lists_what_an_object_cannot(
    found: Opened, tmp_path: Path
) -> None:
    listed = [("x", None), ("x", b"1"), *comment(VIDEO, 1).headers.items()]
    await append(found, [comment(VIDEO, 1)._replace(headers=ForeignHeaders(listed))])
    async with DurableFile(tmp_path / "other", TABLES) as file, EmbeddedLog(file, "other", 1, 1) as other:
        await replay(found, QUIET, ReplayPlan(), TopicSink(other, "other", "comments-1"))
        (copy,) = (await other.read(0, 0, 1, 1)).records
    home = partition_of(VIDEO, found.log.partition_count)
    (record,) = (await found.log.read(home, 0, 1, 1)).records
    assert {name: value for name, value in copy.headers.items() if name.startswith("origin-")} == {
        "origin-topic": b"comments-1",
        "origin-partition": b"%d" % home,
        "origin-offset": b"0",
        "origin-appended-at-ms": b"%d" % record.appended_at_ms,
    }
    lines = io.BytesIO()
    await replay(found, QUIET, ReplayPlan(), Lines(lines, 1))
    line = json.loads(lines.getvalue())
    assert line["headerList"][:2] == [["x", None], ["x", "1"]]
    assert line["headers"] == {name: value for name, value in line["headerList"] if value is not None}


@pytest.mark.parametrize(("file", "why"), [("", "Is a directory"), ("none/checkpoint", "there is no such folder")])
def test_where_no_checkpoint_can_be_is_told_before_anything_is_read(tmp_path: Path, file: str, why: str) -> None:
    with pytest.raises(StartRefused, match=why):
        Checkpoint(tmp_path / file, {})


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"plan":{},"next":{"a":1},"size":0}'])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "checkpoint").write_text(content)
    with pytest.raises(StartRefused, match="is no checkpoint of a replay"):
        Checkpoint(tmp_path / "checkpoint", {})


@pytest.mark.parametrize("topic", ["comments-7", "comments-dead-letter", "session-revocations", "livecomments-epochs"])
async def test_no_topic_that_livecomments_reads_is_written_to(found: Opened, topic: str) -> None:
    settings = ToolSettings(kafka="127.0.0.1:1", cql="127.0.0.1:1", topic_prefix="ours-")
    with pytest.raises(StartRefused, match="is read by livecomments"):
        async with opened_sink(settings, found, None, f"ours-{topic}", None):
            pass
