"""A store that is away at the start: it is opened beside everything else, and nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from livecomments.embedded.store import TABLES, EmbeddedStore
from livecomments.sqlite import DurableFile
from livecomments.store.away import AwayStore
from livecomments.store.interface import CommentStore, KeptLog, StoreUnavailable
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position
from tests.log.contract import WAIT_S


class Opening:
    """What opens a store: away `failures` times, and then as it is told; counts what it has open."""

    def __init__(self, directory: Path, failures: int = 0) -> None:
        self.tries = 0
        self.open = 0
        self.going = asyncio.Event()
        self.refused: Exception | None = None
        self._directory = directory
        self._failures = failures

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[CommentStore]:
        self.tries += 1
        self.open += 1
        try:
            if self.tries <= self._failures:
                raise StoreUnavailable("away")
            if self.refused is not None:
                raise self.refused
            await self.going.wait()
            async with DurableFile(self._directory, TABLES) as file, EmbeddedStore(file) as store:
                yield store
        finally:
            self.open -= 1


CALLS: dict[str, Callable[[CommentStore], Awaitable[object]]] = {
    "write": lambda store: store.write([]),
    "watermark": lambda store: store.watermark(1, 0),
    "advance_watermark": lambda store: store.advance_watermark(1, 0, first_position(1)),
    "kept_log": lambda store: store.kept_log(1),
    "keep_log": lambda store: store.keep_log(1, KeptLog(7, 8)),
    "read": lambda store: store.read("v", BEFORE_EVERYTHING, first_position(2), 10, descending=False),
    "read_one": lambda store: store.read_one("v", first_position(1)),
}


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_says_that_it_is_away_until_it_is_open_and_then_does_it(tmp_path: Path, call: str) -> None:
    opening = Opening(tmp_path, failures=1)
    async with AwayStore(opening) as store:
        running = asyncio.create_task(store.run())
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable):
            await CALLS[call](store)
        opening.going.set()
        async with asyncio.timeout(WAIT_S):
            await running
        assert store.is_open
        await CALLS[call](store)
        assert (opening.tries, opening.open) == (2, 1)
        await store.aclose()
    assert opening.open == 0


async def test_whoever_is_told_to_stop_while_it_is_opened_leaves_nothing_open(tmp_path: Path) -> None:
    opening = Opening(tmp_path)
    async with AwayStore(opening) as store:
        running = asyncio.create_task(store.run())
        while not opening.open:  # noqa: ASYNC110 - it has no event of its own
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        assert not store.is_open
    assert opening.open == 0


async def test_a_store_that_does_not_fit_is_not_tried_again(tmp_path: Path) -> None:
    opening = Opening(tmp_path)
    opening.refused = StartRefused("older")
    async with AwayStore(opening) as store:
        with pytest.raises(StartRefused, match="older"):
            await store.run()
    assert (opening.tries, opening.open) == (1, 0)
