"""What a record is, by the words of the definition: no window, no ring, no hash, only the log itself."""

from collections.abc import Sequence

from livecomments_schemas.judge import Kind

from .records import Entry

_OF_OTHERS = {
    "delete": Kind.ACCEPTED,
    "started": Kind.ACCEPTED,
    "ended": Kind.ACCEPTED,
    "invalid": Kind.INVALID,
    "unknown": Kind.UNKNOWN_TYPE,
    "later": Kind.UNKNOWN_SCHEMA,
}


def kind_of(log: Sequence[Entry], index: int, size: int) -> Kind:
    """What the record at `index` is, in a log that began with its first entry, with windows of `size`."""
    entry = log[index]
    if entry.what != "comment":
        return _OF_OTHERS[entry.what]
    if survivor_of(log, index, size) != entry.offset:
        return Kind.DUPLICATE
    return Kind.VOID if is_void(log, index, size) else Kind.ACCEPTED


def survivor_of(log: Sequence[Entry], index: int, size: int) -> int:
    """The offset of the first of the chain of occurrences, each within a window of the next, that ends at `index`."""
    entry = log[index]
    if entry.key is None:
        return entry.offset
    for before in reversed(range(index)):
        other = log[before]
        if entry.offset - other.offset > size:
            break
        same = (other.video_id, other.author, other.key) == (entry.video_id, entry.author, entry.key)
        if other.what == "comment" and same:
            return survivor_of(log, before, size)
    return entry.offset


def is_void(log: Sequence[Entry], index: int, size: int) -> bool:
    """Whether the last start or end of the video in the window before `index` is an end."""
    entry = log[index]
    states = [
        other.what
        for other in log[:index]
        if entry.offset - other.offset <= size
        and other.video_id == entry.video_id
        and other.what in ("started", "ended")
    ]
    return states[-1:] == ["ended"]
