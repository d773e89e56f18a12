"""A log that a command reads, and that is one and the same from its beginning to its end.

A topic that is deleted and made anew goes unnoticed by whoever reads it by offsets: what comes then has the places of
what was there, and a tool would write both as one. Only the log's identity tells.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from livecomments.log.interface import Bounds, CommentLog, LogReader, Slice
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import NewRecord

_LOOK_INTERVAL_S: Final = 1.0
"""Between two looks at the identity, a small request: what was read in between is known to be of one log only then."""


class OneLog:
    """A log as it was when `begin` was called: refuses to be read once it is another. `clock`: seconds, monotonic."""

    def __init__(self, log: CommentLog, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._name = name
        self._clock = clock
        self._identity = ""
        self._looked_at = clock()

    @property
    def epoch(self) -> int:
        return self._log.epoch

    @property
    def partition_count(self) -> int:
        return self._log.partition_count

    async def begin(self) -> None:
        """Remember which log it is, before any of it is read. Raises LogUnavailable."""
        self._identity = await self._log.identity()

    async def check(self) -> None:
        """Look whether it still is the log that was begun with; if so, all that was read is of it.

        Raises:
            StartRefused: it is another. LogUnavailable.
        """
        if await self._log.identity() != self._identity:
            raise StartRefused(
                f"{self._name} was made anew while it was read. What was written of it may be of two logs: do it again."
            )
        self._looked_at = self._clock()

    async def append(self, partition: int, record: NewRecord) -> int:
        return await self._log.append(partition, record)

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        bounds = await self._log.bounds(partitions)
        await self._check_at_times()
        return bounds

    async def answering(self, partitions: Iterable[int]) -> set[int]:
        return await self._log.answering(partitions)

    async def identity(self) -> str:
        return await self._log.identity()

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        found = await self._log.read(partition, start, end, limit)
        await self._check_at_times()
        return found

    def follow(self) -> LogReader:
        """Make a reader, of which whoever has it makes sure by `check`."""
        return self._log.follow()

    async def aclose(self) -> None:
        await self._log.aclose()

    async def _check_at_times(self) -> None:
        if self._clock() - self._looked_at >= _LOOK_INTERVAL_S:
            await self.check()
