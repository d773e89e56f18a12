"""Which logs a store accepts: the one that it was filled from, and no other that has its name."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.history.log_end import LogWentBack, check_log, claim_log
from livecomments.log.interface import Bounds, CommentLog, LogUnavailable
from livecomments.sqlite import DurableFile
from livecomments.store.interface import KeptLog, StoreUnavailable
from livecomments_schemas.positions import position_at
from tests.history.faults import WatchedStore
from tests.log.faults import WatchedLog
from tests.schemas.records import comment

EPOCH, PARTITIONS, COUNT = 4, 3, 5


class Parts:
    """A log with records in its last partition, and a store that may have them."""

    def __init__(self, log: WatchedLog, store: WatchedStore) -> None:
        self.log, self.store = log, store

    async def fill(self) -> None:
        """Say that all but the newest record are stored."""
        await self.store.advance_watermark(EPOCH, PARTITIONS - 1, position_at(EPOCH, COUNT - 2))


class Counted(WatchedLog):
    """A log whose epoch says another number of partitions."""

    def __init__(self, inner: CommentLog, count: int, number: int = EPOCH) -> None:
        super().__init__(inner)
        self._count, self._number = count, number

    @property
    def epoch(self) -> int:
        return self._number

    @property
    def partition_count(self) -> int:
        return self._count

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        found = await super().bounds(number for number in partitions if number < PARTITIONS)
        return {number: Bounds(0, 0) for number in range(PARTITIONS, self._count)} | found


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-4", EPOCH, PARTITIONS) as log,
        EmbeddedStore(file) as store,
    ):
        for _ in range(COUNT):
            await log.append(PARTITIONS - 1, comment("v"))
        yield Parts(WatchedLog(log), WatchedStore(store))


async def test_a_log_made_anew_is_refused_though_it_has_grown_beyond_what_is_stored(parts: Parts) -> None:
    await claim_log(parts.log, parts.store)
    await parts.fill()
    await check_log(parts.log, parts.store)
    parts.log.generation = "made anew"
    for refuse in (check_log, claim_log, check_log):
        with pytest.raises(LogWentBack, match="livecomments epochs next"):
            await refuse(parts.log, parts.store)


async def test_a_log_made_anew_before_anything_was_stored_is_the_stores_from_then_on(parts: Parts) -> None:
    await claim_log(parts.log, parts.store)
    parts.log.generation = "made anew"
    await check_log(parts.log, parts.store)
    await claim_log(parts.log, parts.store)
    await parts.fill()
    await claim_log(parts.log, parts.store)
    parts.log.generation = ""
    with pytest.raises(LogWentBack):
        await check_log(parts.log, parts.store)


async def test_a_store_that_was_never_told_goes_on_and_knows_its_log_from_then_on(parts: Parts) -> None:
    await parts.fill()
    await check_log(parts.log, parts.store)
    assert await parts.store.kept_log(EPOCH) == KeptLog()  # who only reads tells it nothing
    await claim_log(parts.log, parts.store)
    assert None not in await parts.store.kept_log(EPOCH)
    assert await parts.store.kept_log(EPOCH + 1) == KeptLog()
    parts.log.generation = "made anew"
    with pytest.raises(LogWentBack):
        await check_log(parts.log, parts.store)


async def test_a_log_without_an_identity_is_judged_by_its_end_alone(parts: Parts) -> None:
    class Nameless(WatchedLog):
        """Of a broker that is older than ids of topics."""

        async def identity(self) -> str:
            return ""

    nameless = Nameless(parts.log.inner)
    await claim_log(nameless, parts.store)
    assert await parts.store.kept_log(EPOCH) == KeptLog(None, PARTITIONS)
    await claim_log(parts.log, parts.store)
    await parts.fill()
    await claim_log(nameless, parts.store)
    await parts.store.advance_watermark(EPOCH, 0, position_at(EPOCH, 0))
    with pytest.raises(LogWentBack, match="Partition 0 of the log ends at 0"):
        await claim_log(nameless, parts.store)


@pytest.mark.parametrize("call", ["bounds", "identity", "kept_log", "keep_log"])
async def test_a_log_or_store_that_is_away_is_asked_again(parts: Parts, call: str) -> None:
    failures = {call}

    async def around(name: str) -> None:
        if name in failures:
            failures.remove(name)
            raise (StoreUnavailable if "log" in name else LogUnavailable)("away")

    parts.log.around = parts.store.around = around
    await claim_log(parts.log, parts.store)
    assert not failures
    assert None not in await parts.store.kept_log(EPOCH)


@pytest.mark.parametrize("partitions", [PARTITIONS + 1, PARTITIONS - 1, 1])
async def test_a_log_with_another_count_than_the_store_was_filled_from_is_refused(
    parts: Parts, partitions: int
) -> None:
    """The topic of epochs was lost and told anew, or it is another installation's store."""
    await claim_log(parts.log, parts.store)
    await parts.fill()
    other = Counted(parts.log.inner, partitions)
    for refuse in (check_log, claim_log, check_log):
        with pytest.raises(LogWentBack, match=rf"filled from {PARTITIONS} partitions of epoch 4.* has {partitions}: "):
            await refuse(other, parts.store)
    assert (await parts.store.kept_log(EPOCH)).partitions == PARTITIONS
    await check_log(parts.log, parts.store)


async def test_before_anything_is_stored_the_log_says_how_many_partitions_there_are(parts: Parts) -> None:
    await claim_log(parts.log, parts.store)
    await claim_log(Counted(parts.log.inner, 1), parts.store)
    assert (await parts.store.kept_log(EPOCH)).partitions == 1
    await claim_log(parts.log, parts.store)
    assert (await parts.store.kept_log(EPOCH)).partitions == PARTITIONS


async def test_a_store_from_before_counts_were_kept_goes_on_and_knows_it_from_then_on(parts: Parts) -> None:
    await claim_log(parts.log, parts.store)
    await parts.fill()
    identity, _ = await parts.store.kept_log(EPOCH)
    before = EPOCH + 1
    await parts.store.keep_log(before, KeptLog(identity, None))
    await parts.store.advance_watermark(before, 0, position_at(before, 0))
    log = Counted(parts.log.inner, PARTITIONS, before)
    await parts.log.append(0, comment("v"))
    await claim_log(log, parts.store)
    assert await parts.store.kept_log(before) == KeptLog(identity, PARTITIONS)
