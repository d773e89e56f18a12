"""A log and its readers in memory, which lag, are silent, away, forget their beginning, lose their end, and grow."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from livecomments.log.interface import Bounds, LogUnavailable, OffsetUnavailable, Slice
from livecomments_schemas.events import COMMENT_CREATED, EPOCH_FENCE, NewRecord, Record, epoch_event
from livecomments_schemas.positions import epoch_of, first_position, offset_of, position_at
from tests.consumers.sim.loop import clock, pass_time
from tests.consumers.sim.truth import (
    EPOCH,
    NEXT_EPOCH,
    PARTITION,
    WINDOW_RECORDS,
    Accepted,
    Life,
    Part,
    home_of,
)

_POLL_WAIT_S: Final = 0.5
_POLL_RECORDS: Final = 7


class SimLog:
    """One topic of one partition, and the one that it grows into. Each edge has a view of its own, with its faults."""

    def __init__(self, rng: random.Random, seen: Counter[str]) -> None:
        self.lives = [Life()]
        self.generation = 0
        self.fence: int | None = None
        """The offset at which the first epoch has ended."""
        self.epoch = EPOCH
        """The one that is written to, or will be no more once the next is open."""
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
        if epoch_of(position) != EPOCH:  # of the next one, nothing is ever forgotten
            return None
        offset = offset_of(position)
        record = self.life.records[offset] if offset < self.end else None
        if record is None or record.value is None:
            return None
        entry = Accepted(position, COMMENT_CREATED, record.value, 0, self.life.times[offset])
        is_unsure = any(0 < start <= offset < start + WINDOW_RECORDS for start in self._starts)
        return entry if is_unsure and entry.data == data else None

    def append(self, new: NewRecord | None) -> int:
        """Append a record, or a hole; returns its position."""
        part = self._part_for(new)
        offset, now = part.end, clock()
        record = Record(part.number, offset, new.key, new.value, new.headers, int(now * 1000)) if new else None
        self.life.append(record, now, part)
        for view in self.views:
            view.wake_later()
        return position_at(part.epoch, offset)

    def _part_for(self, new: NewRecord | None) -> Part:
        life = self.life
        if self.epoch == EPOCH:
            return life.first
        return life.following[0 if new is None else home_of(new.key.decode(), NEXT_EPOCH).partition]

    def end_epoch(self) -> None:
        """What is appended from now on is void, until the next epoch is open."""
        self.fence = offset_of(self.append(epoch_event(EPOCH_FENCE, EPOCH)))

    def open_next(self) -> None:
        """What is appended from now on stands in the next epoch."""
        self.epoch = NEXT_EPOCH

    @property
    def newest(self) -> int:
        """The position of the newest record; of a log that is empty, the one before all."""
        life = self.life
        end = life.end if self.epoch == EPOCH else max(part.end for part in life.following)
        return first_position(self.epoch) + end - 1

    def holds(self, video_id: str, position: int) -> bool:
        """Whether a record stands, or has stood, at a position of a video; or whether all before it is over."""
        if epoch_of(position) < EPOCH:  # before everything
            return True
        if epoch_of(position) == EPOCH:
            was_ended = self.epoch == NEXT_EPOCH and position == first_position(NEXT_EPOCH) - 1
            return was_ended or offset_of(position) < max(life.end for life in self.lives)
        partition = home_of(video_id, NEXT_EPOCH).partition
        return self.epoch == NEXT_EPOCH and offset_of(position) < self.life.following[partition].end

    def lose_end(self, end: int, *, made_anew: bool = False) -> None:
        """Everything from offset `end` on was never there; if `made_anew`, it is another topic as well."""
        self.lives.append(self.life.cut(end))
        self.generation += made_anew
        self.seen["log made anew"] += made_anew


class LogView:
    """The log as one edge sees it: a `CommentLog`."""

    def __init__(
        self, log: SimLog, partition_count: int = 1, epoch: int = EPOCH, like: "LogView | None" = None
    ) -> None:
        self.epoch = epoch
        self._faults = like or self
        """What is wrong with another view is wrong with this one."""
        self.partition_count = partition_count
        """In the first epoch all but the first are empty."""
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
        return clock() < self._faults.silent_until

    def check(self) -> None:
        """Raises LogUnavailable while the log is away."""
        if clock() < self._faults.away_until:
            self._log.seen["log away"] += 1
            raise LogUnavailable("away")

    async def append(self, partition: int, record: NewRecord) -> int:
        raise NotImplementedError("an edge never appends")

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        await self._work()
        if self.is_silent:
            raise LogUnavailable("no answer")
        return {partition: Bounds(self.start_of(partition), self.part(partition).end) for partition in partitions}

    async def answering(self, partitions: Iterable[int]) -> set[int]:
        try:
            await self._work()
        except LogUnavailable:
            return set()
        return set() if self.is_silent else set(partitions) - self.leaderless

    async def identity(self) -> str:
        await self._work()
        return str(self._log.generation)

    def part(self, partition: int) -> Part:
        """One partition as the log has it now."""
        life = self._log.life
        if self.epoch == NEXT_EPOCH:
            return life.following[partition]
        return life.first if partition == PARTITION else Part(self.epoch, PARTITION)

    def start_of(self, partition: int) -> int:
        """The oldest offset that retention has left."""
        return self._log.start if self.epoch == EPOCH and partition == PARTITION else 0

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        await self._work()
        end = min(end, self.part(partition).end)
        return self.slice(partition, start, end, min(limit, self._log.rng.randint(1, 20)))

    def slice(self, partition: int, start: int, end: int, limit: int) -> Slice:
        """Records from `start` on, holes left out. Raises OffsetUnavailable."""
        part, first = self.part(partition), self.start_of(partition)
        if not first <= start <= part.end:
            self._log.seen["offset unavailable"] += 1
            sentence = f"{start} is not in {first} to {part.end}"
            raise OffsetUnavailable(sentence, partition=partition, offset=start)
        found, following = [], start
        for record in part.records[start:end]:
            following += 1
            if record is not None:
                found.append(record)
                if len(found) == limit:
                    break
        return Slice(found, following)

    def visible_end(self, partition: int) -> int:
        """Where readers believe the partition ends."""
        before, part = clock() - self._faults.lag_s, self.part(partition)
        end = part.end
        while end and part.times[end - 1] > before:
            end -= 1
        return end

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
            asyncio.get_running_loop().call_later(self._faults.lag_s + 1e-6, reader.wake)

    def forget(self, reader: "SimReader") -> None:
        self._readers.discard(reader)

    async def aclose(self) -> None:
        self._log.views.remove(self)

    async def _work(self) -> None:
        await pass_time(self._log.rng.uniform(0.0, 0.01))
        self.check()


class SimReader:
    """Follows partitions. What it says of itself it says of the first one."""

    def __init__(self, view: LogView) -> None:
        self._view = view
        self.next: dict[int, int] = {}
        """Of each partition that it follows, the offset to read next."""
        self.read_to = 0
        """The offset after the last record it gave out, or the one it began at."""
        self.is_refused = False
        """The log ended before the offset to read next."""
        self._woken: asyncio.Future[None] | None = None

    def assign(self, offsets: Mapping[int, int]) -> None:
        self.is_refused = self.is_refused and self.next.get(PARTITION) == offsets.get(PARTITION)
        self.next = dict(offsets)
        self.read_to = offsets.get(PARTITION, 0)
        self.wake()

    async def poll(self) -> list[Record]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _POLL_WAIT_S
        while True:
            self._view.check()
            for number in [] if self._view.is_silent else list(self.next):
                start, end = self.next[number], self._view.visible_end(number)
                self.is_refused = self.is_refused or (number == PARTITION and start > self._view.part(number).end)
                records, following = self._view.slice(number, start, max(start, end), _POLL_RECORDS)
                self.next[number] = following
                if records:
                    self.read_to = records[-1].offset + 1 if number == PARTITION else self.read_to
                    await pass_time(0)
                    return records if self.next.get(number) == following else []
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
