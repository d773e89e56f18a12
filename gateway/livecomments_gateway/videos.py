"""Videos as this gateway knows them: facts from store, log and tail, then kept up to date by its own follower.

A video's facts are read once, when it is first asked for, and every later one is heard as it is judged; so a ban or a
new setting holds on every gateway a read-back after its record. What cannot be read while the store is away counts as
not said, for a moment: people go on writing.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from weakref import ref

from livecomments.following.follower import Follower
from livecomments.following.growing import successor_of
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import BEGINNING, FACTS, History
from livecomments.history.stretch import Source
from livecomments.runtime.metrics import Counter
from livecomments_gateway.facts import VideoFacts
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import FACT_TYPES

VIDEOS_MAX: Final = 20_000
"""Kept at once, about 20 MB; a miss costs one read of the store."""
FACTS_MAX: Final = 10_000
"""Of one video, newest first: whoever was banned before ten thousand others is let in again."""
_READ_ROWS: Final = 1_000
_UNREAD_S: Final = 2.0
"""After a read that failed or is late, what could not be read counts as not said for this long."""
_WAIT_S: Final = 1.0
"""For a read: a store that hangs must not use up the deadline of a POST. The read goes on."""
READS_MAX: Final = 64
"""Under way at once: each video asked for while the store hangs would leave one behind. Enough for 20,000 a second."""

_unread = Counter("livecomments_gateway_videos_unread_total", "Videos taken as open since their facts were away.")


class _KnownVideo:
    """One video. `followed` is the partition in which its facts were read and heard since.

    If the partition was let go and taken on again, facts in between may be missing, and all are read again. The
    reference is weak, so that a partition that was let go is not kept in memory with its tail of many megabytes.
    """

    __slots__ = ("again_at", "facts", "followed", "loading")

    def __init__(self, followed: FollowedPartition) -> None:
        self.facts = VideoFacts()
        self.followed = ref(followed)
        self.loading: asyncio.Task[None] | None = None
        self.again_at: float | None = 0.0
        """When to read the facts, by the clock; None once they were read."""


class Videos:
    """The videos of one gateway."""

    def __init__(
        self,
        follower: Follower,
        history: History,
        *,
        wait_s: float = _WAIT_S,
        videos_max: int = VIDEOS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history = history
        self._wait_s = wait_s
        self._videos_max = videos_max
        self._clock = clock
        self._known: OrderedDict[str, _KnownVideo] = OrderedDict()
        self._reads = asyncio.Semaphore(min(READS_MAX, videos_max))
        self._follower = follower
        follower.listeners.append(self._hear)
        follower.moved.append(self._move_on)

    def __len__(self) -> int:
        return len(self._known)

    async def facts(self, video_id: str) -> VideoFacts:
        """Return the facts of a video, where it is at home now: its caller may have waited while an epoch ended.

        Raises:
            PartitionUnavailable
        """
        followed = self._history.home(video_id)
        known = self._known.get(video_id)
        if known is None or known.followed() is not followed:
            known = self._known[video_id] = _KnownVideo(followed)
            if len(self._known) > self._videos_max:
                self._known.popitem(last=False)
        if self._is_due(known):
            await self._await_facts(video_id, known, followed)
        return known.facts

    async def _await_facts(self, video_id: str, known: _KnownVideo, followed: FollowedPartition) -> None:
        """Wait for the read of a video's facts, but not for long."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._loaded(video_id, known, followed)
        except TimeoutError:
            if self._is_due(known):  # the first of those who waited
                _unread.inc()
                known.again_at = self._clock() + _UNREAD_S

    async def _loaded(self, video_id: str, known: _KnownVideo, followed: FollowedPartition) -> None:
        """Wait for the one read of this video, or for room to begin it (`READS_MAX`).

        No `SingleFlight`, which ends a call that nobody waits for any more: this read goes on when its POSTs have given
        up waiting, so that the next POST finds it done.
        """
        if known.loading is None:
            await self._reads.acquire()
            if known.loading is None and self._is_due(known):
                known.loading = asyncio.create_task(self._load(video_id, known, followed))
                known.loading.add_done_callback(lambda _: self._reads.release())
            else:  # another who waited was first
                self._reads.release()
        loading = known.loading
        if loading is not None:
            await asyncio.wait([loading])
            loading.result()

    def _is_due(self, known: _KnownVideo) -> bool:
        return known.again_at is not None and self._clock() >= known.again_at

    def _hear(self, followed: FollowedPartition, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind in FACT_TYPES:
                known = self._known.get(entry.video_id)
                if known is not None and known.followed() is followed:
                    known.facts.hear(entry.kind, entry.position, entry.value)

    def _move_on(self, before: Mapping[int, FollowedPartition]) -> None:
        """Know of each video what was known, where the log goes on in its next epoch."""
        for video_id, known in self._known.items():
            followed = successor_of(known.followed(), before, self._follower, video_id)
            if followed is not None:
                known.followed = ref(followed)

    async def _load(self, video_id: str, known: _KnownVideo, followed: FollowedPartition) -> None:
        try:
            await self._read(video_id, known.facts, followed)
            known.facts.is_whole, known.again_at = True, None
        except Unavailable:
            _unread.inc()
            known.again_at = self._clock() + _UNREAD_S
        finally:
            known.loading = None

    async def _read(self, video_id: str, facts: VideoFacts, followed: FollowedPartition) -> None:
        """Read all facts up to now, newest first, at most FACTS_MAX. Later ones come by `_hear` meanwhile."""
        before, read = followed.judged_through + 1, 0
        while before > BEGINNING and read < FACTS_MAX:
            entries, before, source = await self._history.backward(followed, video_id, before, _READ_ROWS, FACTS)
            for entry in entries:
                facts.hear(entry.kind, entry.position, entry.value)
            read += len(entries) if source is Source.STORE else 0
