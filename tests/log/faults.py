"""Logs that misbehave on purpose: each wraps a right one and says what it does to it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from livecomments.log.interface import Bounds, CommentLog, LogReader, LogUnavailable, OffsetUnavailable, Slice
from livecomments_schemas.events import NewRecord, Record

Around = Callable[[str], Awaitable[None]]
"""Called with a method's name before it is passed on, with `name:done` after; raises what the method is to raise."""


async def nothing(_: str) -> None:
    """All is well."""


class WatchedLog:
    """A log that awaits `around` at every call: other things happen meanwhile, or the call fails."""

    def __init__(self, inner: CommentLog, around: Around = nothing) -> None:
        self.inner = inner
        self.around = around
        self.generation = ""
        """Changed, it says that the log was made anew."""
        self.leaderless: set[int] = set()
        """Partitions whose broker is away: they have no bounds, are not read, and do not answer."""

    @property
    def epoch(self) -> int:
        return self.inner.epoch

    @property
    def partition_count(self) -> int:
        return self.inner.partition_count

    async def append(self, partition: int, record: NewRecord) -> int:
        await self.around("append")
        offset = await self.inner.append(partition, record)
        await self.around("append:done")
        return offset

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        await self.around("bounds")
        partitions = list(partitions)
        self._check_led(partitions)
        bounds = await self.inner.bounds(partitions)
        await self.around("bounds:done")
        return bounds

    async def answering(self, partitions: Iterable[int]) -> set[int]:
        try:
            await self.around("answering")
        except LogUnavailable:
            return set()
        return await self.inner.answering(partitions) - self.leaderless

    async def identity(self) -> str:
        await self.around("identity")
        return await self.inner.identity() + self.generation

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        await self.around("read")
        self._check_led([partition])
        found = await self.inner.read(partition, start, end, limit)
        await self.around("read:done")
        return found

    def follow(self) -> LogReader:
        return self.inner.follow()

    async def aclose(self) -> None:
        await self.inner.aclose()

    def _check_led(self, partitions: Iterable[int]) -> None:
        if not self.leaderless.isdisjoint(partitions):
            raise LogUnavailable("no leader")


class BrokenLog(WatchedLog):
    """A log whose readers fail as they are told."""

    def __init__(self, inner: CommentLog) -> None:
        super().__init__(inner)
        self.error: Exception | None = None
        self.failures = 0

    def follow(self) -> "BrokenReader":
        return BrokenReader(self, self.inner.follow())


class BrokenReader:
    """Fails its polls with the error of its log; an OffsetUnavailable until it is assigned anew."""

    def __init__(self, log: BrokenLog, inner: LogReader) -> None:
        self._log = log
        self._inner = inner
        self.assign = inner.assign
        self.aclose = inner.aclose

    async def poll(self) -> list[Record]:
        if self._log.error is not None:
            error = self._log.error
            self._log.failures += 1
            if isinstance(error, OffsetUnavailable):
                self._log.error = None
            await asyncio.sleep(0)
            raise error
        return await self._inner.poll()


class ClockedLog(WatchedLog):
    """A log whose clock is not ours: records say they were appended when `clock_ms` says, of their offset."""

    def __init__(self, inner: CommentLog, clock_ms: Callable[[int], int], around: Around = nothing) -> None:
        super().__init__(inner, around)
        self.clock_ms = clock_ms

    def stamped(self, records: list[Record]) -> list[Record]:
        return [record._replace(appended_at_ms=self.clock_ms(record.offset)) for record in records]

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        found = await super().read(partition, start, end, limit)
        return Slice(self.stamped(found.records), found.next)

    def follow(self) -> "ClockedReader":
        return ClockedReader(self, self.inner.follow())


class ClockedReader:
    """Reads a `ClockedLog`."""

    def __init__(self, log: ClockedLog, inner: LogReader) -> None:
        self._log = log
        self._inner = inner

    def assign(self, offsets: Mapping[int, int]) -> None:
        self._inner.assign(offsets)

    async def poll(self) -> list[Record]:
        return self._log.stamped(await self._inner.poll())

    async def aclose(self) -> None:
        await self._inner.aclose()


class GatedLog(WatchedLog):
    """A log of one partition whose reader gives records only as far as `release` has said: a follower that lags."""

    def __init__(self, inner: CommentLog, around: Around = nothing) -> None:
        super().__init__(inner, around)
        self.readers: list[GatedReader] = []
        self.released = 0

    def release(self, offset: int) -> None:
        """Let the reader give the records before `offset`; also lets its poll return, with nothing if need be."""
        self.released = max(self.released, offset)
        for reader in self.readers:
            reader.woken.set()

    def follow(self) -> "GatedReader":
        self.readers.append(GatedReader(self))
        if self.released:
            self.readers[-1].woken.set()
        return self.readers[-1]


class GatedReader:
    """Reads partition 0 of a `GatedLog`."""

    def __init__(self, log: GatedLog) -> None:
        self.log = log
        self.next: dict[int, int] = {}
        self.woken = asyncio.Event()

    def assign(self, offsets: Mapping[int, int]) -> None:
        self.next = dict(offsets)

    async def poll(self) -> list[Record]:
        await self.woken.wait()
        for start in self.next.values():
            records, following = await self.log.inner.read(0, start, self.log.released, 1_000)
            if records and self.next.get(0) == start:
                self.next[0] = following
                return records
        self.woken.clear()
        return []

    async def aclose(self) -> None:
        self.woken.set()
