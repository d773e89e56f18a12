"""What the persister promises: every record's rows, once, wherever it stops; and a watermark that never lies."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livecomments.history.log_end import LogWentBack
from livecomments.log.interface import LogUnavailable
from livecomments.sqlite import DurableFile
from livecomments.store.interface import Row, StoreUnavailable
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import COMMENT_CREATED, NewRecord, Record
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position, offset_of
from livecomments_schemas.window import Window
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.persister import Persister
from tests.history.conftest import Ground
from tests.history.test_properties import events, lists
from tests.history.world import VIDEOS, Event, Sizes, World, open_world
from tests.log.faults import WatchedLog
from tests.streams.faults import HalvingStore, stored_rows, wrong

ENDLESS: Final = 1_000_000
KILLS_MAX: Final = 6


class Killed(BaseException):
    """The process ends here."""


class Job:
    """A persister of a world, on a log and a store that fail at the calls that `faults` names by their number.

    A fault is `fail` (the call is unavailable), `kill`, or `advance` (the watermark is written meanwhile).
    """

    def __init__(self, world: World, faults: dict[int, str] | None = None, make: type[Persister] = Persister) -> None:
        self.world = world
        self.calls: list[str] = []
        self.is_watched = True
        self.watermarks: list[int] = []
        self.log = WatchedLog(world.log, self._around_log)
        self.store = HalvingStore(world.store.inner, self._around_store)
        self.letters = DeadLetters(world.dead_letter_log, "comments-1")
        self._faults = faults or {}
        self._make = make
        self._persister: Persister | None = None

    async def open(self) -> Persister:
        """Tries again, as whoever runs it does."""
        self._persister = None
        while self._persister is None:
            with suppress(Unavailable):
                self._persister = await self._make.open(
                    self.log, self.store, self.letters, 0, window_records=self.world.sizes.window
                )
        return self._persister

    async def records(self, start: int = 0, end: int = ENDLESS) -> list[Record]:
        return list((await self.world.log.read(0, start, end, ENDLESS)).records)

    async def check(self) -> None:
        """The store says nothing wrong, and its watermark has not gone back."""
        assert await wrong(self.world) == []
        self.watermarks.append(await self.world.store.inner.watermark(self.world.log.epoch, 0))
        assert self.watermarks == sorted(self.watermarks)

    async def _around_log(self, name: str) -> None:
        if await self._happen(name):
            raise LogUnavailable("away")

    async def _around_store(self, name: str) -> None:
        if await self._happen(name):
            raise StoreUnavailable("away")

    async def _happen(self, name: str) -> bool:
        if not self.is_watched:
            return False
        number, fault = len(self.calls), self._faults.get(len(self.calls))
        self.calls.append(f"{number} {name}")
        await self.check()
        if fault == "kill":
            raise Killed
        if fault == "advance" and self._persister is not None:
            self.is_watched = False
            await self._persister.advance_watermark()
            self.is_watched = True
            await self.check()
        return fault == "fail"


async def letters_of(world: World) -> list[Record]:
    end = (await world.dead_letter_log.bounds([0]))[0].end
    return list((await world.dead_letter_log.read(0, 0, end, ENDLESS)).records)


async def position_of_watermark(world: World) -> int:
    return await world.store.inner.watermark(world.log.epoch, 0)


async def run_to_the_end(job: Job, batches: Sequence[int], redeliveries: Sequence[int]) -> None:
    """Hand all records over in batches; after each end of the process begin anew, anywhere, as a group might."""
    again = iter(redeliveries)
    batch = [*batches, ENDLESS]
    start = 0
    while True:
        try:
            persister = await job.open()
            for number in range(ENDLESS):
                records = await job.records(start, start + batch[min(number, len(batch) - 1)])
                if not records:
                    break
                await persister.persist(records)
                start = records[-1].offset + 1
            while offset_of(persister.watermark) + 1 != persister.next_offset:
                await persister.advance_watermark()
            return
        except Killed:
            start = min(next(again, 0), job.world.model.end - 1)  # at the latest at what nobody has acknowledged


faults_of_calls = st.dictionaries(
    st.integers(0, 60), st.sampled_from(("kill", "advance", "advance", "fail")), max_size=10
).map(lambda faults: _few(_few(faults, "fail", 3), "kill", KILLS_MAX))


def _few(faults: dict[int, str], kind: str, count: int) -> dict[int, str]:
    of_kind = sorted(number for number, fault in faults.items() if fault == kind)[count:]
    return {number: fault for number, fault in faults.items() if number not in of_kind}


@given(
    lists(events, 40),
    st.sampled_from((1, 2)),
    st.lists(st.integers(1, 12), max_size=6),
    faults_of_calls,
    st.lists(st.integers(0, 40), max_size=KILLS_MAX),
)
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_wherever_it_is_stopped_every_row_is_stored_once_and_no_watermark_lies(
    ground: Ground,
    appended: list[Event],
    epoch: int,
    batches: list[int],
    faults: dict[int, str],
    redeliveries: list[int],
) -> None:
    async def run() -> None:
        async with open_world(ground.file, epoch) as world:
            await world.append(*appended, Event("comment"))
            job = Job(world, faults)
            await run_to_the_end(job, batches, redeliveries)
            await job.check()
            assert await position_of_watermark(world) == world.position(world.model.end - 1)
            for video_id in VIDEOS:
                rows = await stored_rows(world.store.inner, video_id)
                assert {row.position: row.value for row in rows if row.is_shown} == world.model.always_shown(
                    video_id, 1 << 56
                )
            nonsense = [at for at, event in enumerate(appended) if event.what == "nonsense"]
            origins = [letter.headers["origin"] for letter in await letters_of(world)]
            assert set(origins) == {b"comments-1/0/%d" % offset for offset in nonsense}
            assert "kill" in faults.values() or len(origins) == len(nonsense)

    ground.runner.run(run())


class Hasty(Persister):
    """A bug on purpose: counts records as stored when their write begins."""

    async def _store_records(self, records: Sequence[Record]) -> None:
        self.next_offset = records[-1].offset + 1
        await super()._store_records(records)


class Skipping(Persister):
    """A bug on purpose: trusts that nothing is missing before the first record."""

    async def persist(self, records: Sequence[Record]) -> None:
        self.next_offset = max(self.next_offset, records[0].offset)
        await super().persist(records)


class Forgetful(Persister):
    """A bug on purpose: begins with an empty window."""

    @classmethod
    async def open(cls, *parts: Any, **values: Any) -> Persister:
        persister = await super().open(*parts, **values)
        window = persister._window
        persister._window = Window(window.epoch, 0, 1, since=persister.next_offset, whole=True, size=window.size)
        return persister


@pytest.mark.parametrize("bug", [Hasty, Skipping, Forgetful])
async def test_a_planted_bug_is_noticed(file: DurableFile, bug: type[Persister]) -> None:
    """So that what is checked above can fail: with the right persister the same run is right."""
    appended = [Event("retry"), *[Event("comment")] * 3, Event("retry"), *[Event("comment")] * 3, Event("retry")]
    for make in (Persister, bug):
        noticed = False
        async with open_world(file) as world:
            await world.append(*appended)
            job = Job(world, {7: "advance", 8: "kill"}, make)
            try:
                await run_to_the_end(job, [3], [6])
                await job.check()
            except AssertionError:
                noticed = True
        assert noticed == (make is bug)


async def test_what_is_delivered_again_is_passed_over(world: World) -> None:
    await world.append(*[Event("retry", number=number) for number in range(3)], Event("nonsense"))
    job = Job(world)
    persister = await job.open()
    records = await job.records()
    await persister.persist(records[:2])
    await persister.persist(records)
    writes = len(job.calls)
    await persister.persist(records)
    await persister.persist([])
    assert len(job.calls) == writes
    assert len(await letters_of(world)) == 1
    assert len(await stored_rows(world.store.inner, VIDEOS[0])) == 3


async def test_records_missing_before_the_first_are_read_from_the_log(world: World) -> None:
    await world.append(*[Event("comment")] * 20, Event("delete", number=15))
    job = Job(world)
    persister = await job.open()
    await persister.persist((await job.records())[:4])
    await persister.persist((await job.records())[17:])
    await persister.advance_watermark()
    assert len(await stored_rows(world.store.inner, VIDEOS[0])) == 21
    assert await position_of_watermark(world) == world.position(20)
    await job.check()


async def test_the_watermark_waits_for_the_store_to_acknowledge(world: World) -> None:
    await world.append(*[Event("comment")] * 6)
    job = Job(world)
    persister = await job.open()
    await persister.persist((await job.records())[:2])
    may_write = asyncio.Event()
    job.store.around = _blocking(may_write)
    writing = asyncio.create_task(persister.persist((await job.records())[2:]))
    await asyncio.sleep(0)
    await persister.advance_watermark()
    assert await position_of_watermark(world) == world.position(1)
    may_write.set()
    await writing
    await persister.advance_watermark()
    assert await position_of_watermark(world) == world.position(5)


def _blocking(may_go_on: asyncio.Event) -> Callable[[str], asyncio.Future[None]]:
    async def around(name: str) -> None:
        if name == "write":
            await may_go_on.wait()

    return around  # type: ignore[return-value]  # an async function is one that returns an awaitable


@pytest.mark.parametrize("times", [1, 4])
async def test_a_store_that_fails_is_tried_until_it_does_not(world: World, times: int) -> None:
    await world.append(*[Event("comment")] * 3)
    job, failures = Job(world), iter(range(times))

    async def around(name: str) -> None:
        if name == "write:half" and next(failures, None) is not None:
            raise StoreUnavailable("away")

    job.store.around = around
    persister = await job.open()
    await persister.persist(await job.records())
    assert next(failures, None) is None
    await persister.advance_watermark()
    assert await wrong(world) == []
    assert await position_of_watermark(world) == world.position(2)


async def test_a_watermark_that_could_not_be_written_is_written_the_next_time(world: World) -> None:
    await world.append(Event("comment"))
    job, failures = Job(world), iter([1])

    async def around(name: str) -> None:
        if name == "advance_watermark" and next(failures, None) is not None:
            raise StoreUnavailable("away")

    job.store.around = around
    persister = await job.open()
    await persister.persist(await job.records())
    await persister.advance_watermark()
    assert await position_of_watermark(world) == BEFORE_EVERYTHING
    await persister.advance_watermark()
    assert await position_of_watermark(world) == world.position(0)


@pytest.mark.parametrize("epoch", [1, 2])
async def test_nothing_stored_sets_no_watermark(file: DurableFile, epoch: int) -> None:
    async with open_world(file, epoch) as world:
        persister = await Job(world).open()
        await persister.persist([])
        await persister.advance_watermark()
        assert await position_of_watermark(world) == BEFORE_EVERYTHING


async def test_an_unmoved_watermark_is_not_written_again(world: World) -> None:
    await world.append(Event("comment"))
    job = Job(world)
    persister = await job.open()
    await persister.persist(await job.records())
    await persister.advance_watermark()
    calls = len(job.calls)
    await persister.advance_watermark()
    assert len(job.calls) == calls
    again = await job.open()
    calls = len(job.calls)
    await again.advance_watermark()
    assert len(job.calls) == calls


async def test_a_record_of_a_later_version_is_left_to_that_version(world: World) -> None:
    await world.append(Event("comment"))
    await world.log.append(0, NewRecord(VIDEOS[0].encode(), b"[]", {"type": COMMENT_CREATED, "schema": b"2"}))
    job = Job(world)
    persister = await job.open()
    await persister.persist(await job.records())
    assert persister.next_offset == 2
    assert await letters_of(world) == []
    assert [row.position for row in await stored_rows(world.store.inner, VIDEOS[0])] == [world.position(0)]


async def test_whoever_asks_is_told_what_is_accepted_and_stored_and_since_when_it_is_taken(world: World) -> None:
    await world.append(Event("comment"), Event("nonsense"), Event("comment"))
    told: list[tuple[list[int], int]] = []
    persister = await Persister.open(
        world.log,
        world.store.inner,
        DeadLetters(world.dead_letter_log, "comments-1"),
        0,
        stored=lambda records, began_ns: told.append(([record.offset for record in records], began_ns)),
    )
    before = time.time_ns()
    await persister.persist(await Job(world).records())
    ((offsets, began_ns),) = told
    assert offsets == [0, 2]
    assert before <= began_ns <= time.time_ns()


async def test_poison_is_set_aside_with_reason_and_origin_and_holds_up_nothing(world: World) -> None:
    await world.append(Event("comment"), Event("nonsense"), Event("comment"))
    for foreign in (NewRecord(b"", b"{}", {"type": COMMENT_CREATED}), NewRecord(b"quiet", b"x", {"type": b"other"})):
        await world.log.append(0, foreign)
    job = Job(world)
    persister = await job.open()
    await persister.persist(await job.records())
    letters = await letters_of(world)
    assert [letter.headers["origin"] for letter in letters] == [b"comments-1/0/1", b"comments-1/0/3"]
    assert [letter.headers["reason"] for letter in letters] == [b"no_schema", b"no_schema"]
    assert [(letter.key, letter.value) for letter in letters] == [(b"quiet", b"nonsense"), (b"", b"{}")]
    assert persister.next_offset == 5
    assert [row.position for row in await stored_rows(world.store.inner, VIDEOS[0])] == [
        world.position(0),
        world.position(2),
    ]


async def test_a_persister_that_was_stopped_half_way_is_not_used_again(world: World) -> None:
    """It has judged what it has not stored: judged again, a comment with a key would be its own duplicate."""
    await world.append(Event("retry"))
    job = Job(world)
    persister = await job.open()
    job.store.around = _blocking(asyncio.Event())
    records = await job.records()
    writing = asyncio.create_task(persister.persist(records))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    with pytest.raises(AssertionError):
        await persister.persist(records)
    await persister.advance_watermark()
    assert await position_of_watermark(world) == BEFORE_EVERYTHING


async def test_it_goes_on_where_the_store_is_complete_with_the_window_before(world: World) -> None:
    await world.append(Event("retry"), *[Event("comment")] * 4, Event("retry"), Event("comment"), Event("retry"))
    job = Job(world)
    first = await job.open()
    await first.persist((await job.records())[:5])
    await first.advance_watermark()
    second = await job.open()
    assert second.next_offset == 5
    await second.persist((await job.records())[5:])
    assert [row.position - world.position(0) for row in await stored_rows(world.store.inner, VIDEOS[0])] == [
        *range(5),
        6,
    ]


async def test_a_log_that_ends_before_the_watermark_is_refused(world: World) -> None:
    await world.append(*[Event("comment")] * 3)
    job = Job(world)
    job.is_watched = False  # these watermarks lie
    await world.store.inner.advance_watermark(1, 0, world.position(2))
    assert (await job.open()).next_offset == 3
    await world.store.inner.advance_watermark(1, 0, world.position(3))
    with pytest.raises(LogWentBack, match="livecomments epochs next"):
        await job.open()


async def test_what_retention_took_before_it_was_stored_is_left_out_and_the_rest_is_stored(world: World) -> None:
    await world.append(*[Event("comment")] * 20)
    job = Job(world)
    job.is_watched = False  # what is lost is wrong, and cannot be helped
    persister = await job.open()
    await persister.persist((await job.records())[:4])
    await persister.advance_watermark()
    await world.forget_before(12)
    job = Job(world)
    job.is_watched = False  # what is lost is wrong, and cannot be helped
    persister = await job.open()
    assert persister.next_offset == 12
    await persister.persist(await job.records(12))
    await persister.advance_watermark()
    stored = await stored_rows(world.store.inner, VIDEOS[0])
    assert [row.position - world.position(0) for row in stored] == [*range(4), *range(12, 20)]
    assert await position_of_watermark(world) == world.position(19)


@pytest.mark.parametrize("delivered_from", [14, 10])
async def test_what_retention_takes_while_it_catches_up_is_left_out_too(world: World, delivered_from: int) -> None:
    """Asking for it again and again would hold up the partition for ever. Records in hand are stored all the same."""
    await world.append(*[Event("comment")] * 20)
    job = Job(world)
    job.is_watched = False  # what is lost is wrong, and cannot be helped
    persister = await job.open()
    records = await job.records()
    await persister.persist(records[:4])
    await world.forget_before(12)
    job.log.inner = world.log
    await persister.persist(records[delivered_from:])
    stored = await stored_rows(world.store.inner, VIDEOS[0])
    assert [row.position - world.position(0) for row in stored] == [*range(4), *range(min(12, delivered_from), 20)]
    assert persister.next_offset == 20


async def test_after_a_hole_nothing_is_judged_by_what_was_before_it(world: World) -> None:
    """The video began again, and the key was another's, in what retention took; whoever begins now knows neither."""
    before = [Event("comment"), Event("retry"), Event("ended")]
    await world.append(*before, *[Event("started")] * 4, *[Event("comment")] * 3, Event("retry"), Event("comment"))
    job = Job(world)
    job.is_watched = False  # what is lost is wrong, and cannot be helped
    persister = await job.open()
    await persister.persist((await job.records())[: len(before)])
    await world.forget_before(7)
    job.log.inner = world.log
    await persister.persist(await job.records(9))
    stored = await stored_rows(world.store.inner, VIDEOS[0])
    assert [row.position - world.position(0) for row in stored if row.kind == COMMENT_CREATED] == [
        0,
        1,
        7,
        8,
        9,
        10,
        11,
    ]
    fresh = await job.open()
    assert fresh._window.is_ended(VIDEOS[0], 12) == persister._window.is_ended(VIDEOS[0], 12)


