"""Validators of answers: whether a client has this very answer already (RFC 9110, 8.8.3 and 13.1.2)."""

from hashlib import blake2b


def validator(body: bytes) -> str:
    """Make the `ETag` of an answer from its bytes; it changes when a comment in it is deleted."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def is_unchanged(if_none_match: str | None, etag: str) -> bool:
    """Tell whether an `If-None-Match` names this `ETag`, weakly compared (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    named = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return etag in named or named == ["*"]
