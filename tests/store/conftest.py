"""A keyspace of this run on the real CQL server."""

from collections.abc import Iterator

import pytest

from tests.store.examples import DATACENTER, drop_keyspace, new_keyspace


@pytest.fixture(scope="session")
def cql_keyspace(cql_address: str) -> Iterator[str]:
    """A migrated keyspace, for all tests that bring videos and partitions of their own."""
    from livecomments.store.migrations import migrate

    keyspace = new_keyspace()
    migrate(cql_address, keyspace=keyspace, datacenter=DATACENTER, replication_factor=1)
    yield keyspace
    drop_keyspace(cql_address, keyspace)


@pytest.fixture
def empty_keyspace(cql_address: str) -> Iterator[str]:
    """The name of a keyspace that does not exist; it is dropped if the test makes it."""
    keyspace = new_keyspace()
    yield keyspace
    drop_keyspace(cql_address, keyspace)
