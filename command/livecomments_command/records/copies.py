"""What a copy of a record says of where it was copied from: headers of their own, behind the record's.

| header | holds |
|---|---|
| `origin-topic` | the name of the topic |
| `origin-partition` | the partition, in decimal |
| `origin-offset` | the offset, in decimal |
| `origin-appended-at-ms` | when it was appended there, Unix milliseconds in decimal |

A copy of a copy has them twice; the last of each name are of the copy it was made of.
"""

from livecomments_schemas.events import HeaderList, NewRecord, Record, headers_of, listed_headers


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
