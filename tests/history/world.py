"""A small deployment that moves when it is told to: log, store, follower, persister and history of one partition.

At every await of history on log or store it takes the next of its `moves`, so that a test says what happens meanwhile.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.following.follower import Follower, PartitionUnavailable
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import TailBounds
from livecomments.history.pages import Page, newest_first, oldest_first
from livecomments.history.reading import Found, History
from livecomments.history.stretch import Stretch
from livecomments.log.interface import LogUnavailable
from livecomments.sqlite import DurableFile
from livecomments.store.interface import StoreUnavailable
from livecomments_schemas.events import (
    VIDEO_ENDED,
    VIDEO_STARTED,
    Author,
    NewRecord,
    Record,
    comment_created,
    comment_deleted,
    video_event,
)
from livecomments_schemas.positions import comment_id, first_position, position_at
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.persister import Persister
from tests.history.faults import WatchedStore
from tests.history.model import Model
from tests.log.faults import GatedLog

TABLES: Final = LOG_TABLES + STORE_TABLES
VIDEOS: Final = ("quiet", "busy", "busier")
IDLE_S: Final = 100.0
WAIT_S: Final = 20.0
NOON_MS: Final = 1_795_348_800_000


@dataclass(frozen=True)
class Sizes:
    """Bounds of the parts."""

    window: int = 8
    tail: int = 8
    tail_age_s: float = 1e9
    middle: int = 1_000


@dataclass(frozen=True)
class Event:
    """One record to append. `what` is comment, retry, delete, stray, ended, started or nonsense.

    `number` picks among such: of a delete, the how manyth newest comment of the video; of a stray one, any record.
    """

    what: str
    video: int = 0
    number: int = 0


@dataclass(frozen=True)
class Move:
    """Something that happens: `what` is append, publish (append and follow), follow, persist, advance, wait or retake.

    Or fail: the call at which it happens does.
    """

    what: str
    number: int = 1
    event: Event = Event("comment")


class World:
    """See the module."""

    def __init__(
        self, file: DurableFile, log: EmbeddedLog, dead_letter_log: EmbeddedLog, store: EmbeddedStore, sizes: Sizes
    ) -> None:
        self._file = file
        self.sizes = sizes
        self.now = 1_000.0
        self.log = log
        self.gate = GatedLog(log, self._around_log)
        self.store = WatchedStore(store, self._around_store)
        self.follower = Follower(
            self.gate,
            (),
            TailBounds(sizes.tail, 1 << 30, sizes.tail_age_s),
            idle_s=IDLE_S,
            window_records=sizes.window,
            clock=lambda: self.now,
        )
        self.history = History(
            self.follower,
            self.store,
            middle_records_max=sizes.middle,
            window_records=sizes.window,
            clock=lambda: self.now,
        )
        self.model = Model(log.epoch, sizes.window)
        self.calls: list[str] = []
        """Calls of history on log and store."""
        self.moves: Iterable[Move] = ()
        self.dead_letter_log = dead_letter_log
        self._letters = DeadLetters(dead_letter_log, "comments")
        self._inner_store = store
        self._persister: Persister | None = None
        self._followed: FollowedPartition | None = None
        self._moving = False
        self._comments: defaultdict[str, list[int]] = defaultdict(list)

    async def forward(self, video_id: str, after: int, limit: int, *, around_store: bool = False) -> Stretch:
        """See `History.forward`."""
        home = self.history.home(video_id)
        return await self.history.forward(home, video_id, after, limit, around_store=around_store)

    async def find(self, video_id: str, position: int) -> Found:
        """See `History.find`."""
        return await self.history.find(self.history.home(video_id), video_id, position)

    async def newest_first(self, video_id: str, before: int | None, limit: int, *, with_deletes: bool = False) -> Page:
        """See `newest_first`."""
        home = self.history.home(video_id)
        return await newest_first(self.history, home, video_id, before, limit, with_deletes=with_deletes)

    async def oldest_first(self, video_id: str, after: int, limit: int) -> Page:
        """See `oldest_first`."""
        return await oldest_first(self.history, self.history.home(video_id), video_id, after, limit)

    @property
    def followed(self) -> FollowedPartition:
        """The partition as it is followed, or was before it was let go."""
        self._followed = self.follower.followed.get(0, self._followed)
        assert self._followed is not None
        return self._followed

    @property
    def judged(self) -> int:
        """The position of the newest record judged."""
        return self.followed.judged_through

    def position(self, offset: int) -> int:
        return position_at(self.log.epoch, 0) + offset

    async def append(self, *events: Event) -> None:
        """Append records; nobody follows or stores them yet."""
        offset = self.model.end
        news = [self._record(event, offset + index) for index, event in enumerate(events)]
        offsets = await asyncio.gather(*(self.log.append(0, new) for new in news))
        assert offsets == list(range(offset, offset + len(news)))
        for new, at in zip(news, offsets, strict=True):
            self.model.append(Record(0, at, new.key, new.value, new.headers, NOON_MS))

    async def follow(self, count: int = 1_000_000) -> None:
        """Let the follower judge so many more records."""
        wanted = min(max(self.gate.released, self.followed.next_offset) + count, self.model.end)
        self.gate.release(wanted)
        await until(lambda: self.followed.next_offset >= wanted)

    async def persist(self, count: int = 1_000_000) -> None:
        """Store so many more records. The watermark stays."""
        persister = await self.persister()
        records, _ = await self.log.read(0, persister.next_offset, persister.next_offset + count, count)
        await persister.persist(records)

    async def advance(self) -> None:
        """Write the watermark."""
        await (await self.persister()).advance_watermark()

    async def persister(self) -> Persister:
        if self._persister is None:
            self._persister = await Persister.open(
                self.log, self._inner_store, self._letters, 0, window_records=self.sizes.window
            )
        return self._persister

    async def forget_before(self, offset: int) -> None:
        """As retention would, before anybody reads: the log starts at `offset`."""
        assert offset < self.model.end, "an emptied partition of the embedded log begins at 0 again"
        place = 1 << 52  # of the file's first topic
        await self._file.write(
            lambda connection: connection.execute(
                "DELETE FROM log_records WHERE place >= ? AND place < ?", (place, place + offset)
            )
        )
        self.log = self.gate.inner = await EmbeddedLog(self._file, "comments", self.log.epoch, 1).__aenter__()
        self._persister = None

    async def take_on(self) -> None:
        """Let the follower read the partition's window and begin a new tail."""
        with suppress(PartitionUnavailable):
            self.follower.partition(0)
        await until(lambda: 0 in self.follower.followed)

    async def retake(self) -> None:
        """Let the partition go for lack of use, and take it on again."""
        before = self.followed

        def is_let_go() -> bool:
            self.now += IDLE_S * 2  # again and again: others may be using it
            self.gate.release(0)
            return self.follower.followed.get(0) is not before

        await until(is_let_go)
        await self.take_on()

    async def move(self, move: Move) -> None:
        if move.what == "append":
            await self.append(move.event)
        elif move.what == "publish":
            await self.append(move.event)
            await self.follow()
        elif move.what == "follow":
            await self.follow(move.number)
        elif move.what == "persist":
            await self.persist(move.number)
        elif move.what == "advance":
            await self.advance()
        elif move.what == "wait":
            self.now += move.number
        else:
            await self.retake()

    async def _around_log(self, name: str) -> None:
        if await self._happen(f"log {name}"):
            raise LogUnavailable("The log is away.")

    async def _around_store(self, name: str) -> None:
        if await self._happen(f"store {name}"):
            raise StoreUnavailable("The store is away.")

    async def _happen(self, name: str) -> bool:
        """Make the next move, at one of history's calls; whether the call is to fail."""
        if self._moving:
            return False
        self.calls.append(name)
        self._moving = True
        try:
            for move in itertools.islice(self.moves, 1):
                if move.what == "fail":
                    return True
                await self.move(move)
            return False
        finally:
            self._moving = False

    def _record(self, event: Event, offset: int) -> NewRecord:
        video_id, author = VIDEOS[event.video % len(VIDEOS)], Author("ana", "Ana")
        if event.what in ("comment", "retry"):
            self._comments[video_id].append(offset)
        if event.what == "comment":
            return comment_created(video_id, f"comment {offset}", author, created_at_ms=NOON_MS)
        if event.what == "retry":
            key = f"key{event.number % 3}"
            return comment_created(video_id, f"comment {offset}", author, created_at_ms=NOON_MS, key=key)
        if event.what == "delete" and self._comments[video_id]:
            target = self._comments[video_id][-1 - event.number % len(self._comments[video_id])]
            return comment_deleted(video_id, comment_id(self.position(target), 0), "ana")
        if event.what == "stray" and offset:
            target = max(0, offset - 1 - event.number)
            return comment_deleted(video_id, comment_id(self.position(target), 0), "ana")
        if event.what == "nonsense":
            return NewRecord(video_id.encode(), b"nonsense", {"type": b"comment.created"})
        return video_event(VIDEO_ENDED if event.what == "ended" else VIDEO_STARTED, video_id, "ana")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, within a bound."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - it has no event of its own
            await asyncio.sleep(0)


@asynccontextmanager
async def open_world(file: DurableFile, epoch: int = 1, sizes: Sizes | None = None) -> AsyncIterator[World]:
    """A world with an empty log, and nothing taken on yet. What the file held before is gone."""
    await file.write(_empty)
    async with (
        EmbeddedLog(file, "comments", epoch, 1) as log,
        EmbeddedLog(file, "dead", epoch, 1) as dead_letter_log,
        EmbeddedStore(file) as store,
    ):
        world = World(file, log, dead_letter_log, store, sizes or Sizes())
        running = asyncio.create_task(world.follower.run())
        await asyncio.sleep(0)
        try:
            yield world
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def _empty(connection: object) -> None:
    for table in ("log_records", "store_records", "store_buckets", "store_watermarks"):
        connection.execute(f"DELETE FROM {table}")  # type: ignore[attr-defined]  # sqlite3 has one door


def older_epoch(epoch: int) -> int:
    """The first position of the epoch before."""
    return first_position(epoch - 1)
