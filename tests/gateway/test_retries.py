"""A retry whose first comment is written, and cannot be read: never another comment, never a refusal."""

import asyncio
from pathlib import Path
from typing import Final

import orjson
import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.following.follower import Follower
from livecomments.following.tail import TailBounds
from livecomments.history.reading import History
from livecomments.log.interface import AppendUnknown, LogUnavailable, LogWentBackUnavailable
from livecomments.runtime.metrics import REGISTRY
from livecomments.sqlite import DurableFile
from livecomments.store.interface import Row
from livecomments_gateway.copies import RetryTooOldRejected
from livecomments_gateway.identity import Identity
from livecomments_gateway.posting import NewComment, Posting
from livecomments_schemas.events import COMMENT_CREATED
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import BEFORE_EVERYTHING, CursorRejected, comment_id, position_at
from tests.log.contract import WAIT_S
from tests.log.faults import GatedLog, WatchedLog
from tests.schemas.records import ANA, comment

AT_ONCE: Final = 1_024
WINDOW: Final = 2_000
READ_BACK: Final = WINDOW + 1_024


def unknowns() -> float:
    """Answers that a comment may be written or not, since the process began."""
    return REGISTRY.get_sample_value("livecomments_gateway_comments_total", {"result": "unknown"}) or 0.0


async def test_a_retry_while_the_log_cannot_be_read_is_unknown_and_then_the_first_comment(tmp_path: Path) -> None:
    is_away = False

    async def around(_: str) -> None:
        if is_away:
            raise LogUnavailable("away")

    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-3", 3, 1) as embedded,
        EmbeddedStore(file) as store,
    ):
        # The first one lies in the window, with less than a window before it that was read back.
        news = [comment("v", "others'")] * READ_BACK + [comment("v", "mine", key="k")] + [comment("v")] * (WINDOW - 10)
        await asyncio.gather(*(embedded.append(0, new) for new in news))
        log = WatchedLog(embedded, around)
        follower = Follower(log, [0], TailBounds(1, 10**6, 1e6), window_records=WINDOW)
        posting = Posting(follower, History(follower, store, window_records=WINDOW), timeout_s=WAIT_S, in_flight_max=10)
        running = asyncio.create_task(follower.run())
        await follower.ready_partition(0, WAIT_S)
        identity = Identity(ANA, frozenset())
        end = (await embedded.bounds([0]))[0].end
        is_away, before = True, unknowns()
        with pytest.raises(AppendUnknown, match="is written, but cannot be read now"):
            await posting.post("v", identity, NewComment("mine", key="k"))
        assert unknowns() == before + 1
        is_away = False
        assert b'"mine"' in await posting.post("v", identity, NewComment("mine", key="k"))
        assert (await embedded.bounds([0]))[0].end == end
        running.cancel()


async def test_a_retry_that_says_what_it_had_seen_is_never_a_second_comment(tmp_path: Path) -> None:
    """The real window, one record past it and just inside: by the log's positions, by no clock."""
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-3", 3, 1) as log,
        EmbeddedStore(file) as store,
    ):
        follower = Follower(log, [0], TailBounds(10, 10**6, 1e6))
        posting = Posting(follower, History(follower, store), timeout_s=WAIT_S, in_flight_max=10)
        running = asyncio.create_task(follower.run())
        await follower.ready_partition(0, WAIT_S)
        identity = Identity(ANA, frozenset())

        async def fill(count: int) -> None:
            for begin in range(0, count, AT_ONCE):  # all at once, the last would wait longer than a disk may take
                size = min(AT_ONCE, count - begin)
                await asyncio.gather(*(log.append(0, comment("v", "others'")) for _ in range(size)))
            await follower.followed[0].reach(position_at(3, (await log.bounds([0]))[0].end - 1), WAIT_S)

        mine = NewComment("mine", key="k", after=comment_id(BEFORE_EVERYTHING, 0))
        with pytest.raises(RetryTooOldRejected):  # of an epoch before: windows do not reach over its end
            await posting.post("v", identity, mine)
        seen = comment_id(position_at(3, 0) - 1, 0)
        first = await posting.post("v", identity, NewComment("mine", key="k"))
        await fill(DEDUPE_WINDOW_RECORDS - 1)
        assert await posting.post("v", identity, mine._replace(after=seen)) == first
        await fill(1)
        end = (await log.bounds([0]))[0].end
        with pytest.raises(RetryTooOldRejected):
            await posting.post("v", identity, mine._replace(after=seen))
        with pytest.raises(CursorRejected):
            await posting.post("v", identity, mine._replace(after=comment_id(position_at(3, 0), 1)))
        assert (await log.bounds([0]))[0].end == end
        recent = comment_id(position_at(3, end - (DEDUPE_WINDOW_RECORDS - 1_024) - 1), 0)
        fresh = await posting.post("v", identity, NewComment("another", key="other", after=recent))
        assert b'"another"' in fresh
        ahead = comment_id(position_at(3, end + 1_000), 0)  # shown by a node that has read further
        assert await posting.post("v", identity, NewComment("another", key="other", after=ahead)) == fresh
        assert await posting.post("v", identity, NewComment("mine", key="k")) != first  # what the bound is about
        running.cancel()


