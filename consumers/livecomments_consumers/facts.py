"""The state of videos, as far as this edge knows it: whether they have ended, and their settings.

Facts that come while a partition is followed are heard. Earlier ones are read once for each video that gets viewers, in
the background: viewers are served at once, and told the state when it is known. While it cannot be read, a video counts
as live, and nothing is told of its settings.
"""

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from livecomments.following.follower import Follower
from livecomments.following.growing import successor_of
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import History
from livecomments.history.state import VideoState, video_state
from livecomments_consumers.channel import Channel
from livecomments_schemas.errors import Unavailable

VIDEOS_MAX: Final = 20_000
"""Remembered at once, some 6 MB, and asked for at once; a miss costs one read, and who is left out asks again."""
SETTINGS_BYTES_MAX: Final = 32 * 2**20
"""Of all that are remembered together. A title has 200 characters; who writes to the log by himself may say 16 KB."""
_READS_AT_ONCE: Final = 8
_RETRY_S: Final = 1.0


class _Known(NamedTuple):
    followed: weakref.ref[FollowedPartition]
    """The partition in which facts were heard since. If it was let go and taken on again, facts may be missing."""
    state: VideoState
    is_read: bool
    """Whether earlier facts were read too, so that the state is whole."""


class Facts:
    """The states of one edge's videos. `run` reads; the rest only looks. `learnt` is told which video was read."""

    def __init__(self, follower: Follower, history: History, learnt: Callable[[str], None] = lambda _: None) -> None:
        self._follower = follower
        self._history = history
        self._on_read = learnt
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._settings_bytes = 0
        self._asked: set[str] = set()
        self._wanted: asyncio.Queue[tuple[FollowedPartition, str]] = asyncio.Queue()

    def ended_at(self, followed: FollowedPartition, video_id: str) -> int | None:
        """Return the position of the record that ended the video; None if the video is not known to be over."""
        known = self._of(followed, video_id)
        return known.state.position if known is not None and known.state.is_ended else None

    def is_over(self, followed: FollowedPartition, video_id: str, after: int | None) -> bool:
        """Tell whether the video is over, and everything of it lies up to `after`."""
        ended_at = self.ended_at(followed, video_id)
        return after is not None and ended_at is not None and ended_at <= after <= followed.judged_through

    def tell(self, channel: Channel) -> None:
        """Tell a channel what is known of its video; what is not known is read soon.

        If the log went back, an end that was in it does not count. The state is told only once earlier facts are read:
        from those heard alone, a change of settings say, a video that has ended would look live.
        """
        followed = self._follower.followed.get(channel.partition)
        if followed is None or channel.is_restarted:
            channel.ended_at = None
            return
        channel.ended_at = self.look(followed, channel.video_id)
        known = self._of(followed, channel.video_id)
        if known is not None and known.is_read:
            channel.set_state(known.state)

    def look(self, followed: FollowedPartition, video_id: str) -> int | None:
        """Return what `ended_at` does, and have what is not known read soon."""
        known = self._of(followed, video_id)
        is_read = known is not None and known.is_read
        if not is_read and video_id not in self._asked and len(self._asked) < VIDEOS_MAX:
            self._asked.add(video_id)
            self._wanted.put_nowait((followed, video_id))
        return self.ended_at(followed, video_id)

    def hear(self, followed: FollowedPartition, entry: Entry) -> None:
        """Hear a record of `STATE_TYPES` that was just accepted."""
        self._learn(followed, entry.video_id, VideoState().hear(entry), is_read=False)

    def _of(self, followed: FollowedPartition, video_id: str) -> _Known | None:
        known = self._known.get(video_id)
        return known if known is not None and known.followed() is followed else None

    def move_on(self, before: Mapping[int, FollowedPartition]) -> None:
        """Know of each video what was known, where the log goes on in its next epoch."""
        for video_id, known in self._known.items():
            followed = successor_of(known.followed(), before, self._follower, video_id)
            if followed is not None:
                self._known[video_id] = known._replace(followed=weakref.ref(followed))

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
                await asyncio.sleep(_RETRY_S)  # not tried again here: whoever still needs it asks again
            else:
                if self._follower.followed.get(followed.number) is followed:
                    self._learn(followed, video_id, state, is_read=True)
            self._asked.discard(video_id)
            self._on_read(video_id)

    def _learn(self, followed: FollowedPartition, video_id: str, state: VideoState, *, is_read: bool) -> None:
        """Join what is new to what is known: some was heard while the older was read."""
        known = self._of(followed, video_id)
        if known is not None:
            state, is_read = known.state.join(state), known.is_read or is_read
        self._forget(video_id)
        self._known[video_id] = _Known(weakref.ref(followed), state, is_read or state.is_whole)
        self._settings_bytes += len(state.settings)
        while len(self._known) > VIDEOS_MAX or (self._settings_bytes > SETTINGS_BYTES_MAX and len(self._known) > 1):
            self._forget(next(iter(self._known)))

    def _forget(self, video_id: str) -> None:
        known = self._known.pop(video_id, None)
        if known is not None:
            self._settings_bytes -= len(known.state.settings)
