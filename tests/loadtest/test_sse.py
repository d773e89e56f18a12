"""The event stream parser, against the specification's rules and against itself cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments_loadtest.sse import BLOCK_BYTES_MAX, SseBlocks, SseEvent, StreamMalformed, parse_block

LINES = st.sampled_from(
    [
        b"data: a",
        b"data:  b",
        b"data",
        b"event: comment",
        b"id: 7",
        b"id",
        b"id: 8\0",
        b"retry: 12x",
        b": hi",
        b"x: \xef\xbb\xbf",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def events_of(*pieces: bytes) -> list[SseEvent]:
    parser = SseBlocks()
    return [parse_block(block) for piece in pieces for block in parser.feed(piece)]


def reference(stream: bytes) -> list[SseEvent]:
    """The same, the slow way: all lines first, then event by event."""
    lines = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]
    events, block = [], list[bytes]()
    for line in lines:
        if line:
            block.append(line)
        elif block:
            events.append(parse_block(b"\n".join(block)))
            block = []
    return events


@given(st.booleans(), st.lists(st.tuples(st.one_of(LINES, st.just(b"")), ENDS), max_size=30), st.data())
def test_where_the_network_cuts_makes_no_difference(
    bom: bool, lines: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"\xef\xbb\xbf" * bom + b"".join(line + end for line, end in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    # A last CR may be half of a CRLF, or the end of its line: it ends the line at once in both.
    assert events_of(*pieces) == reference(stream)


@pytest.mark.parametrize(
    ("block", "event"),
    [
        (b"data:a", SseEvent(b"message", None, b"a", None)),
        (b"data:  b", SseEvent(b"message", None, b" b", None)),
        (b"data", SseEvent(b"message", None, b"", None)),
        (b"data: a\ndata: b", SseEvent(b"message", None, b"a\nb", None)),
        (b"data: a\xe2\x80\xa8b", SseEvent(b"message", None, b"a\xe2\x80\xa8b", None)),
        (b"event: heartbeat\nid: 5\ndata:", SseEvent(b"heartbeat", b"5", b"", None)),
        (b"id: 5", SseEvent(b"message", b"5", None, None)),
        (b"id", SseEvent(b"message", b"", None, None)),
        (b"id: 8\0\ndata: x", SseEvent(b"message", None, b"x", None)),
        (b"retry: 1500", SseEvent(b"message", None, None, 1500)),
        (b"retry: 12x\nretry:", SseEvent(b"message", None, None, None)),
        (b": a comment\nunknown: x\n\xef\xbb\xbfdata: y", SseEvent(b"message", None, None, None)),
    ],
)
def test_a_block_says_what_the_specification_says(block: bytes, event: SseEvent) -> None:
    assert parse_block(block) == event


def test_an_unfinished_event_is_discarded_but_its_retry_counts() -> None:
    parser = SseBlocks()
    assert parser.feed(b"retry: 40\nid: 9\ndata: x\n") == []
    assert parser.is_mid_event()
    assert parser.feed_eof() == 40
    assert not parser.is_mid_event()


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(StreamMalformed):
        SseBlocks().feed(b"data: " + b"x" * BLOCK_BYTES_MAX)
