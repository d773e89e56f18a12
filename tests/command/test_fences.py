"""What ends an epoch: a fence in each partition, in no more time than one takes."""

import asyncio
from pathlib import Path
from typing import Final

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.sqlite import DurableFile
from livecomments_command.fences import all_fences, has_fence, write_fences
from livecomments_schemas.epochs import Contract, Epoch
from tests.log.contract import WAIT_S
from tests.log.faults import WatchedLog

PARTITIONS: Final = 256
ENDING: Final = Epoch(Contract(1, PARTITIONS, "", 1), 0, ends=(0,) * PARTITIONS)


async def test_the_fences_of_all_partitions_are_under_way_before_the_first_is_there(tmp_path: Path) -> None:
    """Writes wait for the last one, and a broker takes those of all its partitions in one request."""
    under_way = asyncio.Barrier(PARTITIONS)

    async def around(name: str) -> None:
        if name == "append":
            await under_way.wait()

    done: list[int] = []
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, "comments-1", 1, PARTITIONS) as inner:
        log = WatchedLog(inner, around)
        assert not await has_fence(log, ENDING)
        async with asyncio.timeout(WAIT_S):
            await write_fences(log, ENDING, done.append)
        assert await all_fences(log, ENDING) == dict.fromkeys(range(PARTITIONS), 0)
        assert await has_fence(log, ENDING)
        assert sum(done) == PARTITIONS
