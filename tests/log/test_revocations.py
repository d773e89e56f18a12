"""Revocations: what was revoked stays so, whatever our clock says and whatever becomes of the topic."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from livecomments.embedded.elapsed import Elapsed
from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.interface import CommentLog, OffsetUnavailable
from livecomments.log.revocations import Revocations
from livecomments.sqlite import DurableFile
from livecomments_schemas.events import NewRecord
from tests.log.contract import WAIT_S, new_record
from tests.log.faults import BrokenLog, ClockedLog, GatedLog, nothing

HOUR_S = 3_600
NOON_S = 1_795_348_800


def digest(number: int) -> bytes:
    return number.to_bytes(16, "big")


@asynccontextmanager
async def known_by(
    log: CommentLog, clock: "Clock", older_than: Callable[[int], int] | None = None
) -> AsyncIterator[Revocations]:
    """What one process knows, once it is ready."""
    revocations = Revocations(log, clock=clock, older_than=older_than)
    running = asyncio.create_task(revocations.run())
    try:
        await revocations.ready(WAIT_S)
        yield revocations
    finally:
        running.cancel()
        await asyncio.wait([running])


class Clock:
    """A wall clock that people set."""

    def __init__(self, now: float = NOON_S) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def topic(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, "session-revocations", 1, 1) as log:
        yield log


async def test_a_clock_that_runs_ahead_for_a_moment_forgets_nothing(topic: EmbeddedLog) -> None:
    log, clock = ClockedLog(topic, lambda offset: NOON_S * 1_000), Clock()
    async with known_by(log, clock) as revocations:
        await revocations.revoke(digest(1), NOON_S + HOUR_S, "x")
        clock.now += 3 * HOUR_S
        await revocations.revoke(digest(2), NOON_S + 9 * HOUR_S, "x")  # while it is ahead
        clock.now = NOON_S
        assert revocations.is_revoked(digest(1))
        assert revocations.is_revoked(digest(2))


async def test_a_process_that_starts_with_its_clock_ahead_knows_all_that_was_revoked(topic: EmbeddedLog) -> None:
    log = ClockedLog(topic, lambda offset: NOON_S * 1_000)
    async with known_by(log, Clock()) as revocations:
        await revocations.revoke(digest(1), NOON_S + HOUR_S, "x")
    clock = Clock(NOON_S + 3 * HOUR_S)
    async with known_by(log, clock) as revocations:
        clock.now = NOON_S
        assert revocations.is_revoked(digest(1))


async def test_where_the_log_is_stamped_by_the_clock_that_runs_ahead_the_time_that_passed_decides(
    topic: EmbeddedLog,
) -> None:
    clock, passed = Clock(), [0.0]
    log = ClockedLog(topic, lambda offset: int((NOON_S + 3 * HOUR_S * bool(offset)) * 1_000))
    elapsed = Elapsed(clock=clock, monotonic=lambda: passed[0])
    async with known_by(log, clock, elapsed.older_than) as revocations:
        await revocations.revoke(digest(1), NOON_S + HOUR_S, "x")
        clock.now += 3 * HOUR_S
        await revocations.revoke(digest(2), NOON_S + 9 * HOUR_S, "x")
        assert revocations.is_revoked(digest(1))
        async with known_by(log, clock, elapsed.older_than) as started:
            assert started.is_revoked(digest(1))
        clock.now, passed[0] = NOON_S + 4 * HOUR_S, HOUR_S
        await revocations.revoke(digest(3), NOON_S + 9 * HOUR_S, "x")
        assert not revocations.is_revoked(digest(1))


async def test_what_both_clocks_call_expired_is_forgotten(topic: EmbeddedLog) -> None:
    log, clock = ClockedLog(topic, lambda offset: (NOON_S + offset * HOUR_S) * 1_000), Clock()
    async with known_by(log, clock) as revocations:
        for hour in range(4):
            await revocations.revoke(digest(hour), NOON_S + hour * HOUR_S + 10, "x")
        assert all(revocations.is_revoked(digest(hour)) for hour in range(4))  # by the log's alone, three are over
        clock.now += 2 * HOUR_S
        await revocations.revoke(digest(9), NOON_S + 99 * HOUR_S, "x")
        assert [revocations.is_revoked(digest(hour)) for hour in range(4)] == [False, False, True, True]


async def test_what_had_expired_long_before_a_process_starts_is_not_held(topic: EmbeddedLog) -> None:
    log, clock = ClockedLog(topic, lambda offset: (NOON_S + offset * HOUR_S) * 1_000), Clock(NOON_S + 9 * HOUR_S)
    async with known_by(log, Clock()) as revocations:
        await revocations.revoke(digest(1), NOON_S + 9 * HOUR_S, "ana")
        await revocations.revoke(digest(2), NOON_S + HOUR_S + 1, "ana")
        await revocations.revoke(digest(3), NOON_S + HOUR_S, "ana")  # when it is read it is over
        await revocations.revoke(digest(4), NOON_S + 9 * HOUR_S, "ana")
    for older_than in (None, lambda age_ms: (NOON_S + 9 * HOUR_S) * 1_000 - age_ms):
        async with known_by(log, clock, older_than) as started:
            held = [number for number in range(1, 5) if started.is_revoked(digest(number))]
            assert held == [1, 4], "by the log's clock, too, two of them are over"
    records, _ = await topic.read(0, 0, 4, 4)
    assert {record.headers["author"] for record in records} == {b"ana"}, "who ended them is said"


async def test_what_is_no_revocation_harms_nothing(topic: EmbeddedLog) -> None:
    for value in (b"", b"{}", b'{"digest": 1, "expiresAt": 1}', b'{"digest": "00", "expiresAt": 99999999999}'):
        await topic.append(0, NewRecord(b"k", value, {"type": b"session.revoked"}))
    await topic.append(0, new_record("another kind"))
    async with known_by(topic, Clock()) as revocations:
        assert not revocations.is_revoked(digest(1))


async def test_another_topic_in_the_place_of_this_one_is_read_whole_before_anything_is_said_of_it(
    tmp_path: Path,
) -> None:
    """A longer one, as after a restore: what was known stays so, and nobody slips in meanwhile."""
    async with (
        DurableFile(tmp_path, TABLES) as file,
        EmbeddedLog(file, "before", 1, 1) as before,
        EmbeddedLog(file, "after", 1, 1) as after,
    ):
        gate = GatedLog(before)
        async with known_by(after, Clock()) as elsewhere:
            for number in range(20, 26):
                await elsewhere.revoke(digest(number), 2**40, "x")
        async with known_by(before, Clock()) as elsewhere:
            for number in range(3):
                await elsewhere.revoke(digest(number), 2**40, "x")
        gate.release(3)
        async with known_by(gate, Clock()) as revocations:
            ready_when_heard: list[tuple[bytes, bool]] = []
            revocations.listeners.append(lambda heard: ready_when_heard.append((heard, revocations.is_ready)))
            gate.inner, gate.generation = after, " anew"
            async with asyncio.timeout(WAIT_S):
                while len(ready_when_heard) < 6:
                    gate.release(3)
                    await asyncio.sleep(0.01)
            assert [is_ready for _, is_ready in ready_when_heard[:3]] == [False] * 3
            assert all(revocations.is_revoked(digest(number)) for number in (0, 1, 2, *range(20, 26)))


async def test_what_another_topic_does_not_know_is_said_again_so_that_who_starts_knows_it(tmp_path: Path) -> None:
    async with (
        DurableFile(tmp_path, TABLES) as file,
        EmbeddedLog(file, "before", 1, 1) as before,
        EmbeddedLog(file, "after", 1, 1) as after,
    ):
        clock = Clock()
        for log, numbers in ((before, range(250)), (after, (7, 8, 300))):
            async with known_by(log, clock) as elsewhere:
                await asyncio.gather(*(elsewhere.revoke(digest(number), 2**40, "x") for number in numbers))
        gate = GatedLog(before)
        gate.release(250)
        async with known_by(gate, clock) as revocations:
            restoring = asyncio.create_task(revocations.restore())
            gate.inner, gate.generation = after, " anew"
            async with asyncio.timeout(WAIT_S):
                while (await after.bounds([0]))[0].end < 251 or revocations._missing:
                    gate.release((await after.bounds([0]))[0].end)
                    await asyncio.sleep(0.01)
            assert not restoring.done()
            restoring.cancel()
        records, _ = await after.read(0, 0, 1_000, 1_000)
        assert len(records) == 251, "and nothing that it knew"
        assert {record.headers["author"] for record in records[3:]} == {b"livecomments"}
        async with known_by(after, clock) as started:
            assert all(started.is_revoked(digest(number)) for number in (*range(250), 300))


async def test_what_another_has_said_again_meanwhile_is_not_said_once_more(tmp_path: Path) -> None:
    async with (
        DurableFile(tmp_path, TABLES) as file,
        EmbeddedLog(file, "before", 1, 1) as before,
        EmbeddedLog(file, "after", 1, 1) as after,
    ):
        clock, gate = Clock(), GatedLog(before)
        async with known_by(before, clock) as elsewhere:
            await asyncio.gather(*(elsewhere.revoke(digest(number), 2**40, "x") for number in range(250)))
        gate.release(250)
        async with known_by(gate, clock) as revocations, known_by(after, clock) as other:

            async def around(call: str) -> None:
                if call != "append":
                    return
                gate.around = nothing
                await asyncio.gather(*(other.revoke(digest(number), 2**40, "x") for number in range(250)))
                while revocations._missing:
                    gate.release((await after.bounds([0]))[0].end)
                    await asyncio.sleep(0.01)

            gate.around = around
            restoring = asyncio.create_task(revocations.restore())
            gate.inner, gate.generation = after, " anew"
            async with asyncio.timeout(WAIT_S):
                while gate.around is around or revocations._missing:
                    gate.release(0)
                    await asyncio.sleep(0.01)
                while (await after.bounds([0]))[0].end < 350:  # noqa: ASYNC110 - it has no event of its own
                    await asyncio.sleep(0.01)
            await asyncio.wait([restoring], timeout=0.0)
            assert not restoring.done()
            restoring.cancel()
        assert (await after.bounds([0]))[0].end == 350, "a hundred were under way"


async def test_a_topic_that_lost_its_end_and_grew_beyond_it_before_anybody_looked_is_read_whole(tmp_path: Path) -> None:
    async with (
        DurableFile(tmp_path, TABLES) as file,
        EmbeddedLog(file, "before", 1, 1) as before,
        EmbeddedLog(file, "after", 1, 1) as after,
    ):
        for log, numbers in ((before, (0, 1, 2)), (after, (0, 7, 8, 9))):
            async with known_by(log, Clock()) as elsewhere:
                for number in numbers:
                    await elsewhere.revoke(digest(number), 2**40, "x")
        gate = GatedLog(before)
        broken = BrokenLog(gate)
        gate.release(3)
        async with known_by(broken, Clock()) as revocations:
            gate.inner = after
            broken.error = OffsetUnavailable("not here", partition=0, offset=3)
            async with asyncio.timeout(WAIT_S):
                while not all(revocations.is_revoked(digest(number)) for number in (0, 1, 2, 7, 8, 9)):
                    gate.release(3 if broken.error is not None else 4)
                    await asyncio.sleep(0.01)
