"""Dead letters: records nobody can read, set aside with their reason and origin. They never hold up what follows."""

import logging
from typing import Final

from livecomments.log.interface import CommentLog
from livecomments.runtime.metrics import Counter
from livecomments.runtime.retrying import retrying, told
from livecomments_schemas.events import NewRecord, Record

_RETRY_S: Final = 1.0
_KEY_BYTES_MAX: Final = 1_024
_HEADER_BYTES_MAX: Final = 8 * 1_024
"""As they stand in the letter: names with their prefix, and what Kafka adds to each."""
_HEADER_LENGTHS_BYTES: Final = 6
"""Before a name and before a value: its length, in at most three bytes up to the bound above."""
_VALUE_BYTES_MAX: Final = 64 * 1_024
"""A foreign record may be larger than our own writer takes; a letter that is refused for ever would stall the job."""
RECORD_HEADER: Final = "record."
"""Before the name of each of the record's own headers."""

_log = logging.getLogger("livecomments.stream")
_letters = Counter("livecomments_stream_dead_letters_total", "Records set aside.", ["reason"])


class DeadLetters:
    """The dead-letter topic. A letter's key and value are the record's own; its headers say where it stood and why, and
    hold the record's own behind `record.`.

    What is too large is cut, or its headers are left out, and the header `cut` says so: all of it stands where `origin`
    says. A record may be set aside twice (after a crash between letter and watermark): `origin` tells.
    """

    def __init__(self, log: CommentLog, origin_topic: str) -> None:
        self._log = log
        self._origin_topic = origin_topic

    async def put(self, record: Record, reason: str) -> None:
        """Set `record` aside; tries until it is durable."""
        letter = letter_of(record, reason, self._origin_topic)
        await retrying(lambda: self._log.append(0, letter), told(_log, "dead letter not taken, trying again"))
        _letters.labels(reason).inc()


def letter_of(record: Record, reason: str, origin_topic: str) -> NewRecord:
    """The letter that sets `record` aside: whatever the record's size, no larger than what the writer takes."""
    headers = {
        "reason": reason.encode(),
        "origin": f"{origin_topic}/{record.partition}/{record.offset}".encode(),
    }
    if record.value is None:
        headers["value"] = b"null"
    key, value = record.key or b"", record.value or b""
    own = {RECORD_HEADER + name: said for name, said in record.headers.items()}
    size = sum(len(name.encode()) + len(said) + _HEADER_LENGTHS_BYTES for name, said in own.items())
    if size <= _HEADER_BYTES_MAX:
        headers |= own
    if len(key) > _KEY_BYTES_MAX or len(value) > _VALUE_BYTES_MAX or size > _HEADER_BYTES_MAX:
        headers["cut"] = f"key of {len(key)} bytes, value of {len(value)} bytes, headers of {size} bytes".encode()
    return NewRecord(key[:_KEY_BYTES_MAX], value[:_VALUE_BYTES_MAX], headers)
