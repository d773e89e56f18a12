"""A collector of spans on this machine: what a process sends it by OTLP over HTTP is kept, to be looked at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan

_PATH: Final = "/v1/traces"


class KeptSpan(NamedTuple):
    """A span as it was sent. Ids in hex, times in Unix nanoseconds; without a parent `parent_id` is empty."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, str | int]
    failed_with: str
    """The reason of a failure; empty without one."""


class Collector:
    """What was sent so far, and in how many requests."""

    def __init__(self) -> None:
        self.spans: list[KeptSpan] = []
        self.raw = b""
        """All that was sent, one after the other."""
        self.url = ""

    def take(self, body: bytes) -> None:
        """Keep the spans of a request."""
        self.raw += body
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            service = str(_values(of_resource.resource.attributes)["service.name"])
            for scope in of_resource.scope_spans:
                self.spans += [_kept(service, span) for span in scope.spans]

    def trace(self, trace_id: str) -> dict[str, KeptSpan]:
        """Return the spans of a trace by name, each of which it has once."""
        found = [span for span in self.spans if span.trace_id == trace_id]
        by_name = {span.name: span for span in found}
        assert len(by_name) == len(found), found
        return by_name


@contextmanager
def collector() -> Iterator[Collector]:
    """Run one that listens on a free port of this machine, on threads of its own."""
    kept = Collector()

    class Handling(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == _PATH
            kept.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handling)
    server.daemon_threads = True
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _kept(service: str, span: SentSpan) -> KeptSpan:
    kind = SentSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    times = span.start_time_unix_nano, span.end_time_unix_nano
    return KeptSpan(service, span.name, kind, *ids, *times, _values(span.attributes), span.status.message)


def _values(attributes: Any) -> dict[str, str | int]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
