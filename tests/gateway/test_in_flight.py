"""Too many appends under way: what comes on top is refused at once, and said not to be written."""

import asyncio
from pathlib import Path
from typing import Final

import orjson
import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.log.interface import AppendUnavailable
from livecomments.sqlite import DurableFile
from livecomments_gateway.identity import Identity
from livecomments_gateway.posting import CommentDeletedRejected, NewComment
from livecomments_schemas.events import Author, NewRecord
from tests.gateway.test_videos import gateway

TIMEOUT_S: Final = 20.0
AT_ONCE: Final = 5


class SlowLog(EmbeddedLog):
    """Takes records, and appends them when it is let go."""

    def __init__(self, file: DurableFile) -> None:
        super().__init__(file, "comments-1", 1, 1)
        self.taken = asyncio.Semaphore(0)
        self.goes_on = asyncio.Event()

    async def __aenter__(self) -> "SlowLog":
        await super().__aenter__()
        return self

    async def append(self, partition: int, record: NewRecord) -> int:
        self.taken.release()
        await self.goes_on.wait()
        return await super().append(partition, record)


async def test_what_is_too_much_at_once_is_refused_at_once_and_the_rest_is_written(tmp_path: Path) -> None:
    identity = Identity(Author("ana", "Ana"), frozenset())
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        SlowLog(file) as log,
        EmbeddedStore(file) as store,
        gateway(log, store, in_flight_max=AT_ONCE) as posting,
        asyncio.timeout(TIMEOUT_S),
    ):
        posts = [asyncio.create_task(posting.post("v", identity, NewComment(f"m{n}"))) for n in range(AT_ONCE)]
        for _ in posts:
            await log.taken.acquire()
        with pytest.raises(AppendUnavailable) as refused:
            await posting.post("v", identity, NewComment("too much"))
        assert refused.value.code == "overloaded"
        log.goes_on.set()
        assert len(set(await asyncio.gather(*posts))) == AT_ONCE
        await posting.post("v", identity, NewComment("later"))
        (bounds,) = (await log.bounds([0])).values()
        assert bounds.end == AT_ONCE + 1


async def test_deletes_of_one_comment_at_once_write_one_record_and_a_later_one_none(tmp_path: Path) -> None:
    identity = Identity(Author("ana", "Ana"), frozenset())
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        SlowLog(file) as log,
        EmbeddedStore(file) as store,
        gateway(log, store) as posting,
        asyncio.timeout(TIMEOUT_S),
    ):
        log.goes_on.set()
        posts = [await posting.post("v", identity, NewComment(text)) for text in ("one", "two")]
        one, two = (orjson.loads(post)["commentId"] for post in posts)
        log.goes_on.clear()
        deletes = [asyncio.create_task(posting.delete("v", one, identity)) for _ in range(24)]
        deletes.append(asyncio.create_task(posting.delete("v", two, identity)))
        for _ in range(len(posts) + 2):
            await log.taken.acquire()
        deletes[0].cancel()  # who leaves takes the delete from nobody
        log.goes_on.set()
        await asyncio.wait(deletes)
        assert [delete.cancelled() for delete in deletes] == [True] + [False] * 24
        assert (await log.bounds([0]))[0].end == len(posts) + 2
        await posting.delete("v", one, identity)  # read already
        assert (await log.bounds([0]))[0].end == len(posts) + 2
        with pytest.raises(CommentDeletedRejected):
            await posting.find("v", one)
