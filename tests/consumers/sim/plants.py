"""Bugs, each of which some seed must notice: a checker that cannot fail checks nothing."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from livecomments.following.growing import GrowingFollower, Past
from livecomments.following.partition import NO_COUNTS, FollowedPartition
from livecomments.following.tail import Entry, Tail
from livecomments.history.reading import History
from livecomments.history.stretch import Stretch
from livecomments.log.interface import CommentLog
from livecomments_consumers.block import Block
from livecomments_consumers.cohort import Cohort
from livecomments_consumers.facts import Facts
from livecomments_consumers.frames import bye_frame
from livecomments_consumers.lane import Lane, Member
from livecomments_consumers.sessions import Sessions
from livecomments_consumers.viewer import WAIT, Close, Feed, Fetch, Step, Viewer, Write
from livecomments_schemas.events import COMMENT_DELETED, VIDEO_ENDED
from livecomments_schemas.positions import first_position
from tests.consumers.sim.edge import SIZES, CountingChannel, CountingCohorts, Parts
from tests.consumers.sim.truth import NEXT_EPOCH


class PastAHole(Viewer):
    """While history is read, its heartbeat says the head."""

    __slots__ = ()

    def step(self, feed: Feed, now: float) -> Step:
        step = super().step(feed, now)
        due = isinstance(step, Fetch) and self.is_heartbeat_due(now)
        return Write(feed.heartbeat(feed.head)) if due else step


class OffByOne(Viewer):
    """After history, it goes on one position too late."""

    __slots__ = ()

    def fetched(self, stretch: Stretch) -> Write:
        return super().fetched(stretch._replace(through=stretch.through + 1))


class Again(Viewer):
    """It takes a block that begins before where it is."""

    __slots__ = ()

    def is_for(self, block: Block) -> bool:
        return block.after <= self.position < block.through


class Deaf(Viewer):
    """It does not notice that it is behind until something else happens."""

    __slots__ = ()

    def step(self, feed: Feed, now: float) -> Step:
        step = super().step(feed, now)
        return Write(feed.heartbeat(self.position)) if isinstance(step, Fetch) and self.position % 3 == 0 else step


class Pushing(Viewer):
    """It stands with those who are ahead of it."""

    __slots__ = ()

    def may_stand(self, feed: Feed) -> bool:
        return self.position < feed.newest or super().may_stand(feed)

    def step(self, feed: Feed, now: float) -> Step:
        step = super().step(feed, now)
        return WAIT if isinstance(step, Write) and step.block.comments and self.position % 5 == 0 else step


class Lagging(Viewer):
    """It steps out of its cohort a place behind it."""

    __slots__ = ()

    def step_out(self) -> None:
        super().step_out()
        self._place.position -= 1


class Skipping(CountingChannel):
    """When a partition was read anew, its viewers go on from there."""

    def _restart(self) -> None:
        super()._restart()
        for lane in self.cohorts.loose:
            lane.viewer.moved(self.head)
        for cohort in self.cohorts:
            cohort.moved(self.head)


class Blind(CountingChannel):
    """It does not notice that the log has lost its end."""

    def _restart(self) -> None:
        resets, head = self.resets, self.head
        super()._restart()
        self.resets, self.head = resets, max(head, self.head)


class Ahead(CountingChannel):
    """Heartbeats say what is judged, not what was delivered."""

    def heartbeat(self, position: int) -> Block:
        return super().heartbeat(self.judged_through)


class Remembering(CountingChannel):
    """Blocks keep the texts of deleted comments."""

    def _erase(self, targets: set[int]) -> None:
        """Does nothing."""


class DeletesLost(History):
    """A backfill leaves out the deletes."""

    async def forward(
        self, followed: FollowedPartition, video_id: str, after: int, limit: int, *, around_store: bool = False
    ) -> Stretch:
        stretch = await super().forward(followed, video_id, after, limit, around_store=around_store)
        return stretch._replace(entries=[entry for entry in stretch.entries if entry.kind != COMMENT_DELETED])


class Forgetful(Tail):
    """It claims to reach back one record further than it does."""

    def _drop_oldest(self) -> None:
        after = self.after
        super()._drop_oldest()
        self.after = after


class Hasty(Viewer):
    """It leaves as soon as it hears of the end."""

    __slots__ = ()

    def step(self, feed: Feed, now: float) -> Step:
        return self._end(feed) if feed.ended_at is not None else super().step(feed, now)


class Silent(Viewer):
    """It says no id when the video ends, so that it never has all of it."""

    __slots__ = ()

    def _end(self, feed: Feed) -> Close:
        return Close(bye_frame("ended", feed.retry_ms()), "ended")


class Forever(Facts):
    """What is over is never taken up again."""

    def hear(self, followed: FollowedPartition, entry: Entry) -> None:
        if entry.kind == VIDEO_ENDED:
            super().hear(followed, entry)


class DeafFacts(Facts):
    """It does not read what was said before it listened."""

    def look(self, followed: FollowedPartition, video_id: str) -> int | None:
        return self.ended_at(followed, video_id)


class UntoldCohorts(CountingCohorts):
    """Cohorts that are not told what is so of the video."""

    def _new(self, member: Member, feed: Feed) -> Cohort:
        return UntoldCohort(member.form, feed.resets, member.viewer.position, member.viewer.written_at, feed.version)


class UntoldCohort(Cohort):
    """It takes for told what it was not told."""

    def is_video_due(self, feed: Feed) -> bool:
        return False


class Untold(CountingChannel):
    """Who stands together is not told what is so of the video."""

    make_cohorts = UntoldCohorts


class Unmoved(Viewer):
    """It is told what is so of the video when it comes, and never again."""

    __slots__ = ()

    def is_video_due(self, feed: Feed) -> bool:
        return False

    def may_stand(self, feed: Feed) -> bool:
        self._place.told = feed.version
        return super().may_stand(feed)


class Lasting(Sessions):
    """Streams do not hear that their session has ended."""

    def add(self, lane: Lane) -> None:
        super().add(lane)
        self._end = lambda _: None


class Hurried(GrowingFollower):
    """It goes on in the next epoch before it has read this one to its end."""

    async def move_on(self, log: CommentLog, fences: Sequence[int], assigned: Collection[int]) -> None:
        await super().move_on(log, [-1 for _ in fences], assigned)


class Unknowing(GrowingFollower):
    """It does not know how many partitions there were before."""

    def _child(self, number: int, past: Past, parent: FollowedPartition) -> FollowedPartition:
        child = super()._child(number, past, parent)
        child.counts = NO_COUNTS
        return child


class SeamSkipped(History):
    """Who comes back with an id of the epoch before goes on at the beginning of this one."""

    async def forward(
        self, followed: FollowedPartition, video_id: str, after: int, limit: int, *, around_store: bool = False
    ) -> Stretch:
        after = max(after, first_position(followed.epoch) - 1) if followed.epoch == NEXT_EPOCH else after
        return await super().forward(followed, video_id, after, limit, around_store=around_store)


PLANTS: Final = {
    "a heartbeat past a hole": Parts(viewer=PastAHole),
    "a hand-over off by one": Parts(viewer=OffByOne),
    "a block taken twice": Parts(viewer=Again),
    "a viewer that sleeps on": Parts(viewer=Deaf),
    "a cohort joined from behind": Parts(viewer=Pushing),
    "a cohort left too far back": Parts(viewer=Lagging),
    "a skip on reassignment": Parts(channel=Skipping),
    "a lost end unnoticed": Parts(channel=Blind),
    "an id sent ahead": Parts(channel=Ahead),
    "deleted texts kept": Parts(channel=Remembering),
    "a delete missed in backfill": Parts(history=DeletesLost),
    "a tail that forgets without a word": Parts(tail=Forgetful),
    "an end before the rest": Parts(viewer=Hasty),
    "an end without an id": Parts(viewer=Silent),
    "an end for ever": Parts(facts=Forever),
    "an end of before unknown": Parts(facts=DeafFacts),
    "settings that a crowd does not hear of": Parts(channel=Untold),
    "settings that do not change": Parts(viewer=Unmoved),
    "a stream that outlives its session": Parts(sessions=Lasting),
    "a seam crossed too soon": Parts(follower=Hurried),
    "ids of before with the partition of now": Parts(follower=Unknowing),
    "a seam skipped": Parts(history=SeamSkipped),
    "blocks without a bound": Parts(sizes=replace(SIZES, block_bytes=1 << 20, block_entries=50)),
}
