"""A log and its readers in memory, which lag, fall silent, go away, forget their beginning and lose their end."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from livecomments.log.interface import Bounds, LogUnavailable, OffsetUnavailable, Slice
from livecomments_schemas.events import COMMENT_CREATED, NewRecord, Record
from livecomments_schemas.positions import offset_of, position_at
from tests.consumers.sim.loop import clock, pass_time
from tests.consumers.sim.truth import EPOCH, PARTITION, WINDOW_RECORDS, Accepted, Life

_POLL_WAIT_S: Final = 0.5
_POLL_RECORDS: Final = 7


class SimLog:
    """One topic of one partition. Each edge has a view of its own, with its own faults."""

    def __init__(self, rng: random.Random, seen: Counter[str]) -> None:
        self.lives = [Life()]
        self.generation = 0
        self._starts = [0]
        self.seen = seen
        self.rng = rng
        self.views: list[LogView] = []

    @property
    def life(self) -> Life:
        return self.lives[-1]

    @property
    def end(self) -> int:
        return self.life.end

    def position(self, offset: int) -> int:
        return position_at(EPOCH, offset)

    @property
    def start(self) -> int:
        """The oldest offset that retention has left."""
        return self._starts[-1]

    def forget(self, start: int) -> None:
        """Retention takes everything before `start`."""
        if start > self.start:
            self._starts.append(start)

    def unsure_comment(self, position: int, data: bytes) -> Accepted | None:
        """The comment at `position` that says this, if who judges it may not know all that made it void or a duplicate.

        Retention had taken a part of its window from whoever began to read then.
        """
        offset = offset_of(position)
        record = self.life.records[offset] if offset < self.end else None
        if record is None or record.value is None:
            return None
        entry = Accepted(position, COMMENT_CREATED, record.value, 0, self.life.times[offset])
        is_unsure = any(0 < start <= offset < start + WINDOW_RECORDS for start in self._starts)
        return entry if is_unsure and entry.data == data else None

    def append(self, new: NewRecord | None) -> int:
        """Append a record, or a hole."""
        offset, now = self.end, clock()
        record = Record(PARTITION, offset, new.key, new.value, new.headers, int(now * 1000)) if new else None
        self.life.append(record, now)
        for view in self.views:
            view.wake_later()
        return offset

    def lose_end(self, end: int, *, made_anew: bool = False) -> None:
        """Everything from offset `end` on was never there; if `made_anew`, it is another topic as well."""
        self.lives.append(self.life.cut(end))
        self.generation += made_anew
        self.seen["log made anew"] += made_anew


class LogView:
    """The log as one edge sees it: a `CommentLog`."""

    epoch = EPOCH

    def __init__(self, log: SimLog, partition_count: int = 1) -> None:
        self.partition_count = partition_count
        """All but the first are empty."""
        self.leaderless: set[int] = set()
        """Partitions that alone do not answer."""
        self.lag_s = 0.0
        self.away_until = 0.0
        """Every call fails."""
        self.silent_until = 0.0
        """Readers get nothing, and nobody says why."""
        self._log = log
        self._readers: set[SimReader] = set()
        log.views.append(self)

    @property
    def is_silent(self) -> bool:
        return clock() < self.silent_until

    def check(self) -> None:
        """Raises LogUnavailable while the log is away."""
        if clock() < self.away_until:
            self._log.seen["log away"] += 1
            raise LogUnavailable("away")

    async def append(self, partition: int, record: NewRecord) -> int:
        raise NotImplementedError("an edge never appends")

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        await self._work()
        if self.is_silent:
            raise LogUnavailable("no answer")
        held = Bounds(self._log.start, self._log.end)
        return {partition: held if partition == PARTITION else Bounds(0, 0) for partition in partitions}

    async def answering(self, partitions: Iterable[int]) -> set[int]:
        try:
            await self._work()
        except LogUnavailable:
            return set()
        return set() if self.is_silent else set(partitions) - self.leaderless

    async def identity(self) -> str:
        await self._work()
        return str(self._log.generation)

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        await self._work()
        return self.slice(start, min(end, self._log.end), min(limit, self._log.rng.randint(1, 20)))

    def slice(self, start: int, end: int, limit: int) -> Slice:
        """Records from `start` on, holes left out. Raises OffsetUnavailable."""
        if not self._log.start <= start <= self._log.end:
            self._log.seen["offset unavailable"] += 1
            sentence = f"{start} is not in {self._log.start} to {self._log.end}"
            raise OffsetUnavailable(sentence, partition=PARTITION, offset=start)
        found, following = [], start
        for record in self._log.life.records[start:end]:
            following += 1
            if record is not None:
                found.append(record)
                if len(found) == limit:
                    break
        return Slice(found, following)

    @property
    def visible_end(self) -> int:
        """Where readers believe the log ends."""
        before = clock() - self.lag_s
        end = self._log.end
        while end and self._log.life.times[end - 1] > before:
            end -= 1
        return end

    @property
    def log_end(self) -> int:
        """Where the log ends."""
        return self._log.end

    @property
    def read_to(self) -> int:
        """How far whoever follows has been given records: those before it may be on their way still.

        Holes after the last record do not count. The follower asks whether the log still reaches the record that it
        had last, and where it does, nobody can tell that it lost a hole.
        """
        return max((reader.read_to for reader in self._readers), default=0)

    @property
    def is_refused(self) -> bool:
        """Whoever follows was told that the log does not reach what is next, and has not begun anew."""
        return any(reader.is_refused for reader in self._readers)

    def follow(self) -> "SimReader":
        reader = SimReader(self)
        self._readers.add(reader)
        return reader

    def wake_later(self) -> None:
        """Readers look again as soon as they may see what there is now."""
        for reader in self._readers:
            asyncio.get_running_loop().call_later(self.lag_s + 1e-6, reader.wake)

    def forget(self, reader: "SimReader") -> None:
        self._readers.discard(reader)

    async def aclose(self) -> None:
        self._log.views.remove(self)

    async def _work(self) -> None:
        await pass_time(self._log.rng.uniform(0.0, 0.01))
        self.check()


class SimReader:
    """Follows the one partition."""

    def __init__(self, view: LogView) -> None:
        self._view = view
        self.next: int | None = None
        """The offset to read next; None: it follows nothing."""
        self.read_to = 0
        """The offset after the last record it gave out, or the one it began at."""
        self.is_refused = False
        """The log ended before the offset to read next."""
        self._woken: asyncio.Future[None] | None = None

    def assign(self, offsets: Mapping[int, int]) -> None:
        self.is_refused = self.is_refused and self.next == offsets.get(PARTITION)
        self.next = offsets.get(PARTITION)
        self.read_to = self.next or 0
        self.wake()

    async def poll(self) -> list[Record]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _POLL_WAIT_S
        while True:
            self._view.check()
            if self.next is not None and not self._view.is_silent:
                start, end = self.next, self._view.visible_end
                self.is_refused = self.is_refused or start > self._view.log_end
                records, following = self._view.slice(start, max(start, end), _POLL_RECORDS)
                self.next = following
                if records:
                    self.read_to = records[-1].offset + 1
                    await pass_time(0)
                    return records if self.next == following else []
            if loop.time() >= deadline:
                return []
            self._woken = loop.create_future()
            timer = loop.call_at(deadline, self.wake)
            await self._woken
            timer.cancel()

    def wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def aclose(self) -> None:
        self._view.forget(self)
