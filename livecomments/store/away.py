"""A store that may be away when the process starts: live comments do not wait for history."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Final

from livecomments.runtime.retrying import retrying, told
from livecomments.store.interface import CommentStore, KeptLog, Row, StoredSlice, StoreUnavailable

_RETRY_S: Final = 2.0
"""A driver that opens is expensive, and history can wait."""

_log = logging.getLogger("livecomments.store")


class AwayStore:
    """Opens a store in the background, as often as it takes; until then every call is StoreUnavailable.

    `run` does the opening and ends once the store is open; a StartRefused from it ends the process.
    """

    def __init__(self, open_store: Callable[[], AbstractAsyncContextManager[CommentStore]]) -> None:
        self._open_store = open_store
        self._stack = AsyncExitStack()
        self._store: CommentStore | None = None

    async def __aenter__(self) -> "AwayStore":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def is_open(self) -> bool:
        return self._store is not None

    async def run(self) -> None:
        """Open the store. Raises StartRefused: its schema does not fit."""
        self._store = await retrying(
            lambda: self._stack.enter_async_context(self._open_store()),
            told(_log, "store not open, trying again"),
            on=StoreUnavailable,
            first_s=_RETRY_S,
        )

    async def write(self, rows: Sequence[Row]) -> None:
        await self._opened().write(rows)

    async def watermark(self, epoch: int, partition: int) -> int:
        return await self._opened().watermark(epoch, partition)

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        await self._opened().advance_watermark(epoch, partition, position)

    async def kept_log(self, epoch: int) -> KeptLog:
        return await self._opened().kept_log(epoch)

    async def keep_log(self, epoch: int, kept: KeptLog) -> None:
        await self._opened().keep_log(epoch, kept)

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        return await self._opened().read(video_id, after, through, limit, descending=descending)

    async def read_one(self, video_id: str, position: int) -> Row | None:
        return await self._opened().read_one(video_id, position)

    async def aclose(self) -> None:
        await self._stack.aclose()

    def _opened(self) -> CommentStore:
        if self._store is None:
            raise StoreUnavailable("The store has not been reached yet. Try again in a moment.")
        return self._store
