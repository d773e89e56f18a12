"""Spans of OpenTelemetry, sent by OTLP over HTTP: what became of one comment, from its POST to the first socket.

Off, nothing of it is imported: whoever makes spans is given a `Tracing`, or None. Spans of one comment are made by
three processes, which know each other's by the record's `traceparent` header (`livecomments_schemas.traces`).

Whether a comment is traced is decided once, at its POST, by our own ratio: whoever calls may name the trace that they
want it in, and not have us make more of them. No span holds a text, a token or an address.
"""

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from livecomments.runtime.metrics import Counter
from livecomments.runtime.vitals import own_version
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.traces import TraceContext

SPANS_WAITING_MAX: Final = 2_048
"""Spans, some 2 MB. While the collector is away the oldest beyond are let go."""
_BATCH_SPANS: Final = 512
_SEND_INTERVAL_MS: Final = 1_000
_SEND_TIMEOUT_S: Final = 5.0
_FLUSH_S: Final = 2.0
"""For what waits to be sent when a process ends."""

Kind = Literal["SERVER", "INTERNAL", "PRODUCER", "CONSUMER"]
Attributes = Mapping[str, str | int]

_log = logging.getLogger("livecomments.tracing")
_spans = Counter("livecomments_trace_spans_total", "Spans made, and those that the collector took or not.", ["result"])
_made, _taken, _failed = (_spans.labels(result) for result in ("made", "taken", "failed"))


class Span(Protocol):
    """A span that was begun: OpenTelemetry's own, as far as it is used here."""

    def set_attribute(self, key: str, value: str | int) -> None:
        """Say something of it."""

    def end(self, end_time: int | None = None) -> None:
        """End it, now or at a time (Unix, nanoseconds); it is sent by and by."""


class Tracing:
    """Makes spans of one process, and sends them on a thread of its own. Making one never waits, and never fails.

    Args:
        service: the process, as the collector is told: livecomments-gateway, …
        endpoint: where the collector listens, without a path.
        ratio: of the comments posted, from 0 to 1.
        chance: returns a number from 0 to 1.

    Raises:
        StartRefused: the library is not installed.
    """

    def __init__(
        self,
        service: str,
        endpoint: str,
        ratio: float,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.context import Context
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        except ImportError as error:
            raise StartRefused(
                "LIVECOMMENTS_OTLP_ENDPOINT needs OpenTelemetry: pip install 'livecomments[tracing]'"
            ) from error
        self._api: Any = trace
        self._nothing = Context()
        self._ratio = ratio
        self._chance = chance
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it tells of each batch; we count
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_SEND_TIMEOUT_S)
        _count(exporter)
        sending = BatchSpanProcessor(
            exporter,
            max_queue_size=SPANS_WAITING_MAX,
            max_export_batch_size=_BATCH_SPANS,
            schedule_delay_millis=_SEND_INTERVAL_MS,
        )
        told = Resource({"service.name": service, "service.version": own_version()})  # and no host, no address
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=told, shutdown_on_exit=False)
        self._provider.add_span_processor(sending)
        self._tracer = self._provider.get_tracer("livecomments", own_version())

    def is_chosen(self) -> bool:
        """Decide whether the next comment posted is traced."""
        return self._chance() < self._ratio

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Attributes,
        start_ns: int | None = None,
    ) -> Span:
        """Begin a span, now or at `start_ns` (Unix, nanoseconds), which the caller ends.

        Without a parent a trace begins with it.
        """
        api, context = self._api, self._nothing
        if parent is not None:
            sampled = api.TraceFlags(api.TraceFlags.SAMPLED)
            known = api.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=sampled)
            context = api.set_span_in_context(api.NonRecordingSpan(known), context)
        _made.inc()
        span: Span = self._tracer.start_span(name, context, api.SpanKind[kind], attributes, start_time=start_ns)
        return span

    def fail(self, span: Any, reason: str) -> None:
        """Mark a span as failed for a reason, a fixed word, and end it."""
        span.set_status(self._api.StatusCode.ERROR, reason)
        span.end()

    async def aclose(self) -> None:
        """Send what waits, for a bounded time, and let go of the rest. May be called twice."""
        loop, is_sent = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(is_sent.set)

        # A daemon, and no task of the loop's executor, for which the process would wait at its exit.
        threading.Thread(target=shut_down, daemon=True).start()
        try:
            async with asyncio.timeout(_FLUSH_S):
                await is_sent.wait()
        except TimeoutError:
            _log.warning("the collector did not take the last spans")


def context_of(span: Any) -> TraceContext:
    """Return what a `traceparent` says of a span that is kept."""
    known = span.get_span_context()
    return TraceContext(known.trace_id, known.span_id, is_sampled=True)


def _count(exporter: Any) -> None:
    """Count what an exporter sends, and say in the log when the collector begins to refuse, and when it takes again."""
    send, is_away = exporter.export, False

    def send_counted(spans: Sequence[Any]) -> Any:
        nonlocal is_away
        result = send(spans)
        was_away, is_away = is_away, result.name != "SUCCESS"
        if is_away != was_away:
            _log.warning("the collector takes no spans" if is_away else "the collector takes spans again")
        (_failed if is_away else _taken).inc(len(spans))
        return result

    exporter.export = send_counted
