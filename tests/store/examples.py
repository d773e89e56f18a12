"""Rows for the tests of the store, and videos, partitions and keyspaces that no other test uses."""

import itertools
import secrets
from typing import Any, Final

from livecomments.cql.session import connect
from livecomments.store.interface import BUCKET_BITS, Row
from livecomments_schemas.events import COMMENT_CREATED, COMMENT_DELETED
from livecomments_schemas.positions import PARTITION_MAX, first_position

START: Final = first_position(1)
BUCKET: Final = 1 << BUCKET_BITS
END: Final = first_position(2) - 1
"""The last position of epoch 1: `read(video, START - 1, END, …)` reads all of the epoch."""

DATACENTER: Final = "datacenter1"
"""Of the servers that tests start, and of any fresh Cassandra or ScyllaDB."""

_counter = itertools.count()


def new_video() -> str:
    """A video id of this test only, since one server serves the whole run."""
    return f"v{secrets.token_hex(6)}.{next(_counter)}"


def new_partition() -> int:
    return secrets.randbelow(PARTITION_MAX)


def comment(video_id: str, position: int, text: str = "") -> Row:
    value = b'{"message":"%s"}' % (text or f"at {position}").encode()
    return Row(video_id, position, COMMENT_CREATED, "ana", value, appended_at_ms=1_700_000_000_000 + position % 1000)


def delete(video_id: str, position: int, target: int) -> Row:
    value = b'{"commentId":"%d"}' % target
    return Row(video_id, position, COMMENT_DELETED, "mod", value, appended_at_ms=1_700_000_000_000, target=target)


def emptied(row: Row) -> Row:
    """`row` as it is read once it was deleted."""
    return row._replace(value=b"", deleted=True)


def new_keyspace() -> str:
    """A keyspace of this run or test only: the server may be one that outlives it."""
    return f"test_{secrets.token_hex(6)}"


def drop_keyspace(cql_address: str, keyspace: str) -> None:
    """Remove what a test made on a server that may outlive it."""
    run_cql(cql_address, f"DROP KEYSPACE IF EXISTS {keyspace}")


def run_cql(cql_address: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements beside the store, blocking; the rows of the last."""
    session = connect(cql_address, DATACENTER, request_timeout_s=30)
    try:
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            rows = list(session.execute(statement))
        return rows
    finally:
        session.cluster.shutdown()
