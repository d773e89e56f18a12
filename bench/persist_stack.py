"""Servers, topics and keyspaces of a benchmark: given by address, or started for the run and removed after it."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from infra.local.servers import CassandraServer, KafkaServer, running
from livecomments.cql.migrations import migrate
from livecomments.store.interface import BUCKET_BITS

DATACENTER: Final = "datacenter1"


@contextmanager
def servers(
    kafka: str | None, cql: str | None, *, needs_kafka: bool = True, cql_heap_mb: int = 768
) -> Iterator[tuple[str, str, Path]]:
    """Yield the addresses of Kafka and CQL, and a directory for the run."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livecomments-bench-")))
        if kafka is None and needs_kafka:
            server = KafkaServer(directory / "kafka")
            stack.enter_context(running(server))
            kafka = server.address
        if cql is None:
            node = CassandraServer(directory / "cassandra", heap_mb=cql_heap_mb)
            stack.enter_context(running(node))
            cql = node.address
        yield kafka or "", cql, directory


def new_keyspace(cql: str, bucket_bits: int = BUCKET_BITS) -> str:
    """Make a migrated keyspace of its own."""
    keyspace = f"bench_{secrets.token_hex(6)}"
    migrate(cql, keyspace=keyspace, datacenter=DATACENTER, replication_factor=1, bucket_bits=bucket_bits)
    return keyspace


def load_average() -> list[float]:
    """Return the load averages of 1, 5 and 15 minutes and the cores: how far to trust what stands beside them."""
    return [round(load, 1) for load in os.getloadavg()]