async def test_a_log_away_while_it_catches_up_is_asked_again(world: World) -> None:
    await world.append(*[Event("comment")] * 9)
    job, failures = Job(world), iter(["bounds", "read"])
    persister = await job.open()

    async def around(name: str) -> None:
        if name == "read" and next(failures, None) is not None:
            raise LogUnavailable("away")

    job.log.around = around
    await persister.persist((await job.records())[7:])
    assert persister.next_offset == 9
    assert len(await stored_rows(world.store.inner, VIDEOS[0])) == 9


async def test_a_log_that_holds_a_fresh_store_nothing_of_its_beginning_is_stored_from_there(world: World) -> None:
    await world.append(*[Event("comment")] * 9)
    await world.forget_before(5)
    job = Job(world)
    job.is_watched = False  # what is lost is wrong, and cannot be helped
    persister = await job.open()
    assert persister.next_offset == 5
    await persister.persist(await job.records(5))
    await persister.advance_watermark()
    assert await position_of_watermark(world) == world.position(8)


@pytest.mark.parametrize("seed", range(5))
async def test_two_workers_on_one_partition_do_no_harm(file: DurableFile, seed: int) -> None:
    """After a rebalance the old one may still be writing: rows are the same, and no watermark goes back."""
    dice = random.Random(seed)
    async with open_world(file, sizes=Sizes(window=4)) as world:
        kinds = ("comment", "retry", "delete", "nonsense")
        await world.append(*[Event(dice.choice(kinds), dice.randrange(3), dice.randrange(4)) for _ in range(40)])
        one, other = Job(world), Job(world)
        persisters = [await one.open(), await other.open()]
        records, at = await one.records(), [0, 0]
        while min(at) < 40:
            which = dice.randrange(2)
            end = min(40, at[which] + dice.randrange(1, 9))
            await persisters[which].persist(records[at[which] : end])
            at[which] = end
            await persisters[dice.randrange(2)].advance_watermark()
            await one.check()
        assert await wrong(world) == []


def test_the_checker_finds_a_row_that_is_missing_or_wrong(ground: Ground) -> None:
    async def run() -> None:
        async with open_world(ground.file) as world:
            await world.append(Event("comment"), Event("comment"), Event("delete"))
            await Job(world).check()
            await world.store.inner.advance_watermark(1, 0, world.position(2))
            assert len(await wrong(world)) == 3
            row = Row(VIDEOS[0], world.position(0), COMMENT_CREATED, "ana", b"other", 0)
            await world.store.inner.write([row, row._replace(position=first_position(1) + 7)])
            assert any("another value" in one for one in await wrong(world))
            assert any("alone" in one for one in await wrong(world))

    ground.runner.run(run())
