"""`traceparent`: what is well-formed is read, and nothing else, whoever wrote it."""

import pytest

from livecomments_schemas.traces import TraceContext, trace_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_what_is_well_formed_is_read_and_written_alike(flags: str, is_sampled: bool) -> None:
    text = f"00-{TRACE}-{SPAN}-{flags}"
    found = TraceContext(int(TRACE, 16), int(SPAN, 16), is_sampled)
    assert trace_context(text) == trace_context(text.encode()) == found
    assert str(found) == f"00-{TRACE}-{SPAN}-{int(is_sampled):02d}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01\n",
        f"01-{TRACE}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}\N{ARABIC-INDIC DIGIT ONE}-{SPAN}-01",
        "é" * 55,
        "9" * 1_000_000,
    ],
)
def test_what_is_not_well_formed_is_no_context(text: str) -> None:
    assert trace_context(text) is None
    assert trace_context(text.encode()) is None
    assert trace_context(text.encode("utf-16")) is None


def test_without_a_header_there_is_none() -> None:
    assert trace_context(None) is None
