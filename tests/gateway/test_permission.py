"""Where nothing may be written: what is refused before, what is unknown after, and what is answered all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.following.follower import Follower
from livecomments.following.tail import TailBounds
from livecomments.history.reading import History
from livecomments.log.epochs import ContractUnavailable
from livecomments.log.interface import AppendUnknown
from livecomments.sqlite import DurableFile
from livecomments_gateway.identity import Identity
from livecomments_gateway.posting import NewComment, Posting
from livecomments_schemas.events import Author

WAIT_S: Final = 20.0
ANA: Final = Identity(Author("ana", "Ana"), frozenset())


class Permission:
    """Allows the first so many checks, before a write and after it."""

    def __init__(self) -> None:
        self.before, self.after = 99, 99

    def check(self) -> None:
        self.before -= 1
        if self.before < 0:
            raise ContractUnavailable("It is compacted.")

    def confirm(self) -> None:
        self.after -= 1
        if self.after < 0:
            raise AppendUnknown("It was compacted meanwhile.")


@asynccontextmanager
async def gateway(directory: Path, permission: Permission) -> AsyncIterator[tuple[Posting, EmbeddedLog]]:
    async with (
        DurableFile(directory, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedStore(file) as store,
    ):
        follower = Follower(log, (0,), TailBounds(100, 1 << 20, 1e9))
        following = asyncio.create_task(follower.run())
        await follower.ready_partition(0, WAIT_S)
        posting = Posting(follower, History(follower, store), timeout_s=WAIT_S, in_flight_max=10, permission=permission)
        yield posting, log
        following.cancel()


async def test_nothing_is_written_where_nothing_may_be_and_a_retry_has_its_answer_all_the_same(tmp_path: Path) -> None:
    permission = Permission()
    async with gateway(tmp_path, permission) as (posting, log):
        first = await posting.post("v", ANA, NewComment("one", key="k"))
        permission.before = 0
        with pytest.raises(ContractUnavailable) as refused:
            await posting.post("v", ANA, NewComment("two"))
        assert refused.value.code == "contract_broken"
        assert (await log.bounds([0]))[0].end == 1
        assert await posting.post("v", ANA, NewComment("one", key="k")) == first
        permission.before = 99
        await posting.post("v", ANA, NewComment("two"))
        assert (await log.bounds([0]))[0].end == 2


async def test_what_was_acknowledged_while_writing_ended_is_unknown_and_a_retry_finds_it(tmp_path: Path) -> None:
    permission = Permission()
    async with gateway(tmp_path, permission) as (posting, log):
        permission.after = 0
        with pytest.raises(AppendUnknown):
            await posting.post("v", ANA, NewComment("one", key="k"))
        assert (await log.bounds([0]))[0].end == 1
        assert b'"one"' in await posting.post("v", ANA, NewComment("one", key="k"))
        assert (await log.bounds([0]))[0].end == 1
