"""Who stands in which cohort: the one place that takes a video's viewers in and out of their cohorts.

A lane of a channel is loose or stands in one cohort, and its viewer's place says in which: whoever stands has the
cohort itself as a place. So there is one thing to change and to ask, and no flag beside it can disagree.
"""

import random
from collections.abc import Iterator

from livecomments_consumers.block import Block
from livecomments_consumers.cohort import Cohort, WriteTo
from livecomments_consumers.lane import Lane, Member
from livecomments_consumers.viewer import Feed


class Cohorts:
    """The cohorts of one video, each of at most `viewers_max`, and the lanes that stand in none."""

    def __init__(self, viewers_max: int) -> None:
        self.loose: dict[Lane, None] = {}
        """Those in no cohort, each its own matter. To be read; this class alone changes it."""
        self._viewers_max = viewers_max
        self._all: list[Cohort] = []

    def __iter__(self) -> Iterator[Cohort]:
        return iter(self._all)

    def enter(self, lane: Lane) -> None:
        """Take up a lane that has just come, loose."""
        self.loose[lane] = None

    def leave(self, lane: Lane) -> None:
        """Forget a lane, which is loose."""
        del self.loose[lane]

    def stand(self, member: Member, feed: Feed) -> None:
        """Have a loose lane stand in a cohort of its form. Its viewer `may_stand`, and its transport holds nothing."""
        viewer = member.viewer
        cohort = self._with_room(member, feed)
        cohort.moved(viewer.position)  # nothing of the video lies between the two
        cohort.written_at = min(cohort.written_at, viewer.written_at)
        cohort.add(member)
        viewer.stand_at(cohort)
        del self.loose[member]

    def step_out(self, member: Member) -> None:
        """Have a lane go its own way again, from where its cohort is; one that is loose stays so."""
        cohort = member.viewer.place
        if not isinstance(cohort, Cohort):
            return
        member.viewer.step_out()
        self.loose[member] = None
        del cohort.members[member.fd]
        if not cohort.members:
            self._all.remove(cohort)

    def write(self, cohort: Cohort, block: Block, write_to: WriteTo, rng: random.Random, now: float) -> int:
        """Write a block that `is_for` a cohort to all of it; returns how many took it. Who did not falls back."""
        count = len(cohort.members)
        fallen = cohort.write(block, write_to, rng, now)
        for member, sent in fallen:
            self.step_out(member)
            member.fall_back(block, sent)
        return count - len(fallen)

    def _with_room(self, member: Member, feed: Feed) -> Cohort:
        """Return a cohort that a member may be taken into, or a new one where its viewer is."""
        for cohort in self._all:
            is_like = cohort.form is member.form and cohort.told == feed.version
            if is_like and len(cohort.members) < self._viewers_max and cohort.is_current(feed):
                return cohort
        cohort = self._new(member, feed)
        self._all.append(cohort)
        return cohort

    def _new(self, member: Member, feed: Feed) -> Cohort:
        viewer = member.viewer
        return Cohort(member.form, feed.resets, viewer.position, viewer.written_at, feed.version)
