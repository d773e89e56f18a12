"""Who speaks: a JWT of the operator's issuer, or a session token of ours.

A session token is `lcs_` + base64url(JSON claims) + `.` + base64url(HMAC-SHA256): signed and self-contained, no state.
The prefix is for scanners that look for leaked secrets.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jwt
import orjson

from schemas.errors import Rejected
from schemas.events import Author
from schemas.limits import AUTHOR_ID_BYTES_MAX, DISPLAY_NAME_GRAPHEMES_MAX, TOKEN_BYTES_MAX
from schemas.text import TextRejected, clean_display_name

_PREFIX: Final = "lcs_"
_LEEWAY_S: Final = 30
"""Clocks of issuer and gateway may differ by this much."""


class TokenMissingRejected(Rejected):
    """The call needs a token and has none."""

    code = "missing_token"


class TokenRejected(Rejected):
    """The token is malformed, expired, or not signed by anybody we trust."""

    code = "invalid_token"


class GuestRejected(Rejected):
    """Sessions without a JWT are switched off here."""

    code = "guests_not_allowed"


class Identity(NamedTuple):
    """Who speaks, and what else they may do: `moderate` (delete any comment)."""

    author: Author
    roles: frozenset[str]


class Session(NamedTuple):
    """A new session. `expires_at` in Unix seconds."""

    token: str
    author: Author
    expires_at: int


@dataclass(frozen=True)
class JwtRules:
    """What a JWT must satisfy. The algorithm is fixed here, never read from the token (RFC 8725, 3.1)."""

    secret: str
    issuer: str
    audience: str


class Tokens:
    """Checks and makes tokens."""

    def __init__(
        self,
        session_secret: bytes,
        session_ttl_s: int,
        *,
        guests: bool,
        jwt_rules: JwtRules | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session_secret = session_secret
        self._session_ttl_s = session_ttl_s
        self._guests = guests
        self._jwt_rules = jwt_rules
        self._clock = clock

    def identify(self, authorization: str | None) -> Identity:
        """The bearer of an `Authorization` header.

        Raises:
            TokenMissingRejected, TokenRejected: why is not said in detail, so that nobody learns from it.
        """
        if not authorization:
            raise TokenMissingRejected("Send a token: Authorization: Bearer <token>. POST /sessions gives one.")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(authorization) > TOKEN_BYTES_MAX:
            raise TokenRejected("Send Authorization: Bearer <token>.")
        return self._of_session(token) if token.startswith(_PREFIX) else self._of_jwt(token)

    def open_session(self, display_name: str) -> Session:
        """A session for a guest of this name.

        Raises:
            GuestRejected: sessions are switched off.
            TextRejected: no name to show.
        """
        if not self._guests:
            raise GuestRejected("Guests cannot open sessions here. Sign in with the site's own account.")
        author = Author("guest-" + secrets.token_hex(8), clean_display_name(display_name))
        expires_at = int(self._clock()) + self._session_ttl_s
        claims = _encoded(orjson.dumps({"sub": author.id, "name": author.display_name, "exp": expires_at}))
        return Session(f"{_PREFIX}{claims}.{_encoded(self._signed(claims))}", author, expires_at)

    def _of_session(self, token: str) -> Identity:
        claims, _, signature = token.removeprefix(_PREFIX).partition(".")
        try:
            given = _decoded(signature)
        except ValueError as error:
            raise TokenRejected(_NOT_ACCEPTED) from error
        if not claims.isascii() or not hmac.compare_digest(given, self._signed(claims)):
            raise TokenRejected(_NOT_ACCEPTED)
        session = orjson.loads(_decoded(claims))
        if session["exp"] <= self._clock():
            raise TokenRejected("This session has expired. Open a new one by POST /sessions.")
        return Identity(Author(session["sub"], session["name"]), frozenset())

    def _of_jwt(self, token: str) -> Identity:
        rules = self._jwt_rules
        if rules is None:
            raise TokenRejected(_NOT_ACCEPTED)
        try:
            claims = jwt.decode(
                token,
                rules.secret,
                algorithms=["HS256"],
                issuer=rules.issuer,
                audience=rules.audience,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenRejected(_NOT_ACCEPTED) from error
        return _identity_of(claims)

    def _signed(self, claims: str) -> bytes:
        return hmac.digest(self._session_secret, claims.encode("ascii", "replace"), hashlib.sha256)


_NOT_ACCEPTED: Final = "This token is not accepted here. Get a new one."


def _identity_of(claims: dict[str, Any]) -> Identity:
    subject, roles = claims["sub"], claims.get("roles", [])
    if not isinstance(subject, str) or not 0 < len(subject.encode()) <= AUTHOR_ID_BYTES_MAX or "\0" in subject:
        raise TokenRejected(_NOT_ACCEPTED)
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise TokenRejected(_NOT_ACCEPTED)
    name = claims.get("name")
    try:
        display_name = clean_display_name(name if isinstance(name, str) else subject)
    except TextRejected:
        display_name = "user"[:DISPLAY_NAME_GRAPHEMES_MAX]
    return Identity(Author(subject, display_name), frozenset(roles))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
