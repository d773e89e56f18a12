"""What the topic `comment-counts` says: of each video and minute, how many comments there were, by how many people.

| `type` | key | value |
|---|---|---|
| `comments.counted` | `videoId/minute` | `{"videoId", "minute", "comments", "writers", "through"}` |
| `counts.progress` | `progress` | `{"epochs": [{"epoch", "partitions": {"0": {"from", "through", "unsure"?}}}]}` |

Counts are absolute: of one video and minute the largest is the newest, whoever wrote it, and however often. What counts
is what was written: a delete takes nothing back.

The minute of a comment is that of its append, or of any earlier accepted comment of its partition, if that is later: so
that each partition has one minute that is not over, whatever brokers' clocks say.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple

import orjson

from livecomments_schemas.events import SCHEMA_VERSION, NewRecord, Record

COMMENTS_COUNTED: Final = b"comments.counted"
COUNTS_PROGRESS: Final = b"counts.progress"
PROGRESS_KEY: Final = b"progress"
"""No video id has a key like it: those of counts have a slash."""
MINUTE_MS: Final = 60_000


class Count(NamedTuple):
    """What is known of one minute of one video."""

    video_id: str
    minute: int
    """Unix minutes."""
    comments: int
    writers: int
    """Different authors, by their ids."""
    through: str
    """The id of the last comment that is counted."""


def minute_text(minute: int) -> str:
    """Write a minute as RFC 3339, in UTC: when it begins."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:00Z")


def counted(count: Count) -> NewRecord:
    """Make the record that says a count."""
    minute = minute_text(count.minute)
    said = {
        "videoId": count.video_id,
        "minute": minute,
        "comments": count.comments,
        "writers": count.writers,
        "through": count.through,
    }
    headers = {"type": COMMENTS_COUNTED, "schema": SCHEMA_VERSION}
    return NewRecord(f"{count.video_id}/{minute}".encode(), orjson.dumps(said), headers)


def count_of(record: Record) -> Count | None:
    """Read a count; None if the record says something else, or nothing that can be read."""
    if record.headers.get("type") != COMMENTS_COUNTED or record.headers.get("schema") != SCHEMA_VERSION:
        return None
    try:
        said = orjson.loads(record.value or b"")
        minute = datetime.fromisoformat(said["minute"])
        return Count(
            str(said["videoId"]),
            int(minute.timestamp()) // 60,
            int(said["comments"]),
            int(said["writers"]),
            str(said["through"]),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
