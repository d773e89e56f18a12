"""Who speaks: a JWT of the operator's issuer, or a session token of ours.

A session token is `lcs_` + base64url(JSON claims) + `.` + base64url(HMAC-SHA256): signed and self-contained.
The only state behind it is whether its session was revoked; all tokens of a session name it (`session_names`).
"""

import base64
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

import orjson

from livecomments.log.session_names import SESSION_NAME_BYTES, SESSION_TOKEN_PREFIX, session_name
from livecomments.runtime.metrics import Counter
from livecomments.runtime.rotation import Rotated
from livecomments.web.bearer import bearer_token
from livecomments_gateway.jwts import JwtRefused, JwtRules, KeyUse, verify_jwt
from livecomments_gateway.settings import SESSION_LIFE_MAX_S
from livecomments_schemas.errors import Rejected
from livecomments_schemas.events import Author
from livecomments_schemas.limits import TOKEN_BYTES_MAX
from livecomments_schemas.text import clean_display_name

_VERIFIED_MAX: Final = 50_000
"""Verified tokens remembered, about 30 MB; checking a signature costs more than all else of a POST that waits."""

_refusals = Counter("livecomments_gateway_tokens_refused_total", "Tokens refused, by reason.", ["reason"])


class TokenMissingRejected(Rejected):
    """The call needs a token and has none."""

    code = "missing_token"


class TokenRejected(Rejected):
    """The token is malformed, expired, or not signed by anybody we trust."""

    code = "invalid_token"


class GuestRejected(Rejected):
    """Sessions without a JWT are switched off here."""

    code = "guests_not_allowed"


class SessionRejected(Rejected):
    """The token is a JWT, which only its issuer can renew; or end, if it expires later than a revocation is kept."""

    code = "not_a_session"


class Identity(NamedTuple):
    """Who speaks, and the roles of their token: `moderate` (delete any comment, ban), `own` (set and end videos).

    `session` is the name of the session that the token belongs to; `expires_at` is the token's, in Unix seconds.
    """

    author: Author
    roles: frozenset[str]
    session: bytes = b""
    expires_at: int = 0
    session_ends_at: int | None = None
    """When a guest's session ends, in Unix seconds, however often it is renewed; None of a JWT."""


class OpenedSession(NamedTuple):
    """A new token of a guest's session. `expires_at` is the token's, in Unix seconds."""

    token: str
    author: Author
    expires_at: int


class RevokedSessions(Protocol):
    """The part of `livecomments.log.revocations.Revocations` that tokens need."""

    def is_revoked(self, session: bytes) -> bool:
        """Tell whether the session of this name was revoked. Raises RevocationsUnavailable while that is not known."""

    async def revoke(self, session: bytes, until: int, by: str) -> None:
        """Revoke it; `until`, Unix seconds, is when its last token expires. Raises Unavailable leaves."""


class SessionRules(NamedTuple):
    """How long guests' tokens live: a token for `idle_s`, its session for `life_s` at most.

    `secrets`: the first signs them, each is accepted. `guests`: whether anybody may open a session.
    """

    secrets: Rotated[Sequence[bytes]]
    life_s: int
    idle_s: int
    guests: bool


class _Verified(NamedTuple):
    """The identity that a token was verified as, and the key that verified it, or for a token of ours the secret."""

    identity: Identity
    by: KeyUse | bytes


