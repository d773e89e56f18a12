"""The name of the session that a token belongs to: what is revoked, and what a revocation is compared with. Pure.

Renewing a session gives it a second token, and a thief may have renewed it first. So not a token is revoked but the
session that it names. A token that names none, a JWT too, is a session of its own.
"""

import base64
import binascii
from hashlib import sha256
from typing import Final

import orjson

SESSION_TOKEN_PREFIX: Final = "lcs_"  # noqa: S105 - no password, what all tokens begin with
"""Of the tokens that gateways make; for scanners that look for leaked secrets."""
SESSION_NAME_BYTES: Final = 16
SESSION_COOKIE: Final = "livecomments_session"
"""The one cookie that is read, and only by streams: it may hold a token, which a write never takes from there."""


def session_name(token: str) -> bytes:
    """Name the session of a token without telling the token: SESSION_NAME_BYTES bytes.

    Nothing is verified here. Whoever forges a token that names another's session gains one that ends with it.
    """
    named = _named_session(token) if token.startswith(SESSION_TOKEN_PREFIX) else None
    return named or _digest(token)


def _named_session(token: str) -> bytes | None:
    claims = token.removeprefix(SESSION_TOKEN_PREFIX).partition(".")[0]
    try:
        said = orjson.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        name = bytes.fromhex(said["sid"])
    except (binascii.Error, ValueError, LookupError, TypeError):
        return None
    return name if len(name) == SESSION_NAME_BYTES else None


def _digest(token: str) -> bytes:
    """Return a digest of the signed part of a token, which nobody can change.

    The signature may be changed and still be good: one by ECDSA has a twin, and base64 may have spare bits.
    """
    signed, _, signature = token.rpartition(".")
    return sha256((signed or signature).encode("utf-8", "surrogateescape")).digest()[:SESSION_NAME_BYTES]
