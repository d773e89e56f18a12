"""Replay: every record of the topic with its verdict, from where one asks, up to where the log ended when it began."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from livecomments.log.interface import Bounds, OffsetUnavailable, Slice
from livecomments.runtime.settings import PREFIX
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.replay import replay
from livecomments_command.records.replay_followed import Followed
from livecomments_command.records.replay_plan import ReplayPlan, first_since, planned, ranges_of
from livecomments_command.records.replay_sinks import Checkpoint, Lines, line_of
from livecomments_command.records.scan import Judged
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import EPOCH_FENCE, NewRecord, Record, epoch_event, video_event
from livecomments_schemas.judge import Kind, Verdict, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.window import Window
from tests.command.installation import PARTITIONS, append, comment, deletion, id_of, run
from tests.command.records.test_rebuild import VIDEOS, fill
from tests.command.records.test_rebuild_export import Retained

QUIET = Console(quiet=True)
HOME = partition_of("video-0", PARTITIONS)


@pytest.fixture
async def found(settings: ToolSettings) -> AsyncIterator[Opened]:
    async with opened(settings) as log_and_store:
        yield log_and_store


async def lines(found: Opened, plan: ReplayPlan) -> list[dict[str, Any]]:
    written = io.BytesIO()
    done = await replay(found, QUIET, plan, Lines(written, found.log.epoch))
    replayed = [json.loads(line) for line in written.getvalue().splitlines()]
    assert done.lines == len(replayed)
    return replayed


class Heard(Lines):
    """Lines that somebody waits for: their offsets, each once it was made durable."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), 1)
        self.heard: asyncio.Queue[int] = asyncio.Queue()
        self._taken: list[int] = []

    async def put(self, records: Sequence[Judged]) -> int:
        self._taken += [one.record.offset for one in records]
        return await super().put(records)

    def flushed(self) -> int:
        for offset in self._taken:
            self.heard.put_nowait(offset)
        self._taken.clear()
        return 0


async def test_what_comes_is_followed_until_it_is_told_to_stop(found: Opened, tmp_path: Path) -> None:
    plan, heard, followed = ReplayPlan(video_id="video-0"), Heard(), Followed(poll_s=0.001)
    await append(found, [comment("video-0", number) for number in range(3)])
    checkpoint = Checkpoint(tmp_path / "checkpoint", {})
    following = asyncio.create_task(replay(found, QUIET, plan, heard, checkpoint=checkpoint, follow=followed))
    assert [await heard.heard.get() for _ in range(3)] == [0, 1, 2]
    for number in range(3, 6):
        await append(found, [comment("video-0", number)])
        assert await heard.heard.get() == number
    followed.stop.set()
    done = await following
    assert (done.lines, done.next_offsets) == (6, {HOME: 6})
    assert Checkpoint(tmp_path / "checkpoint", {}).next_offsets == {HOME: 6}


async def test_following_ends_where_the_epoch_does(found: Opened) -> None:
    await append(found, [comment("video-0", 0)])
    await found.log.append(HOME, epoch_event(EPOCH_FENCE, 1))
    await append(found, [comment("video-0", 1)])
    done = await replay(found, QUIET, ReplayPlan(video_id="video-0"), Heard(), follow=Followed())
    assert done.lines == 2


