"""Rate limits: how fast a person may write, and how fast all together may. Pure: the time is an argument.

They are counted over the log: every gateway counts all accepted comments, whichever gateway took them. So ten gateways
together allow as much as one, but for posts that come at the same moment.
"""

from collections import OrderedDict, deque
from hashlib import blake2b
from math import ceil
from typing import Final, NamedTuple

from livecomments_gateway.facts import VideoSettings
from livecomments_schemas.errors import Rejected
from livecomments_schemas.text import skeleton

WRITERS_MAX: Final = 100_000
"""Writers remembered at once, about 50 MB; who wrote longest ago is forgotten first."""
VIDEOS_MAX: Final = 20_000
_SECOND: Final = 1.0
_SEEN_BYTES: Final = 8
"""Digest of each writer's last text: long enough that two texts do not meet by chance."""


class LimitRejected(Rejected):
    """Too fast. Each leaf says which limit."""

    def __init__(self, text: str, *, policy: str, limit: int, period_s: float, wait_s: float) -> None:
        super().__init__(text)
        wait = max(1, ceil(wait_s))
        # Source: draft-ietf-httpapi-ratelimit-headers-10.
        self.headers = {
            "Retry-After": str(wait),
            "RateLimit-Policy": f'"{policy}";q={limit};w={max(1, ceil(period_s))}',
            "RateLimit": f'"{policy}";r=0;t={wait}',
        }


class UserLimitRejected(LimitRejected):
    """This person writes too fast."""

    code = "user_limit"


class SlowModeRejected(LimitRejected):
    """The video is in slow mode."""

    code = "slow_mode"


class DuplicateTextRejected(LimitRejected):
    """This person said the same a moment ago."""

    code = "duplicate_text"


class VideoLimitRejected(LimitRejected):
    """All people together write too fast under this video."""

    code = "video_limit"


class AdmissionLimits(NamedTuple):
    """The limits that hold under every video; 0 is none. Slow mode and the limit of a video are the owner's."""

    user_comments_max: int = 0
    user_period_s: float = 10.0
    duplicate_text_s: float = 0.0


class _Writer:
    """One person under one video."""

    __slots__ = ("last_at", "text", "times")

    def __init__(self, times_max: int) -> None:
        # Without such a limit nothing: most who are heard of never write through this gateway.
        self.times: deque[float] | None = deque(maxlen=times_max) if times_max else None
        self.last_at = float("-inf")
        self.text = b""


class Admission:
    """When each writer and each video had its newest comments, for the limits. Times are monotonic seconds."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits = limits
        self._writers: OrderedDict[tuple[str, str], _Writer] = OrderedDict()
        self._videos: OrderedDict[str, deque[float]] = OrderedDict()

    def hear(self, video_id: str, author_id: str, text: str, at: float) -> None:
        """Count a comment that was written. `text` may be empty while duplicates are allowed."""
        writer = self._writers.pop((video_id, author_id), None) or _Writer(self.limits.user_comments_max)
        self._writers[video_id, author_id] = writer
        if writer.times is not None:
            writer.times.append(at)
        writer.last_at = at
        if self.limits.duplicate_text_s:  # a digest takes longer than all the rest
            writer.text = _digest(text)
        if len(self._writers) > WRITERS_MAX:
            self._writers.popitem(last=False)
        times = self._videos.pop(video_id, None)
        if times is None:
            times = deque()
        self._videos[video_id] = times
        times.append(at)
        while times[0] <= at - _SECOND:
            times.popleft()
        if len(self._videos) > VIDEOS_MAX:
            self._videos.popitem(last=False)

    def check(self, video_id: str, author_id: str, text: str, settings: VideoSettings, now: float) -> None:
        """Check that this comment may be written now. Raises a LimitRejected leaf."""
        writer = self._writers.get((video_id, author_id))
        if writer is not None:
            self._check_writer(writer, text, settings, now)
        limit = settings.max_comments_per_s
        times = [at for at in self._videos.get(video_id, ()) if at > now - _SECOND] if limit else []
        if limit and len(times) >= limit:
            raise VideoLimitRejected(
                "Too many comments at once under this video. Try again in a moment.",
                policy="video",
                limit=limit,
                period_s=_SECOND,
                wait_s=times[-limit] + _SECOND - now,
            )

    def _check_writer(self, writer: _Writer, text: str, settings: VideoSettings, now: float) -> None:
        limits = self.limits
        wait_s = writer.last_at + settings.slow_mode_s - now
        if settings.slow_mode_s and wait_s > 0:
            raise SlowModeRejected(
                f"Slow mode: one comment each {settings.slow_mode_s} seconds.",
                policy="slow-mode",
                limit=1,
                period_s=settings.slow_mode_s,
                wait_s=wait_s,
            )
        times = writer.times
        wait_s = times[0] + limits.user_period_s - now if times else 0.0
        if times is not None and len(times) == limits.user_comments_max and wait_s > 0:
            raise UserLimitRejected(
                "You write too fast. Wait a moment.",
                policy="user",
                limit=limits.user_comments_max,
                period_s=limits.user_period_s,
                wait_s=wait_s,
            )
        wait_s = writer.last_at + limits.duplicate_text_s - now
        if limits.duplicate_text_s and wait_s > 0 and writer.text == _digest(text):
            raise DuplicateTextRejected(
                "You said the same a moment ago.",
                policy="duplicate-text",
                limit=1,
                period_s=limits.duplicate_text_s,
                wait_s=wait_s,
            )


def _digest(text: str) -> bytes:
    """Digest a text by what a reader sees of it, so that invisible changes make no other text."""
    return blake2b(skeleton(text).encode(), digest_size=_SEEN_BYTES).digest()
