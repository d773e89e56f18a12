"""`CommentLog` and `LogReader`: what every implementation of the log promises. One contract suite holds them to it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import NewRecord, Record


class AppendUnavailable(Unavailable):
    """The log did not take the record; it is not written and never will be. Try again."""

    code = "overloaded"


class LogFull(AppendUnavailable):
    """There is no room for the record."""

    code = "storage_full"
    retry_after_s = 10


class AppendRefused(AppendUnavailable):
    """The log refuses the record for what it is, or us for who we are: as it is set up it never takes it."""

    code = "append_refused"
    retry_after_s = 60


class AppendUnknown(Unavailable):
    """The log did not answer in time: the record may be written now, later or never. Retry with the same key."""

    code = "append_unknown"


class LogUnavailable(Unavailable):
    """The log cannot be read just now."""

    code = "log_unavailable"


class OffsetUnavailable(Unavailable):
    """The log no longer holds this offset (retention passed it), or does not hold it yet. Final for this offset.

    A reader names what was refused, by `partition` and `offset`: by the time anybody asks where the log ends, one that
    lost its end may have grown beyond it again.
    """

    code = "offset_unavailable"

    def __init__(self, sentence: str, *, partition: int | None = None, offset: int | None = None) -> None:
        super().__init__(sentence)
        self.partition = partition
        self.offset = offset


class LogWentBackUnavailable(Unavailable):
    """The log is not the one that was read: it was made anew, or its end was lost. For good, in this process."""

    code = "log_went_back"
    retry_after_s = 60


class Bounds(NamedTuple):
    """What a partition holds: offsets from `start` (inclusive) to `end` (exclusive)."""

    start: int
    end: int


class Slice(NamedTuple):
    """Records in ascending order of offset; `next` is the offset to go on from."""

    records: list[Record]
    next: int


class LogReader(Protocol):
    """Reads chosen partitions from chosen offsets as they grow. One task polls; another may `assign` meanwhile."""

    def assign(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions, each from its offset on, and no others. Never waits: nothing can come between."""

    async def poll(self) -> list[Record]:
        """Return new records, ascending in each partition; none after at most half a second of silence.

        Raises:
            OffsetUnavailable: an assigned offset is not in the log, or not in the one that was read before it, and the
                error says which of what partition; raised until it is assigned anew, in turn with the others' records.
            LogUnavailable: try again.
        """

    async def aclose(self) -> None: ...


class CommentLog(Protocol):
    """One topic: partitions of records in order, appended durably."""

    @property
    def epoch(self) -> int: ...

    @property
    def partition_count(self) -> int: ...

    async def append(self, partition: int, record: NewRecord) -> int:
        """Append; returns the record's offset once it is durable. Appends awaited one after the other keep their order.

        Cancelling leaves the outcome unknown.

        Raises:
            AppendUnavailable: not written.
            AppendRefused: not written, and trying again is in vain until somebody sets up the log another way.
            AppendUnknown: no answer within the log's deadline.
        """

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        """Tell where these partitions start and end now.

        Raises:
            LogUnavailable: no answer within two seconds, of one of them at least.
        """

    async def answering(self, partitions: Iterable[int]) -> set[int]:
        """Return those partitions that answer now: the probe that tells a quiet one from one that cannot be read.

        Takes two seconds at most, and raises nothing when the log is away.
        """

    async def identity(self) -> str:
        """Tell which log this is. Another answer than before: it was made anew, and offsets of the former mean nothing.

        Raises:
            LogUnavailable: no answer, or no such log just now.
        """

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        """Read up to `limit` records with start ≤ offset < end, maybe fewer. An `end` beyond the partition's means it.

        `next` is past `start` unless start ≥ end: read on from it, since compaction and markers leave holes.

        Raises:
            OffsetUnavailable: `start` is before the partition's start or after its end.
            LogUnavailable: try again.
        """

    def follow(self) -> LogReader:
        """Make a reader of the caller's own, with nothing assigned."""

    async def aclose(self) -> None: ...
