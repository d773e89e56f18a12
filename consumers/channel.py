"""One video's part of the hub: its viewers, and the newest blocks they share.

A flush makes blocks of what has come since the last one, and moves the head. Blocks are kept a little while for viewers
who have just fallen behind; whoever is further back gets blocks of its own, made from the tail. A block that holds a
comment deleted since is forgotten, so its text leaves memory with it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from consumers.frames import entry_frames
from consumers.viewer import Block, Viewer
from livecomments.log.follower import Follower
from livecomments.log.partition import FollowedPartition
from livecomments.log.tail import Entry
from schemas.events import COMMENT_DELETED

BLOCK_ENTRIES_MAX: Final = 500
"""Entries given to a viewer in one write: about 100 KB, so that a slow viewer holds no more than that."""
_BLOCKS_KEPT: Final = 16


class Channel:
    """The viewers of one video. Implements the `Feed` they see."""

    def __init__(self, video_id: str, followed: FollowedPartition, follower: Follower, stale_after_s: float) -> None:
        self.video_id = video_id
        self.partition = followed.number
        self.head = followed.judged_through
        self.viewers: dict[Viewer, asyncio.Event] = {}
        """Each viewer with the event that wakes its lane."""
        self.flush_timer: asyncio.TimerHandle | None = None
        self.flushed_at = 0.0
        self._pending: list[Entry] = []
        self._newest = self.head
        """No entry of the video lies between here and the head."""
        self._followed = followed
        self._follower = follower
        self._stale_after_s = stale_after_s
        self._blocks: deque[Block] = deque(maxlen=_BLOCKS_KEPT)

    def add(self, entry: Entry) -> None:
        """An entry of the video that the next flush delivers."""
        self._pending.append(entry)

    def flush(self) -> Sequence[Entry]:
        """Make blocks of what is pending and move the head to what is judged; returns the entries that were pending."""
        entries, self._pending = self._pending, []
        self._notice_restart()
        for entry in entries:
            if entry.kind == COMMENT_DELETED:
                self._cut(entry.target)
        through = max(self.head, self._followed.judged_through)
        for start in range(0, len(entries), BLOCK_ENTRIES_MAX):
            part = entries[start : start + BLOCK_ENTRIES_MAX]
            is_last = start + BLOCK_ENTRIES_MAX >= len(entries)
            block = _block(self.head, part, through if is_last else part[-1].position)
            self._blocks.append(block)
            self.head = block.through
            self._newest = part[-1].position
        self.head = through
        return entries

    def block_after(self, position: int) -> Block | None:
        if position >= self._newest:
            return Block(position, self.head + 1, self.head, b"", 0)
        for block in reversed(self._blocks):
            if block.after <= position < block.first:
                return block
            if block.through <= position:
                break
        tail = self._followed.tail
        if position < tail.after:
            return None
        entries = tail.forward(self.video_id, position, BLOCK_ENTRIES_MAX)
        through = entries[-1].position if len(entries) == BLOCK_ENTRIES_MAX else self._followed.judged_through
        return _block(position, entries, through)

    def resumable_after(self) -> int:
        """The earliest position from which the tail goes on."""
        return self._followed.tail.after

    def silence_s(self) -> float:
        silence_s = self._follower.silence_s
        return silence_s if silence_s > self._stale_after_s else 0.0

    def wake(self) -> None:
        """Let every viewer take its next step."""
        for woken in self.viewers.values():
            woken.set()

    def _notice_restart(self) -> None:
        """After the follower had to start the partition over, what lies between is not in any block: ask history."""
        followed = self._follower.followed.get(self.partition, self._followed)
        if followed is not self._followed:
            self._followed = followed
            self._newest = followed.judged_through
            self._blocks.clear()

    def _cut(self, target: int) -> None:
        for block in [block for block in self._blocks if block.after < target <= block.through]:
            self._blocks.remove(block)


def _block(after: int, entries: Sequence[Entry], through: int) -> Block:
    first = entries[0].position if entries else through + 1
    return Block(after, first, through, entry_frames(entries), sum(entry.is_shown for entry in entries))
