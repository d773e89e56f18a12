"""Which key verifies a JWT, and by which algorithm: said by the key, never by the token (RFC 8725, 3.1). Pure.

A JWKS is somebody else's data: each key in it is checked before it is trusted with anything.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from livecomments_schemas.errors import Unavailable

JWKS_BYTES_MAX: Final = 256 * 1024
"""Providers publish a handful of keys, some with certificates."""
KEYS_MAX: Final = 100
KID_CHARS_MAX: Final = 256
_RSA_BITS_MIN: Final = 2_048
_RSA_BITS_MAX: Final = 8_192
"""A larger one makes each check a way to keep us busy."""
_ALGORITHMS: Final = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


class KeysUnavailable(Unavailable):
    """The issuer's keys are not known, or this one is being asked for."""

    code = "keys_unavailable"
    retry_after_s = 2


class VerifyingKey(NamedTuple):
    """A key and the one algorithm it is for."""

    key: Any
    algorithm: str


class KeySource(Protocol):
    """Where an issuer's keys come from."""

    def find(self, kid: object) -> VerifyingKey | None:
        """The key for a token whose header names `kid`, or None. Raises KeysUnavailable: it may come in a moment."""


class SharedSecret:
    """One HS256 secret for all tokens, whatever `kid` they name."""

    def __init__(self, secret: str) -> None:
        self._key = VerifyingKey(secret, "HS256")

    def find(self, kid: object) -> VerifyingKey:
        return self._key


def parse_jwks(raw: bytes) -> dict[str, VerifyingKey]:
    """The keys of a JWKS that may verify signatures, by `kid`; others are left out.

    Left out are: other types, curves and algorithms, weak or huge RSA keys, keys for encryption or for signing, private
    keys (which somebody leaked), keys without a `kid`, and all that share one.

    Raises:
        ValueError: no JWKS, or too large.
    """
    if len(raw) > JWKS_BYTES_MAX:
        raise ValueError("larger than a JWKS may be")
    parsed = orjson.loads(raw)
    listed = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise ValueError("no list of keys, or too many")
    entries = [entry for entry in listed if isinstance(entry, dict)]
    times = Counter(entry["kid"] for entry in entries if isinstance(entry.get("kid"), str))
    keys = {}
    for entry in entries:
        kid = entry.get("kid")
        if isinstance(kid, str) and 0 < len(kid) <= KID_CHARS_MAX and times[kid] == 1:
            key = _verifying_key(entry)
            if key is not None:
                keys[kid] = key
    return keys


def _verifying_key(entry: Mapping[str, Any]) -> VerifyingKey | None:
    kind, operations = entry.get("kty"), entry.get("key_ops", ["verify"])
    algorithm = _ALGORITHMS.get(kind) if isinstance(kind, str) else None
    if algorithm is None or entry.get("alg", algorithm) != algorithm or "d" in entry:
        return None
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = jwt.PyJWK(dict(entry), algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return VerifyingKey(key, algorithm) if _is_sound(key) else None


def _is_sound(key: object) -> bool:
    if isinstance(key, RSAPublicKey):
        return _RSA_BITS_MIN <= key.key_size <= _RSA_BITS_MAX
    if isinstance(key, EllipticCurvePublicKey):
        return isinstance(key.curve, SECP256R1)
    return isinstance(key, Ed25519PublicKey)
