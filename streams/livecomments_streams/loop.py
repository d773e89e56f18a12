"""The plain runner: follows all its partitions and hands what comes to the job, for the embedded form.

The Faust runner does the same in a consumer group.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

from livecomments.following.read_back import Judge
from livecomments.log.interface import CommentLog, LogReader, LogUnavailable, OffsetUnavailable
from livecomments.store.interface import CommentStore
from livecomments_schemas.judge import judge
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.job import Job
from livecomments_streams.persister import WATERMARK_INTERVAL_S

_RETRY_S: Final = 0.5


class PersistLoop:
    """Persists partitions until cancelled. `delay_s` holds every record back that long after its append (drills)."""

    def __init__(
        self,
        log: CommentLog,
        store: CommentStore,
        dead_letters: DeadLetters,
        partitions: Collection[int],
        *,
        delay_s: float = 0.0,
        judge: Judge = judge,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._partitions = partitions
        self._clock = clock
        self._job = Job(log, store, dead_letters, delay_s=delay_s, judge=judge, clock=clock)

    async def run(self) -> None:
        """Persist until cancelled. Raises LogWentBack; survives a log or store that is away."""
        reader = self._log.follow()
        try:
            await self._begin(reader)
            advanced_at = self._clock()
            while True:
                try:
                    records = await reader.poll()
                except LogUnavailable:
                    await asyncio.sleep(_RETRY_S)
                    continue
                except OffsetUnavailable:  # retention was faster; opened anew, a persister says so and goes on
                    await asyncio.sleep(_RETRY_S)
                    await self._begin(reader)
                    continue
                if records:
                    await self._job.take(records)
                if self._clock() - advanced_at >= WATERMARK_INTERVAL_S:
                    await self._job.advance_watermarks()
                    await self._job.observe()
                    advanced_at = self._clock()
        finally:
            await reader.aclose()

    async def _begin(self, reader: LogReader) -> None:
        """Open all persisters, and read on where the store is complete."""
        self._job.give([])
        self._job.give(self._partitions)
        reader.assign({number: (await self._job.persister(number)).next_offset for number in self._partitions})
