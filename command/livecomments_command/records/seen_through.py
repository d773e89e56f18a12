"""A store that lets all calls through to another one: what those begin with that change one of them."""

from collections.abc import Sequence

from livecomments.store.interface import CommentStore, KeptLog, Row, StoredSlice


class SeenThrough:
    """See `CommentStore`. The other one is whoever's who opened it."""

    def __init__(self, store: CommentStore) -> None:
        self._store = store

    async def write(self, rows: Sequence[Row]) -> None:
        await self._store.write(rows)

    async def watermark(self, epoch: int, partition: int) -> int:
        return await self._store.watermark(epoch, partition)

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        await self._store.advance_watermark(epoch, partition, position)

    async def kept_log(self, epoch: int) -> KeptLog:
        return await self._store.kept_log(epoch)

    async def keep_log(self, epoch: int, kept: KeptLog) -> None:
        await self._store.keep_log(epoch, kept)

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        return await self._store.read(video_id, after, through, limit, descending=descending)

    async def read_one(self, video_id: str, position: int) -> Row | None:
        return await self._store.read_one(video_id, position)

    async def aclose(self) -> None:
        """Leave the store open."""
