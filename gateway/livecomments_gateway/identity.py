"""Who speaks: a JWT of the operator's issuer, or a session token of ours.

A session token is `lcs_` + base64url(JSON claims) + `.` + base64url(HMAC-SHA256): signed and self-contained; only that
it was revoked is state. The prefix is for scanners that look for leaked secrets.
"""

import base64
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol

import jwt
import orjson

from livecomments.log.revocations import token_digest
from livecomments.runtime.metrics import Counter
from livecomments.runtime.settings import SESSION_LIFE_MAX_S
from livecomments_gateway.keys import KeySource
from livecomments_schemas.errors import Rejected
from livecomments_schemas.events import Author
from livecomments_schemas.limits import AUTHOR_ID_BYTES_MAX, DISPLAY_NAME_GRAPHEMES_MAX, TOKEN_BYTES_MAX
from livecomments_schemas.text import TextRejected, clean_display_name

_PREFIX: Final = "lcs_"
_THREE_PARTS: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""A signed token; one with five parts is encrypted, and padding is no base64url."""
_TYPES: Final = ("jwt", "at+jwt", "application/at+jwt")
_LEEWAY_S: Final = 30
"""Clocks of issuer and gateway may differ by this much."""
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
    """A JWT is renewed where it was issued, and so is one ended that is good for longer than a revocation is kept."""

    code = "not_a_session"


class Identity(NamedTuple):
    """Who speaks, and what else they may do: `moderate` (delete any comment, ban), `own` (say what a video is).

    `digest` names the token without telling it; `expires_at` in Unix seconds.
    """

    author: Author
    roles: frozenset[str]
    digest: bytes = b""
    expires_at: int = 0
    session_ends_at: int | None = None
    """Of a session: no renewal goes beyond it."""


class Session(NamedTuple):
    """A new session. `expires_at` in Unix seconds."""

    token: str
    author: Author
    expires_at: int


@dataclass(frozen=True)
class JwtRules:
    """What a JWT must satisfy. The algorithm is the key's, never read from the token (RFC 8725, 3.1)."""

    keys: KeySource
    issuer: str
    audience: str


class RevokedTokens(Protocol):
    """What `Revocations` is for tokens."""

    def is_revoked(self, digest: bytes) -> bool:
        """Whether the token of this digest was revoked. Raises RevocationsUnavailable while that is not known."""

    async def revoke(self, digest: bytes, expires_at: int, by: str) -> None:
        """Revoke it; `expires_at` in Unix seconds. Raises Unavailable leaves."""


class SessionRules(NamedTuple):
    """How long a session lives: `idle_s` from its opening or last renewal, `life_s` whatever happens."""

    secret: bytes
    life_s: int
    idle_s: int
    guests: bool


