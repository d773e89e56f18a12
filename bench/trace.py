"""`python -m bench.trace`: draws one comment's trace, from its POST to the first socket, out of spans that were sent.

The whole distributed form runs on this machine, each process sends its spans to a collector beside it, and comments are
written one by one while somebody watches. Drawn is the trace whose length is the middle one.
"""

import argparse
import json
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from html import escape
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Final

from infra.local.collector import Collector, KeptSpan, collector
from infra.local.stack import Stack
from livecomments.runtime.console import plain_console

_STEPS: Final = ("POST /comments/{videoId}", "append", "verdict", "deliver", "persist")
_VIDEO: Final = "traced"
_ROW, _LEFT, _WIDTH, _RIGHT = 30, 330, 560, 110
_COLOURS: Final = {"livecomments-gateway": "#2a78b5", "livecomments-edge": "#e07b39", "livecomments-stream": "#5a9e5a"}
_TIMEOUT_S: Final = 30.0


def drawn(spans: Sequence[KeptSpan]) -> str:
    """Return an SVG of a trace: a bar a span, below the one that it is part of, in the colour of its process."""
    began, ended = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
    scale = _WIDTH / (ended - began)
    ordered = list(_below("", {span.span_id for span in spans}, spans, 0))
    parts = [_row(span, 46 + at * _ROW, depth, began, scale) for at, (span, depth) in enumerate(ordered)]
    legend = "".join(
        f'<tspan fill="{colour}">{escape(name.removeprefix("livecomments-"))}  </tspan>'
        for name, colour in _COLOURS.items()
    )
    height = 46 + len(ordered) * _ROW + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="{height}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="24">One comment, from its POST to the first socket and the store {legend}</text>'
        f"{''.join(parts)}</svg>\n"
    )


def _below(
    parent_id: str, known: AbstractSet[str], spans: Sequence[KeptSpan], depth: int
) -> Iterator[tuple[KeptSpan, int]]:
    """Yield the spans below one, each with what is below it, and how deep each is; the first are those of no parent."""
    for span in sorted(spans, key=lambda one: one.start_ns):
        if span.parent_id == parent_id or (not parent_id and span.parent_id not in known):
            yield span, depth
            yield from _below(span.span_id, known, spans, depth + 1)


def _row(span: KeptSpan, y: int, depth: int, began: int, scale: float) -> str:
    x, width = _LEFT + (span.start_ns - began) * scale, max(1.5, (span.end_ns - span.start_ns) * scale)
    said = f"{(span.end_ns - span.start_ns) / 1e6:.1f} ms"
    return (
        f'<text x="{16 + depth * 18}" y="{y + 17}">{escape(span.name)}</text>'
        f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{_ROW - 10}" fill="{_COLOURS[span.service]}"/>'
        f'<text x="{x + width + 6:.1f}" y="{y + 18}" font-size="11">{said}</text>'
    )


@contextmanager
def _watching(url: str) -> Iterator[HTTPResponse]:
    with urllib.request.urlopen(f"{url}/comments/{_VIDEO}/stream", timeout=_TIMEOUT_S) as stream:
        stream.readline()
        yield stream


def _called(url: str, body: Mapping[str, str], token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        said: dict[str, Any] = json.load(answer)
        return said


def _write(url: str, count: int) -> None:
    """Write comments one after the other, each when the one before has come to who watches."""
    token = _called(f"{url}/sessions", {"displayName": "Ana"})["sessionToken"]
    with _watching(url) as stream:
        for number in range(count):
            comment_id = _called(f"{url}/comments/{_VIDEO}", {"message": f"comment {number}"}, token)["commentId"]
            while comment_id.encode() not in stream.readline():
                pass


def _whole(kept: Collector) -> list[list[KeptSpan]]:
    """Return the traces that have every step, the shortest first."""
    traces = defaultdict(list)
    for span in kept.spans:
        traces[span.trace_id].append(span)
    whole = [spans for spans in traces.values() if sorted(span.name for span in spans) == sorted(_STEPS)]
    return sorted(whole, key=_length_ns)


def _length_ns(spans: Sequence[KeptSpan]) -> int:
    return max(span.end_ns for span in spans) - min(span.start_ns for span in spans)


def main() -> None:
    """Run the stack, write, draw."""
    parser = argparse.ArgumentParser(prog="python -m bench.trace", description=__doc__)
    parser.add_argument("--comments", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path("docs/trace.svg"))
    given = parser.parse_args()
    console = plain_console()
    with collector() as kept, tempfile.TemporaryDirectory() as directory:
        environment = {"LIVECOMMENTS_OTLP_ENDPOINT": kept.url, "LIVECOMMENTS_TRACE_RATIO": "1"}
        stack = Stack(Path(directory), environment, edges=1)
        try:
            stack.bring_up(console, detached=False)
            _write(stack.url, given.comments)
        finally:
            stack.take_down(console.print)  # what waits is sent
        traces = _whole(kept)
    for spans in traces[len(traces) // 2 : len(traces) // 2 + 1]:
        given.out.write_text(drawn(spans))
    console.print(f"{len(traces)} whole traces of {given.comments} comments; drawn into {given.out}")


if __name__ == "__main__":
    main()
