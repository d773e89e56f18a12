"""What owners and moderators do: set and end a video, ban people, pin. Each act is a record in the log.

So every gateway, and a replay, comes to the same state. An act is appended even if it seems to change nothing: what
this gateway knows may be old, or empty while the store is away, and a second record of the same act does no harm.
"""

from typing import Final

from livecomments.history.pages import newest_first
from livecomments.history.reading import History
from livecomments.store.interface import StoreUnavailable
from livecomments_gateway.facts import MODERATE, OWN, VideoFacts, VideoNotFoundRejected, VideoSettings
from livecomments_gateway.identity import Identity
from livecomments_gateway.posting import Posting
from livecomments_schemas.errors import Rejected
from livecomments_schemas.events import (
    USER_BANNED,
    USER_UNBANNED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    NewRecord,
    comment_deleted,
    comment_pinned,
    comment_unpinned,
    user_event,
    video_changed,
    video_event,
)
from livecomments_schemas.limits import AUTHOR_ID_BYTES_MAX

_PAGE: Final = 100
_PAGES_MAX: Final = 100
"""Read back for one ban: ten thousand comments; what is older stays."""


class RoleRejected(Rejected):
    """The token lacks the role that the call requires."""

    code = "role_missing"


class UserIdRejected(Rejected):
    """No user has such an id: it is empty, too long, or no text."""

    code = "invalid_user_id"


class Owning:
    """Acts of owners (`own`) and moderators (`moderate`), through one gateway's `Posting`."""

    def __init__(self, history: History, posting: Posting) -> None:
        self._history = history
        self._posting = posting

    async def read(self, video_id: str) -> VideoFacts:
        """Read what is set of a video. Raises VideoNotFoundRejected, PartitionUnavailable, StoreUnavailable."""
        facts = await self._posting.videos.facts(video_id)
        if not facts.is_whole:
            raise StoreUnavailable("What was set of this video cannot be read just now. Try again in a second.")
        if not facts.is_known:
            raise VideoNotFoundRejected("Nothing was set of this video. Comments may be written all the same.")
        return facts

    async def put(self, video_id: str, settings: VideoSettings, state: str | None, identity: Identity) -> VideoFacts:
        """Replace the settings of a video; `state` "live" or "ended" opens or ends it, None leaves that as it is.

        Raises:
            RoleRejected: nothing was written.
            Unavailable leaves: all, some or nothing was written; the call may be repeated.
        """
        check_role(identity, OWN)
        await self._posting.videos.facts(video_id)  # so that it is kept, and hears what is said now
        await self._say(video_id, video_changed(video_id, settings.said(), identity.author.id))
        if state is not None:
            kind = VIDEO_ENDED if state == "ended" else VIDEO_STARTED
            await self._say(video_id, video_event(kind, video_id, identity.author.id))
        facts = await self._posting.videos.facts(video_id)
        if state is None and not facts.is_whole:
            raise StoreUnavailable("It is set; whether the video is over cannot be read just now.")
        return facts

    async def ban(self, video_id: str, user_id: str, identity: Identity, delete_last_s: int) -> None:
        """Ban a person from a video; their comments of the last `delete_last_s` seconds go too.

        Raises:
            RoleRejected, UserIdRejected: nothing was written.
            Unavailable leaves: maybe not all was done; the call may be repeated.
        """
        followed = self._history.home(video_id)
        await self._set_ban(video_id, user_id, identity, banned=True)
        if delete_last_s:  # before the ban, by the clock that stamped it and them
            await self._delete_all(video_id, user_id, identity, followed.appended_at_ms - delete_last_s * 1000)

    async def unban(self, video_id: str, user_id: str, identity: Identity) -> None:
        """Let a person write again. Raises as `ban` does."""
        await self._set_ban(video_id, user_id, identity, banned=False)

    async def pin(self, video_id: str, id_text: str, identity: Identity) -> None:
        """Put a comment above the others, in the place of the one that was pinned.

        Raises:
            RoleRejected, and what `Posting.find` raises of a comment that is not there: nothing was written.
            Unavailable leaves: written or not; the call may be repeated.
        """
        check_role(identity, MODERATE, OWN)
        await self._posting.find(video_id, id_text)
        await self._say(video_id, comment_pinned(video_id, id_text, identity.author.id))

    async def unpin(self, video_id: str, identity: Identity) -> None:
        """Let no comment be pinned. Raises RoleRejected; Unavailable leaves as `pin` does."""
        check_role(identity, MODERATE, OWN)
        await self._say(video_id, comment_unpinned(video_id, identity.author.id))

    async def _set_ban(self, video_id: str, user_id: str, identity: Identity, *, banned: bool) -> None:
        check_role(identity, MODERATE)
        if not 0 < len(user_id.encode("utf-8", "surrogatepass")) <= AUTHOR_ID_BYTES_MAX or not _is_text(user_id):
            raise UserIdRejected(f"A user id has 1 to {AUTHOR_ID_BYTES_MAX} bytes of UTF-8.")
        kind = USER_BANNED if banned else USER_UNBANNED
        await self._say(video_id, user_event(kind, video_id, user_id, identity.author.id))

    async def _delete_all(self, video_id: str, user_id: str, identity: Identity, since_ms: int) -> None:
        cursor = None
        for _ in range(_PAGES_MAX):
            page = await newest_first(self._history, self._history.home(video_id), video_id, cursor, _PAGE)
            for entry in page.comments:
                if entry.author_id == user_id and entry.appended_at_ms >= since_ms:
                    await self._say(video_id, comment_deleted(video_id, entry.comment_id, identity.author.id))
            cursor = page.next_cursor
            if cursor is None or (page.comments and page.comments[-1].appended_at_ms < since_ms):
                return

    async def _say(self, video_id: str, record: NewRecord) -> None:
        await self._posting.append(video_id, record)


def check_role(identity: Identity, *roles: str) -> None:
    """Check that the token has one of these. Raises RoleRejected."""
    if identity.roles.isdisjoint(roles):
        raise RoleRejected(f"This takes a token with the role {' or '.join(roles)}.")


def _is_text(user_id: str) -> bool:
    return "\0" not in user_id and not any("\ud800" <= character <= "\udfff" for character in user_id)
