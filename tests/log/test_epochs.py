"""What a process knows of the epochs, and when it may not write."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.epochs import EPOCHS_AGE_MAX_S, ContractUnavailable, KnownEpochs, Writing
from livecomments.log.interface import AppendUnknown, CommentLog, LogUnavailable, OffsetUnavailable
from livecomments.log.topics import EPOCHS_TOPIC
from livecomments.log.whole import WholeTopic
from livecomments.sqlite import DurableFile
from livecomments_schemas.epochs import Contract, epoch_closed, epoch_ending, epoch_opened
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import NewRecord, Record
from tests.log.faults import BrokenLog, GatedLog, WatchedLog

WAIT_S = 10.0
FIRST, SECOND = Contract(1, 64, "a", 3), Contract(2, 64, "b", 3)


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def topic(directory: Path) -> AsyncIterator[EmbeddedLog]:
    async with DurableFile(directory, TABLES) as file, EmbeddedLog(file, EPOCHS_TOPIC, 0, 1) as log:
        yield log


@asynccontextmanager
async def known(log: CommentLog) -> AsyncIterator[KnownEpochs]:
    """What one process knows, once it has read all there was."""
    epochs = KnownEpochs(log)
    reading = epochs.follow()
    try:
        await epochs.ready(WAIT_S)
        yield epochs
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def test_whoever_starts_knows_all_that_was_said_and_hears_what_is_said_later(tmp_path: Path) -> None:
    async with topic(tmp_path) as log:
        async with known(log) as one:
            with pytest.raises(StartRefused, match="topics --create"):
                one.open_contract()
            await one.say(epoch_opened(FIRST))
            assert one.open_contract() == FIRST
        async with known(log) as one, known(log) as other:
            assert other.open_contract() == FIRST
            over = asyncio.create_task(other.over(1))
            await one.say(epoch_closed(1, "topic lost"))
            with pytest.raises(StartRefused, match=r"Epoch 1 was closed \(topic lost\)"):
                one.open_contract()
            await one.say(epoch_opened(SECOND))
            async with asyncio.timeout(WAIT_S):
                await over
            assert other.open_contract() == SECOND


async def test_who_asks_whether_an_epoch_is_told_of_is_answered_by_the_log_and_not_by_what_was_read(
    tmp_path: Path,
) -> None:
    async with topic(tmp_path) as log:
        late = KnownEpochs(log)
        assert not await late.is_told(1)
        async with known(log) as one:
            for contract in (FIRST, SECOND):
                await one.say(epoch_opened(contract))
                await one.say(epoch_closed(contract.epoch, "topic lost"))
        assert [await late.is_told(number) for number in (1, 2, 3)] == [True, True, False]
        assert late.epochs.newest is None, "nothing was read"


async def test_a_topic_whose_rest_no_reader_sees_is_read_to_its_end(tmp_path: Path) -> None:
    """As Kafka's are that end with the marker of a transaction."""
    taken = Taken()
    async with topic(tmp_path) as inner:
        for value in (b"one", b"two"):
            await inner.append(0, NewRecord(b"", value, {}))
        gate = GatedLog(inner)
        whole = WholeTopic(gate, taken, "things")
        reading = asyncio.create_task(whole.run())
        async with asyncio.timeout(WAIT_S):
            while not whole.is_ready:
                gate.release(0)  # polls bring nothing
                await asyncio.sleep(0.01)
        assert [record.value for record in taken] == [b"one", b"two"]
        assert not reading.done()
        reading.cancel()


async def test_what_comes_next_is_told_ahead_to_whoever_waits_for_it(tmp_path: Path) -> None:
    async with topic(tmp_path) as log, known(log) as one, known(log) as other:
        await one.say(epoch_opened(FIRST))
        told, over = asyncio.create_task(other.following(1)), asyncio.create_task(other.over(1))
        await one.say(epoch_ending(1, [0] * FIRST.partitions, SECOND))
        async with asyncio.timeout(WAIT_S):
            assert await told == SECOND
        assert not over.done()
        await one.say(epoch_closed(1, "it grew"))
        await one.say(epoch_opened(SECOND))
        async with asyncio.timeout(WAIT_S):
            await over


async def test_of_two_who_open_the_first_epoch_at_once_both_know_who_won(tmp_path: Path) -> None:
    async with topic(tmp_path) as log, known(log) as one, known(log) as other:
        mine, theirs = Contract(1, 64, "mine", 3), Contract(1, 65, "theirs", 3)
        said = await asyncio.gather(one.say(epoch_opened(mine)), other.say(epoch_opened(theirs)))
        assert one.open_contract() == other.open_contract() == said[0].known[0].contract
        assert one.open_contract() in (mine, theirs)
        assert len(one.epochs.known) == 1


