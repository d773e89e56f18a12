"""What a read of history gives back."""

from enum import Enum
from typing import NamedTuple

from livecomments.following.tail import Entry
from livecomments.runtime.metrics import Counter
from livecomments.store.interface import Row
from livecomments_schemas.errors import Unavailable

_reads = Counter("livecomments_history_reads_total", "Reads of history, by where they were served from.", ["source"])


class HistoryBehind(Unavailable):
    """More lies between store and tail than may be read for one answer; the stream job is catching up."""

    code = "history_behind"
    retry_after_s = 5


class HistoryGone(HistoryBehind):
    """The log no longer holds what the store is missing: waiting does not bring it back."""


class Source(Enum):
    """Where a stretch came from."""

    TAIL = "tail"
    LOG = "log"
    STORE = "store"


class Stretch(NamedTuple):
    """Entries of one video, ascending. Together with the position asked from, complete through `through`."""

    entries: list[Entry]
    through: int
    source: Source


def count_read(source: Source) -> None:
    """Count a read that was answered from `source` in the end."""
    _reads.labels(source.value).inc()


def stretch(entries: list[Entry], through: int, source: Source) -> Stretch:
    """Make a stretch, and count the read by its source."""
    count_read(source)
    return Stretch(entries, through, source)


def entry_of_row(row: Row, partition: int) -> Entry:
    """Make an entry of a stored row."""
    return Entry(
        row.position,
        partition,
        row.kind,
        row.video_id,
        row.author_id,
        row.value,
        target=row.target,
        appended_at_ms=row.appended_at_ms,
    )
