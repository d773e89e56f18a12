"""What is remembered of a run: events out of bytes, known blocks, and what a viewer is still owed."""

import pytest

from livecomments_loadtest.ledger import (
    PROTOCOL_KINDS_MAX,
    REMEMBERED_BLOCKS,
    Ack,
    Complaints,
    Event,
    EventKind,
    EventMalformed,
    Trace,
    VideoLedger,
    digest_of,
    read_event,
)
from livecomments_loadtest.sse import parse_block

ID = "00000000000000a1"
BODY = b'{"commentId":"%s","message":"hi"}' % ID.encode()


def read(block: bytes) -> Event | None:
    return read_event(parse_block(block))


def test_events_are_what_their_bytes_say() -> None:
    assert read(b"event: comment\nid: %s\ndata: %s" % (ID.encode(), BODY)) == Event(
        EventKind.COMMENT, ID, digest_of(BODY)
    )
    assert read(b'event: delete\nid: %s\ndata: {"commentId":"x"}' % ID.encode()) == Event(
        EventKind.DELETE, ID, other="x"
    )
    assert read(b'event: gap\nid: %s\ndata: {"from":"x"}' % ID.encode()) == Event(EventKind.GAP, ID, other="x")
    assert read(b'event: heartbeat\nid: %s\ndata: {"everyMs":15000}' % ID.encode()) == Event(EventKind.MARK, ID)
    assert read(b"id: %s" % ID.encode()) == Event(EventKind.MARK, ID)
    assert read(b'event: stale\ndata: {"behindMs":1}') is None
    assert read(b":\nevent: begin\nid: \nretry: 2000") is None


@pytest.mark.parametrize(
    "block",
    [
        b"event: comment\ndata: " + BODY,
        b"event: heartbeat\nid: 7\ndata:",
        b"id:\ndata: reset",
        b"event: comment\nid: 00000000000000a2\ndata: " + BODY,
        b"event: comment\nid: 00000000000000a1\ndata: no json",
        b'event: gap\nid: 00000000000000a1\ndata: {"to":"x"}',
        b"event: delete\nid: 00000000000000A1\ndata: {}",
    ],
)
def test_an_event_that_breaks_the_contract_is_refused(block: bytes) -> None:
    with pytest.raises(EventMalformed):
        read(block)


def test_known_blocks_are_booked_up_to_the_first_unknown_one() -> None:
    video, trace = VideoLedger("v"), Trace(0)
    video.remember(b"a", video.number(Event(EventKind.MARK, "a")))
    assert video.take([b"a", b"a", b"b", b"a"], 0, trace) == 2
    assert video.take([b"a", b"a", b"b", b"a"], 3, trace) == 4
    assert list(video.events_of(trace)) == [Event(EventKind.MARK, "a")] * 3


def test_only_the_newest_blocks_are_remembered() -> None:
    video, trace = VideoLedger("v"), Trace(0)
    for n in range(3 * REMEMBERED_BLOCKS):
        video.remember(b"%d" % n, video.number(Event(EventKind.MARK, str(n))))
    assert video.take([b"0"], 0, trace) == 0
    assert video.take([b"%d" % (3 * REMEMBERED_BLOCKS - 1)], 0, trace) == 1


def test_a_viewer_is_owed_the_end_and_the_deletes_of_what_it_was_shown() -> None:
    video, trace = VideoLedger("v"), Trace(0)
    assert not trace.owes(video)
    video.acknowledge(ID, Ack(0, 0.0, 0.0))
    video.deletes.update({ID: True, "00000000000000a0": True})
    assert trace.owes(video)
    trace.events.append(video.number(Event(EventKind.COMMENT, ID)))
    assert trace.owes(video)
    trace.events.append(video.number(Event(EventKind.DELETE, "00000000000000a2", other=ID)))
    assert not trace.owes(video)


def test_complaints_are_counted_by_a_bounded_number_of_kinds() -> None:
    complaints = Complaints()
    for n in range(PROTOCOL_KINDS_MAX + 5):
        complaints.add(f"kind {n}")
    complaints.add("kind 0")
    lines = list(complaints.lines())
    assert lines.count("kind 0") == 2
    assert lines.count("other") == 5
