"""What a JWT says, once its signature and its claims are verified. Pure: the time and the keys are arguments.

Only the signature is left to PyJWT. Its claims are read here, since PyJWT accepts strings and booleans for
numbers, and JSON in UTF-16. Source: RFC 7519, 4.1; RFC 8725.
"""

import base64
import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jwt
import orjson
from jwt.algorithms import OKPAlgorithm

from livecomments_gateway.keys import KeySource, VerifyingKey
from livecomments_schemas.events import Author
from livecomments_schemas.limits import AUTHOR_ID_BYTES_MAX
from livecomments_schemas.text import TextRejected, fitting_display_name

_THREE_PARTS: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""The shape of a signed token. One with five parts is encrypted; base64url has no padding."""
_TYPES: Final = ("jwt", "application/jwt", "at+jwt", "application/at+jwt")
"""Values of `typ`: media types, with or without `application/` (RFC 7515, 4.1.9)."""
_LEEWAY_S: Final = 30
"""Clocks of issuer and gateway may differ by this much."""
_NAMELESS: Final = "user"
"""Shown for whoever has neither a name nor an id that can be shown."""

_SIGNATURES: Final = jwt.PyJWS()
_SIGNATURES.register_algorithm("Ed25519", OKPAlgorithm())  # RFC 9864: EdDSA by a name that says the curve


class JwtRefused(ValueError):
    """The token is not accepted. `reason` is a fixed word for metrics, and is never sent to the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class JwtRules:
    """What a JWT must satisfy. The algorithm is the key's, never read from the token (RFC 8725, 3.1)."""

    keys: KeySource
    issuer: str
    audience: str


class KeyUse(NamedTuple):
    """The key that verified a token, and its `kid`. The token is good while the issuer pairs the two."""

    kid: object
    key: VerifyingKey


class VerifiedJwt(NamedTuple):
    """Who speaks by a JWT. `expires_at` in Unix seconds, the leeway included."""

    author: Author
    roles: frozenset[str]
    expires_at: int
    by: KeyUse


def verify_jwt(token: str, rules: JwtRules, now: float) -> VerifiedJwt:
    """Verify a token at `now`, Unix seconds.

    Raises:
        JwtRefused: it is malformed, expired, or not signed by anybody we trust.
        KeysUnavailable: its key may be known in a moment.
    """
    if not _THREE_PARTS.fullmatch(token):
        raise JwtRefused("malformed")
    try:
        header = _parsed(token.partition(".")[0])
        kid = header.get("kid")
        keys = rules.keys.find(kid)
        if not keys or str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise JwtRefused("unknown_key_or_type")
        key, payload = _signed_by(token, keys)
        claims = _object(orjson.loads(payload))
    except JwtRefused:
        raise
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise JwtRefused("signature_or_claims") from error
    expires_at = _checked_times(claims, now)
    _check_parties(claims, rules)
    return VerifiedJwt(_author(claims), _roles(claims), expires_at, KeyUse(kid, key))


def _signed_by(token: str, keys: Sequence[VerifyingKey]) -> tuple[VerifyingKey, bytes]:
    """Return which of the keys signed a token, and its payload. Raises jwt.PyJWTError: none did."""
    *others, last = keys
    for key in others:
        with contextlib.suppress(jwt.InvalidSignatureError):
            return key, _SIGNATURES.decode(token, key.key, algorithms=key.algorithms)
    return last, _SIGNATURES.decode(token, last.key, algorithms=last.algorithms)


def sign_jwt(claims: Mapping[str, Any], secret: str) -> str:
    """Make a token as an issuer would that shares this secret with us (HS256)."""
    return jwt.encode(dict(claims), secret, "HS256")


def _parsed(segment: str) -> dict[str, Any]:
    return _object(orjson.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))))


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise JwtRefused("malformed")
    return value


def _checked_times(claims: Mapping[str, Any], now: float) -> int:
    """Check `exp`, `nbf` and `iat` against `now`; returns when the token expires, Unix seconds, leeway included.

    Raises:
        JwtRefused
    """
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if "exp" not in times or not all(_is_time(value) for value in times.values()):
        raise JwtRefused("signature_or_claims")
    if times["exp"] <= now - _LEEWAY_S:
        raise JwtRefused("expired")
    if max(times.get("nbf", 0), times.get("iat", 0)) > now + _LEEWAY_S:
        raise JwtRefused("signature_or_claims")
    return int(times["exp"]) + _LEEWAY_S


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_parties(claims: Mapping[str, Any], rules: JwtRules) -> None:
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(each, str) for each in named) or rules.audience not in named:
        raise JwtRefused("signature_or_claims")
    if claims.get("iss") != rules.issuer:
        raise JwtRefused("signature_or_claims")


def _author(claims: Mapping[str, Any]) -> Author:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject.encode()) <= AUTHOR_ID_BYTES_MAX or "\0" in subject:
        raise JwtRefused("signature_or_claims")
    for name in (claims.get("name"), subject):
        try:
            if isinstance(name, str):
                return Author(subject, fitting_display_name(name))
        except TextRejected:
            continue
    return Author(subject, _NAMELESS)


def _roles(claims: Mapping[str, Any]) -> frozenset[str]:
    roles = claims.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise JwtRefused("signature_or_claims")
    return frozenset(roles)