async def test_only_comments_that_may_be_written_or_not_are_counted_as_such(tmp_path: Path) -> None:
    is_silent = False

    async def around(name: str) -> None:
        if is_silent and name == "append":
            raise AppendUnknown("no answer")

    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as embedded,
        EmbeddedStore(file) as store,
    ):
        follower = Follower(WatchedLog(embedded, around), [0], TailBounds(10, 10**6, 1e6))
        posting = Posting(follower, History(follower, store), timeout_s=WAIT_S, in_flight_max=10)
        running = asyncio.create_task(follower.run())
        await follower.ready_partition(0, WAIT_S)
        identity = Identity(ANA, frozenset())
        first = orjson.loads(await posting.post("v", identity, NewComment("first")))
        is_silent, before = True, unknowns()
        with pytest.raises(AppendUnknown):
            await posting.delete("v", first["commentId"], identity)
        assert unknowns() == before
        with pytest.raises(AppendUnknown):
            await posting.post("v", identity, NewComment("second"))
        assert unknowns() == before + 1
        running.cancel()


async def test_the_first_known_copy_is_no_survivor_if_the_log_has_one_before_it(tmp_path: Path) -> None:
    """This gateway read back to between the two, and the store it has was filled by somebody who knew no better."""
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-3", 3, 1) as log,
        EmbeddedStore(file) as store,
    ):
        since, at = 10, 10 + 1_100
        news = [comment("v", "mine", key="k")] + [comment("v", "others'")] * (at - 1)
        news += [comment("v", "mine", key="k")] + [comment("v", "others'")] * (since + READ_BACK - at - 1)
        await asyncio.gather(*(log.append(0, new) for new in news))
        row = Row("v", position_at(3, at), COMMENT_CREATED, "ana", news[at].value, 1)
        await store.write([row])
        await store.advance_watermark(3, 0, row.position + 100)
        follower = Follower(log, [0], TailBounds(1, 10**6, 1e6), window_records=WINDOW)
        posting = Posting(follower, History(follower, store, window_records=WINDOW), timeout_s=WAIT_S, in_flight_max=10)
        running = asyncio.create_task(follower.run())
        await follower.ready_partition(0, WAIT_S)
        with pytest.raises(AppendUnknown, match="too old to be found"):
            await posting.post("v", Identity(ANA, frozenset()), NewComment("mine", key="k"))
        assert (await log.bounds([0]))[0].end == len(news)
        running.cancel()


async def test_a_log_that_goes_back_while_a_verdict_is_awaited_is_no_log_to_answer_by(tmp_path: Path) -> None:
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedStore(file) as store,
    ):
        appended = asyncio.Event()

        async def around(name: str) -> None:
            if name == "append:done":
                appended.set()

        gate = GatedLog(log, around)
        follower = Follower(gate, [0], TailBounds(10, 10**6, 1e6))
        posting = Posting(follower, History(follower, store), timeout_s=WAIT_S, in_flight_max=10)
        running = asyncio.create_task(follower.run())
        await follower.ready_partition(0, WAIT_S)
        answering = asyncio.create_task(posting.post("v", Identity(ANA, frozenset()), NewComment("first")))
        await appended.wait()
        await asyncio.sleep(0)
        follower.continuity.note("another partition ended before what was read of it")
        gate.release(1)
        with pytest.raises(LogWentBackUnavailable):
            await answering
        running.cancel()
