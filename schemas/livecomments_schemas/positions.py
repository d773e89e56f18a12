"""Positions and comment ids: where a record lies in the log, as one number and as 16 characters.

    position  = epoch << 40 | offset                 56 bits; orders all records of a partition
    commentId = position << 24 | partition           80 bits; 16 characters of lower-case base32hex

The width is fixed, so the order of ids as text is the order of positions. The same string is a comment's id, a history
cursor and an SSE `id:`; the same number is the store's clustering key and the timestamp of its writes.
"""

import base64
import itertools
import re
from typing import Final, NamedTuple

from livecomments_schemas.errors import Rejected
from livecomments_schemas.partitions import may_descend

OFFSET_BITS: Final = 40
PARTITION_BITS: Final = 24
EPOCH_MAX: Final = 1_000
"""Keeps `position >> 20` inside a 32-bit column of the store."""

OFFSET_MAX: Final = (1 << OFFSET_BITS) - 1
PARTITION_MAX: Final = (1 << PARTITION_BITS) - 1
COMMENT_ID_CHARS: Final = 16

BEFORE_EVERYTHING: Final = OFFSET_MAX
"""The position before the first record of the first epoch: the cursor of an empty page, a watermark not yet set."""

_COMMENT_ID: Final = re.compile(r"[0-9a-v]{16}")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"
_PAIRS: Final = ["".join(pair) for pair in itertools.product(_DIGITS, repeat=2)]
"""Two characters for each ten bits: `base64` takes five times as long, twice a comment."""


class Home(NamedTuple):
    """Where records of a video are appended now."""

    epoch: int
    partition: int
    partition_count: int


class CursorRejected(Rejected):
    """A cursor that is no comment id, or one of another partition."""

    code = "invalid_cursor"


def position_at(epoch: int, offset: int) -> int:
    """Pack epoch and offset into a position. Both in range is the caller's duty (asserted)."""
    assert 0 <= epoch <= EPOCH_MAX
    assert 0 <= offset <= OFFSET_MAX
    return epoch << OFFSET_BITS | offset


def epoch_of(position: int) -> int:
    return position >> OFFSET_BITS


def offset_of(position: int) -> int:
    return position & OFFSET_MAX


def first_position(epoch: int) -> int:
    """Return the position of an epoch's offset 0."""
    return epoch << OFFSET_BITS


def comment_id(position: int, partition: int) -> str:
    """Write position and partition as sixteen characters, `0-9a-v`, ordered as positions are within one partition."""
    number, pairs = position << PARTITION_BITS | partition, _PAIRS
    return (
        f"{pairs[number >> 70]}{pairs[number >> 60 & 1023]}{pairs[number >> 50 & 1023]}{pairs[number >> 40 & 1023]}"
        f"{pairs[number >> 30 & 1023]}{pairs[number >> 20 & 1023]}{pairs[number >> 10 & 1023]}{pairs[number & 1023]}"
    )


def parse_comment_id(text: str) -> tuple[int, int]:
    """Return `(position, partition)` of a comment id.

    Raises:
        CursorRejected: not sixteen characters of lower-case base32hex, or an epoch that can never exist.
    """
    if not _COMMENT_ID.fullmatch(text):
        raise CursorRejected("A cursor is a comment id: 16 characters, 0-9 and a-v.")
    number = int.from_bytes(base64.b32hexdecode(text.upper()), "big")
    position, partition = number >> PARTITION_BITS, number & PARTITION_MAX
    if epoch_of(position) > EPOCH_MAX:
        raise CursorRejected("This cursor belongs to no epoch of the log. Start again without a cursor.")
    return position, partition


def parse_cursor(text: str, home: Home) -> int:
    """Parse the position a client means by `text` for a video at `home`: any position of its partition, in any epoch.

    One of a later epoch may have been given by a process that has heard of it before us.

    Raises:
        CursorRejected: malformed, or of another partition.
    """
    position, partition = parse_comment_id(text)
    epoch, (now, own, count) = epoch_of(position), home
    if epoch < now:
        is_ours = may_descend(own, count, partition)
    else:
        is_ours = (partition if epoch == now else partition % count) == own
    if not is_ours:
        raise CursorRejected("This cursor belongs to another video. Use one that this video's pages or stream gave.")
    return position
