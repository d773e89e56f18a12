"""The messages of a durable stream: each is a JSON object with its `type`, made of one record alone.

So what lies between two offsets is the same whoever tells it, but for the text of a comment that was deleted since.
"""

from collections.abc import Iterable

import orjson

from livecomments.following.tail import Entry
from livecomments_consumers.frames import delete_value
from livecomments_schemas.events import COMMENT_DELETED, VIDEO_CHANGED, VIDEO_ENDED, VIDEO_STARTED
from livecomments_schemas.render import VIDEO_DEFAULTS


def messages_of(entries: Iterable[Entry]) -> bytes:
    """Return the JSON array of what readers see of these entries: comments that have a text, deletes, and videos."""
    return b"[" + b",".join(filter(None, map(_message, entries))) + b"]"


def is_told(entries: Iterable[Entry]) -> bool:
    """Tell whether readers see anything of these entries."""
    return any(map(_message, entries))


def _message(entry: Entry) -> bytes:
    """Return the message of one record; empty if it tells readers nothing."""
    if entry.is_shown:
        return b'{"type":"comment",' + entry.rendered()[1:]
    if entry.kind == COMMENT_DELETED:
        return b'{"type":"delete",' + (entry.value or delete_value(entry))[1:]
    if entry.kind in (VIDEO_STARTED, VIDEO_ENDED):
        return _of_video(entry, {"state": "ended" if entry.kind == VIDEO_ENDED else "live"})
    if entry.kind == VIDEO_CHANGED and entry.value:
        said = orjson.loads(entry.value)
        return _of_video(entry, {name: said.get(name, usual) for name, usual in VIDEO_DEFAULTS.items()})
    return b""


def _of_video(entry: Entry, said: dict[str, object]) -> bytes:
    return orjson.dumps({"type": "video", "videoId": entry.video_id, **said})
