"""Encoded SSE events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html. Every frame has a `data` line, since one engine
ignores an `id` in a frame without one, and comments are invisible to scripts.
"""

from collections.abc import Iterable

import orjson

from livecomments.following.tail import Entry
from livecomments_schemas.events import COMMENT_DELETED
from livecomments_schemas.positions import comment_id, parse_comment_id


def entry_frames(entries: Iterable[Entry]) -> bytes:
    """Return the frames of what viewers see of these entries: comments that have a text, and deletes."""
    frames = []
    for entry in entries:
        if entry.is_shown:
            frames += [b"event: comment\nid: ", entry.comment_id.encode(), b"\ndata: ", entry.rendered(), b"\n\n"]
        elif entry.kind == COMMENT_DELETED:
            data = entry.value or delete_value(entry)
            frames += [b"event: delete\nid: ", entry.comment_id.encode(), b"\ndata: ", data, b"\n\n"]
    return b"".join(frames)


def heartbeat_frame(comment_id: str, every_s: float) -> bytes:
    """Say that everything up to `comment_id` was delivered, or told as a gap; and the stream is alive.

    `every_s`: after so long a silence the next comes; whoever waits for longer waits for a dead connection.
    """
    data = b'{"everyMs":%d}' % round(1_000 * every_s)
    return b"event: heartbeat\nid: " + comment_id.encode() + b"\ndata: " + data + b"\n\n"


def video_frame(comment_id: str, video: bytes) -> bytes:
    """Return the event with the video's state, its public JSON. Its id is a heartbeat's, as it delivers no more."""
    return b"event: video\nid: %b\ndata: %b\n\n" % (comment_id.encode(), video)


def gap_frame(after_id: str, through_id: str, reason: str) -> bytes:
    """Return the event of a gap: what lies after `after_id`, through `through_id`, is not delivered.

    It will not be delivered later either; history may have it.
    """
    data = orjson.dumps({"from": after_id, "to": through_id, "reason": reason})
    return b"event: gap\nid: " + through_id.encode() + b"\ndata: " + data + b"\n\n"


def stale_frame(behind_ms: int) -> bytes:
    """Return the event that says: the log has not answered for `behind_ms`: what is shown may be old."""
    return b'event: stale\ndata: {"behindMs":%d}\n\n' % behind_ms


def bye_frame(reason: str, retry_ms: int) -> bytes:
    """Return the event by which the server ends this stream, and has the client come back after `retry_ms`.

    It has no id, since it delivers nothing.
    """
    return b"event: bye\nretry: %d\ndata: " % retry_ms + orjson.dumps({"reason": reason}) + b"\n\n"


def begin_frame(after_id: str, retry_ms: int) -> bytes:
    """Return the beginning of a stream after `after_id` ("" for none): no event, only its id and when to come back.

    WebKit keeps what it has of an event in which the connection is cut, and takes the next stream for its rest: half a
    comment and half a line of ours, with an id that was never delivered. So the first line may end a line, `begin` is
    an event that nobody listens to, and the id is again what was asked for. All others see no data, and so no event.
    """
    assert retry_ms > 0, "0 is as fast as they can, for some browsers"
    return b":\nevent: begin\nid: %b\nretry: %d\n\n" % (after_id.encode(), retry_ms)


def retry_answer(retry_ms: int) -> bytes:
    """Return the whole body of an answer that only says when to come back.

    No blank line ends it: for WebKit that would end a cut event, as above; the response's own end makes it forget it.
    """
    assert retry_ms > 0
    return b":\nretry: %d\n" % retry_ms


def delete_value(delete: Entry) -> bytes:
    """Return the value of a delete that has lost its own in the store, where it was itself named as deleted."""
    _, partition = parse_comment_id(delete.comment_id)
    return b'{"commentId":"%b"}' % comment_id(delete.target, partition).encode()
