"""`CommentStore`: what every implementation of the store promises. One contract suite holds them to it.

A row stands at the position of its record and holds the record's value unchanged. Every write is an upsert whose write
timestamp is the position of the record that writes, so order never depends on a clock and replays converge. A delete
writes two rows: its own, and on its target `deleted` with an empty value, which no replay of the target undoes.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import COMMENT_CREATED

BUCKET_BITS: Final = 20
"""A bucket holds at most a million positions, so a hot video cannot make a partition of the store without bound."""


_CLOCKS_DIFFER_S: Final = 86_400
_NEVER_MS: Final = -(1 << 62)


class StoreUnavailable(Unavailable):
    """The store did not answer, or not in time. Every call is safe to repeat."""

    code = "store_unavailable"


class Row(NamedTuple):
    """One record in the store. `kind` is its event type, as in the record's header."""

    video_id: str
    position: int
    kind: bytes
    author_id: str
    value: bytes
    appended_at_ms: int
    target: int = 0
    """Of a delete: the position it deletes, in the same video."""
    deleted: bool = False
    """Of a comment, as read: it was deleted and `value` is empty."""

    @property
    def is_shown(self) -> bool:
        """Whether a page shows it: a comment that still has its text."""
        return self.kind == COMMENT_CREATED and not self.deleted


class KeptLog(NamedTuple):
    """Which log filled the store, for one epoch; by it another log is noticed. Where they differ the log is right."""

    identity: int | None = None
    """Digest of the log's identity, 32 bits, signed; None if the log has none."""
    partitions: int | None = None
    """Into how many the epoch's contract shares the videos; None if that was never kept."""


class StoredSlice(NamedTuple):
    """Rows in the order asked for. Everything of the video between the start asked for and `examined` is in it:
    ascending, `examined` is the highest position covered (inclusive); descending, the lowest."""

    rows: list[Row]
    examined: int


class Lifetime:
    """How long rows are kept: each until `ttl_s` after its record was appended, whenever it is written. 0: for ever.

    Now is the smaller of our clock and the newest time that a record was appended at, as far as was heard: a clock that
    runs ahead must not delete rows, nor leave them unwritten under a watermark that says they are there.

    A replay of an old record is given only the rest, or is not written at all. What a delete writes on its target is
    kept a day longer than any row that is written before it, for clocks that differ: a target that outlived it would
    have its text again. A record from the future is as old as one of now: servers refuse rows that expire too late
    (Cassandra, from 2038 on).
    """

    def __init__(self, ttl_s: int = 0, clock: Callable[[], float] = time.time) -> None:
        self.ttl_s = ttl_s
        self._clock = clock
        self._heard_ms: int | None = None

    def hear(self, appended_at_ms: int) -> None:
        """Note that a record was appended at `appended_at_ms`, Unix milliseconds, by the log's clock."""
        self._heard_ms = max(self._heard_ms or 0, appended_at_ms)

    @property
    def expired_before_ms(self) -> int:
        """A record appended at this time or earlier is expired, Unix milliseconds."""
        if not self.ttl_s:
            return _NEVER_MS
        now_ms = int(self._clock() * 1000)
        return (now_ms if self._heard_ms is None else min(now_ms, self._heard_ms)) - self.ttl_s * 1000

    def left_s(self, appended_at_ms: int) -> int | None:
        """Return the seconds that a row written now is kept; 0 is for ever, None is not at all."""
        if not self.ttl_s:
            return 0
        left_s = (appended_at_ms - self.expired_before_ms) // 1000
        return min(left_s, self.ttl_s) if left_s > 0 else None

    @property
    def mark_left_s(self) -> int:
        """Seconds that the mark of a delete is kept on its target; 0 is for ever."""
        return self.ttl_s + _CLOCKS_DIFFER_S if self.ttl_s else 0


@runtime_checkable
class AuthorScan(Protocol):
    """A store that can be searched for what one person wrote, part by part: all of it is read, there is no index."""

    @property
    def scan_parts(self) -> int:
        """How many parts it has; each is about as large."""

    async def written_by(self, author_id: str, part: int) -> list[tuple[str, int]]:
        """Return video and position of each comment of the author that has its text, in one part of the store.

        Args:
            author_id: whose.
            part: 0 ≤ part < `scan_parts`.

        Raises:
            StoreUnavailable
        """


class CommentStore(Protocol):
    """Rows by video and position, and how far they are complete."""

    async def write(self, rows: Sequence[Row]) -> None:
        """Make all rows durable, index and delete targets included, in any order, any number of times.

        Raises:
            StoreUnavailable: some may be written; repeat the whole call.
        """

    async def watermark(self, epoch: int, partition: int) -> int:
        """Return the position up to which every row of the partition is stored; `BEFORE_EVERYTHING` if none was set.

        Raises:
            StoreUnavailable
        """

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        """Set the watermark; a lower position than the stored one changes nothing.

        Raises:
            StoreUnavailable
        """

    async def kept_log(self, epoch: int) -> KeptLog:
        """Return what was kept last of the log that the rows of this epoch are of.

        Raises:
            StoreUnavailable
        """

    async def keep_log(self, epoch: int, kept: KeptLog) -> None:
        """Remember the log that the rows of this epoch are of. What is None stays as it was.

        Raises:
            StoreUnavailable
        """

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        """Read up to `limit` rows of every kind with after < position ≤ through; newest first when `descending`.

        Rows that a delete wrote before their own record arrived are left out. With fewer rows than `limit` the range
        was examined as far as `examined` says: all of it, `through` (ascending) or `after + 1` (descending), unless
        very many buckets of the video are empty; read on from there. An empty range, or a limit of 0, examines nothing:
        `examined` is `after` (ascending) or `through + 1` (descending).

        Raises:
            StoreUnavailable
        """

    async def read_one(self, video_id: str, position: int) -> Row | None:
        """Return the row at `position`, or None.

        Raises:
            StoreUnavailable
        """

    async def aclose(self) -> None: ...
