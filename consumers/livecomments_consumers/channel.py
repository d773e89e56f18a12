"""One video's part of the hub: its viewers' lanes, and the newest blocks they share.

A flush makes blocks of what has come since the last one, and moves the head. Blocks are kept a little while for
viewers who have just fallen behind. Whoever is further back first gets what leads to the next boundary, a position
that is the same for all, and from there blocks made from the tail and kept: crowds fall behind, and come back,
together. A block that holds a comment deleted since is forgotten, so its text leaves memory with it.

Why boundaries: two viewers who lost their connections a comment apart would each need blocks of their own for as long
as they are behind. A boundary costs each at most one piece that nobody shares; after it both need the same. It is a
multiple of a power of two, so that whoever asks, whenever, comes to the same ones.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

import orjson

from livecomments.following.follower import Follower
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.state import VideoState
from livecomments_consumers.block import Block, fitting
from livecomments_consumers.cohorts import Cohorts
from livecomments_consumers.frames import heartbeat_frame, video_frame
from livecomments_consumers.lane import Lane
from livecomments_schemas.events import COMMENT_CREATED, COMMENT_DELETED
from livecomments_schemas.render import render_video

_SWEEP_INTERVAL_S: Final = 5.0
"""What nobody has used between two sweeps is let go: an idle video keeps no blocks."""


@dataclass(frozen=True)
class Sizes:
    """The bounds of a channel. Tests make them small."""

    block_entries: int = 500
    block_bytes: int = 98_304
    """Given to a viewer in one write, plain, so that a slow one holds not much more than that."""
    flushed_kept: int = 64
    """Flushed blocks: two to six seconds of a busy video."""
    behind_kept: int = 128
    """Blocks for viewers behind: about a minute of a video with a thousand a second, 13 MB in one form."""
    cohort_viewers: int = 500
    """Written to before the loop is given away: some 5 ms."""
    boundary: int = 256
    """A power of two. A position before a multiple of it is a boundary, so less than that is sent unshared."""


SIZES: Final = Sizes()


Watch = Callable[[Sequence[Block], Sequence[Entry]], None]
"""Told of new blocks and their entries, before anybody is written to."""


class _Kept(NamedTuple):
    block: Block
    is_whole: bool
    """It ended because it was full; one that ended at the head is made anew when the head has moved."""


class Channel:
    """The viewers of one video. Implements the `Feed` they see."""

    make_cohorts: ClassVar[type[Cohorts]] = Cohorts
    """A seam for tests."""

    def __init__(
        self,
        video_id: str,
        followed: FollowedPartition,
        follower: Follower,
        *,
        stale_after_s: float,
        heartbeat_interval_s: float,
        linger_s: float,
        retry_ms: Callable[[], int],
        sizes: Sizes = SIZES,
        watch: Watch | None = None,
    ) -> None:
        self.retry_ms = retry_ms
        self._watch = watch
        self.video_id = video_id
        self.partition = followed.number
        self.head = self.newest = followed.judged_through
        self.resets = 0
        self.reset_at = 0
        self.ended_at: int | None = None
        """Set by the hub, which is told."""
        self.version = 0
        self.said_at = 0
        self.lanes: dict[Lane, None] = {}
        """In order of arrival."""
        self.cohorts = self.make_cohorts(sizes.cohort_viewers)
        self.flush_timer: asyncio.TimerHandle | None = None
        self.passing: asyncio.Task[None] | None = None
        """Writes the last flush to its viewers; the next one waits for it."""
        self.flushed_at = 0.0
        self.linger_s = linger_s
        self._pending: list[Entry] = []
        self._followed = followed
        self._follower = follower
        self._stale_after_s = stale_after_s
        self._heartbeat_interval_s = heartbeat_interval_s
        self._sizes = sizes
        self._flushed_blocks: list[Block] = []  # an empty deque would be a third of what an idle video takes
        self._behind: dict[int, _Kept] = {}
        self._behind_unused: dict[int, _Kept] = {}
        """Not used since the last sweep."""
        self._state: VideoState | None = None
        self._video_json = b""
        """The public JSON of the video's state; empty as long as that is not known."""
        self._heartbeat: Block | None = None
        self._video: Block | None = None
        self._greeting: Block | None = None
        """Of each the last one: a crowd stands at one position."""
        self._swept_at = 0.0
        self._swept_head = self.head
        self._unfollowed_since: float | None = None
        self._unfollowed_s = 0.0

    @property
    def judged_through(self) -> int:
        """The newest position that is known to exist; not before the head."""
        return max(self.head, self._followed.judged_through)

    @property
    def is_idle(self) -> bool:
        """No flush is due or under way."""
        return self.flush_timer is None and self.passing is None

    @property
    def has_pending(self) -> bool:
        """A flush has something to deliver."""
        return bool(self._pending) or self.is_restarted

    @property
    def is_restarted(self) -> bool:
        """The follower had to start the partition over, and no flush has noticed yet."""
        return self._follower.followed.get(self.partition, self._followed) is not self._followed

    def enter(self, lane: Lane) -> None:
        """Tell a lane of new blocks from now on."""
        self.lanes[lane] = None
        self.cohorts.enter(lane)

    def leave(self, lane: Lane) -> None:
        """Forget a lane, which stands in no cohort any more."""
        del self.lanes[lane]
        self.cohorts.leave(lane)

    def move_on(
        self, before: Mapping[int, FollowedPartition], partition: int, followed: FollowedPartition | None
    ) -> None:
        """Go on in a partition of the next epoch. Nothing of the video lies between the two; what is pending stays.

        A channel that had to begin anew does so there, as soon as its partition is `followed`.
        """
        if followed is not None and before.get(self.partition) is self._followed:
            self._followed = followed
        self.partition = partition

    def holds_at_most(self, count: int, after: int) -> bool:
        """Tell whether no more than so many entries of the video come after a position, as far as is known at once."""
        tail = self._followed.tail
        return after >= tail.after and len(tail.forward(self.video_id, after, count + 1)) <= count

    def add(self, entry: Entry) -> None:
        """Queue an entry of the video for the next flush."""
        self._pending.append(entry)

    def flush(self) -> list[Block]:
        """Make blocks of what is pending and move the head to what is judged; returns the new blocks."""
        if self.is_restarted:
            self._restart()
            return []
        entries = self._pending
        self._erase({entry.target for entry in entries if entry.kind == COMMENT_DELETED})
        through = max(self.head, self._followed.judged_through)
        blocks = list(self._blocks(entries, through))
        self._pending = []
        if self._watch is not None:
            self._watch(blocks, entries)
        self._flushed_blocks += blocks
        del self._flushed_blocks[: -self._sizes.flushed_kept]
        if entries:
            self.newest = entries[-1].position
        self.head = through
        return blocks

    def block_after(self, position: int) -> Block | None:
        if position >= self.newest:
            return Block(position, self.head + 1, self.head, b"", 0)
        for block in reversed(self._flushed_blocks):
            if block.through <= position:
                break
            if block.after <= position:
                return block if position < block.first else self._private(position, block.through)
        if position < self._followed.tail.after:
            return None
        if (position + 1) % self._sizes.boundary:
            return self._private(position, min(position | (self._sizes.boundary - 1), self.head))
        return self._shared(position)

    def set_state(self, state: VideoState) -> None:
        """Take the state of the video; viewers are told if it has changed."""
        if state is self._state:
            return
        self._state = state
        settings = orjson.loads(state.settings) if state.settings else {}
        video = render_video(self.video_id, settings, is_ended=state.is_ended, pinned=state.pinned)
        self.said_at = state.said_at
        if video != self._video_json:
            self._video_json, self._video, self._greeting = video, None, None
            self.version += 1

    def id_at(self, position: int) -> str:
        return self._followed.id_at(self.video_id, position)

    def heartbeat(self, position: int) -> Block:
        beat = self._heartbeat
        if beat is None or beat.through != position:
            frame = heartbeat_frame(self.id_at(position), self._heartbeat_interval_s)
            beat = self._heartbeat = _saying(position, frame)
        return beat

    def video(self, position: int) -> Block:
        video = self._video
        if video is None or video.through != position:
            frame = video_frame(self.id_at(position), self._video_json)
            video = self._video = _saying(position, frame)
        return video

    def greeting(self, position: int) -> Block:
        if not self.version:
            return self.heartbeat(position)
        greeting = self._greeting
        if greeting is None or greeting.through != position:
            frames = self.heartbeat(position).data + self.video(position).data
            greeting = self._greeting = _saying(position, frames)
        return greeting

    def resumable_after(self) -> int:
        """Return the earliest position from which the tail goes on."""
        return self._followed.tail.after

    def silence_s(self) -> float:
        silence_s = max(self._follower.partition_silence_s(self.partition), self._unfollowed_s)
        return silence_s if silence_s > self._stale_after_s else 0.0

    def look(self, now: float) -> None:
        """Let go of what is not used any more, once a tick, and see whether the partition is still followed."""
        if now - self._swept_at >= _SWEEP_INTERVAL_S:
            self._swept_at = now
            self._sweep()
        if self.partition in self._follower.followed:
            self._unfollowed_since, self._unfollowed_s = None, 0.0
        else:
            self._unfollowed_since = now if self._unfollowed_since is None else self._unfollowed_since
            self._unfollowed_s = now - self._unfollowed_since

    def _sweep(self) -> None:
        while self._flushed_blocks and self._flushed_blocks[0].through <= self._swept_head:
            del self._flushed_blocks[0]
        self._swept_head = self.head
        self._video = self._greeting = None
        self._behind_unused, self._behind = self._behind, {}

    def _restart(self) -> None:
        """Begin anew where the follower did. What lies between the head and there is in no block: all ask history.

        If the log was seen to go back, or that is before the head, it has lost records and goes on with others at their
        positions. Which, nobody can tell, so all viewers are told that they may have missed something.
        """
        before, followed = self._followed, self._follower.followed[self.partition]
        self._followed = followed
        has_gone_back = followed.resets != before.resets or followed.judged_through < self.head
        if has_gone_back or (self._pending and self._pending[0].position <= self.head):
            self.resets += 1
            self.reset_at = self.head = followed.judged_through
        self.head = self.newest = max(self.head, followed.judged_through)
        self._pending = []
        self._flushed_blocks.clear()
        self._behind.clear()
        self._behind_unused.clear()

    def _blocks(self, entries: Sequence[Entry], through: int) -> Iterator[Block]:
        """Yield blocks of a bounded size; each suits viewers from the last entry before it on."""
        after, start = self.newest, 0
        while start < len(entries):
            part = entries[start : start + self._sizes.block_entries]
            part = part[: fitting(part, self._sizes.block_bytes)]
            start += len(part)
            end = part[-1].position if start < len(entries) else through
            yield Block.of(after, part, end, is_shared=True)
            after = part[-1].position

    def _private(self, position: int, through: int) -> Block | None:
        """Make a block from a viewer's own position to `through`, or as far as fits; None if the tail begins later."""
        if position < self._followed.tail.after:
            return None
        entries, through, _ = self._of_tail(position, through)
        return Block.of(position, entries, through)

    def _shared(self, position: int) -> Block:
        """Return the block that all who stand at the boundary `position` share.

        It leads to another boundary, or to the head; one that ended at a former head is made anew.
        """
        kept = self._behind.get(position) or self._behind_unused.get(position)
        if kept is None or not (kept.is_whole or kept.block.through == self.head):
            entries, through, is_whole = self._of_tail(position, self.head)
            boundary = (through + 1) // self._sizes.boundary * self._sizes.boundary - 1
            if is_whole and boundary > position:
                through = boundary
                entries = [entry for entry in entries if entry.position <= through]
            kept = _Kept(Block.of(position, entries, through, is_shared=True), is_whole)
        self._behind[position] = kept
        if len(self._behind) > self._sizes.behind_kept:
            del self._behind[next(iter(self._behind))]
        return kept.block

    def _of_tail(self, position: int, through: int) -> tuple[list[Entry], int, bool]:
        """Return entries later than `position` up to `through`, how far they lead, and whether their size ends them."""
        count = self._sizes.block_entries
        found = self._followed.tail.forward(self.video_id, position, count)
        entries = [entry for entry in found if entry.position <= through]
        fit = fitting(entries, self._sizes.block_bytes)
        if fit == len(entries) < count:
            return entries, through, False
        return entries[:fit], entries[fit - 1].position, True

    def _erase(self, targets: set[int]) -> None:
        """Take the texts of what was deleted: from blocks, and from entries that the tail has let go of already."""
        if not targets:
            return
        for entry in self._pending:
            if entry.position in targets and entry.kind == COMMENT_CREATED:
                entry.value = b""
        for block in [block for block in self._flushed_blocks if _holds(block, targets)]:
            self._flushed_blocks.remove(block)
        for kept in (self._behind, self._behind_unused):
            for after in [after for after, (block, _) in kept.items() if _holds(block, targets)]:
                del kept[after]


def _saying(position: int, frames: bytes) -> Block:
    """Make a block of frames about `position`, which moves no viewer on."""
    return Block(position, position + 1, position, frames, 0)


def _holds(block: Block, targets: set[int]) -> bool:
    return any(block.first <= target <= block.through for target in targets)
