"""Spans of a process: sent where they are to go, bounded and never waited for where nobody takes them."""

import socket
import time
from typing import Any

import pytest

from infra.local.collector import collector
from livecomments.runtime.metrics import REGISTRY
from livecomments.runtime.tracing import _FLUSH_S, SPANS_WAITING_MAX, Tracing, context_of


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("livecomments_trace_spans_total", {"result": result}) or 0.0


async def test_spans_are_sent_with_their_parents_at_the_latest_at_the_end() -> None:
    taken = counted("taken")
    with collector() as kept:
        tracing = Tracing("livecomments-x", kept.url, 1.0)
        outer = tracing.begin("outer", "SERVER", None, {"a": 1})
        inner = tracing.begin("inner", "CONSUMER", context_of(outer), {}, 1_000)
        inner.end(3_000)
        tracing.fail(outer, "reason")
        await tracing.aclose()
        await tracing.aclose()
    by_name = {span.name: span for span in kept.spans}
    assert (by_name["inner"].parent_id, by_name["outer"].parent_id) == (by_name["outer"].span_id, "")
    assert (by_name["inner"].start_ns, by_name["inner"].end_ns) == (1_000, 3_000)
    assert by_name["outer"][:3] == ("livecomments-x", "outer", "SERVER")
    assert (by_name["outer"].attributes, by_name["outer"].failed_with) == ({"a": 1}, "reason")
    assert counted("taken") == taken + 2


@pytest.mark.parametrize("is_there", [False, True], ids=["refused", "never answers"])
async def test_where_nobody_takes_them_making_them_goes_on_and_what_waits_is_bounded(is_there: bool) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        if is_there:
            nobody.listen()
        tracing = Tracing("livecomments-x", f"http://127.0.0.1:{nobody.getsockname()[1]}", 1.0)
        for _ in range(SPANS_WAITING_MAX * 2):
            tracing.begin("span", "INTERNAL", None, {}).end()
        provider: Any = tracing._provider
        (processor,) = provider._active_span_processor._span_processors
        assert len(processor._batch_processor._queue) <= SPANS_WAITING_MAX
        began = time.monotonic()
        await tracing.aclose()
        assert time.monotonic() - began < _FLUSH_S * 20  # it ends at all: a collector that hangs holds no process up


@pytest.mark.parametrize(("chance", "is_chosen"), [(0.0, True), (0.24, True), (0.25, False), (0.99, False)])
async def test_by_the_ratio_a_comment_is_traced_or_not(chance: float, is_chosen: bool) -> None:
    with collector() as kept:
        tracing = Tracing("livecomments-x", kept.url, 0.25, chance=lambda: chance)
        assert tracing.is_chosen() is is_chosen
        await tracing.aclose()
