"""Which key verifies a JWT, and by which algorithm: said by the key, never by the token (RFC 8725, 3.1). Pure.

A JWKS is somebody else's data: each key in it is checked before it is trusted with anything.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from livecomments.runtime.rotation import Rotated
from livecomments_gateway.settings import secrets_in
from livecomments_schemas.errors import StartRefused, Unavailable

JWKS_BYTES_MAX: Final = 256 * 1024
"""Providers publish a handful of keys, some with certificates."""
KEYS_MAX: Final = 100
KID_CHARS_MAX: Final = 256
_RSA_BITS_MIN: Final = 2_048
_RSA_BITS_MAX: Final = 8_192
"""Checking a signature by a larger key costs so much CPU that tokens could be used to overload us."""
_OTHER_KEY: Final = re.compile(
    r'-----BEGIN |^\s*(?:ssh-|ecdsa-sha2-|https?://|LS0tLS1CRUdJTi|MII[A-J]|MFkwEwYHKoZIzj0|MCowBQYDK2Vw)|"kty"\s*:|"keys"\s*:'
)
"""Beginnings of keys that are no shared secret: PEM, also in base64; OpenSSH; an address of keys; what PEM has inside,
RSA, P-256 and Ed25519; a JWK or a set of them."""
_ALGORITHMS: Final = {"RSA": ("RS256",), "EC": ("ES256",), "OKP": ("EdDSA", "Ed25519")}
"""By the kind of key. Ed25519 is what RFC 9864 calls EdDSA on that curve; issuers use either name."""


class KeysUnavailable(Unavailable):
    """The issuer's keys are not known, or this one is being asked for."""

    code = "keys_unavailable"
    retry_after_s = 2


class VerifyingKey(NamedTuple):
    """A key and the one algorithm it is for, by all its names."""

    key: Any
    algorithms: tuple[str, ...]


class ParsedKeys(NamedTuple):
    """The keys of a JWKS that may verify signatures, by `kid`, and why each of the others may not."""

    keys: dict[str, VerifyingKey]
    left_out: tuple[str, ...]
    """Why each unusable key was left out, in the order of the set, with its `kid` if it has one."""


class KeySource(Protocol):
    """Where an issuer's keys come from."""

    def find(self, kid: object) -> Sequence[VerifyingKey]:
        """Return the keys that may have signed a token whose header names `kid`, none if there is none.

        Raises:
            KeysUnavailable: it may be known in a moment.
        """


class SharedSecrets:
    """HS256 secrets for all tokens, whatever `kid` they name."""

    def __init__(self, keys: Rotated[tuple[VerifyingKey, ...]]) -> None:
        self._keys = keys

    def find(self, kid: object) -> Sequence[VerifyingKey]:
        return self._keys.now


def shared_keys(text: str) -> tuple[VerifyingKey, ...]:
    """Return the keys of HS256 secrets, one a line.

    Raises:
        StartRefused: what is given is a key of another kind.
        ValueError: what `secrets_in` does.
    """
    if _OTHER_KEY.search(text):
        raise StartRefused(
            "LIVECOMMENTS_JWT_SECRET holds a public or private key, or an address. It must be the secret of HS256; "
            "an issuer that signs by keys publishes them: set LIVECOMMENTS_JWT_JWKS_URL instead."
        )
    return tuple(VerifyingKey(secret, ("HS256",)) for secret in secrets_in(text))


def parse_jwks(raw: bytes) -> ParsedKeys:
    """Parse a JWKS: the keys that may verify signatures, and what is left out.

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
    times = Counter(entry["kid"] for entry in listed if isinstance(entry, dict) and isinstance(entry.get("kid"), str))
    keys, left_out = {}, []
    for number, entry in enumerate(listed):
        try:
            kid = _kid(entry, times)
            keys[kid] = _verifying_key(entry)
        except _NotUsable as error:
            said = entry.get("kid") if isinstance(entry, dict) else None
            name = f"kid {said[:KID_CHARS_MAX]!a}" if isinstance(said, str) else f"number {number}"
            left_out.append(f"{name}: {error}")
    return ParsedKeys(keys, tuple(left_out))


class _NotUsable(ValueError):
    """A key that verifies nothing here; says why."""


def _kid(entry: object, times: Mapping[str, int]) -> str:
    if not isinstance(entry, dict):
        raise _NotUsable("not an object")
    kid = entry.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= KID_CHARS_MAX:
        raise _NotUsable(f"no kid of 1 to {KID_CHARS_MAX} characters, so that no token can name it")
    if times[kid] > 1:
        raise _NotUsable("another key has the same kid")
    return kid


def _verifying_key(entry: Mapping[str, Any]) -> VerifyingKey:
    kind, operations = entry.get("kty"), entry.get("key_ops", ["verify"])
    algorithms = _ALGORITHMS.get(kind, ()) if isinstance(kind, str) else ()
    if not algorithms or entry.get("alg", algorithms[0]) not in algorithms:
        raise _NotUsable("neither RS256, ES256 nor EdDSA")
    if "d" in entry:
        raise _NotUsable("a private key, which nobody should see: replace it")
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise _NotUsable("not for verifying signatures")
    try:
        key = jwt.PyJWK(dict(entry), algorithm=algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise _NotUsable("not a key") from error
    if not _is_sound(key):
        raise _NotUsable("too weak, too large, or of another curve")
    return VerifyingKey(key, algorithms)


def _is_sound(key: object) -> bool:
    if isinstance(key, RSAPublicKey):
        return _RSA_BITS_MIN <= key.key_size <= _RSA_BITS_MAX
    if isinstance(key, EllipticCurvePublicKey):
        return isinstance(key.curve, SECP256R1)
    return isinstance(key, Ed25519PublicKey)