class Tokens:
    """Checks and makes tokens.

    A verified token is remembered until it expires. What may change before that is looked up at each use: the key that
    the issuer publishes under the token's `kid`, the secrets, and whether the session was revoked.
    """

    def __init__(
        self,
        sessions: SessionRules,
        revoked: RevokedSessions,
        *,
        jwt_rules: JwtRules | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sessions = sessions
        self._revoked = revoked
        self._jwt_rules = jwt_rules
        self._clock = clock
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    def identify(self, authorization: str | None) -> Identity:
        """Return the identity of the bearer token in an `Authorization` header.

        Raises:
            TokenMissingRejected, TokenRejected: without the exact reason, from which an attacker could learn.
            KeysUnavailable: the issuer's keys, or the one of this token, are not known yet.
            RevocationsUnavailable: it cannot be told yet whether the session was revoked.
        """
        if not authorization:
            raise TokenMissingRejected("Send a token: Authorization: Bearer <token>. POST /sessions gives one.")
        token = bearer_token(authorization)
        if not token or len(authorization) > TOKEN_BYTES_MAX:
            raise _refused("malformed", "Send Authorization: Bearer <token>.")
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()  # with its signature
        verified = self._verified.get(digest)
        if verified is not None and not self._still_holds(verified):
            del self._verified[digest]
            verified = None
        if verified is None:
            verified = self._verified[digest] = self._verify(token)
            if len(self._verified) > _VERIFIED_MAX:
                self._verified.popitem(last=False)
        if self._revoked.is_revoked(verified.identity.session):
            raise _refused("revoked", _NOT_ACCEPTED)
        return verified.identity

    def open_session(self, display_name: str) -> OpenedSession:
        """Open a session for a guest of this name.

        Raises:
            GuestRejected: sessions are switched off.
            TextRejected: no name to show.
        """
        if not self._sessions.guests:
            raise GuestRejected("Guests cannot open sessions here. Sign in with the site's own account.")
        author = Author("guest-" + secrets.token_hex(8), clean_display_name(display_name))
        ends_at = int(self._clock()) + self._sessions.life_s
        return self._session(author, secrets.token_bytes(SESSION_NAME_BYTES), ends_at)

    def renew_session(self, identity: Identity, display_name: str | None = None) -> OpenedSession:
        """Give the same guest's session a new token, and the guest a new name if one is given.

        The old token stays good, and shows the old name, until it expires or the session is ended.

        Raises:
            SessionRejected: the token is a JWT.
            TextRejected: no name to show.
        """
        if identity.session_ends_at is None:
            raise SessionRejected("Only a session of POST /sessions can be renewed here.")
        author = identity.author
        if display_name is not None:
            author = author._replace(display_name=clean_display_name(display_name))
        return self._session(author, identity.session, identity.session_ends_at)

    async def end_session(self, identity: Identity) -> None:
        """Refuse every token of this session from now on, here and everywhere; a JWT is a session of its own.

        Raises:
            SessionRejected: a JWT that would be accepted again once its revocation is kept no longer.
            Unavailable leaves: maybe not ended.
        """
        until = identity.expires_at if identity.session_ends_at is None else identity.session_ends_at
        if until > self._clock() + SESSION_LIFE_MAX_S:
            raise SessionRejected("This token is good for too long to be ended here. End it where it was issued.")
        await self._revoked.revoke(identity.session, until, identity.author.id)

    def _still_holds(self, verified: _Verified) -> bool:
        """Tell whether a remembered token is still good: it has not expired, and its key is unchanged.

        Raises:
            KeysUnavailable
        """
        if verified.identity.expires_at <= self._clock():
            return False
        if isinstance(verified.by, bytes):
            return verified.by in self._sessions.secrets.now
        assert self._jwt_rules is not None
        return verified.by.key in self._jwt_rules.keys.find(verified.by.kid)

    def _verify(self, token: str) -> _Verified:
        if token.startswith(SESSION_TOKEN_PREFIX):
            return self._of_session(token)
        if self._jwt_rules is None:
            raise _refused("no_issuer", _NOT_ACCEPTED)
        try:
            found = verify_jwt(token, self._jwt_rules, self._clock())
        except JwtRefused as error:
            raise _refused(error.reason, _NOT_ACCEPTED) from error
        return _Verified(Identity(found.author, found.roles, session_name(token), found.expires_at), found.by)

    def _session(self, author: Author, session: bytes, ends_at: int) -> OpenedSession:
        expires_at = min(int(self._clock()) + self._sessions.idle_s, ends_at)
        said = {"sub": author.id, "name": author.display_name, "exp": expires_at, "end": ends_at}
        claims = _encoded(orjson.dumps(said | {"sid": session.hex(), "jti": secrets.token_urlsafe(9)}))
        return OpenedSession(
            f"{SESSION_TOKEN_PREFIX}{claims}.{_signature(self._sessions.secrets.now[0], claims)}", author, expires_at
        )

    def _of_session(self, token: str) -> _Verified:
        claims, _, signature = token.removeprefix(SESSION_TOKEN_PREFIX).partition(".")
        secret = self._secret_of(claims, signature.encode("utf-8", "surrogateescape"))
        if secret is None:
            raise _refused("signature", _NOT_ACCEPTED)
        said = orjson.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        if said["exp"] <= self._clock():
            raise _refused("expired", "This session has expired. Open a new one by POST /sessions.")
        author, ends_at = Author(said["sub"], said["name"]), said.get("end", said["exp"])
        return _Verified(Identity(author, frozenset(), session_name(token), said["exp"], ends_at), secret)

    def _secret_of(self, claims: str, signature: bytes) -> bytes | None:
        """Return the secret that these claims of a token were signed with, None if it is none of ours."""
        if not claims.isascii():
            return None
        for secret in self._sessions.secrets.now:
            if hmac.compare_digest(signature, _signature(secret, claims).encode()):
                return secret
        return None


_NOT_ACCEPTED: Final = "This token is not accepted here. Get a new one."


def _refused(reason: str, text: str) -> TokenRejected:
    _refusals.labels(reason).inc()
    return TokenRejected(text)


def _signature(secret: bytes, claims: str) -> str:
    return _encoded(hmac.digest(secret, claims.encode("ascii"), "sha256"))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
