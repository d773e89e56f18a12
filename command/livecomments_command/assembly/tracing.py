"""The spans of a process, where they are configured."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from livecomments.runtime.shared_settings import TraceSettings
from livecomments.runtime.tracing import Tracing


@asynccontextmanager
async def traced(settings: TraceSettings, process: str) -> AsyncIterator[Tracing | None]:
    """Yield what makes the spans of a process, None where they go nowhere; send the last ones on exit.

    Raises:
        StartRefused: OpenTelemetry is not installed.
    """
    if not settings.otlp_endpoint:
        yield None
        return
    tracing = Tracing(f"livecomments-{process}", settings.otlp_endpoint, settings.trace_ratio)
    try:
        yield tracing
    finally:
        await tracing.aclose()
