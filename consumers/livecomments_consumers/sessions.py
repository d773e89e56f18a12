"""Which session a stream belongs to, so that it ends with it.

Reading needs no token. One that comes along, in `Authorization` or a cookie, is only held against the revocations,
since it allows nothing. In an address it is refused: addresses are logged, shared and kept.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from livecomments.log.revocations import Revocations, RevocationsUnavailable
from livecomments.log.session_names import SESSION_COOKIE, session_name
from livecomments.web.bearer import bearer_token
from livecomments_consumers.lane import Lane
from livecomments_schemas.errors import Rejected

_TOKEN_NAMES: Final = frozenset(("token", "access_token", "accesstoken", "sessiontoken", "authorization", "jwt"))


class TokenInUrlRejected(Rejected):
    """The query holds a token."""

    code = "token_in_url"


class SessionEndedRejected(Rejected):
    """The session was revoked."""

    code = "invalid_token"

    def __init__(self) -> None:
        super().__init__("This session has ended. Open a new one by POST /sessions, or read without.")


def check_names(names: Iterable[str]) -> None:
    """Raise TokenInUrlRejected if one of these parameters would be a token."""
    if not _TOKEN_NAMES.isdisjoint(name.lower() for name in names):
        raise TokenInUrlRejected(
            f"Send the token as Authorization: Bearer, or as the cookie {SESSION_COOKIE}; never in the address."
        )


def session_of(authorization: str, cookie: str) -> bytes:
    """Return the name of the session whose token comes with a stream's request; empty without a token."""
    if not authorization and not cookie:
        return b""
    token = bearer_token(authorization)
    if not token:
        cookies = (text.strip().partition("=") for text in cookie.split(";"))
        token = next((value for name, _, value in cookies if name == SESSION_COOKIE), "")
    return session_name(token) if token else b""


class Sessions:
    """The open streams of each session. `end` is called with each whose session ends."""

    def __init__(self, revocations: Revocations | None, end: Callable[[Lane], None]) -> None:
        self._revocations = revocations
        self._end = end
        self._lanes: defaultdict[bytes, set[Lane]] = defaultdict(set)
        if revocations is not None:
            revocations.listeners.append(self._end_streams)

    def is_revoked(self, session: bytes) -> bool:
        """Tell whether the session is known to have ended. A revocation that is read later ends its streams then."""
        try:
            return bool(session) and self._revocations is not None and self._revocations.is_revoked(session)
        except RevocationsUnavailable:
            return False

    def add(self, lane: Lane) -> None:
        """Add a stream that begins; it is ended at once if its session has ended meanwhile."""
        if lane.session:
            self._lanes[lane.session].add(lane)
            if self.is_revoked(lane.session):  # while it waited to begin
                self._end(lane)

    def remove(self, lane: Lane) -> None:
        """Forget a stream that has ended."""
        if lane.session:
            self._lanes[lane.session].discard(lane)
            if not self._lanes[lane.session]:
                del self._lanes[lane.session]

    def _end_streams(self, session: bytes) -> None:
        for lane in list(self._lanes.get(session, ())):
            self._end(lane)
