"""The state of a video: what its owner set, whether it has ended, what is pinned, who is banned.

Pure: a fold over its facts.

Each fact holds until a later record says otherwise; later is by position, so the order in which they are heard does not
matter, and hearing one twice changes nothing.
"""

from typing import Any, Final, NamedTuple

import orjson

from livecomments_gateway.identity import Identity
from livecomments_schemas.errors import Rejected
from livecomments_schemas.events import (
    COMMENT_PINNED,
    COMMENT_UNPINNED,
    USER_BANNED,
    USER_UNBANNED,
    VIDEO_CHANGED,
    VIDEO_ENDED,
    VIDEO_STARTED,
)
from livecomments_schemas.render import render_video

EVERYONE: Final = "everyone"
MEMBERS: Final = "members"
MODERATORS: Final = "moderators"
MODERATE: Final = "moderate"
"""The role of those who may delete any comment, ban, and write where only moderators may."""
OWN: Final = "own"
"""The role of those who may say what a video is."""
_SHOWN_ROLES: Final = (OWN, MODERATE)
"""What everybody may see of a token: not the other roles that an issuer puts into it."""
SLOW_MODE_MAX_S: Final = 3_600


def shown_roles(identity: Identity) -> tuple[str, ...]:
    """Return the roles that a comment tells of its author."""
    return tuple(role for role in _SHOWN_ROLES if role in identity.roles)


class UserBannedRejected(Rejected):
    """This person may not write under this video."""

    code = "banned"


class WritersRejected(Rejected):
    """Not among those who may write under this video."""

    code = "not_allowed_to_comment"


class VideoNotFoundRejected(Rejected):
    """Nobody has said that there is such a video."""

    code = "video_not_found"


class VideoSettings(NamedTuple):
    """What can be set of a video. Numbers of 0 mean no limit."""

    title: str = ""
    who_may_comment: str = EVERYONE
    slow_mode_s: int = 0
    max_comments_per_s: int = 0

    @classmethod
    def of(cls, said: dict[str, Any]) -> "VideoSettings":
        """Parse the JSON value of a `video.changed` record that `judge` has accepted."""
        return cls(said["title"], said["whoMayComment"], said["slowModeS"], said["maxCommentsPerS"])

    def said(self) -> dict[str, object]:
        """Return the settings by their public names."""
        return {
            "title": self.title,
            "whoMayComment": self.who_may_comment,
            "slowModeS": self.slow_mode_s,
            "maxCommentsPerS": self.max_comments_per_s,
        }


class VideoFacts:
    """The facts of one video, as far as they were heard."""

    def __init__(self) -> None:
        self.settings = VideoSettings()
        self.is_ended = False
        self.is_whole = False
        """Whether the facts from before the first request were read. While they were not, a ban or a setting may be
        missing."""
        self._settings_at = -1
        self._state_at = -1
        self._pinned_at = -1
        self._pinned = ""
        self._banned: dict[str, tuple[int, bool]] = {}

    def __len__(self) -> int:
        return len(self._banned)

    @property
    def is_known(self) -> bool:
        """Tell whether somebody has said that there is such a video."""
        return self._settings_at >= 0 or self._state_at >= 0

    def hear(self, kind: bytes, position: int, value: bytes) -> None:
        """Take in a fact of this video; facts may come in any order. Records of other kinds are passed over."""
        if kind == VIDEO_CHANGED and position > self._settings_at:
            self._settings_at, self.settings = position, VideoSettings.of(orjson.loads(value))
        elif kind in (VIDEO_STARTED, VIDEO_ENDED) and position > self._state_at:
            self._state_at, self.is_ended = position, kind == VIDEO_ENDED
        elif kind in (COMMENT_PINNED, COMMENT_UNPINNED) and position > self._pinned_at:
            self._pinned_at, self._pinned = position, orjson.loads(value).get("commentId", "")
        elif kind in (USER_BANNED, USER_UNBANNED):
            user_id = orjson.loads(value)["userId"]
            if position > self._banned.get(user_id, (-1, False))[0]:
                self._banned[user_id] = position, kind == USER_BANNED

    def is_banned(self, user_id: str) -> bool:
        """Tell whether the newest fact about this person is a ban."""
        return self._banned.get(user_id, (-1, False))[1]

    def check_writer(self, identity: Identity) -> None:
        """Check that this person may write here. Raises UserBannedRejected, WritersRejected."""
        if self.is_banned(identity.author.id):
            raise UserBannedRejected("You cannot write under this video any more.")
        who = self.settings.who_may_comment
        if who == EVERYONE or MODERATE in identity.roles or (who == MEMBERS and identity.session_ends_at is None):
            return
        raise WritersRejected(
            "Under this video guests cannot write." if who == MEMBERS else "Only moderators can write."
        )

    def said(self, video_id: str) -> bytes:
        """Render the public JSON of the video."""
        return render_video(video_id, self.settings.said(), is_ended=self.is_ended, pinned=self._pinned)
