"""The follower of a process, made from settings."""

from collections.abc import Callable, Mapping

from livecomments.following.growing import GrowingFollower, Past
from livecomments.following.partition import NO_COUNTS
from livecomments.following.read_back import Judge
from livecomments.following.share import Share
from livecomments.following.tail import Tail, TailBounds
from livecomments.log.interface import CommentLog
from livecomments.runtime.shared_settings import AUTO, FollowSettings, share_of
from livecomments_schemas.judge import judge


def make_follower(
    log: CommentLog,
    settings: FollowSettings,
    *,
    counts: Mapping[int, int] = NO_COUNTS,
    past: Past | None = None,
    judge: Judge = judge,
    tail: Callable[[TailBounds, int], Tail] = Tail,
) -> GrowingFollower:
    """Return a follower of the partitions that the settings name. `judge` and `tail` are seams for planted faults.

    `counts`: of the partitions of earlier epochs; `past`: the epoch that this one grew out of.
    """
    return GrowingFollower(
        log,
        share_of(settings.follow, log.partition_count),
        TailBounds(settings.tail_records_max, settings.tail_bytes_max, settings.tail_age_max_s),
        idle_s=settings.partition_idle_s,
        tails_bytes_max=settings.tails_bytes_max,
        share=Share(settings.tails_bytes_max, settings.follow_records_per_s_max) if settings.follow == AUTO else None,
        judge=judge,
        tail=tail,
        counts=counts,
        past=past,
    )
