"""The plain runner: follows all its partitions and persists what comes, for the embedded form.

The Faust runner does the same in a consumer group; both only drive `Persister`.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Final

from livecomments.log.interface import CommentLog, LogReader, LogUnavailable, OffsetUnavailable
from livecomments.log.partition import Judge
from livecomments.runtime.metrics import Gauge
from livecomments.store.interface import CommentStore
from schemas.errors import Unavailable
from schemas.events import Record
from schemas.judge import judge
from streams.dead_letters import DeadLetters
from streams.persister import WATERMARK_INTERVAL_S, Persister

_RETRY_S: Final = 0.5

_log = logging.getLogger("livecomments.stream")
_lag_records = Gauge("livecomments_stream_lag_records", "Records taken and not yet stored.")


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
        self._store = store
        self._dead_letters = dead_letters
        self._partitions = partitions
        self._delay_s = delay_s
        self._judge = judge
        self._clock = clock

    async def run(self) -> None:
        """Persist until cancelled. Raises LogWentBack; survives a log or store that is away."""
        reader = self._log.follow()
        try:
            persisters = await self._begin(reader)
            advanced_at = self._clock()
            while True:
                try:
                    records = await reader.poll()
                except LogUnavailable:
                    await asyncio.sleep(_RETRY_S)
                    continue
                except OffsetUnavailable:  # retention was faster; opened anew, a persister says so and goes on
                    await asyncio.sleep(_RETRY_S)
                    persisters = await self._begin(reader)
                    continue
                _lag_records.set(len(records))
                if records:
                    await self._hold_back(records)
                    await self._persist(persisters, records)
                    _lag_records.set(0)
                if self._clock() - advanced_at >= WATERMARK_INTERVAL_S:
                    await asyncio.gather(*(persister.advance_watermark() for persister in persisters.values()))
                    advanced_at = self._clock()
        finally:
            await reader.aclose()

    async def _begin(self, reader: LogReader) -> dict[int, Persister]:
        """Open all persisters and read on where the store is complete."""
        persisters = {number: await self._open(number) for number in self._partitions}
        reader.assign({number: persister.next_offset for number, persister in persisters.items()})
        return persisters

    async def _persist(self, persisters: dict[int, Persister], records: list[Record]) -> None:
        by_partition: defaultdict[int, list[Record]] = defaultdict(list)
        for record in records:
            by_partition[record.partition].append(record)
        await asyncio.gather(*(persisters[number].persist(batch) for number, batch in by_partition.items()))

    async def _hold_back(self, records: list[Record]) -> None:
        age_s = time.time() - max(record.appended_at_ms for record in records) / 1000
        if self._delay_s > age_s:
            await asyncio.sleep(self._delay_s - age_s)

    async def _open(self, partition: int) -> Persister:
        while True:
            try:
                return await Persister.open(self._log, self._store, self._dead_letters, partition, judge=self._judge)
            except Unavailable as error:
                _log.warning("partition not ready, trying again", extra={"partition": partition, "code": error.code})
                await asyncio.sleep(_RETRY_S)
