"""W3C trace context: which trace a comment belongs to, as the header `traceparent` of requests and records says.

Source: https://www.w3.org/TR/trace-context/#traceparent-header, version 00. What is not well-formed is no context, as
the specification asks; so is a later version, whose rest nobody can check.
"""

import re
from typing import Final, NamedTuple

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_CHARS: Final = 55
_SAMPLED: Final = 0x01


class TraceContext(NamedTuple):
    """A span that others may belong to, and whether it is kept."""

    trace_id: int
    span_id: int
    is_sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.is_sampled):02x}"


def trace_context(traceparent: str | bytes | None) -> TraceContext | None:
    """Read a header's value, whoever wrote it; None if it is missing or not well-formed."""
    if traceparent is None or len(traceparent) != _CHARS:
        return None
    text = traceparent if isinstance(traceparent, str) else traceparent.decode("latin-1")
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    return TraceContext(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & _SAMPLED))
