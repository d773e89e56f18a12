"""The stream job of one process: a persister for each partition it is given records of. Every runner drives this.

A persister is opened when the first record of its partition comes, so that partitions start one by one, each when its
own window is read. It outlives a rebalance: if another worker went on in between, the next record lies further on, and
the records between are read from the log and stored again, which changes nothing.

What a group has committed decides nothing here: stored is what the watermark says. Whatever lies behind it and is not
delivered within a bound, because it was committed and yet not stored, or the store is a new one, is read from the log.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import Final

from livecomments.following.read_back import Judge
from livecomments.history.log_end import refuse_other_log, refuse_other_record, stored_end
from livecomments.log.continuity import Continuity
from livecomments.log.interface import CommentLog, OffsetUnavailable
from livecomments.runtime.metrics import HOLDS, Counter, Histogram, Reading
from livecomments.runtime.retrying import retrying, told, warn
from livecomments.store.interface import CommentStore, StoreUnavailable
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import Record
from livecomments_schemas.judge import judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.persister import WATERMARK_INTERVAL_S, Persister, Stored
from livecomments_streams.progress import Progress

_OBSERVE_INTERVAL_S: Final = 1.0
_READ_RECORDS: Final = 1_000
_TAKE_BUCKETS: Final = (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000)

_log = logging.getLogger("livecomments.stream")
_given = Reading("livecomments_stream_partitions", "Partitions this process was given.", fresh_s=HOLDS)
_lag_records = Reading("livecomments_stream_lag_records", "Records of these partitions not stored; absent if unknown.")
_lag_seconds = Reading(
    "livecomments_stream_lag_seconds", "How long the oldest of them is in the log; absent if unknown."
)
_unobserved = Reading("livecomments_stream_unobserved_partitions", "Partitions given whose lag is not known just now.")
_joining = Reading("livecomments_stream_joining_seconds", "Since the group let this process wait; 0 once it gave.")
_watermark_age = Reading(
    "livecomments_stream_watermark_age_seconds", "How long the oldest watermark has been behind what is stored."
)
_take_records = Histogram("livecomments_stream_take_records", "Records of one delivery.", buckets=_TAKE_BUCKETS)
_undelivered = Counter("livecomments_stream_undelivered_total", "Records read from the log that the group withheld.")


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
        clock: Callable[[], float] = time.monotonic,
        stored: Stored | None = None,
    ) -> None:
        self.progress = Progress(clock())
        self.delivered: dict[int, int] = {}
        """By partition given to this process: the offset behind the last record that came by `take` and is stored."""
        self._log = log
        self._store = store
        self._dead_letters = dead_letters
        self._delay_s = delay_s
        self._judge = judge
        self._clock = clock
        self._when_stored = stored
        self._continuity = Continuity(log)
        self._persisters: dict[int, Persister] = {}
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._marked_at: dict[int, float] = {}
        """When each persister's watermark last said all that was stored."""
        self._last: dict[int, Record] = {}
        """By partition: the last record that came by `take` and is stored."""
        self._stored: dict[int, int] = {}
        """By partition given to this process that has no persister yet: the first offset that is not in the store."""

    async def persister(self, partition: int) -> Persister:
        """Return the partition's persister, opened if need be. Tries until log and store answer; raises LogWentBack."""
        if partition not in self._persisters:
            self._persisters[partition] = await retrying(
                lambda: Persister.open(
                    self._log, self._store, self._dead_letters, partition, judge=self._judge, stored=self._when_stored
                ),
                told(_log, "partition not ready, trying again", partition=partition),
            )
        return self._persisters[partition]

    def give(self, partitions: Iterable[int]) -> None:
        """Make these partitions, and no others, this process's from now on.

        What somebody added to the topic is nobody's: where comments are follows from the epoch's own count.
        """
        self.progress.give((one for one in partitions if one < self._log.partition_count), self._clock())
        self._stored.clear()
        self.delivered.clear()
        self._last.clear()
        for partition in self._persisters.keys() - self.progress.partitions:
            del self._persisters[partition]
        _given.set(len(self.progress.partitions))
        self._tell_lag()

    def revoke(self) -> None:
        """Note that all partitions are about to be dealt anew."""
        self.progress.revoke(self._clock())
        _given.set(0)
        self._tell_lag()

    async def take(self, records: Sequence[Record], led_anew: AbstractSet[int] = frozenset()) -> None:
        """Persist records of any partitions that the log knows; returns when all are stored. Tries for ever.

        Args:
            records: ascending in each partition.
            led_anew: partitions of which these are the first records under another leader, which may not have had all
                that is stored.

        Raises:
            LogWentBack: do not go on with this topic.
        """
        records = [record for record in records if record.partition < self._log.partition_count]
        if not records:
            return
        _take_records.observe(len(records))
        by_partition: defaultdict[int, list[Record]] = defaultdict(list)
        for record in records:
            by_partition[record.partition].append(record)
        self.progress.begin_take(self._clock())
        try:
            if self._delay_s:
                age_s = time.time() - max(record.appended_at_ms for record in records) / 1000
                await asyncio.sleep(min(self._delay_s, max(0.0, self._delay_s - age_s)))  # clocks may differ by days
            await asyncio.gather(
                *(self._persist(number, batch, number in led_anew) for number, batch in by_partition.items())
            )
        finally:
            self.progress.end_take(by_partition.keys(), self._clock())

    async def run(self) -> None:
        """Write watermarks, watch the lag and read what is not delivered, until cancelled. Raises LogWentBack."""
        async with asyncio.TaskGroup() as running:
            running.create_task(self._run_watermarks())
            running.create_task(self._run_observing())
            running.create_task(self._run_catching_up())

    async def advance_watermarks(self) -> None:
        """Write the watermarks that have moved, once. A failure is left for the next time."""
        await asyncio.gather(*(persister.advance_watermark() for persister in list(self._persisters.values())))
        now, marked = self._clock(), self._marked_at
        self._marked_at = {
            number: now if persister.is_marked else marked.get(number, now)
            for number, persister in self._persisters.items()
        }
        if self._marked_at:
            _watermark_age.set(now - min(self._marked_at.values()))
        else:
            _watermark_age.forget()

    async def observe(self) -> None:
        """Look once where the partitions end, and tell the lag. A failure is left for the next time.

        A partition that does not answer, or whose watermark cannot be read, hides nothing of the others.

        Raises:
            LogWentBack: do not go on with this topic.
        """
        given = self.progress.partitions
        try:
            answering = await self._log.answering(given)
            if len(answering) < len(given):
                _log.warning("lag not known", extra={"partitions": len(given) - len(answering)})
            stored = await self._next_offsets(answering)
            bounds = await self._log.bounds(stored)  # after what is stored, which is therefore not beyond it
            for partition in stored:
                if stored[partition] > bounds[partition].end:
                    await stored_end(self._log, self._store, partition)
            ends = {partition: held.end for partition, held in bounds.items()}
            self.progress.observe(ends, stored, self._clock())
            await self._continuity.begin()
            if await self._continuity.is_broken() or self._continuity.resets:
                await refuse_other_log(self._log, self._store)
        except Unavailable as error:
            warn(_log, "lag not known", error)
        self._tell_lag()

    async def _persist(self, partition: int, records: Sequence[Record], is_led_anew: bool) -> None:
        async with self._turns[partition]:
            if is_led_anew and (last := self._last.get(partition)) is not None:
                tells = told(_log, "log not ready, trying again", partition=partition)
                await retrying(lambda: refuse_other_record(self._log, last), tells)
            persister = await self.persister(partition)
            for run in _runs(records):
                if run[0].offset - persister.next_offset > DEDUPE_WINDOW_RECORDS:
                    self._persisters.pop(partition, None)  # another went far on: begin where the store is complete
                    persister = await self.persister(partition)
                await persister.persist(run)
            self.delivered[partition] = records[-1].offset + 1
            self._last[partition] = records[-1]

    async def _run_watermarks(self) -> None:
        while True:
            await asyncio.sleep(WATERMARK_INTERVAL_S)
            await self.advance_watermarks()

    async def _run_observing(self) -> None:
        while True:
            await self.observe()
            await asyncio.sleep(_OBSERVE_INTERVAL_S)

    def _tell_lag(self) -> None:
        """Show the lag as far as it is known, and nothing where it is not: 0 would say that all is stored."""
        now = self._clock()
        unobserved = self.progress.unobserved(now)
        _unobserved.set(len(unobserved))
        _joining.set(self.progress.joining_s(now))
        if len(unobserved) < len(self.progress.partitions):
            _lag_records.set(self.progress.lag_records)
            _lag_seconds.set(self.progress.lag_s(now))
        else:
            _lag_records.forget()
            _lag_seconds.forget()

    async def _next_offsets(self, partitions: AbstractSet[int]) -> dict[int, int]:
        """Return the first offset not stored yet of each of these partitions; leave out those not known."""
        held = {number: one.next_offset for number, one in self._persisters.items() if number in partitions}
        for partition in partitions - held.keys() - self._stored.keys():
            try:
                self._stored[partition] = (await stored_end(self._log, self._store, partition)).next_offset
            except Unavailable as error:
                warn(_log, "lag not known", error, partition=partition)
                if isinstance(error, StoreUnavailable):
                    break  # of all of them
        return {number: at for number, at in self._stored.items() if number in partitions} | held

    async def _run_catching_up(self) -> None:
        while True:
            await asyncio.sleep(_OBSERVE_INTERVAL_S)
            await asyncio.gather(*(self._catch_up(one) for one in self.progress.undelivered(self._clock())))

    async def _catch_up(self, partition: int) -> None:
        """Store what the group does not deliver, chunk by chunk, until it does or nothing is left."""
        _log.warning("not delivered, reading the log", extra={"partition": partition})
        while partition in self.progress.undelivered(self._clock()):
            async with self._turns[partition]:
                persister = await self.persister(partition)
                try:
                    end = (await self._log.bounds([partition]))[partition].end
                    records, following = await self._log.read(partition, persister.next_offset, end, _READ_RECORDS)
                except OffsetUnavailable:
                    self._persisters.pop(partition, None)  # retention was faster; opened anew, it says so
                    continue
                except Unavailable as error:
                    warn(_log, "log not ready", error, partition=partition)
                    return
                if records:
                    await persister.persist(records)
                    _undelivered.inc(len(records))
                    self.progress.note_withheld(partition, records[-1].offset, self._clock())
                persister.next_offset = max(persister.next_offset, following)  # beyond markers that are no records
                self.progress.observe({partition: end}, {partition: persister.next_offset}, self._clock())


def _runs(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Cut where an offset does not follow the one before: what lies between may have been lost on the way here."""
    cuts = [at for at, (one, other) in enumerate(pairwise(records), 1) if other.offset != one.offset + 1]
    for start, end in pairwise([0, *cuts, len(records)]):
        yield records[start:end]
