"""The span of a comment in the stream job: from when it was taken until the store has acknowledged its row."""

import time
from collections.abc import Sequence

from livecomments.runtime.tracing import Tracing
from livecomments_schemas.events import Record
from livecomments_schemas.traces import trace_context


class PersistTraces:
    """Makes the spans."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def note_stored(self, records: Sequence[Record], began_ns: int) -> None:
        """Make the spans of those of these records that are in a trace that is kept.

        Args:
            records: accepted, and stored by now.
            began_ns: when they were taken, Unix nanoseconds.
        """
        now_ns = time.time_ns()
        for record in records:
            parent = trace_context(record.headers.get("traceparent"))
            if parent is not None and parent.is_sampled:
                said: dict[str, str | int] = {
                    "messaging.destination.partition.id": str(record.partition),
                    "messaging.kafka.offset": record.offset,
                    "livecomments.stored_together": len(records),
                }
                self._tracing.begin("persist", "CONSUMER", parent, said, began_ns).end(now_ns)