class Timed:
    """A log whose record at offset n of every partition was appended in second n // 3."""

    def __init__(self, found: Opened) -> None:
        self.epoch = found.log.epoch
        self.partition_count = found.log.partition_count
        self.bounds = found.log.bounds
        self._log = found.log

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        records, following = await self._log.read(partition, start, end, limit)
        return Slice([one._replace(appended_at_ms=one.offset // 3 * 1_000) for one in records], following)


def timed(found: Opened) -> Opened:
    return Opened(found.topic, Timed(found), found.dead_letter_log, found.store)  # type: ignore[arg-type]  # reads only


async def test_every_record_is_replayed_with_the_verdict_that_everybody_gives_it(found: Opened) -> None:
    await fill(found)
    await append(found, [comment("video-0", number // 2, key=f"twice-{number // 2}") for number in range(20)])
    replayed = await lines(found, ReplayPlan())
    bounds = await found.log.bounds(range(PARTITIONS))
    assert [(line["partition"], line["offset"]) for line in replayed] == [
        (partition, offset) for partition, (start, end) in bounds.items() for offset in range(start, end)
    ]
    verdicts = []
    for partition, (start, end) in bounds.items():
        window = Window(1, partition, PARTITIONS, since=0, whole=True)
        records: list[Record] = []
        while start < end:
            chunk, start = await found.log.read(partition, start, end, 10_000)
            records += chunk
        verdicts += [judge(record, window).kind.value for record in records]
    assert [line["verdict"] for line in replayed] == verdicts
    assert set(verdicts) == {"accepted", "duplicate", "invalid"}


async def test_a_line_says_everything_of_its_record(found: Opened) -> None:
    record = comment("video-0", 1, key="k")
    ended = video_event(b"video.ended", "video-0", "ana")
    await append(found, [record, record, deletion("video-0", 0), ended, comment("video-0", 2)])
    one, same, deleting, _, late = await lines(found, ReplayPlan(video_id="video-0"))
    assert one | {"appendedAt": ""} == {
        "partition": HOME,
        "offset": 0,
        "position": 1 << 40,
        "commentId": id_of("video-0", 0),
        "type": "comment.created",
        "verdict": "accepted",
        "key": "video-0",
        "headers": {
            "type": "comment.created",
            "schema": "1",
            "author": "ana",
            "digest": record.headers["digest"].hex(),
            "key": "k",
        },
        "value": json.loads(record.value),
        "appendedAt": "",
    }
    assert (same["verdict"], same["survivor"]) == ("duplicate", id_of("video-0", 0))
    assert (deleting["verdict"], deleting["target"]) == ("accepted", id_of("video-0", 0))
    assert late["verdict"] == "void"


class Late(Lines):
    """By the time at which the first records are written, retention has taken the beginning of every partition."""

    log: Retained

    async def put(self, records: Sequence[Judged]) -> int:
        self.log.start = 5
        return await super().put(records)


async def test_what_retention_took_before_it_was_reached_is_not_passed_over(found: Opened) -> None:
    await fill(found, 100)
    sink = Late(io.BytesIO(), 1)
    sink.log = Retained(found, 0)
    left = Opened(found.topic, sink.log, found.dead_letter_log, found.store)  # type: ignore[arg-type]  # it delegates the rest
    with pytest.raises(OffsetUnavailable, match="begins at 5 by now"):
        await replay(left, QUIET, ReplayPlan(), sink)


def test_a_value_of_several_lines_stands_in_one_whatever_it_holds() -> None:
    value = b'{"n":\r\n1.50,\n"n":123456789012345678901234567890,"deep":' + b"[" * 300 + b"]" * 300 + b"}"
    line = line_of(Judged(Record(0, 7, b"v", value, {}, 0), Verdict(Kind.INVALID, reason="not_one_json_line")), 1)
    assert b'"value":' + value.replace(b"\r", b" ").replace(b"\n", b" ") + b"," in line


def test_a_value_stands_in_its_line_byte_for_byte() -> None:
    value = b'{"videoId": "v",  "message":"gr\\u00fc\xc3\x9f \xf0\x9f\x8e\x89","n":1.50}'
    record = Record(0, 7, b"v", value, {"type": b"comment.created"}, 1_700_000_000_123)
    line = line_of(Judged(record, Verdict(Kind.ACCEPTED, "v")), 1)
    assert b'"value":' + value + b"," in line
    assert line.endswith(b'"appendedAt":"2023-11-14T22:13:20.123Z"}\n')


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (None, None, {"key": None, "value": None}),
        (b"v", b"{half", {"key": "v", "value": None, "valueBase64": "e2hhbGY="}),
        (b"\xff", b"1", {"key": None, "keyBase64": "/w==", "value": 1}),
        (b"v", b'{"a":\n1}', {"key": "v", "value": {"a": 1}}),
        (b"v", b'{"a":"\xff"}', {"key": "v", "value": None, "valueBase64": "eyJhIjoi/yJ9"}),
        (b"", b"", {"key": "", "value": None, "valueBase64": ""}),
    ],
)
def test_what_nobody_can_read_is_one_line_too(key: bytes | None, value: bytes | None, said: dict[str, Any]) -> None:
    line = line_of(Judged(Record(0, 0, key, value, {"x": b"\xff"}, 0), Verdict(Kind.INVALID, reason="not_json")), 1)
    assert line.count(b"\n") == 1
    known = json.loads(line)
    assert {name: known[name] for name in known if name.startswith(("key", "value"))} == said
    assert (known["type"], known["reason"], known["headers"]) == (None, "not_json", {"x": "\\xff"})


async def test_a_video_is_replayed_alone_and_judged_among_all(found: Opened) -> None:
    await fill(found)
    whole = [line for line in await lines(found, ReplayPlan()) if line["key"] == "video-3"]
    assert await lines(found, ReplayPlan(video_id="video-3")) == whole
    assert whole


async def test_a_replay_from_the_middle_judges_by_what_came_before(found: Opened) -> None:
    record = comment("video-0", 1, key="again")
    filling = [comment("video-0", number)._replace(value=b"{}") for number in range(10)]
    await append(found, [record, *filling, record])
    (line,) = await lines(found, ReplayPlan(from_offsets={HOME: 11}))
    assert (line["verdict"], line["survivor"]) == ("duplicate", id_of("video-0", 0))
    assert DEDUPE_WINDOW_RECORDS > 11


async def test_an_id_means_its_own_partition_exactly_and_the_others_by_its_time(found: Opened) -> None:
    await fill(found)
    log = timed(found)
    start, end = id_of("video-0", 10), id_of("video-0", 20)  # seconds 3 and 6
    ranges = await ranges_of(log.log, ReplayPlan(from_id=start, until_id=end))
    assert ranges.pop(HOME) == Bounds(10, 21)
    held = await found.log.bounds(ranges)
    assert ranges == {number: Bounds(min(9, end), min(18, end)) for number, (_, end) in held.items()}
    only = await ranges_of(log.log, ReplayPlan(video_id="video-0", from_id=start, until_time_ms=5_000))
    assert only == {HOME: Bounds(10, 15)}


@pytest.mark.parametrize(("time_ms", "offset"), [(-1, 0), (0, 0), (1, 3), (1_000, 3), (1_001, 6), (10**9, 40)])
async def test_a_time_means_the_first_record_appended_since(found: Opened, time_ms: int, offset: int) -> None:
    await append(found, [comment("video-0", number) for number in range(40)])
    held = (await found.log.bounds([HOME]))[HOME]
    assert await first_since(timed(found).log, HOME, held, time_ms) == offset


async def test_it_ends_where_the_log_ended_when_it_began_and_says_where_to_go_on(found: Opened) -> None:
    await append(found, [comment("video-0", number) for number in range(5)])
    await append(found, [comment("video-0", 5)])
    done = await replay(found, QUIET, ReplayPlan(video_id="video-0"), Lines(io.BytesIO(), 1))
    await append(found, [comment("video-0", 6)])
    assert done.options() == f"--from-offset {HOME}:6"
    (line,) = await lines(found, planned(None, None, None, done.options().split()[1:], "now"))
    assert line["offset"] == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("a/b", None, None, [], "now"), "--video a/b: A video id is"),
        ((None, "yesterday", None, [], "now"), "--from-time yesterday: must be a time such as"),
        ((None, "2026-11-22T10:00:00", None, [], "now"), "must be a time such as 2026-11-22T10:00:00Z"),
        ((None, None, None, ["3"], "now"), "--from-offset 3: must be partition:offset"),
        ((None, None, None, [], "soon"), "--until soon: must be a time such as"),
        ((None, "2026-11-22T10:00:00Z", "0" * 16, [], "now"), "Say one of"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: Any, said: str) -> None:
    with pytest.raises(StartRefused, match=said):
        planned(*options)


async def test_a_place_that_the_log_does_not_hold_is_refused(found: Opened) -> None:
    await append(found, [comment("video-0", 1)])
    other = next(video for video in VIDEOS if partition_of(video, PARTITIONS) != HOME)
    for plan, said in (
        (ReplayPlan(from_offsets={HOME: 2}), f"partition {HOME} ends at 1"),
        (ReplayPlan(from_offsets={99: 0}), "only partitions 0 to 7"),
        (ReplayPlan(video_id=other, from_offsets={HOME: 0}), f"the video {other} is in partition"),
        (ReplayPlan(from_id=id_of("video-0", 1)), f"partition {HOME} holds offsets 0 to 0"),
        (ReplayPlan(video_id=other, from_id=id_of("video-0", 0)), "which is not replayed"),
        (ReplayPlan(until_id="0" * 16), "is of epoch 0"),
        (ReplayPlan(from_id="no id"), "A cursor is a comment id"),
    ):
        with pytest.raises(StartRefused, match=said):
            await ranges_of(found.log, plan)


def test_until_is_now_a_time_or_an_id() -> None:
    assert planned(None, None, None, [], "now") == ReplayPlan()
    assert planned(None, None, None, [], "1970-01-01T01:00:01+01:00") == ReplayPlan(until_time_ms=1_000)
    assert planned(None, None, None, [], id_of("v", 1)) == ReplayPlan(until_id=id_of("v", 1))


async def test_the_command_writes_lines_to_stdout_or_to_a_new_file(settings: ToolSettings, tmp_path: Path) -> None:
    async with opened(settings) as found:
        await append(found, [comment(video, number) for number, video in enumerate(VIDEOS)])
    said = run(settings, ["replay"])
    assert len(said.splitlines()) == len(VIDEOS)
    file = tmp_path / "lines"
    assert run(settings, ["replay", "--out", str(file), "--from-time", "2020-01-01T00:00:00Z"]) == ""
    assert file.read_text() == said
    run(settings, ["replay", "--out", str(file)], code=73)
    assert run(settings, ["replay", "--from-time", "2999-01-01T00:00:00Z"]) == ""


async def test_a_reader_that_has_had_enough_is_no_error(settings: ToolSettings) -> None:
    async with opened(settings) as found:
        large = comment("video-0", 1)
        await append(found, [NewRecord(large.key, large.value + b" " * 10_000, large.headers)] * 200)
    await asyncio.to_thread(read_one_byte, settings)


def read_one_byte(settings: ToolSettings) -> None:
    environ = {PREFIX + "DATA_DIR": str(settings.data_dir), PREFIX + "PARTITIONS": str(PARTITIONS)}
    with subprocess.Popen(
        [sys.executable, "-m", "livecomments_command", "replay"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0
