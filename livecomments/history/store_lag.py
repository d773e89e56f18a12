"""How far the store is behind the log, as a process tells it that knows both and runs no stream job.

The stream job tells its own lag, while it runs and has partitions. When it is dead, or a stranger in its group has the
partitions, nobody would: so gateways compare where they have read the log with the watermarks.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from livecomments.following.follower import Follower
from livecomments.log.lag import Lag
from livecomments.runtime.metrics import Reading
from livecomments.store.interface import CommentStore
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.positions import first_position, offset_of

_LOOK_INTERVAL_S: Final = 5.0
"""One small read of the store for each partition that is followed."""
_FRESH_S: Final = 4 * _LOOK_INTERVAL_S
_AT_ONCE: Final = 8
"""Reads of the store under way."""

_records = Reading(
    "livecomments_history_store_behind_records", "Records followed that are not in the store.", fresh_s=_FRESH_S
)
_seconds = Reading(
    "livecomments_history_store_behind_seconds", "How long the oldest of them has been followed.", fresh_s=_FRESH_S
)
_unobserved = Reading(
    "livecomments_history_store_unobserved_partitions",
    "Partitions followed of which the store does not tell how far it is.",
    fresh_s=_FRESH_S,
)


class StoreLag:
    """Compares, again and again, what is followed with what is stored."""

    def __init__(self, follower: Follower, store: CommentStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._follower = follower
        self._store = store
        self._clock = clock
        self._lags: dict[int, Lag] = {}
        self._log = follower.log
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_INTERVAL_S)

    async def look(self) -> None:
        """Compare once, and tell. A partition that is not followed, or not told of, is not counted as stored."""
        followed = set(self._follower.followed)
        if self._log is not self._follower.log:  # its offsets begin anew in the next epoch
            self._log, self._lags = self._follower.log, {}
        self._lags = {number: self._lags.get(number, Lag()) for number in followed}
        await asyncio.gather(*(self._look_at(number) for number in followed))
        now = self._clock()
        known = [lag for lag in self._lags.values() if lag.is_known(now, _FRESH_S)]
        _unobserved.set(len(followed) - len(known))
        if not known:
            _records.forget()
            _seconds.forget()
            return
        _records.set(sum(lag.records for lag in known))
        _seconds.set(max((now - lag.since for lag in known if lag.since is not None), default=0.0))

    async def _look_at(self, number: int) -> None:
        log = self._follower.log
        try:
            async with self._turns:
                watermark = await self._store.watermark(log.epoch, number)
                next_offset = offset_of(watermark) + 1 if watermark >= first_position(log.epoch) else 0
                if not next_offset:  # nothing is stored: what retention took is nobody's to store
                    next_offset = (await log.bounds([number]))[number].start
        except Unavailable:
            return
        if log is not self._follower.log:  # it went on while the store was asked, and offsets are of two epochs
            return
        if (followed := self._follower.followed.get(number)) is not None and number in self._lags:
            self._lags[number].observe(max(followed.next_offset, next_offset), next_offset, self._clock())
