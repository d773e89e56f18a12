"""Storing an epoch to its end: all that its log holds, once, whatever a stream job did before."""

from pathlib import Path

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.log.interface import LogUnavailable, OffsetUnavailable
from livecomments.sqlite import DurableFile
from livecomments.store.interface import StoreUnavailable
from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.finishing import store_to_end
from tests.log.faults import WatchedLog

PARTITIONS = 2
VIDEOS = [next(v for n in range(99) if partition_of(v := f"v{n}", PARTITIONS) == p) for p in range(PARTITIONS)]


async def append(log: EmbeddedLog, count: int) -> None:
    for number in range(count):
        for partition, video in enumerate(VIDEOS):
            await log.append(partition, comment_created(video, f"{number}", Author("a", "A"), created_at_ms=0))


async def stored(store: EmbeddedStore, video: str) -> int:
    rows, _ = await store.read(video, BEFORE_EVERYTHING, first_position(9), 1_000, descending=False)
    return len(rows)


async def test_all_that_the_log_holds_is_stored_and_marked_and_a_second_time_nothing_is(tmp_path: Path) -> None:
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-3", 3, PARTITIONS) as log,
        EmbeddedLog(file, "letters", 0, 1) as letter_log,
        EmbeddedStore(file) as store,
    ):
        letters = DeadLetters(letter_log, "comments-3")
        assert await store_to_end(log, store, letters) == 0
        await append(log, 20)
        assert await store_to_end(log, store, letters) == 40
        assert [await stored(store, video) for video in VIDEOS] == [20, 20]
        assert [await store.watermark(3, number) for number in range(PARTITIONS)] == [first_position(3) + 19] * 2
        assert await store_to_end(log, store, letters) == 0
        await append(log, 1)
        assert await store_to_end(log, store, letters) == 2


async def test_a_partition_that_lost_its_end_keeps_no_other_from_being_stored(tmp_path: Path) -> None:
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-3", 3, PARTITIONS) as log,
        EmbeddedLog(file, "letters", 0, 1) as letter_log,
        EmbeddedStore(file) as store,
    ):
        await append(log, 5)
        await store.advance_watermark(3, 0, first_position(3) + 99)
        assert await store_to_end(log, store, DeadLetters(letter_log, "comments-3")) == 5
        assert [await stored(store, video) for video in VIDEOS] == [0, 5]
        assert await store.watermark(3, 0) == first_position(3) + 99


async def test_log_and_store_may_be_away_for_a_while(tmp_path: Path) -> None:
    fails = {"bounds": 1, "read": 2, "gone": 1}

    async def around(call: str) -> None:
        if fails.get(call):
            fails[call] -= 1
            raise LogUnavailable("away")
        if call == "read" and fails["gone"]:
            fails["gone"] -= 1
            raise OffsetUnavailable("retention was faster")

    class Away(EmbeddedStore):
        away = 2

        async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
            if self.away:
                self.away -= 1
                raise StoreUnavailable("away")
            await super().advance_watermark(epoch, partition, position)

    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-3", 3, PARTITIONS) as log,
        EmbeddedLog(file, "letters", 0, 1) as letter_log,
        Away(file) as store,
    ):
        await append(log, 3)
        assert await store_to_end(WatchedLog(log, around), store, DeadLetters(letter_log, "comments-3")) == 6
        assert set(fails.values()) == {0}
        assert [await stored(store, video) for video in VIDEOS] == [3, 3]
        assert [await store.watermark(3, number) for number in range(PARTITIONS)] == [first_position(3) + 2] * 2
