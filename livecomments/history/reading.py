"""`History`: reads of one video's comments that join store, log and tail."""

import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice, takewhile
from typing import Final, NamedTuple

from livecomments.following.follower import Follower, PartitionUnavailable
from livecomments.following.partition import FollowedPartition
from livecomments.following.read_back import Judge
from livecomments.following.tail import Entry, Tail
from livecomments.history.detour import Detour
from livecomments.history.middle import Budget, Middle
from livecomments.history.stretch import HistoryBehind, Source, Stretch, entry_of_row, stretch
from livecomments.log.interface import Bounds
from livecomments.runtime.single_flight import FreshFlight, SingleFlight
from livecomments.store.interface import CommentStore, Row, StoreUnavailable
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import COMMENT_CREATED, COMMENT_DELETED, FACT_TYPES, REPORT_TYPES, facts_of, reports_of
from livecomments_schemas.judge import judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import BEFORE_EVERYTHING, epoch_of, first_position

BEGINNING: Final = BEFORE_EVERYTHING + 1
"""Before this position there is nothing: where reading backward ends."""
_WATERMARK_AGE_MAX_S: Final = 0.25
"""A watermark is used this long: an older one is never wrong, it only leaves more to the log."""
_MIDDLES_BYTES_MAX: Final = 128 * 2**20
"""Of all partitions together, and of what is read around the store."""
_AHEAD_TIMEOUT_S: Final = 2.0
"""For our follower to come to a record that another node has shown already: more than that is no lag but a fault."""


class Found(NamedTuple):
    """One comment: `entry` is None if it never existed; `deleted` if it did and is gone."""

    entry: Entry | None
    deleted: bool


class Above(NamedTuple):
    """What lies above the store, for one video. `middle` is to be used before the next await: others move it on."""

    watermark: int
    """Rows are read up to here, and no further: what follows counts on it."""
    middle: Tail | None
    """Covers everything between the watermark and the tail; None if nothing lies there."""
    deleted: set[int]
    """The positions deleted above the watermark, as of this moment. A later delete is later than `judged_through`."""


class View(NamedTuple):
    """Which entries a reader of `History.backward` wants."""

    wanted: Callable[[Entry], bool]
    stored_as: Callable[[str], str]
    """Video id → the key in the store under which such rows are found without reading through all others."""


COMMENTS: Final = View(lambda entry: entry.is_shown, lambda video_id: video_id)
"""What pages show."""
COMMENTS_AND_DELETES: Final = View(
    lambda entry: entry.is_shown or entry.kind == COMMENT_DELETED, lambda video_id: video_id
)
"""What pages show to a client that has older pages, and must learn of deletes in them."""
_OF_VIDEOS: Final = FACT_TYPES - REPORT_TYPES
FACTS: Final = View(lambda entry: entry.kind in _OF_VIDEOS, facts_of)
"""Records that say that a video started or ended, its settings, who is banned, and what is pinned."""
REPORTS: Final = View(lambda entry: entry.kind in REPORT_TYPES, reports_of)
"""What was reported, and what of it was dismissed."""


IsTold = Callable[[int], Awaitable[bool]]
"""Raises LogUnavailable."""


async def _nobody(_epoch: int) -> bool:
    """Tell of no other epoch."""
    return False


