"""A store in memory: what of the log has been stored so far, as a writer of rows and watermarks would have left it."""

import random
from collections import Counter
from collections.abc import Sequence

from livecomments.store.interface import KeptLog, Row, StoredSlice, StoreUnavailable
from livecomments_schemas.events import FACT_TYPES
from livecomments_schemas.positions import BEFORE_EVERYTHING, epoch_of, offset_of, position_at
from tests.consumers.sim.log import SimLog
from tests.consumers.sim.loop import clock, pass_time
from tests.consumers.sim.truth import EPOCH, NEXT_COUNT, Accepted, home_of


class SimStore:
    """A `CommentStore` of which everything up to `stored` can be read; the watermark may be behind that."""

    def __init__(self, log: SimLog, rng: random.Random, seen: Counter[str]) -> None:
        self.stored = 0
        """Offsets before this are stored."""
        self.watermark_offset = 0
        self.next_stored = [0] * NEXT_COUNT
        """Of the next epoch's partitions, as `stored`; and as `watermark_offset`."""
        self.next_watermarks = [0] * NEXT_COUNT
        self.away_until = 0.0
        self.seen = seen
        self._log = log
        self._rng = rng

    async def write(self, rows: Sequence[Row]) -> None:
        raise NotImplementedError("an edge never writes")

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        raise NotImplementedError("an edge never writes")

    async def keep_log(self, epoch: int, kept: KeptLog) -> None:
        raise NotImplementedError("an edge never writes")

    async def kept_log(self, epoch: int) -> KeptLog:
        raise NotImplementedError("a simulated log is never another")

    async def watermark(self, epoch: int, partition: int) -> int:
        await self._work()
        offset = self.watermark_offset if epoch == EPOCH else self.next_watermarks[partition]
        return position_at(epoch, offset) - 1 if offset else BEFORE_EVERYTHING

    def holds(self, video_id: str, position: int) -> bool:
        """Whether a record of a video is stored."""
        epoch = epoch_of(position)
        stored = self.stored if epoch == EPOCH else self.next_stored[home_of(video_id, epoch).partition]
        return offset_of(position) < stored

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        await self._work()
        if after >= through or not limit:
            return StoredSlice([], through + 1 if descending else after)
        life = self._log.life
        of, _, facts = video_id.partition("/")
        entries = [
            entry
            for entry in life.between(of, after, through)
            if self.holds(of, entry.position) and (not facts or entry.kind in FACT_TYPES)
        ]
        if descending:
            entries.reverse()
        entries = entries[:limit]
        examined = entries[-1].position if len(entries) == limit else after + 1 if descending else through
        self.seen["facts read" if facts else "store read"] += 1
        return StoredSlice([self._row(video_id, entry) for entry in entries], examined)

    async def read_one(self, video_id: str, position: int) -> Row | None:
        raise NotImplementedError("an edge reads no single comments")

    async def aclose(self) -> None:
        """Nothing is open."""

    def _row(self, video_id: str, entry: Accepted) -> Row:
        delete = self._log.life.deleted[video_id].get(entry.position)
        deleted = delete is not None and self.holds(video_id, delete)
        value = b"" if deleted else entry.value
        if deleted:
            self.seen["deleted row read"] += 1
        return Row(video_id, entry.position, entry.kind, "ana", value, 0, entry.target, deleted)

    async def _work(self) -> None:
        await pass_time(self._rng.uniform(0.0, 0.03))
        if clock() < self.away_until:
            self.seen["store away"] += 1
            raise StoreUnavailable("away")
