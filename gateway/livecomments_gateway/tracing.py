"""The spans of one POST: the request, and within it the append and the wait for the verdict."""

from types import TracebackType
from typing import Final

from livecomments.runtime.tracing import Span, Tracing, context_of
from livecomments_schemas.events import NewRecord
from livecomments_schemas.traces import TraceContext

_UNKNOWN_ERROR: Final = "error"


class PostTrace:
    """A context manager around the answer to a POST.

    Args:
        tracing: makes the spans.
        video_id: what is commented on.
        parent: the trace that the caller wants it in, if any.
    """

    def __init__(self, tracing: Tracing, video_id: str, parent: TraceContext | None) -> None:
        self._tracing = tracing
        said = {"http.request.method": "POST", "http.route": "/comments/{videoId}", "livecomments.video_id": video_id}
        self._post = tracing.begin("POST /comments/{videoId}", "SERVER", parent, said)
        self._step: Span | None = None
        """What is under way within it: the append, or the wait for the verdict."""

    def __enter__(self) -> "PostTrace":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._end_step()
            self._post.set_attribute("http.response.status_code", 201)
            self._post.end()
            return
        reason = str(getattr(error, "code", _UNKNOWN_ERROR))
        if self._step is not None:
            self._tracing.fail(self._step, reason)
        self._post.set_attribute("error.type", reason)
        self._tracing.fail(self._post, reason)

    def begin_append(self, record: NewRecord, partition: int) -> NewRecord:
        """Begin the append of a record; returns it with the header by which others join the trace."""
        self._end_step()
        said = {"messaging.system": "kafka", "messaging.operation.type": "send"}
        at = {"messaging.destination.partition.id": str(partition)}
        self._step = self._tracing.begin("append", "PRODUCER", context_of(self._post), said | at)
        joined = str(context_of(self._step)).encode("ascii")
        return record._replace(headers={**record.headers, "traceparent": joined})

    def note_acked(self, offset: int) -> None:
        """End the append: the record is at this offset. The wait for the verdict begins."""
        if self._step is not None:
            self._step.set_attribute("messaging.kafka.offset", offset)
        self._end_step()
        self._step = self._tracing.begin("verdict", "INTERNAL", context_of(self._post), {})

    def note_judged(self, verdict: str) -> None:
        """End that wait."""
        if self._step is not None:
            self._step.set_attribute("livecomments.verdict", verdict)
        self._end_step()

    def _end_step(self) -> None:
        step, self._step = self._step, None
        if step is not None:
            step.end()
