"""The plain runner: follows all its partitions and hands what comes to the job, for the embedded form.

The Faust runner does the same in a consumer group.
"""

import time
from collections.abc import Callable, Collection

from livecomments.following.read_back import Judge
from livecomments.log.interface import CommentLog, LogReader, LogUnavailable, OffsetUnavailable
from livecomments.runtime.retrying import retrying
from livecomments.store.interface import CommentStore
from livecomments_schemas.judge import judge
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.job import Job
from livecomments_streams.persister import WATERMARK_INTERVAL_S, Stored


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
        stored: Stored | None = None,
    ) -> None:
        self._log = log
        self._partitions = partitions
        self._clock = clock
        self._job = Job(log, store, dead_letters, delay_s=delay_s, judge=judge, clock=clock, stored=stored)

    async def run(self) -> None:
        """Persist until cancelled. Raises LogWentBack; survives a log or store that is away."""
        reader = self._log.follow()
        try:
            await retrying(lambda: self._persist(reader), on=OffsetUnavailable)
        finally:
            await reader.aclose()

    async def _persist(self, reader: LogReader) -> None:
        """Persist where the store is complete, and on. Raises OffsetUnavailable: retention was faster.

        Begun again, with persisters opened anew, it says how much is lost and goes on behind that.
        """
        await self._open_all(reader)
        advanced_at = self._clock()
        while True:
            records = await retrying(reader.poll, on=LogUnavailable)
            if records:
                await self._job.take(records)
            if self._clock() - advanced_at >= WATERMARK_INTERVAL_S:
                await self._job.advance_watermarks()
                await self._job.observe()
                advanced_at = self._clock()

    async def _open_all(self, reader: LogReader) -> None:
        """Open all persisters, and read on where the store is complete."""
        self._job.give([])
        self._job.give(self._partitions)
        reader.assign({number: (await self._job.persister(number)).next_offset for number in self._partitions})