async def test_a_write_is_taken_in_the_open_epoch_alone(tmp_path: Path) -> None:
    breaches = [""]
    async with topic(tmp_path) as log, known(log) as epochs:
        await epochs.say(epoch_opened(FIRST))
        writing = Writing(epochs, 1, lambda: breaches[-1])
        writing.check()
        writing.confirm()
        breaches.append("It is compacted.")
        with pytest.raises(ContractUnavailable, match="compacted"):
            writing.check()
        with pytest.raises(AppendUnknown, match="compacted"):
            writing.confirm()
        breaches.append("")
        assert writing.is_allowed
        await epochs.say(epoch_closed(1, ""))
        with pytest.raises(ContractUnavailable, match="another epoch"):
            writing.check()
        with pytest.raises(AppendUnknown, match="another epoch"):
            writing.confirm()


class Taken(list[Record]):
    """Records, in the order in which they were taken."""

    def __init__(self) -> None:
        super().__init__()
        self.more = asyncio.Event()

    def __call__(self, records: Sequence[Record]) -> None:
        self += records
        if records:
            self.more.set()


async def until(holds: asyncio.Event) -> None:
    async with asyncio.timeout(WAIT_S):
        await holds.wait()


async def test_how_old_its_knowledge_is_follows_from_when_the_end_was_asked_for(tmp_path: Path) -> None:
    clock, hangs, asked = Clock(), asyncio.Event(), asyncio.Event()
    hangs.set()

    async def around(call: str) -> None:
        if call == "bounds":
            asked.set()
            await hangs.wait()

    async with topic(tmp_path) as inner:
        whole = WholeTopic(WatchedLog(inner, around), Taken(), "things", clock=clock)
        assert whole.age_s == float("inf")
        reading = asyncio.create_task(whole.run())
        await whole.ready(WAIT_S)
        await whole.append(NewRecord(b"", b"", {}))
        assert whole.age_s == 0
        hangs.clear()
        asked.clear()
        clock.now += EPOCHS_AGE_MAX_S + 1  # the next look is due, and is not answered
        await until(asked)
        assert whole.age_s == EPOCHS_AGE_MAX_S + 1
        clock.now += 1
        asked.clear()
        hangs.set()
        clock.now += 1
        await until(asked)  # the one after, so that the answer has counted
        assert whole.age_s < 3
        reading.cancel()


async def test_who_does_not_hear_of_the_epochs_writes_nothing_and_goes_on_when_it_does(tmp_path: Path) -> None:
    age_s = 0.0

    class Deaf(KnownEpochs):
        @property
        def age_s(self) -> float:
            return age_s

    async with topic(tmp_path) as log, known(log) as speaker:
        await speaker.say(epoch_opened(FIRST))
        deaf = Deaf(log)
        deaf.epochs = speaker.epochs
        writing = Writing(deaf, 1, str)
        age_s = EPOCHS_AGE_MAX_S
        writing.check()
        age_s = EPOCHS_AGE_MAX_S + 0.1
        with pytest.raises(ContractUnavailable, match="does not hear"):
            writing.check()
        with pytest.raises(AppendUnknown, match="does not hear"):
            writing.confirm()
        age_s = 0
        writing.check()


async def test_a_topic_made_anew_under_its_reader_is_read_from_its_start(tmp_path: Path) -> None:
    clock, taken = Clock(), Taken()
    async with topic(tmp_path) as inner:
        log = WatchedLog(inner)
        whole = WholeTopic(log, taken, "things", clock=clock)
        reading = asyncio.create_task(whole.run())
        for value in (b"one", b"two"):
            await whole.append(NewRecord(b"", value, {}))
        assert [record.value for record in taken] == [b"one", b"two"]
        taken.more.clear()
        log.generation = " anew"
        clock.now += 2
        await until(taken.more)
        assert [record.value for record in taken] == [b"one", b"two"] * 2
        await whole.append(NewRecord(b"", b"three", {}))
        assert [record.value for record in taken] == [b"one", b"two"] * 2 + [b"three"]
        reading.cancel()


async def test_a_topic_that_lost_its_end_once_is_read_whole_once(tmp_path: Path) -> None:
    clock, taken = Clock(), Taken()
    async with topic(tmp_path) as inner:
        log = BrokenLog(inner)
        whole = WholeTopic(log, taken, "things", clock=clock)
        reading = asyncio.create_task(whole.run())
        for value in (b"one", b"two"):
            await whole.append(NewRecord(b"", value, {}))
        log.error = OffsetUnavailable("not here", partition=0, offset=1)
        await inner.append(0, NewRecord(b"", b"three", {}))  # ends the poll under way
        while len(taken) < 6:
            taken.more.clear()
            await until(taken.more)
        assert [record.value for record in taken] == [b"one", b"two", b"three"] * 2
        for value in (b"four", b"five"):
            clock.now += 2  # it is asked again whether it is the same
            await whole.append(NewRecord(b"", value, {}))
        assert [record.value for record in taken][6:] == [b"four", b"five"]
        reading.cancel()


async def test_a_topic_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    fails = 2

    async def around(call: str) -> None:
        nonlocal fails
        if call == "identity" and fails:
            fails -= 1
            raise LogUnavailable("away")

    async with topic(tmp_path) as inner:
        async with known(inner) as one:
            await one.say(epoch_opened(FIRST))
        async with known(WatchedLog(inner, around)) as other:
            assert other.open_contract() == FIRST
        assert fails == 0
