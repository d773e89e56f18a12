"""Counting comments for the rate limits: all that this gateway's follower hears of, whichever gateway took them."""

import time
from collections.abc import Callable, Sequence
from weakref import WeakSet

import orjson

from livecomments.following.follower import Follower
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments_gateway.admission import Admission, AdmissionLimits
from livecomments_gateway.facts import SLOW_MODE_MAX_S, VideoSettings
from livecomments_schemas.events import COMMENT_CREATED, Record
from livecomments_schemas.judge import Verdict
from livecomments_schemas.positions import BEFORE_EVERYTHING, position_at


class Counting:
    """The rate limits of one gateway, fed by its follower. What was counted stays counted when an epoch ends."""

    def __init__(self, follower: Follower, limits: AdmissionLimits, clock: Callable[[], float]) -> None:
        self._follower = follower
        self._limits = limits
        self._clock = clock
        self._admission = Admission(limits)
        self._counted: WeakSet[FollowedPartition] = WeakSet()  # one that was let go must not stay in memory
        self._counted_through: dict[int, int] = {}
        self._counted_s = max(SLOW_MODE_MAX_S, limits.user_period_s, limits.duplicate_text_s)
        follower.listeners.append(self._count)
        follower.back_listeners.append(self._count_before)

    def check(
        self, followed: FollowedPartition, video_id: str, author_id: str, message: str, settings: VideoSettings
    ) -> None:
        """Check that this comment may be written now. Raises a LimitRejected leaf."""
        if followed not in self._counted:
            self._count(followed, ())
        self._admission.check(video_id, author_id, message, settings, self._clock())

    def _count(self, followed: FollowedPartition, entries: Sequence[Entry]) -> None:
        """Count new comments of a partition; the first time those in its tail as well.

        Each counts once: a partition that is taken on again may have counted ones in its tail.
        """
        needs_text, is_new = self._limits.duplicate_text_s > 0, True
        if followed not in self._counted:
            self._counted.add(followed)
            entries, is_new = list(followed.tail), False
        through = self._counted_through.get(followed.number, BEFORE_EVERYTHING)
        now, now_ms = self._clock(), time.time_ns() // 1_000_000
        for entry in entries:
            if entry.is_shown and entry.position > through:
                text = orjson.loads(entry.value)["message"] if needs_text else ""
                at = entry.read_at if is_new else now - max(0, now_ms - entry.appended_at_ms) / 1_000
                self._admission.hear(entry.video_id, entry.author_id, text, at)
        self._counted_through[followed.number] = max(through, followed.judged_through)

    def _count_before(self, record: Record, verdict: Verdict) -> None:
        """Count a comment of the window that lies before the tail of a partition that is being taken on."""
        age_s = time.time() - record.appended_at_ms / 1_000
        if record.headers["type"] != COMMENT_CREATED or age_s > self._counted_s:
            return
        position = position_at(self._follower.log.epoch, record.offset)
        if position > self._counted_through.get(record.partition, BEFORE_EVERYTHING):
            assert record.value is not None
            text = orjson.loads(record.value)["message"] if self._limits.duplicate_text_s > 0 else ""
            author = record.headers["author"].decode("utf-8", "replace")
            self._admission.hear(verdict.video_id, author, text, self._clock() - max(0.0, age_s))
            self._counted_through[record.partition] = position
