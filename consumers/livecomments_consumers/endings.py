"""Which videos are over, as far as this edge has heard or read.

What is said while a partition is followed is heard. What was said before is read once for each video that gets viewers,
beside them: they are served at once, and end when it is known. While it cannot be read a video counts as going on.
"""

import asyncio
import weakref
from collections import OrderedDict
from typing import Final, NamedTuple

from livecomments.following.follower import Follower
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import History
from livecomments.history.state import VideoState, video_state
from livecomments_consumers.channel import Channel
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import VIDEO_ENDED

VIDEOS_MAX: Final = 20_000
"""Remembered at once, some 6 MB, and asked for at once; a miss costs one read, and who is left out asks again."""
_READS_AT_ONCE: Final = 8
_RETRY_S: Final = 1.0


class _Known(NamedTuple):
    followed: weakref.ref[FollowedPartition]
    """Since when we have heard all; another one has gaps before it, and its log may not be the same."""
    state: VideoState


class Endings:
    """The videos of one edge. `run` reads; the rest only looks."""

    def __init__(self, follower: Follower, history: History) -> None:
        self._follower = follower
        self._history = history
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asked: set[str] = set()
        self._wanted: asyncio.Queue[tuple[FollowedPartition, str]] = asyncio.Queue()

    def ended_at(self, followed: FollowedPartition, video_id: str) -> int | None:
        """The position of the record that ended the video, if it is known to be over."""
        known = self._known.get(video_id)
        if known is None or known.followed() is not followed or not known.state.is_ended:
            return None
        return known.state.position

    def is_over(self, followed: FollowedPartition, video_id: str, after: int | None) -> bool:
        """Whether who has everything up to `after` has all there will ever be of the video."""
        ended_at = self.ended_at(followed, video_id)
        return after is not None and ended_at is not None and ended_at <= after <= followed.judged_through

    def tell(self, channel: Channel) -> None:
        """Tell a channel what is known of its video. An end in a log that is gone is none."""
        followed = self._follower.followed.get(channel.partition)
        if followed is None or channel.is_restarted:
            channel.ended_at = None
        else:
            channel.ended_at = self.look(followed, channel.video_id)

    def look(self, followed: FollowedPartition, video_id: str) -> int | None:
        """As `ended_at`; what is not known is read soon."""
        known = self._known.get(video_id)
        is_known = known is not None and known.followed() is followed
        if not is_known and video_id not in self._asked and len(self._asked) < VIDEOS_MAX:
            self._asked.add(video_id)
            self._wanted.put_nowait((followed, video_id))
        return self.ended_at(followed, video_id)

    def hear(self, followed: FollowedPartition, entry: Entry) -> None:
        """A record of `STATE_TYPES` that was just accepted."""
        self._learn(followed, entry.video_id, VideoState(entry.position, entry.kind == VIDEO_ENDED))

    async def run(self) -> None:
        """Read what is asked for until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_READS_AT_ONCE):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            followed, video_id = await self._wanted.get()
            try:
                state = await video_state(self._history, followed, video_id)
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
            else:
                if self._follower.followed.get(followed.number) is followed:
                    self._learn(followed, video_id, state)
            self._asked.discard(video_id)

    def _learn(self, followed: FollowedPartition, video_id: str, state: VideoState) -> None:
        known = self._known.pop(video_id, None)
        if known is not None and known.followed() is followed and known.state.position > state.position:
            state = known.state  # it was heard while the older one was read
        self._known[video_id] = _Known(weakref.ref(followed), state)
        if len(self._known) > VIDEOS_MAX:
            self._known.popitem(last=False)
