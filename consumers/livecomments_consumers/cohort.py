"""Cohorts: viewers who stand at one place and take bytes, written to one right after the other.

A write to a socket is some microseconds of the kernel's. What is done for each viewer between two of them costs more
than itself: it fetches what the kernel has driven out of the processor's cache, and drives out what the kernel needs.
So those of a cohort share their place, and a block for all of them touches nothing that is one viewer's own.

Why it is safe to share: a cohort is written to in one go, in which nothing else runs, so that at any other time every
member has exactly what the place says. Whoever took less than all of a block leaves at once, with the rest in its own
transport; whoever needs anything of its own (a bye, history, a turn) steps out first and takes a copy of the place with
it. A member is not looked at between two blocks, so it may only stand while there is nothing to do for it alone. Who is
taken in and out is decided elsewhere (`cohorts`).
"""

import math
import random
from collections.abc import Callable
from typing import Final

from livecomments_consumers.block import Block
from livecomments_consumers.lane import Member
from livecomments_consumers.viewer import Feed, Place
from livecomments_consumers.wire import Form

WriteTo = Callable[[int, bytes], int]
"""`os.write`: takes a descriptor and bytes, returns how many it took, raises OSError if none can be taken now."""


class Cohort(Place):
    """Up to `Sizes.cohort_viewers` viewers of a video in one form, at one place.

    It is written to in one go, in which nothing else runs; so its place is that of each of its members at any time.
    """

    __slots__ = ("came_at_ms", "expires_at", "form", "members", "resets")
    is_shared = True

    def __init__(self, form: Form, resets: int, position: int, now: float, told: int = 0) -> None:
        super().__init__(position, now, told)
        self.form: Final = form
        self.resets: Final = resets
        """How many of the feed's resets the place knows of."""
        self.members: dict[int, Member] = {}
        """By descriptor. Nothing waits in their transports."""
        self.expires_at = math.inf
        """Before this no member's life ends, so that they need not be looked at one by one."""
        self.came_at_ms = 0
        """When the last of its members came, and none after that."""

    def add(self, member: Member) -> None:
        """Take in a member, whose place this is."""
        self.members[member.fd] = member
        self.expires_at = min(self.expires_at, member.viewer.expires_at)
        self.came_at_ms = max(self.came_at_ms, member.viewer.came_at_ms)

    def expired(self, now: float) -> list[Member]:
        """Return the members whose life has ended before `now`."""
        if self.expires_at >= now:
            return []
        ends = {one: one.viewer.expires_at for one in self.members.values()}
        self.expires_at = min((end for end in ends.values() if end >= now), default=math.inf)
        return [one for one, end in ends.items() if end < now]

    def is_current(self, feed: Feed) -> bool:
        """Tell whether it has all that was flushed of the log as it is now."""
        return feed.newest <= self.position and self.resets == feed.resets

    def step(self, feed: Feed, quiet_before: float) -> Block | None:
        """Return what to write to all of it beside what is flushed, if anything: see `Viewer.step`.

        The state of the video, if that is new; a heartbeat, if nothing was written since the time `quiet_before`.
        """
        if not self.is_current(feed):
            return None
        self.moved(feed.head)  # nothing of the video lies between the two
        if self.is_video_due(feed):
            self.told = feed.version
            return feed.video(self.position)
        return feed.heartbeat(self.position) if self.written_at <= quiet_before else None

    def write(self, block: Block, write_to: WriteTo, rng: random.Random, now: float) -> list[tuple[Member, int]]:
        """Write a block that `is_for` it to all, beginning with somebody else each time.

        Returns who did not take all of it, and how many bytes each took: to be taken out before the next write.
        """
        data = block.form(self.form)
        fallen: list[tuple[int, int]] = []
        if data:
            fallen = _write_to_all(self._turned(rng), data, write_to)
            self.written_at = now
        self.moved(block.through)
        return [(self.members[fd], sent) for fd, sent in fallen]

    def _turned(self, rng: random.Random) -> list[int]:
        fds = list(self.members)
        begin = rng.randrange(len(fds)) if fds else 0
        return fds[begin:] + fds[:begin]


def _write_to_all(fds: list[int], data: bytes, write_to: WriteTo) -> list[tuple[int, int]]:
    """Write `data` to all descriptors; return those that did not take all of it, and how many bytes each took."""
    size, remaining, fallen = len(data), iter(fds), []
    while True:
        try:
            for fd in remaining:
                sent = write_to(fd, data)
                if sent < size:
                    fallen.append((fd, sent))
            return fallen
        except OSError:  # it is full; or broken, as its transport will find
            fallen.append((fd, 0))
