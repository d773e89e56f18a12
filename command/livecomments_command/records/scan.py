"""Reading a partition of the log from end to end, judged as everybody judges it, in bounded memory."""

from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar
from zlib import crc32

from livecomments.following.read_back import read_back, read_on
from livecomments.log.interface import CommentLog, OffsetUnavailable
from livecomments.runtime.retrying import after, retrying
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import Record
from livecomments_schemas.judge import Kind, Verdict, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import epoch_of, first_position, offset_of
from livecomments_schemas.window import Window

CHUNK_RECORDS: Final = 5_000
"""Of one step, at most: 80 MB if all were as large as a record may be, 2 MB as they are."""
DELETES_MAX: Final = 16_000_000
"""Deleted positions of one partition kept at once, 8 bytes each: 128 MB."""
_TRIES: Final = 60
_RETRY_S: Final = 1.0
"""Log and store may be away for a minute: a restarted broker is back by then."""

T = TypeVar("T")


class Judged(NamedTuple):
    """A record and what it is."""

    record: Record
    verdict: Verdict


class Deletes:
    """What was deleted of one partition and epoch, of which video and at which offset. Add all, close, then ask.

    A delete reaches comments of its own video alone. Kept as offset << 24 | 24 bits of the video's checksum: two videos
    are taken for one only if somebody deleted another video's offset, and then once in 16 million times.
    """

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._keys = array("Q")

    def add(self, video_id: str, position: int) -> None:
        """Remember one. Raises StartRefused: more than can be kept."""
        if epoch_of(position) == self._epoch:
            self._keys.append(_key(video_id, position))
        if len(self._keys) > DELETES_MAX:
            raise StartRefused(f"More than {DELETES_MAX:,} deletes in one partition: more than fit into memory.")

    def close(self) -> None:
        """Sort what was added, so that `covers` can be asked. Nothing may be added any more."""
        self._keys = array("Q", sorted(self._keys))

    def covers(self, video_id: str, position: int) -> bool:
        """Tell whether the video's comment at `position` was deleted."""
        key = _key(video_id, position)
        at = bisect_left(self._keys, key)
        return at < len(self._keys) and self._keys[at] == key


def _key(video_id: str, position: int) -> int:
    return offset_of(position) << 24 | crc32(video_id.encode()) & 0xFFFFFF


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Await `call`; while log or store are away, again, for a minute. An offset that is gone is raised at once."""
    is_tired = after(_TRIES)
    return await retrying(call, lambda error: isinstance(error, OffsetUnavailable) or is_tired(error), first_s=_RETRY_S)


class JudgedReader:
    """Reads one partition on, chunk by chunk, and judges it; keeps the window, so that it may be read on for ever."""

    def __init__(self, log: CommentLog, window: Window, partition: int, following: int) -> None:
        self._log = log
        self._window = window
        self._partition = partition
        self.following = following
        """The first offset not read yet."""

    @classmethod
    async def open(
        cls, log: CommentLog, partition: int, following: int, window_records: int = DEDUPE_WINDOW_RECORDS
    ) -> "JudgedReader":
        """Read back the window before `following`. Raises OffsetUnavailable: the log begins behind it."""
        start, end = (await patiently(lambda: log.bounds([partition])))[partition]
        if following < min(start, end):
            raise OffsetUnavailable(f"Partition {partition} begins at {start} by now, not at {following}.")
        at = max(start, following)
        window = await patiently(lambda: read_back(log, partition, at, start=start, window_records=window_records))
        return cls(log, window, partition, at)

    @property
    def is_fenced(self) -> bool:
        """Whether the end of the epoch was read: what comes behind it is void."""
        return self._window.fence is not None

    def is_ended(self, video_id: str) -> bool:
        """Tell whether a comment of this video would be void, as far as was read."""
        return self._window.is_ended(video_id, self.following)

    async def read(self, end: int, limit: int) -> list[Judged]:
        """Read the next records before `end`, at most `limit`; none where what lay there is gone within the log.

        Raises as `scan` does.
        """
        at = self.following
        records, self.following = await patiently(lambda: read_on(self._log, self._partition, at, end, limit))
        return [Judged(record, judge(record, self._window)) for record in records]


async def scan(
    log: CommentLog,
    partition: int,
    first: int,
    end: int,
    *,
    window_records: int = DEDUPE_WINDOW_RECORDS,
    chunk_records: int = CHUNK_RECORDS,
) -> AsyncIterator[list[Judged]]:
    """Yield all records with first ≤ offset < end, ascending, in chunks, judged with the window before `first`.

    Raises:
        OffsetUnavailable: the log lets go of them faster than they are read.
        LogUnavailable: for more than a minute.
    """
    reader = await JudgedReader.open(log, partition, first, window_records)
    while reader.following < end:
        if chunk := await reader.read(end, chunk_records):
            yield chunk


async def deletes_of(
    log: CommentLog,
    partition: int,
    first: int,
    end: int,
    on_read: Callable[[int], None],
    later: Sequence[CommentLog] = (),
) -> Deletes:
    """Return what the records with first ≤ offset < end delete; `on_read` is told the size of each chunk.

    `later`: the epochs that came after the log's, whose deletes may reach back; all of them is read.

    Raises as `scan` does, and StartRefused: too many to keep.
    """
    deleted = Deletes(log.epoch)
    async for chunk in scan(log, partition, first, end, window_records=0):  # no window decides on a delete
        for _, verdict in chunk:
            if verdict.kind is Kind.ACCEPTED and verdict.target:
                deleted.add(verdict.video_id, verdict.target)
        on_read(len(chunk))
    for other in later:
        for number in range(partition % log.partition_count, other.partition_count, log.partition_count):
            held = (await patiently(lambda: other.bounds([number])))[number]  # noqa: B023 (awaited)
            async for chunk in scan(other, number, held.start, held.end, window_records=0):
                for _, verdict in chunk:
                    if verdict.kind is Kind.ACCEPTED and verdict.target:
                        deleted.add(verdict.video_id, verdict.target)
    deleted.close()
    return deleted


def offset_behind(watermark: int, epoch: int) -> int:
    """Return the first offset of the epoch that lies behind a watermark."""
    return offset_of(watermark) + 1 if watermark >= first_position(epoch) else 0
