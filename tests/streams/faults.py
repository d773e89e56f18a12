"""What the store may never say, and stores that misbehave on purpose."""

from collections.abc import Sequence

from livecomments.store.interface import CommentStore, Row
from livecomments_schemas.positions import first_position, offset_of
from tests.history.faults import WatchedStore
from tests.history.world import VIDEOS, World

EVERYTHING = (0, 1 << 56, 1_000_000)


class HalvingStore(WatchedStore):
    """Writes the rows of a call in two halves, the later one first, and may fail in between."""

    async def write(self, rows: Sequence[Row]) -> None:
        await self.around("write")
        half = len(rows) // 2
        await self.inner.write(rows[half:])
        await self.around("write:half")
        await self.inner.write(rows[:half])
        await self.around("write:done")


async def stored_rows(store: CommentStore, video_id: str) -> list[Row]:
    """All rows of a video, ascending."""
    after, through, limit = EVERYTHING
    return (await store.read(video_id, after, through, limit, descending=False)).rows


async def wrong(world: World) -> list[str]:
    """What the store holds that the log does not say, and what the watermark claims that it does not hold."""
    store, epoch = world.store.inner, world.log.epoch
    watermark = await store.watermark(epoch, 0)
    sentences = []
    if watermark >= first_position(epoch) and offset_of(watermark) >= world.model.end:
        sentences.append("the watermark is beyond the log")
    for video_id in VIDEOS:
        rows = {row.position: row for row in await stored_rows(store, video_id)}
        accepted = {one.position: one for one in world.model.entries(video_id, 0, 1 << 56)}
        shown = world.model.shown(video_id, 1 << 56, watermark)
        always = world.model.always_shown(video_id, 1 << 56)
        targets = {one.target for one in accepted.values()}
        sentences += [f"{position} is in the store alone" for position in rows.keys() - accepted.keys()]
        for position, one in accepted.items():
            row = rows.get(position)
            if row is None:
                if position <= watermark:
                    sentences.append(f"{position} is not stored, the watermark is {watermark}")
            elif (row.kind, row.target, row.author_id) != (one.kind, one.target, "ana"):
                sentences.append(f"{position} is stored as something else")
            elif row.deleted and row.value:
                sentences.append(f"{position} is deleted, and has its text")
            elif row.deleted or not row.value:
                if position in always or position not in targets:
                    sentences.append(f"{position} is stored as deleted")
            elif row.value != one.value:
                sentences.append(f"{position} is stored with another value")
            elif row.is_shown and position not in shown and position <= watermark:
                sentences.append(f"{position} is still shown, the watermark is {watermark}")
    return sentences