class Tokens:
    """Checks and makes tokens. A verified token is remembered until it expires; whether it is revoked is asked anew."""

    def __init__(
        self,
        sessions: SessionRules,
        revoked: RevokedTokens,
        *,
        jwt_rules: JwtRules | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sessions = sessions
        self._revoked = revoked
        self._jwt_rules = jwt_rules
        self._clock = clock
        self._verified: OrderedDict[bytes, Identity] = OrderedDict()

    def identify(self, authorization: str | None) -> Identity:
        """The bearer of an `Authorization` header.

        Raises:
            TokenMissingRejected, TokenRejected: why is not said in detail, so that nobody learns from it.
            RevocationsUnavailable: it cannot be told yet whether the token was revoked.
        """
        if not authorization:
            raise TokenMissingRejected("Send a token: Authorization: Bearer <token>. POST /sessions gives one.")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(authorization) > TOKEN_BYTES_MAX:
            raise _refused("malformed", "Send Authorization: Bearer <token>.")
        verified = sha256(token.encode("utf-8", "surrogateescape")).digest()  # with its signature
        identity = self._verified.get(verified)
        if identity is None:
            digest = token_digest(token)
            identity = self._of_session(token, digest) if token.startswith(_PREFIX) else self._of_jwt(token, digest)
            self._verified[verified] = identity
            if len(self._verified) > _VERIFIED_MAX:
                self._verified.popitem(last=False)
        elif identity.expires_at <= self._clock():
            del self._verified[verified]
            raise _refused("expired", _NOT_ACCEPTED)
        if self._revoked.is_revoked(identity.digest):
            raise _refused("revoked", _NOT_ACCEPTED)
        return identity

    def open_session(self, display_name: str) -> Session:
        """A session for a guest of this name.

        Raises:
            GuestRejected: sessions are switched off.
            TextRejected: no name to show.
        """
        if not self._sessions.guests:
            raise GuestRejected("Guests cannot open sessions here. Sign in with the site's own account.")
        author = Author("guest-" + secrets.token_hex(8), clean_display_name(display_name))
        return self._session(author, int(self._clock()) + self._sessions.life_s)

    def renew_session(self, identity: Identity) -> Session:
        """The same guest's session with a new token. The old one stays good until it expires or is revoked.

        Raises:
            SessionRejected: a JWT.
        """
        if identity.session_ends_at is None:
            raise SessionRejected("Only a session of POST /sessions can be renewed here.")
        return self._session(identity.author, identity.session_ends_at)

    async def end_session(self, identity: Identity) -> None:
        """Refuse this token from now on, here and everywhere.

        Raises:
            SessionRejected: a JWT that would be accepted again once its revocation is kept no longer.
            Unavailable leaves: maybe not ended.
        """
        if identity.expires_at > self._clock() + SESSION_LIFE_MAX_S:
            raise SessionRejected("This token is good for too long to be ended here. End it where it was issued.")
        await self._revoked.revoke(identity.digest, identity.expires_at, identity.author.id)

    def _session(self, author: Author, ends_at: int) -> Session:
        expires_at = min(int(self._clock()) + self._sessions.idle_s, ends_at)
        said = {"sub": author.id, "name": author.display_name, "exp": expires_at, "end": ends_at}
        claims = _encoded(orjson.dumps(said | {"jti": secrets.token_urlsafe(9)}))
        return Session(f"{_PREFIX}{claims}.{_encoded(self._signed(claims))}", author, expires_at)

    def _of_session(self, token: str, digest: bytes) -> Identity:
        claims, _, signature = token.removeprefix(_PREFIX).partition(".")
        given = signature.encode("utf-8", "surrogateescape")
        if not claims.isascii() or not hmac.compare_digest(given, _encoded(self._signed(claims)).encode()):
            raise _refused("signature", _NOT_ACCEPTED)
        said = orjson.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        if said["exp"] <= self._clock():
            raise _refused("expired", "This session has expired. Open a new one by POST /sessions.")
        author = Author(said["sub"], said["name"])
        return Identity(author, frozenset(), digest, said["exp"], said.get("end", said["exp"]))

    def _of_jwt(self, token: str, digest: bytes) -> Identity:
        rules = self._jwt_rules
        if rules is None:
            raise _refused("no_issuer", _NOT_ACCEPTED)
        if not _THREE_PARTS.fullmatch(token):
            raise _refused("malformed", _NOT_ACCEPTED)
        try:
            header = jwt.get_unverified_header(token)
            key = rules.keys.find(header.get("kid"))
            if key is None or str(header.get("typ", "JWT")).lower() not in _TYPES:
                raise _refused("unknown_key_or_type", _NOT_ACCEPTED)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=rules.issuer,
                audience=rules.audience,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            return _identity_of(claims, digest)
        except jwt.ExpiredSignatureError as error:
            raise _refused("expired", _NOT_ACCEPTED) from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise _refused("signature_or_claims", _NOT_ACCEPTED) from error

    def _signed(self, claims: str) -> bytes:
        return hmac.digest(self._sessions.secret, claims.encode("ascii", "replace"), "sha256")


_NOT_ACCEPTED: Final = "This token is not accepted here. Get a new one."


def _refused(reason: str, text: str) -> TokenRejected:
    _refusals.labels(reason).inc()
    return TokenRejected(text)


def _identity_of(claims: dict[str, Any], digest: bytes) -> Identity:
    subject, roles = claims["sub"], claims.get("roles", [])
    if not isinstance(subject, str) or not 0 < len(subject.encode()) <= AUTHOR_ID_BYTES_MAX or "\0" in subject:
        raise _refused("signature_or_claims", _NOT_ACCEPTED)
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise _refused("signature_or_claims", _NOT_ACCEPTED)
    name = claims.get("name")
    try:
        display_name = clean_display_name(name if isinstance(name, str) else subject)
    except TextRejected:
        display_name = "user"[:DISPLAY_NAME_GRAPHEMES_MAX]
    if not isinstance(claims["exp"], int | float):  # PyJWT takes a text too
        raise _refused("signature_or_claims", _NOT_ACCEPTED)
    expires_at = int(claims["exp"]) + _LEEWAY_S
    return Identity(Author(subject, display_name), frozenset(roles), digest, expires_at)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
