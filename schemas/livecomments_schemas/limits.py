"""Every bound of the public interface. `_max` is inclusive."""

from typing import Final

VIDEO_ID_CHARS_MAX: Final = 64
"""Fits a Kafka key, a URL segment and a log line without truncation."""

MESSAGE_BYTES_MAX: Final = 2_048
"""UTF-8 bytes of a message as sent. Checked before any Unicode work: normalisation is quadratic on hostile input."""

MESSAGE_GRAPHEMES_MAX: Final = 500
"""User-perceived characters of a message; 500 family emoji are within it only as far as the bytes allow."""

COMBINING_MARKS_MAX: Final = 8
"""Marks on one base character. The longest natural cluster, in Tibetan, has eight."""

VIDEO_TIME_MS_MAX: Final = 10 * 365 * 24 * 3_600_000
"""Ten years in milliseconds: longer than any recording, far inside a JSON number."""

DISPLAY_NAME_BYTES_MAX: Final = 200
DISPLAY_NAME_GRAPHEMES_MAX: Final = 40
"""One line beside a comment on a phone."""

AUTHOR_ID_BYTES_MAX: Final = 128
"""A JWT subject: an issuer's UUID, e-mail hash or URL fits."""

IDEMPOTENCY_KEY_CHARS_MAX: Final = 128
"""Room for two UUIDs and a prefix; a record header carries it."""

BODY_BYTES_MAX: Final = 8_192
"""A request body: four times the longest message, so that JSON escapes fit."""

BODY_TIMEOUT_S: Final = 10.0
"""From the head of a request to the end of its body."""

TOKEN_BYTES_MAX: Final = 8_192
"""An Authorization header, bounded before anything in it is decoded."""

PAGE_SIZE_MAX: Final = 100
PAGE_SIZE_DEFAULT: Final = 10

HISTORY_ON_JOIN_MAX: Final = 100
"""`history=` of a stream: what a screen shows at once."""

MISSED_ON_RESUME_MAX: Final = 1_000
"""`missed=` of a stream: more than anybody scrolls through; whoever wants all leaves it out."""

RECORD_VALUE_BYTES_MAX: Final = 16_384
"""A record's value: the longest message with every byte escaped, and its author, with room to spare."""

DEDUPE_WINDOW_RECORDS: Final = 16_384
"""W: how many records back a retry is recognised. 16 s of a partition at 1,000 records a second."""
