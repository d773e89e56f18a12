"""Dead letters: records nobody can read, set aside with their reason and origin. They never hold up what follows."""

import logging
from typing import Final

from livecomments.log.interface import AppendRefused, CommentLog
from livecomments.runtime.metrics import Counter
from livecomments.runtime.retrying import retrying, told
from livecomments_schemas.events import NewRecord, Record, headers_of, listed_headers

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
    hold the record's own behind `record.`, in their order, repeated and null ones too.

    What is too large is cut, or its headers are left out, and the header `cut` says so: all of it stands where `origin`
    says. A record may be set aside twice (after a crash between letter and watermark): `origin` tells.
    """

    def __init__(self, log: CommentLog, origin_topic: str) -> None:
        self._log = log
        self._origin_topic = origin_topic

    async def put(self, record: Record, reason: str) -> None:
        """Set `record` aside; tries until it is durable."""
        tells = told(_log, "dead letter not taken, trying again")
        letter = letter_of(record, reason, self._origin_topic)
        try:
            await retrying(
                lambda: self._log.append(0, letter), lambda error: isinstance(error, AppendRefused) or tells(error)
            )
        except AppendRefused:  # the topic takes less than it should; what matters is where the record lies
            shortest = letter_of(record, reason, self._origin_topic, is_short=True)
            await retrying(lambda: self._log.append(0, shortest), tells)
        _letters.labels(reason).inc()


def letter_of(record: Record, reason: str, origin_topic: str, *, is_short: bool = False) -> NewRecord:
    """Make the letter that sets `record` aside: whatever the record's size, no larger than what the writer takes.

    `is_short` leaves all of the record out, for a topic that takes less than that.
    """
    headers: list[tuple[str, bytes | None]] = [
        ("reason", reason.encode()),
        ("origin", f"{origin_topic}/{record.partition}/{record.offset}".encode()),
    ]
    if record.value is None:
        headers.append(("value", b"null"))
    key, value = record.key or b"", record.value or b""
    own = [(RECORD_HEADER + name, said) for name, said in listed_headers(record.headers)]
    size = sum(len(name.encode()) + len(said or b"") + _HEADER_LENGTHS_BYTES for name, said in own)
    has_room = size <= _HEADER_BYTES_MAX and not is_short
    if has_room:
        headers += own
    key_bytes, value_bytes = (0, 0) if is_short else (_KEY_BYTES_MAX, _VALUE_BYTES_MAX)
    if len(key) > key_bytes or len(value) > value_bytes or not has_room:
        cut = f"key of {len(key)} bytes, value of {len(value)} bytes, headers of {size} bytes"
        headers.append(("cut", cut.encode()))
    return NewRecord(key[:key_bytes], value[:value_bytes], headers_of(headers))
