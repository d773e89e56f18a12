"""The store contract, on every implementation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livecomments.runtime.durable import DurableFile
from livecomments.store.embedded import TABLES, EmbeddedStore
from livecomments.store.interface import CommentStore

from .contract import StoreContract


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CommentStore]:
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedStore(file) as store:
        yield store


class TestStoreContract(StoreContract):
    """Collects the suite."""