class History:
    """Reads of history in one process: forward and backward from a position, and one comment."""

    def __init__(
        self,
        follower: Follower,
        store: CommentStore,
        *,
        middle_records_max: int = 100_000,
        is_told: IsTold = _nobody,
        window_records: int = DEDUPE_WINDOW_RECORDS,
        judge: Judge = judge,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.follower = follower
        self.is_told = is_told
        """Asks whether the log tells of an epoch by now: who has a position there was not given it by nobody."""
        self._store = store
        self._middle_records_max = middle_records_max
        self._window_records = window_records
        self._judge = judge
        self._clock = clock
        self._budget = Budget(_MIDDLES_BYTES_MAX, clock)
        self._seen = follower.continuity, follower.continuity.resets
        self._middles: dict[int, Middle] = {}
        self._detour = Detour(self._new_middle)
        self._watermarks: dict[tuple[int, int], tuple[float, int]] = {}
        self._watermark_reads = SingleFlight[tuple[int, int], int]()
        self._ends = FreshFlight[int, dict[int, Bounds]]()

    def home(self, video_id: str) -> FollowedPartition:
        """Return the partition of a video, to be asked for once by whoever reads, and passed on.

        Raises:
            PartitionUnavailable: its window is being read back.
        """
        return self.follower.partition(partition_of(video_id, self.follower.log.partition_count))

    async def newest(self, partition: int) -> int:
        """Return the position of the newest record, asked of the log itself after this call. Raises LogUnavailable.

        Single flight, but never older than the question: an older answer may lie before what the caller has seen.
        """
        log = self.follower.log
        bounds = await self._ends.join(partition, lambda: log.bounds([partition]))
        return first_position(log.epoch) + bounds[partition].end - 1

    async def reach(self, followed: FollowedPartition, position: int) -> None:
        """Wait for `position` if it is ahead of us but in the log: another node may have told a client of it.

        Raises:
            PartitionUnavailable: not reached in time. LogUnavailable.
        """
        if position <= followed.judged_through:
            return
        is_ahead = epoch_of(position) > followed.epoch and await self.is_told(epoch_of(position))
        if is_ahead or followed.epoch != self.follower.log.epoch:
            raise PartitionUnavailable("The log goes on in its next epoch. Try again in a second.")
        end = (await self.follower.log.bounds([followed.number]))[followed.number].end
        try:
            await followed.reach(min(position, first_position(followed.epoch) + end - 1), _AHEAD_TIMEOUT_S)
        except TimeoutError as error:
            raise PartitionUnavailable("This node is behind the log. Try again in a second.") from error

    async def forward(
        self, followed: FollowedPartition, video_id: str, after: int, limit: int, *, around_store: bool = False
    ) -> Stretch:
        """Read up to `limit` entries of every kind later than `after`, from one source; go on from `through`.

        It is complete when `through` has reached the partition's `judged_through`. Deleted comments are in it without
        a value; deletes later than `after` are in it as entries of their own.

        Args:
            followed: the video's `home`.
            video_id: whose.
            after: a position of the video's partition.
            limit: at least 1.
            around_store: while the store is away, or too far behind, read the log instead, as far as it may be.

        Raises:
            LogUnavailable, StoreUnavailable: try again.
            HistoryBehind: what is asked for is neither in tail nor store, and too much to read from the log.
        """
        if after >= followed.tail.after:
            return _of_tail(followed, video_id, after, limit)
        try:
            above = await self.above(followed, video_id)
            if after < above.watermark:
                rows, examined = await self._store.read(video_id, after, above.watermark, limit, descending=False)
                self._detour.let_go(followed.number)
                return stretch(self.entries(rows, followed, above), examined, Source.STORE)
        except (StoreUnavailable, HistoryBehind) as error:
            is_stored = isinstance(error, HistoryBehind) and after < self.stored_through(followed)
            if not around_store or is_stored:  # it would have to read what was too much, and more
                raise
            return await self._around_store(followed, video_id, after, limit, error)
        return _of_middle(above.middle, followed, video_id, after, limit)

    async def backward(
        self, followed: FollowedPartition, video_id: str, before: int, limit: int, view: View = COMMENTS
    ) -> Stretch:
        """Read up to `limit` entries of a view earlier than `before`, newest first, from one source.

        The mirror of `forward`: the stretch is complete from `before` down to its `through`, which is the `before` of
        the next call. Nothing is left where `through` has come down to `BEGINNING`. An entry of the tail may lose its
        text while the caller awaits something else: a delete was read.

        Args:
            followed: the video's `home`.
            video_id: whose.
            before: a position of the video's partition, at most one later than `judged_through`.
            limit: at least 1.
            view: what is wanted; entries of no interest are examined and left out.

        Raises:
            LogUnavailable, StoreUnavailable: try again.
            HistoryBehind: too much lies between tail and store to read from the log.
        """
        lowest = followed.tail.after + 1
        if before > lowest:
            return _descending(followed.tail.backward(video_id, before), lowest, limit, view, Source.TAIL)
        above = await self.above(followed, video_id)
        lowest = above.watermark + 1
        if above.middle is not None and before > lowest:
            return _descending(above.middle.backward(video_id, before), lowest, limit, view, Source.LOG)
        through = min(before - 1, above.watermark)
        rows, examined = await self._store.read(
            view.stored_as(video_id), BEFORE_EVERYTHING, through, limit, descending=True
        )
        entries = [entry for entry in self.entries(rows, followed, above) if view.wanted(entry)]
        return Stretch(entries, examined, Source.STORE)

    async def find(self, followed: FollowedPartition, video_id: str, position: int) -> Found:
        """Find the comment at `position`, wherever it is. Raises as `forward` does, and PartitionUnavailable."""
        await self.reach(followed, position)
        entry: Entry | None = None
        if position > followed.tail.after:
            entry = followed.tail.find(position)
        else:
            above = await self.above(followed, video_id)
            if position > above.watermark:
                entry = above.middle.find(position) if above.middle is not None else None
            else:
                row = await self._store.read_one(video_id, position)
                entry = self.entries([row], followed, above)[0] if row else None
        if entry is None or entry.kind != COMMENT_CREATED or entry.video_id != video_id:
            return Found(None, False)
        return Found(entry, not entry.is_shown)

    async def above(self, followed: FollowedPartition, video_id: str) -> Above:
        """Cover what lies above the store's watermark. Raises StoreUnavailable, LogUnavailable, HistoryBehind."""
        watermark = await self._watermark(followed)
        if followed.epoch != self.follower.log.epoch:  # an epoch begins when the one before is stored
            return Above(followed.judged_through, None, followed.tail.deleted(video_id))
        covering = self._middle(followed.number)
        if watermark >= followed.tail.after:
            covering.let_go()
            return Above(watermark, None, followed.tail.deleted(video_id))
        watermark, middle = await covering.cover(watermark, lambda: followed.tail.after)
        deleted = followed.tail.deleted(video_id)
        if middle is not None:
            middle.erase(video_id, deleted)
            deleted |= middle.deleted(video_id)
        return Above(watermark, middle, deleted)

    def entries(self, rows: Iterable[Row], followed: FollowedPartition, above: Above) -> list[Entry]:
        """Make entries of stored rows, with the deletes from above the store applied."""
        entries = [entry_of_row(row, followed.partition_at(row.video_id, row.position)) for row in rows]
        for entry in entries:
            if entry.kind == COMMENT_CREATED and entry.position in above.deleted:  # a delete reaches nothing else
                entry.value = b""
        return entries

    async def _around_store(
        self, followed: FollowedPartition, video_id: str, after: int, limit: int, error: Unavailable
    ) -> Stretch:
        """Read as `forward` does, from the log alone. Raises `error` where the log does not reach back so far."""
        if after < first_position(followed.epoch) - 1 or followed.epoch != self.follower.log.epoch:
            raise error
        self._forget_lost()
        try:
            middle = await self._detour.cover(followed.number, after, lambda: followed.tail.after)
        except HistoryBehind:
            raise error from None
        if middle is not None:
            middle.erase(video_id, followed.tail.deleted(video_id))
        return _of_middle(middle, followed, video_id, after, limit)

    async def _watermark(self, followed: FollowedPartition) -> int:
        """Return the store's watermark, a moment old at most, or older while it is away. Raises StoreUnavailable."""
        known = self._watermarks.get((followed.epoch, followed.number))
        now = self._clock()
        if known is not None and now - known[0] <= _WATERMARK_AGE_MAX_S:
            return known[1]
        try:
            return await self._watermark_reads.join(
                (followed.epoch, followed.number), lambda: self._read_watermark(followed)
            )
        except StoreUnavailable:
            if known is None:
                raise
            return known[1]

    async def _read_watermark(self, followed: FollowedPartition) -> int:
        now = self._clock()
        watermark = await self._store.watermark(followed.epoch, followed.number)
        watermark = max(watermark, first_position(followed.epoch) - 1)  # an epoch begins when the one before is stored
        self._watermarks[followed.epoch, followed.number] = now, watermark
        return watermark

    def stored_through(self, followed: FollowedPartition) -> int:
        """Return the watermark as it was last read, if ever: nothing up to it changes any more, except by deletes."""
        if followed.epoch != self.follower.log.epoch:
            return followed.judged_through
        return self._watermarks.get((followed.epoch, followed.number), (0.0, BEFORE_EVERYTHING))[1]

    def _forget_lost(self) -> None:
        """Let go of what was read of a log that went back since, or that ended."""
        seen = self.follower.continuity, self.follower.continuity.resets
        if self._seen != seen:
            self._seen = seen
            self._middles.clear()
            self._detour = Detour(self._new_middle)

    def _middle(self, partition: int) -> Middle:
        self._forget_lost()
        if partition not in self._middles:
            self._middles[partition] = self._new_middle(partition)
        return self._middles[partition]

    def _new_middle(self, partition: int) -> Middle:
        return Middle(
            self.follower.log,
            partition,
            self._window_records,
            self._judge,
            records_max=self._middle_records_max,
            budget=self._budget,
        )


def _of_middle(middle: Tail | None, followed: FollowedPartition, video_id: str, after: int, limit: int) -> Stretch:
    through = followed.tail.after
    if middle is None or after >= through:
        return _of_tail(followed, video_id, after, limit)
    entries = middle.forward(video_id, after, limit)
    if len(entries) == limit:
        through = min(through, entries[-1].position)  # a tail taken on anew may begin before the middle's end
    return stretch([entry for entry in entries if entry.position <= through], through, Source.LOG)


def _descending(newest_first: Iterable[Entry], lowest: int, limit: int, view: View, source: Source) -> Stretch:
    found = islice(filter(view.wanted, newest_first), limit)
    entries = list(takewhile(lambda entry: entry.position >= lowest, found))
    return Stretch(entries, entries[-1].position if len(entries) == limit else lowest, source)


def _of_tail(followed: FollowedPartition, video_id: str, after: int, limit: int) -> Stretch:
    entries = followed.tail.forward(video_id, after, limit)
    through = entries[-1].position if len(entries) == limit else max(after, followed.judged_through)
    return stretch(entries, through, Source.TAIL)
