"""Counts are exact: whatever is read when, wherever the job was killed, over the end of an epoch, by one job or two."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path

import pytest

from livecomments.embedded.log import EmbeddedLog
from livecomments.log.counts import MINUTES_KEPT, CountsUnavailable, RecentCounts
from livecomments.log.interface import AppendUnknown, Bounds, LogUnavailable, OffsetUnavailable
from livecomments.log.topics import COUNTS_TOPIC
from livecomments_command.deriving.counting import MinuteCounts
from livecomments_command.deriving.counts import Counts, CountsMadeAnew, newest_progress
from livecomments_command.deriving.sources import Until
from livecomments_command.records.scan import Judged
from livecomments_schemas.counts import MINUTE_MS, Count, count_of, counted, minute_text
from livecomments_schemas.events import COMMENT_CREATED, Record
from livecomments_schemas.judge import judge
from livecomments_schemas.window import Window
from tests.command.deriving.grown import (
    START_MS,
    STEP_MS,
    VIDEOS,
    Grown,
    grown,
    is_accepted,
    is_current_at_the_end_alone,
)
from tests.command.installation import comment
from tests.consumers.streams import until
from tests.log.faults import ClockedLog, WatchedLog

TO_THE_END = Until(None)
Told = Mapping[tuple[str, int], tuple[int, int]]
"""Comments and writers, by video and minute."""


async def expected(source: Grown) -> Told:
    """What a loop over all records counts."""
    writers: defaultdict[tuple[str, int], list[bytes]] = defaultdict(list)
    for _, record, verdict in await source.judged():
        if is_accepted(verdict) and record.headers["type"] == COMMENT_CREATED:
            writers[verdict.video_id, record.appended_at_ms // MINUTE_MS].append(record.headers["author"])
    return {key: (len(each), len(set(each))) for key, each in writers.items()}


async def told(topic: EmbeddedLog) -> list[Count]:
    """All that the topic says, in its order."""
    held = (await topic.bounds([0]))[0]
    found, following = [], 0
    while following < held.end:
        records, following = await topic.read(0, following, held.end, 1_000)
        found += [count for count in map(count_of, records) if count is not None]
    return found


def newest(counts: list[Count]) -> Told:
    """As compaction keeps it: of each key the last."""
    return {(one.video_id, one.minute): (one.comments, one.writers) for one in counts}


class Killed(Exception):
    """The process ends here."""


def killing(topic: EmbeddedLog, appends: int) -> WatchedLog:
    """The topic, until a process that writes there is killed."""
    left = appends

    async def around(what: str) -> None:
        nonlocal left
        left -= what == "append"
        if left < 0:
            raise Killed

    return WatchedLog(topic, around)


@pytest.mark.parametrize("seed", range(8))
async def test_counts_are_those_of_all_that_was_accepted_however_often_the_job_was_killed(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    async with grown(tmp_path) as (source, file), EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as topic:
        for turn in range(6):
            if turn == 3:
                await source.end_epoch()
            await source.chat(dice, dice.randrange(160))
            try:
                await Counts(source, killing(topic, dice.randrange(1, 60)), TO_THE_END).run()
            except* Killed:
                pass
        await Counts(source, topic, TO_THE_END).run()
        said = await told(topic)
        assert newest(said) == await expected(source)
        before: dict[tuple[str, int], int] = {}
        for one in said:  # nobody ever saw a count go down
            assert one.comments >= before.get((one.video_id, one.minute), 0)
            before[one.video_id, one.minute] = one.comments
        again = len(said)
        await Counts(source, topic, TO_THE_END).run()
        assert len(await told(topic)) == again


async def test_it_is_current_once_the_newest_epoch_is_counted_too(tmp_path: Path) -> None:
    async with grown(tmp_path) as (source, file), EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as topic:
        await source.chat(random.Random(1), 30)
        await source.end_epoch()
        await source.chat(random.Random(2), 30)
        await is_current_at_the_end_alone(Counts(source, topic, TO_THE_END), source)


async def test_two_jobs_at_once_tell_the_same(tmp_path: Path) -> None:
    dice = random.Random(1)
    async with grown(tmp_path) as (source, file), EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as topic:
        await source.chat(dice, 200)
        behind = Counts(source, killing(topic, 2), TO_THE_END)
        await Counts(source, topic, TO_THE_END).run()
        try:
            await behind.run()
        except* Killed:
            pass
        await source.chat(dice, 50)
        await Counts(source, topic, TO_THE_END).run()
        assert newest(await told(topic)) == await expected(source)


async def test_a_minute_whose_beginning_the_log_let_go_of_is_not_told(tmp_path: Path) -> None:
    async with grown(tmp_path) as (source, file), EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as topic:
        await source.say([comment(video, number) for number in range(80) for video in VIDEOS])
        whole = await expected(source)
        start = 40
        source.old = cut = Cut(source.old.inner, source.old.clock_ms)
        cut.start = start
        for _ in range(2):  # and not by who goes on there, either
            await Counts(source, topic, TO_THE_END).run()
        said = newest(await told(topic))
        first = (START_MS + start * STEP_MS) // MINUTE_MS
        assert said
        assert min(minute for _, minute in said) > first
        assert said == {key: each for key, each in whole.items() if key[1] > first}


class Cut(ClockedLog):
    """A log without its beginning."""

    start = 0

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        held = await super().bounds(partitions)
        return {number: one._replace(start=self.start) for number, one in held.items()}


def test_a_clock_that_goes_back_moves_no_comment_into_a_minute_that_is_over() -> None:
    times = [10, 61, 59, 125, 3]
    counting = MinuteCounts({})
    counting.begin(1, {0: 0})
    window = Window(1, 0, 1, since=0, whole=True)
    for offset, second in enumerate(times):
        new = comment("v", offset)
        record = Record(0, offset, new.key, new.value, new.headers, second * 1_000)
        counting.take(0, [Judged(record, judge(record, window))], offset + 1)
    assert {minute: one.comments for (_, minute), one in counting.pending.items()} == {0: 1, 1: 2, 2: 2}


async def test_progress_that_nobody_can_read_is_counted_anew_from_the_log(tmp_path: Path) -> None:
    async with grown(tmp_path) as (source, file), EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as topic:
        await source.chat(random.Random(3), 50)
        await topic.append(0, MinuteCounts({}).progress()._replace(value=b'{"epochs": 7}'))
        assert await newest_progress(topic) == {}
        await Counts(source, topic, TO_THE_END).run()
        assert newest(await told(topic)) == await expected(source)


async def test_a_count_that_was_maybe_written_is_written_again(tmp_path: Path) -> None:
    async with grown(tmp_path) as (source, file), EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as topic:
        await source.chat(random.Random(4), 30)
        failures = iter([AppendUnknown("no answer")])

        async def around(what: str) -> None:
            if what == "append:done" and (error := next(failures, None)):
                raise error

        await Counts(source, WatchedLog(topic, around), TO_THE_END).run()
        assert newest(await told(topic)) == await expected(source)


@pytest.mark.parametrize("is_over", [False, True], ids=["in the newest epoch", "in one that is over"])
async def test_a_topic_made_anew_under_its_job_is_told_nothing_of_how_far_it_is(tmp_path: Path, is_over: bool) -> None:
    """It lacks what was counted before: whoever starts again counts all that the log holds."""
    async with (
        grown(tmp_path) as (source, file),
        EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as before,
        EmbeddedLog(file, "made-anew", 0, 1) as after,
    ):
        await source.chat(random.Random(8), 50)
        log = WatchedLog(before)

        async def around(what: str) -> None:
            if what == "append" and not log.generation:
                log.inner, log.generation = after, " anew"

        await Counts(source, log, TO_THE_END).run()
        await source.chat(random.Random(9), 50)
        if is_over:
            await source.end_epoch()
        log.around = around
        with pytest.raises(CountsMadeAnew):
            await Counts(source, log, TO_THE_END).run()
        assert await newest_progress(after) == {}
        said = await told(after)
        assert len(said) == len(newest(said)), "it ends at once, whatever epochs there are beyond"
        await Counts(source, log, TO_THE_END).run()
        assert newest(await told(after)) == await expected(source)


async def test_who_answers_knows_the_last_hour_from_the_end_of_the_topic(tmp_path: Path) -> None:
    now = START_MS // MINUTE_MS + 100
    async with grown(tmp_path) as (_, file), EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as topic:
        recent = RecentCounts(topic, clock=lambda: now * 60.0)
        with pytest.raises(CountsUnavailable):
            recent.of("v")
        said = [Count("v", now - ago, 200 - ago, 1, "i") for ago in range(MINUTES_KEPT + 40, -1, -1)]
        for one in said:
            await topic.append(0, counted(one))
        await topic.append(0, counted(Count("v", now - 1, 3, 1, "i")))  # of a job that is behind
        assert await recent._read_back() == len(said) + 1
        recent.is_ready = True
        assert [one.comments for one in recent.of("v")] == list(range(200 - MINUTES_KEPT, 201))
        assert recent.of("w") == []
        recent.take([])
        assert recent.since() == now - MINUTES_KEPT


async def test_a_clock_that_is_ahead_forgets_nothing_and_reads_back_as_far(tmp_path: Path) -> None:
    now, ahead = START_MS // MINUTE_MS + 100, [0]
    async with grown(tmp_path) as (_, file), EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as inner:
        topic = ClockedLog(inner, lambda offset: (now - MINUTES_KEPT + offset) * MINUTE_MS)
        recent = RecentCounts(topic, clock=lambda: (now + ahead[0]) * 60.0)
        for ago in range(MINUTES_KEPT, -1, -1):
            await topic.append(0, counted(Count("v", now - ago, 100 - ago, 1, "i")))
        ahead[0] = 10_000
        await recent._read_back()
        recent.take([])
        recent.is_ready = True
        assert recent.of("v") == []
        ahead[0] = 0
        assert [one.comments for one in recent.of("v")] == list(range(100 - MINUTES_KEPT, 101))


class Refused:
    """A reader whose place is gone, and that is asked no more than twice."""

    def __init__(self) -> None:
        self.assigned: list[Mapping[int, int]] = []
        self.errors = iter((OffsetUnavailable("gone"), LogUnavailable("enough")))

    def assign(self, offsets: Mapping[int, int]) -> None:
        self.assigned.append(offsets)

    async def poll(self) -> list[Record]:
        raise next(self.errors)

    async def aclose(self) -> None: ...


async def test_what_was_said_where_the_place_was_gone_is_read_back(tmp_path: Path) -> None:
    now = START_MS // MINUTE_MS
    async with grown(tmp_path) as (_, file), EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as topic:
        recent, reader = RecentCounts(topic, clock=lambda: now * 60.0), Refused()
        recent.is_ready = True
        await topic.append(0, counted(Count("v", now, 7, 1, "i")))
        with pytest.raises(LogUnavailable):
            await recent._follow(reader, 99, await topic.identity())
        assert reader.assigned == [{0: 99}, {0: 1}]
        assert [one.comments for one in recent.of("v")] == [7]


async def test_a_topic_made_anew_that_has_grown_beyond_our_place_is_read_again(tmp_path: Path) -> None:
    now, ticks = START_MS // MINUTE_MS, count()
    async with (
        grown(tmp_path) as (_, file),
        EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as before,
        EmbeddedLog(file, "made-anew", 0, 1) as after,
    ):
        for number in range(2):
            await before.append(0, counted(Count(f"old{number}", now, 7, 1, "i")))
        for number in range(3):
            await after.append(0, counted(Count(f"new{number}", now, 8, 1, "i")))
        log = WatchedLog(before)
        recent = RecentCounts(log, clock=lambda: now * 60.0, monotonic=lambda: 100.0 * next(ticks))
        reading = asyncio.create_task(recent.run())
        await until(lambda: recent.is_ready and bool(recent.of("old1")), 60.0)
        log.inner, log.generation = after, " anew"
        await before.append(0, counted(Count("old0", now, 7, 1, "i")))  # what follows still is its reader
        await until(lambda: all(recent.of(f"new{number}") for number in range(3)), 60.0)
        reading.cancel()
        assert [one.comments for one in recent.of("old0")] == [7], "what was known stays"


def test_with_more_counts_than_fit_fewer_minutes_are_known() -> None:
    now = 1_000
    recent = RecentCounts(None, clock=lambda: now * 60.0, counts_max=100)  # type: ignore[arg-type]  # it is not read
    recent.is_ready = True
    for minute in (998, 999, 1_000):
        made = [counted(Count(f"v{number}", minute, 1, 1, "i")) for number in range(50)]
        recent.take([Record(0, 0, one.key, one.value, one.headers, 0) for one in made])
    assert recent.since() == 999
    assert [minute_text(one.minute) for one in recent.of("v5")] == [minute_text(999), minute_text(1_000)]


def test_a_count_survives_being_written_and_what_is_none_is_passed_over() -> None:
    one = Count(VIDEOS[0], START_MS // MINUTE_MS, 3, 2, "000g000000000000")
    new = counted(one)
    record = Record(0, 0, new.key, new.value, new.headers, 0)
    assert count_of(record) == one
    for value in (b"", b"{}", b"[]", None, b'{"videoId": "v", "minute": "x", "comments": 1, "writers": 1}'):
        assert count_of(record._replace(value=value)) is None
    assert count_of(record._replace(headers={**new.headers, "schema": b"2"})) is None
