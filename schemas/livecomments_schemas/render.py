"""The public JSON of a comment and of a video, a function each, so that its bytes are the same wherever it is told.

A comment's record is never parsed: the id is spliced in front of its first member.
"""

from collections.abc import Mapping
from typing import Final

import orjson

VIDEO_DEFAULTS: Final[Mapping[str, object]] = {
    "title": "",
    "whoMayComment": "everyone",
    "slowModeS": 0,
    "maxCommentsPerS": 0,
}
"""What holds of a video of which nobody has said anything, in the order in which it is told."""

_HEAD: Final = b'{"commentId":"'


def render_comment(comment_id: str, value: bytes) -> bytes:
    """Render a comment as clients see it. `value` is of an accepted `comment.created` record: it starts with `{"`."""
    return b"".join((_HEAD, comment_id.encode("ascii"), b'",', value[1:]))


def render_video(video_id: str, settings: Mapping[str, object], *, is_ended: bool, pinned: str = "") -> bytes:
    """Render a video as clients see it, of the members of a `video.changed` value; the rest is as in `VIDEO_DEFAULTS`.

    `pinned` is the id of the comment that stands above the others; without one there is no such member.
    """
    said = {name: settings.get(name, usual) for name, usual in VIDEO_DEFAULTS.items()}
    if pinned:
        said["pinnedCommentId"] = pinned
    return orjson.dumps({"videoId": video_id, "state": "ended" if is_ended else "live", **said})
