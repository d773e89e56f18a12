"""The recommended caches as real programs, and pollers that go by the protocol."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from infra.local.caches import Cache


@contextmanager
def cache_before(program: str, directory: Path, port: int, edges: Sequence[int]) -> Iterator[Cache]:
    """A cache that runs until the context is left."""
    if (missing := Cache.why_missing(program)) is not None:
        pytest.skip(missing)
    cache = Cache(program, directory, port, edges)
    cache.start()
    try:
        yield cache
    finally:
        cache.stop()


class FollowingPoller:
    """One client: what it was told, and where it goes on. Comes back after a connection that broke."""

    def __init__(self, client: aiohttp.ClientSession, video_id: str, offset: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self.answers = 0
        self.offset = offset
        self._client = client
        self._path = f"/streams/{video_id}"
        self._query: dict[str, str] = {}

    async def ask(self) -> None:
        """One request; what it gives is taken whole or not at all. Raises ClientError."""
        async with self._client.get(self._path, params={"offset": self.offset, **self._query}) as answer:
            answer.raise_for_status()
            assert answer.status in (200, 204)
            self.messages += await answer.json() if answer.status == 200 else []
            self.answers += 1
            self.offset = answer.headers["Stream-Next-Offset"]
            self._query = {"cursor": answer.headers["Stream-Cursor"]}
            if answer.headers.get("Stream-Up-To-Date") == "true":
                self._query["live"] = "long-poll"

    @property
    def ids(self) -> list[str]:
        return [message["commentId"] for message in self.messages if message["type"] == "comment"]
