"""The follower: reads partitions of the log without a group, judges every record once, and keeps their tails.

A partition is taken on in three steps: read its bounds, read the window (and a little tail) before its end through
`CommentLog.read`, then hand it to the live reader at exactly the next offset. It serves as soon as its own window is
read. Assigned partitions are followed always; any other from its first use until minutes after its last. With a
`Share` all are taken on in the background, and let go, those used longest ago first, only where it has a bound.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from livecomments.following.partition import BackListener, FollowedPartition, Listener, Moved
from livecomments.following.read_back import Judge, in_turns, read_back, read_on
from livecomments.following.share import NEVER, Load, Share, even_cap
from livecomments.following.silence import Silence
from livecomments.following.tail import Tail, TailBounds
from livecomments.log.continuity import Continuity
from livecomments.log.interface import CommentLog, LogUnavailable, OffsetUnavailable
from livecomments.runtime.metrics import HOLDS, SECONDS_BUCKETS, Counter, Histogram, Reading
from livecomments.runtime.retrying import retrying, told
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import Record
from livecomments_schemas.judge import Kind, Verdict, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import position_at
from livecomments_schemas.window import Window

_TAIL_AT_START_RECORDS: Final = 1_024
"""Read back beyond the window, so that viewers who come back after a restart are served from memory."""
_READ_BACKS_AT_ONCE: Final = 4
_UNASKED_S: Final = 5.0
"""For one partition that is taken on in the background; what takes longer goes on beside the next one."""
_PROBE_INTERVAL_S: Final = 1.0
_RETRY_S: Final = 0.2
"""Less than others let pass: viewers and whoever posts wait for what is not read."""

_log = logging.getLogger("livecomments.log")
_records = Counter("livecomments_log_records_total", "Records followed, accepted or not.", ["verdict"])
_accepted, _other = _records.labels("accepted"), _records.labels("other")
_silence = Reading("livecomments_log_silence_seconds", "Since the partition last answered that is silent longest.")
_tail_bytes = Reading("livecomments_log_tail_bytes", "Records kept in memory, of all partitions followed.")
_tail_bytes_max = Reading(
    "livecomments_log_tail_bytes_max", "What they may be; with auto, partitions are let go before.", fresh_s=HOLDS
)
followed_partitions = Reading("livecomments_log_partitions", "Partitions followed and ready.", fresh_s=HOLDS)

_taken = Counter(
    "livecomments_log_taken_on_total", "Partitions taken on, because somebody asked or by itself.", ["why"]
)
_let_go = Counter("livecomments_log_let_go_total", "Partitions let go that nobody used any more.")
_take_on_seconds = Histogram(
    "livecomments_log_take_on_seconds",
    "From the first request for a partition until it is read.",
    buckets=SECONDS_BUCKETS,
)


class PartitionUnavailable(Unavailable):
    """This process has not read the partition's window yet."""

    code = "overloaded"


