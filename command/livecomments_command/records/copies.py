"""What a copy of a record says of where it was copied from: headers of their own, behind the record's.

| header | holds |
|---|---|
| `origin-topic` | the name of the topic |
| `origin-partition` | the partition, in decimal |
| `origin-offset` | the offset, in decimal |
| `origin-appended-at-ms` | when it was appended there, Unix milliseconds in decimal |

A copy of a copy has them twice; the last of each name are of the copy it was made of.
"""

import re
from typing import Final, NamedTuple

from livecomments_schemas.errors import Corrupt
from livecomments_schemas.events import HeaderList, NewRecord, Record, headers_of, listed_headers
from livecomments_schemas.positions import OFFSET_MAX, PARTITION_MAX

_TOPIC: Final = "origin-topic"
_NUMBERS: Final = {
    "origin-partition": PARTITION_MAX,
    "origin-offset": OFFSET_MAX,
    "origin-appended-at-ms": 2**63 - 1,
}
"""By header: the largest number that it can hold."""
_DECIMAL: Final = re.compile(rb"[0-9]{1,19}")


class CopyCorrupt(Corrupt):
    """A record that does not say where it was copied from; the sentence says what is wrong with it."""


class Copied(NamedTuple):
    """A record as it was, and the topic that it was in."""

    topic: str
    record: Record


def origin_headers(topic: str, record: Record) -> HeaderList:
    """List the headers that name the place and time of `record`, of this topic."""
    return [
        ("origin-topic", topic.encode()),
        ("origin-partition", b"%d" % record.partition),
        ("origin-offset", b"%d" % record.offset),
        ("origin-appended-at-ms", b"%d" % record.appended_at_ms),
    ]


def copy_of(topic: str, record: Record) -> NewRecord:
    """Copy a record that has a key and a value: its headers in their order, null and repeated ones too, then origin."""
    assert record.key is not None
    assert record.value is not None
    headers = [*listed_headers(record.headers), *origin_headers(topic, record)]
    return NewRecord(record.key, record.value, headers_of(headers))


def copied(copy: Record) -> Copied:
    """Return the record that `copy_of` made a copy of, as it was in its own topic. Raises CopyCorrupt."""
    if copy.key is None or copy.value is None:
        raise CopyCorrupt("has no key or no value, which every copy has")
    headers = list(listed_headers(copy.headers))
    topic = _taken(headers, _TOPIC)
    partition, offset, appended_at_ms = [_number(_taken(headers, name), name) for name in _NUMBERS]
    record = Record(partition, offset, copy.key, copy.value, headers_of(headers), appended_at_ms)
    return Copied(topic.decode(errors="backslashreplace"), record)


def _taken(headers: list[tuple[str, bytes | None]], name: str) -> bytes:
    """Take the last header of this name out of the list. Raises CopyCorrupt: there is none, or it is null."""
    for at in range(len(headers) - 1, -1, -1):
        if headers[at][0] == name:
            value = headers.pop(at)[1]
            if value is None:
                break
            return value
    raise CopyCorrupt(f"has no header {name}, which every copy has")


def _number(value: bytes, name: str) -> int:
    if not _DECIMAL.fullmatch(value) or (number := int(value)) > _NUMBERS[name]:
        raise CopyCorrupt(f"has {value[:40]!r} in its header {name}, which is no number that can stand there")
    return number
