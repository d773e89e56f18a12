"""A store that misbehaves on purpose."""

from collections.abc import Sequence

from livecomments.store.interface import CommentStore, KeptLog, Row, StoredSlice, StoreUnavailable
from tests.log.faults import Around, nothing


class WatchedStore:
    """A store that awaits `around` at every call, as `WatchedLog` does; `is_away` makes every call fail."""

    def __init__(self, inner: CommentStore, around: Around = nothing) -> None:
        self.inner = inner
        self.around = around
        self.is_away = False

    async def write(self, rows: Sequence[Row]) -> None:
        await self._begin("write")
        await self.inner.write(rows)
        await self.around("write:done")

    async def watermark(self, epoch: int, partition: int) -> int:
        await self._begin("watermark")
        watermark = await self.inner.watermark(epoch, partition)
        await self.around("watermark:done")
        return watermark

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        await self._begin("advance_watermark")
        await self.inner.advance_watermark(epoch, partition, position)
        await self.around("advance_watermark:done")

    async def kept_log(self, epoch: int) -> KeptLog:
        await self._begin("kept_log")
        return await self.inner.kept_log(epoch)

    async def keep_log(self, epoch: int, kept: KeptLog) -> None:
        await self._begin("keep_log")
        await self.inner.keep_log(epoch, kept)

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        await self._begin("read")
        found = await self.inner.read(video_id, after, through, limit, descending=descending)
        await self.around("read:done")
        return found

    async def read_one(self, video_id: str, position: int) -> Row | None:
        await self._begin("read_one")
        row = await self.inner.read_one(video_id, position)
        await self.around("read_one:done")
        return row

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _begin(self, name: str) -> None:
        if self.is_away:
            raise StoreUnavailable("The store is away.")
        await self.around(name)
