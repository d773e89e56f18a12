"""One video's part of the hub: its viewers' lanes, and the newest blocks they share.

A flush makes blocks of what has come since the last one, and moves the head. Blocks are kept a little while for viewers
who have just fallen behind. Whoever is further back first gets what leads to the next boundary, a position that is the
same for all, and from there blocks made from the tail and kept: crowds fall behind, and come back, together. A block
that holds a comment deleted since is forgotten, so its text leaves memory with it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from consumers.block import Block
from consumers.viewer import Viewer
from livecomments.log.follower import Follower
from livecomments.log.partition import FollowedPartition
from livecomments.log.tail import Entry
from schemas.events import COMMENT_DELETED

BLOCK_ENTRIES_MAX: Final = 500
"""Entries given to a viewer in one write: about 100 KB, so that a slow viewer holds no more than that."""
_BLOCKS_KEPT: Final = 64
"""Flushed blocks: two to six seconds of a busy video."""
_BEHIND_KEPT: Final = 128
"""Blocks for viewers behind: about a minute of a video with a thousand a second, 13 MB in one form."""
_BOUNDARY: Final = 255
"""A position whose low bits are all ones is a boundary: every 256 positions, so less than that is sent unshared."""


class Lane(Protocol):
    """How bytes reach one viewer."""

    @property
    def viewer(self) -> Viewer: ...

    def take(self, block: Block, now: float) -> None:
        """A new block was flushed. Writes it if the viewer stands right before it and takes bytes; never waits."""

    def advance(self, now: float) -> None:
        """Take the viewer's next steps as far as it takes bytes. Never waits."""

    def abort_if_stuck(self, before: float) -> None:
        """End the stream if its viewer has taken nothing since the time `before`."""


class Channel:
    """The viewers of one video. Implements the `Feed` they see."""

    def __init__(self, video_id: str, followed: FollowedPartition, follower: Follower, stale_after_s: float) -> None:
        self.video_id = video_id
        self.partition = followed.number
        self.head = followed.judged_through
        self.lanes: dict[Lane, None] = {}
        """In order of arrival."""
        self.flush_timer: asyncio.TimerHandle | None = None
        self.flushed_at = 0.0
        self.newest_append_ms = 0
        """When the newest flushed entry was appended, by the log's clock."""
        self._pending: list[Entry] = []
        self._newest = self.head
        """No entry of the video lies between here and the head."""
        self._followed = followed
        self._follower = follower
        self._stale_after_s = stale_after_s
        self._flushed: deque[Block] = deque(maxlen=_BLOCKS_KEPT)
        self._behind: OrderedDict[int, Block] = OrderedDict()

    def add(self, entry: Entry) -> None:
        """An entry of the video that the next flush delivers."""
        self._pending.append(entry)

    def flush(self) -> list[Block]:
        """Make blocks of what is pending and move the head to what is judged; returns the new blocks."""
        entries, self._pending = self._pending, []
        if self._notice_restart():
            entries = []
        for entry in entries:
            if entry.kind == COMMENT_DELETED:
                self._cut(entry.target)
        through = max(self.head, self._followed.judged_through)
        blocks = list(_blocks(self._newest, entries, through))
        self._flushed += blocks
        if entries:
            self._newest = entries[-1].position
            self.newest_append_ms = entries[-1].appended_at_ms
        self.head = through
        return blocks

    def block_after(self, position: int) -> Block | None:
        if position >= self._newest:
            return Block(position, self.head + 1, self.head, b"", 0)
        for block in reversed(self._flushed):
            if block.through <= position:
                break
            if block.after <= position:
                return block if position < block.first else self._private(position, block.through)
        if position < self._followed.tail.after:
            return None
        if position & _BOUNDARY != _BOUNDARY:
            return self._private(position, min(position | _BOUNDARY, self.head))
        return self._shared(position)

    def resumable_after(self) -> int:
        """The earliest position from which the tail goes on."""
        return self._followed.tail.after

    def silence_s(self) -> float:
        silence_s = self._follower.silence_s
        return silence_s if silence_s > self._stale_after_s else 0.0

    def _notice_restart(self) -> bool:
        """After the follower had to start the partition over, what lies between is in no block: all ask history."""
        followed = self._follower.followed.get(self.partition, self._followed)
        if followed is self._followed:
            return False
        self._followed = followed
        self._newest = followed.judged_through
        self._flushed.clear()
        self._behind.clear()
        return True

    def _private(self, position: int, through: int) -> Block | None:
        """What lies between a position of one viewer's own and a position that others share."""
        if position < self._followed.tail.after:
            return None
        entries = self._followed.tail.forward(self.video_id, position, _BOUNDARY + BLOCK_ENTRIES_MAX)
        return Block.of(position, [entry for entry in entries if entry.position <= through], through)

    def _shared(self, position: int) -> Block:
        """The block from a boundary on: to another boundary, or to the head as long as that is where it is."""
        kept = self._behind.get(position)
        if kept is not None and (kept.through & _BOUNDARY == _BOUNDARY or kept.through == self.head):
            return kept
        entries = self._followed.tail.forward(self.video_id, position, BLOCK_ENTRIES_MAX)
        through = self.head
        if len(entries) == BLOCK_ENTRIES_MAX:
            through = min(through, ((entries[-1].position + 1) & ~_BOUNDARY) - 1)
        block = Block.of(position, [entry for entry in entries if entry.position <= through], through, is_shared=True)
        self._behind[position] = block
        self._behind.move_to_end(position)
        if len(self._behind) > _BEHIND_KEPT:
            self._behind.popitem(last=False)
        return block

    def _cut(self, target: int) -> None:
        for block in [block for block in self._flushed if block.after < target <= block.through]:
            self._flushed.remove(block)
        for block in [block for block in self._behind.values() if block.after < target <= block.through]:
            del self._behind[block.after]


def _blocks(after: int, entries: Sequence[Entry], through: int) -> Iterator[Block]:
    """Blocks of at most BLOCK_ENTRIES_MAX entries; each suits viewers from the last entry before it on."""
    for start in range(0, len(entries), BLOCK_ENTRIES_MAX):
        part = entries[start : start + BLOCK_ENTRIES_MAX]
        is_last = start + BLOCK_ENTRIES_MAX >= len(entries)
        yield Block.of(after, part, through if is_last else part[-1].position, is_shared=True)
        after = part[-1].position
