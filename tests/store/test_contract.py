"""The store contract, on every implementation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livecomments.cql.store import CqlStore
from livecomments.embedded.store import TABLES, EmbeddedStore
from livecomments.sqlite import DurableFile
from livecomments.store.interface import CommentStore
from tests.store.contract import StoreContract
from tests.store.examples import DATACENTER


class TestEmbeddedStore(StoreContract):
    """On one SQLite file."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[CommentStore]:
        """A new file."""
        async with DurableFile(tmp_path, TABLES) as file, EmbeddedStore(file) as store:
            yield store


class TestCqlStore(StoreContract):
    """On a CQL server."""

    @pytest.fixture
    async def store(self, cql_address: str, cql_keyspace: str) -> AsyncIterator[CommentStore]:
        """A new connection; the keyspace is that of the run."""
        async with CqlStore(cql_address, keyspace=cql_keyspace, datacenter=DATACENTER) as store:
            yield store