class Follower:
    """Follows the assigned partitions, and others while they are used. `run` does the work; the rest only looks.

    Taking a partition on is the one delicate step. The window is read back by range reads beside the live reader, so
    that others notice nothing; only then is the partition put among the followed ones and assigned to the live reader
    at exactly the next offset, in one step without an await, so that no record can come in between or be judged twice.
    Whoever held an answer from before a log went back counts `resets`: a reading that was overtaken by one is thrown
    away and done again.
    """

    def __init__(
        self,
        log: CommentLog,
        assigned: Collection[int],
        bounds: TailBounds,
        *,
        idle_s: float = 300.0,
        tails_bytes_max: int = 2**40,
        share: Share | None = None,
        window_records: int = DEDUPE_WINDOW_RECORDS,
        judge: Judge = judge,
        tail: Callable[[TailBounds, int], Tail] = Tail,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = log
        self.assigned = frozenset(assigned)
        self.listeners: list[Listener] = []
        self.back_listeners: list[BackListener] = []
        self.moved: list[Moved] = []
        self.followed: dict[int, FollowedPartition] = {}
        """The partitions that are ready. Changed by the follower alone."""
        self.continuity = Continuity(log)
        self._bounds = bounds
        self._idle_s = idle_s
        self._tails_bytes_max = tails_bytes_max
        _tail_bytes_max.set(tails_bytes_max)
        followed_partitions.set(0)
        self._share = share
        self._is_gone_through = share is None
        """Every partition was taken on in the background, or there was no room for more."""
        self._window_records = window_records
        self._judge = judge
        self._tail = tail
        self._clock = clock
        self._reader = log.follow()
        self._being_read: dict[int, asyncio.Task[None]] = {}
        self._ready: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._used_at: dict[int, float] = {}
        self._holders: defaultdict[int, int] = defaultdict(int)
        self._readings = asyncio.Semaphore(_READ_BACKS_AT_ONCE)
        self._silence = Silence(clock)
        self._refused: dict[int, int] = {}
        """By partition: the offset that the log did not hold, until it is known where the partition starts."""
        self._is_reading = True
        """The last poll did not fail."""
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def is_ready(self) -> bool:
        """Every assigned partition's window is read, and all that is to be taken on in the background was tried."""
        return self._is_gone_through and self.assigned <= self.followed.keys()

    @property
    def silence_s(self) -> float:
        """Seconds since the log last answered, for whichever partition."""
        return self._silence.of_all_s

    def partition_silence_s(self, number: int) -> float:
        """Return the seconds since the partition last answered: its broker may be away while others are not."""
        return self._silence.of_s(number)

    def find(self, number: int) -> FollowedPartition | None:
        """Return the partition if it is ready, None if not. Whoever gets it has some time before it is let go."""
        self._used_at[number] = self._clock()
        return self.followed.get(number)

    def partition(self, number: int) -> FollowedPartition:
        """Return the partition if it is ready; if not, begin to take it on.

        Raises:
            PartitionUnavailable: not ready yet.
        """
        followed = self.find(number)
        if followed is None:
            self._take_on(number)
            raise PartitionUnavailable("This node is still reading the log of this video. Try again in a second.")
        return followed

    async def ready_partition(self, number: int, timeout_s: float) -> FollowedPartition:
        """Wait until the partition is ready and return it. Raises PartitionUnavailable after `timeout_s`."""
        if number not in self.followed:
            began_at = self._used_at[number] = self._clock()
            self._take_on(number)
            try:
                await asyncio.wait_for(self._ready[number].wait(), timeout_s)
                _take_on_seconds.observe(self._clock() - began_at)
            except TimeoutError:
                pass
        return self.partition(number)

    @contextmanager
    def holding(self, number: int) -> Iterator[None]:
        """Keep the partition from being let go while inside."""
        self.hold(number)
        try:
            yield
        finally:
            self.release(number)

    def hold(self, number: int) -> None:
        """Keep the partition from being let go until it is released as often as it was held."""
        self._holders[number] += 1

    def release(self, number: int) -> None:
        """Undo one `hold`."""
        self._used_at[number] = self._clock()
        self._holders[number] -= 1
        if not self._holders[number]:
            del self._holders[number]

    async def run(self) -> None:
        """Follow until cancelled. Survives everything the log does; what it raises is our bug."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    for number in self.assigned | self._ready.keys():  # somebody may have come before us
                        self._take_on(number)
                    if self._share is not None:
                        tasks.create_task(self._take_on_unasked(self._share))
                    tasks.create_task(self._probe())
                    await self._keep_reading()
                finally:
                    self._tasks = None  # a group that ends takes no more tasks
        finally:
            for followed in self.followed.values():
                followed.let_go()
            await self._reader.aclose()

    async def _keep_reading(self) -> None:
        await retrying(self._read, self._note_refused, on=OffsetUnavailable, first_s=_RETRY_S)

    async def _read(self) -> None:
        """Read on. Raises OffsetUnavailable: a partition does not hold what is next; called again, it is taken anew."""
        await self._take_lost_again()
        while True:
            records = await retrying(self._reader.poll, self._note_away, on=LogUnavailable, first_s=_RETRY_S)
            self._is_reading = True
            if records:
                self._apply(records)
            if self._share is None:
                self._let_go_idle()

    def _note_refused(self, error: Exception) -> bool:
        assert isinstance(error, OffsetUnavailable)
        if error.partition is not None and error.offset is not None:
            self._refused[error.partition] = error.offset
        return False

    def _note_away(self, _error: Exception) -> bool:
        self._is_reading = False
        return False

    def _apply(self, records: list[Record]) -> None:
        now = self._clock()
        by_partition: defaultdict[int, list[Record]] = defaultdict(list)
        for record in records:
            by_partition[record.partition].append(record)
        self._silence.broke(by_partition, self.followed)
        for number, of_partition in by_partition.items():
            followed = self.followed.get(number)
            if followed is None:
                continue  # let go while this batch was under way
            accepted = followed.apply(of_partition, now)
            _accepted.inc(len(accepted))
            _other.inc(len(of_partition) - len(accepted))
            for listener in self.listeners:
                listener(followed, accepted)

    def _take_on(self, number: int) -> None:
        if self._tasks is not None and number not in self._being_read and number not in self.followed:
            self._being_read[number] = self._tasks.create_task(self._read_until_ready(number))

    async def _take_on_unasked(self, share: Share) -> None:
        """Take on whatever there is room for, one after the other, and after what was asked for."""
        for number in range(self.log.partition_count):
            if self._being_read:
                await asyncio.wait(self._being_read.values(), timeout=_UNASKED_S)
            if not share.has_room(self._load(share, other) for other in self.followed):
                break
            self._take_on(number)
            if number in self._being_read:
                await asyncio.wait([self._being_read[number]], timeout=_UNASKED_S)
        self._is_gone_through = True

    async def _read_until_ready(self, number: int) -> None:
        tells = told(_log, "partition not readable, trying again", partition=number)
        followed = await retrying(lambda: self._read_back(number), tells, first_s=_RETRY_S)
        # In one step, without an await since the last look at the log: neither a record nor a reset can come between.
        self.followed[number] = followed
        self._silence.broke([number], self.followed)
        _taken.labels("asked" if number in self._used_at else "unasked").inc()
        self._used_at[number] = self._clock() if number in self._used_at else NEVER
        self._assign()
        del self._being_read[number]
        self._ready[number].set()
        followed_partitions.set(len(self.followed))

    async def _read_back(self, number: int) -> FollowedPartition:
        """Read a partition's window and tail. Raises Unavailable: not readable now, or overtaken by a reset."""
        async with self._readings:
            resets = self.continuity.resets
            await self.continuity.begin()
            start, end = (await self.log.bounds([number]))[number]
            since = max(start, end - self._window_records - _TAIL_AT_START_RECORDS)
            # What retention took counts for those who have read it, so the tail begins a window later.
            tail_from = min(since + self._window_records, end) if since else 0
            window = await read_back(
                self.log, number, tail_from, start=start, judge=self._judge_back, window_records=self._window_records
            )
            tail = self._tail(self._bounds, position_at(self.log.epoch, 0) + tail_from - 1)
            followed = FollowedPartition(self.log.epoch, window, tail, tail_from, self._judge, resets=resets)
            while followed.next_offset < end:
                records, following = await read_on(self.log, number, followed.next_offset, end)
                async for some in in_turns(records):
                    followed.apply(some, self._clock())
                followed.next_offset = following
        if resets != self.continuity.resets:
            raise OffsetUnavailable("The log went back while it was read.")
        return followed

    def _judge_back(self, record: Record, window: Window) -> Verdict:
        verdict = self._judge(record, window)
        if verdict.kind is Kind.ACCEPTED:
            for listener in self.back_listeners:
                listener(record, verdict)
        return verdict

    async def _take_lost_again(self) -> None:
        """Take on anew what does not hold our next offset. Its viewers learn of the gap by the tail's start.

        Nor did it when it was refused, though it starts before that and may have grown beyond it since.
        """
        before = dict(self.followed)
        for number, (start, end) in (await self._bounds_of(list(before))).items():
            if self.followed.get(number) is not before[number]:
                continue  # taken on anew meanwhile
            following, refused = before[number].next_offset, self._refused.pop(number, -1)
            if following > end or refused >= start:
                self.continuity.note("its end was lost", partition=number, ends_at=end, read_to=max(following, refused))
            if refused >= start or not start <= following <= end:
                _log.error("the log lost what was to be read next", extra={"partition": number})
                self._forget(number)
                self._take_on(number)
        self._assign()

    def _take_all_again(self) -> None:
        for number in list(self.followed):
            self._forget(number)
            self._take_on(number)
        self._assign()

    async def _bounds_of(self, numbers: list[int]) -> dict[int, tuple[int, int]]:
        """Ask for the bounds of those that answer: one that cannot be read now must not hold up the others."""
        if not numbers:
            return {}  # as at the start
        try:
            return dict(await self.log.bounds(await self.log.answering(numbers)))
        except LogUnavailable:
            return {}

    def _let_go_idle(self) -> None:
        before, held = self._clock() - self._idle_s, self.assigned | self._holders.keys()
        self._let_go_of([number for number in self.followed.keys() - held if self._used_at[number] < before])

    def _let_go_of(self, numbers: Collection[int]) -> None:
        for number in numbers:
            self._forget(number)
            del self._used_at[number]
            _let_go.inc()
        if numbers:
            self._assign()

    def _bound_cost(self) -> None:
        """Keep what is followed, and what is kept of it in memory, within the bounds of all together."""
        if (share := self._share) is not None:
            share.observe({number: followed.next_offset for number, followed in self.followed.items()}, self._clock())
            loads = {number: self._load(share, number) for number in self.followed if number not in self.assigned}
            self._let_go_of(share.beyond(loads, self._holders, self._clock()))
        tails = [followed.tail for followed in self.followed.values()]
        if (cap := even_cap([tail.bytes for tail in tails], self._tails_bytes_max)) is not None:
            for tail in tails:
                tail.shrink(cap)

    def _load(self, share: Share, number: int) -> Load:
        return share.load(number, self.followed[number].tail.bytes, self._used_at[number])

    def _forget(self, number: int) -> None:
        self.followed.pop(number).let_go()
        self._refused.pop(number, None)
        self._ready.pop(number, None)
        self._silence.forget(number)
        followed_partitions.set(len(self.followed))

    def _assign(self) -> None:
        self._reader.assign({number: followed.next_offset for number, followed in self.followed.items()})

    async def _probe(self) -> None:
        """Ask the log, since silence does not tell a quiet one from a dead one; and let go of what became old."""
        while True:
            await asyncio.sleep(_PROBE_INTERVAL_S)
            async with asyncio.TaskGroup() as both:  # for each may wait for a broker that hangs
                both.create_task(self._ask_quiet())
                is_broken = both.create_task(self.continuity.is_broken())
            if is_broken.result():
                self._take_all_again()
            if self._refused:  # nobody answered where it starts, and nothing need be refused again
                await self._take_lost_again()
            _silence.set(self._silence.longest_s)
            for followed in self.followed.values():
                followed.tail.trim(self._clock())
            self._bound_cost()
            _tail_bytes.set(sum(followed.tail.bytes for followed in self.followed.values()))

    async def _ask_quiet(self) -> None:
        quiet = self._silence.quiet() if self.followed else range(self.log.partition_count)
        if quiet and self._is_reading:
            self._silence.broke(await self.log.answering(quiet), self.followed)
