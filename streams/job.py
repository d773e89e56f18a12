"""The stream job of one process: a persister for each partition it is given records of. Every runner drives this.

A persister is opened when the first record of its partition comes, so that partitions start one by one, each when its
own window is read. It outlives a rebalance: if another worker went on in between, the next record lies further on, and
the records between are read from the log and stored again, which changes nothing.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from livecomments.log.interface import CommentLog
from livecomments.log.partition import Judge
from livecomments.store.interface import CommentStore
from schemas.errors import Unavailable
from schemas.events import Record
from schemas.judge import judge
from schemas.limits import DEDUPE_WINDOW_RECORDS
from streams.dead_letters import DeadLetters
from streams.persister import Persister

_RETRY_S: Final = 0.5
_WATERMARK_INTERVAL_S: Final = 1.0

_log = logging.getLogger("livecomments.stream")


class Job:
    """Persists records, wherever they come from. `delay_s` holds every record back that long (drills)."""

    def __init__(
        self,
        log: CommentLog,
        store: CommentStore,
        dead_letters: DeadLetters,
        *,
        delay_s: float = 0.0,
        judge: Judge = judge,
    ) -> None:
        self._log = log
        self._store = store
        self._dead_letters = dead_letters
        self._delay_s = delay_s
        self._judge = judge
        self._persisters: dict[int, Persister] = {}

    async def persister(self, partition: int) -> Persister:
        """The partition's persister, opened if need be. Tries until log and store answer; raises LogWentBack."""
        while partition not in self._persisters:
            try:
                self._persisters[partition] = await Persister.open(
                    self._log, self._store, self._dead_letters, partition, judge=self._judge
                )
            except Unavailable as error:
                _log.warning("partition not ready, trying again", extra={"partition": partition, "code": error.code})
                await asyncio.sleep(_RETRY_S)
        return self._persisters[partition]

    async def check(self) -> None:
        """Refuse a log that ends before what the store has of it. Tries until both answer; raises LogWentBack."""
        for partition in range(self._log.partition_count):
            while True:
                try:
                    await Persister.check(self._log, self._store, partition)
                    break
                except Unavailable as error:
                    _log.warning("log or store not ready, trying again", extra={"code": error.code})
                    await asyncio.sleep(_RETRY_S)

    async def take(self, records: Sequence[Record]) -> None:
        """Persist records of any partitions, ascending within each; returns when all are stored. Tries for ever."""
        if self._delay_s:
            age_s = time.time() - max(record.appended_at_ms for record in records) / 1000
            await asyncio.sleep(max(0.0, self._delay_s - age_s))
        by_partition: defaultdict[int, list[Record]] = defaultdict(list)
        for record in records:
            by_partition[record.partition].append(record)
        await asyncio.gather(*(self._persist(number, batch) for number, batch in by_partition.items()))

    async def run_watermarks(self) -> None:
        """Write the watermarks that have moved, once a second, until cancelled."""
        while True:
            await asyncio.sleep(_WATERMARK_INTERVAL_S)
            await asyncio.gather(*(persister.advance_watermark() for persister in list(self._persisters.values())))

    async def _persist(self, partition: int, records: Sequence[Record]) -> None:
        persister = await self.persister(partition)
        if records[0].offset - persister.next_offset > DEDUPE_WINDOW_RECORDS:
            del self._persisters[partition]  # another worker went far on: begin where the store is complete
            persister = await self.persister(partition)
        await persister.persist(records)
