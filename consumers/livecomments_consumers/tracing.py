"""The span of a comment on an edge: from when its record was read until the first viewer's socket took it."""

import time
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from livecomments.following.tail import Entry, Tail
from livecomments.runtime.tracing import Tracing
from livecomments_consumers.block import Block
from livecomments_schemas.events import Record
from livecomments_schemas.judge import Verdict
from livecomments_schemas.positions import offset_of
from livecomments_schemas.traces import TraceContext, trace_context


class TracedEntry(Entry):
    """An entry that knows the trace that its record belongs to."""

    __slots__ = ("heard_ns", "trace")

    trace: TraceContext | None
    """None if it is in none that is kept."""
    heard_ns: int
    """When it was read and judged, Unix nanoseconds."""

    @classmethod
    def of(cls, record: Record, verdict: Verdict, position: int, read_at: float = 0.0) -> "TracedEntry":
        """See `Entry.of`."""
        entry = super().of(record, verdict, position, read_at)
        assert isinstance(entry, TracedEntry)
        found = trace_context(record.headers.get("traceparent"))
        entry.trace = found if found is not None and found.is_sampled else None
        entry.heard_ns = time.time_ns()
        return entry


class TracedTail(Tail):
    """A tail of such entries."""

    entry_type: ClassVar[type[Entry]] = TracedEntry


class Deliveries:
    """Makes the spans."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def watch(self, blocks: Sequence[Block], entries: Sequence[Entry]) -> None:
        """Have each block make the spans of its entries, in their order, when a socket has taken it."""
        traced = [entry for entry in entries if isinstance(entry, TracedEntry) and entry.trace is not None]
        for block in blocks if traced else ():
            within = [entry for entry in traced if block.first <= entry.position <= block.through]
            if within:
                block.when_taken = partial(self._note_taken, within)

    def _note_taken(self, entries: Sequence[TracedEntry]) -> None:
        now_ns = time.time_ns()
        for entry in entries:
            said: dict[str, str | int] = {
                "messaging.destination.partition.id": str(entry.partition),
                "messaging.kafka.offset": offset_of(entry.position),
                "livecomments.video_id": entry.video_id,
            }
            self._tracing.begin("deliver", "CONSUMER", entry.trace, said, entry.heard_ns).end(now_ns)
