"""The token that a request bears."""

from typing import Final

_SCHEME: Final = "bearer"


def bearer_token(authorization: str) -> str:
    """Return the token of an `Authorization` header, "" if it holds none of ours. Source: RFC 6750, 2.1.

    Spaces behind the scheme are one or more: who takes one of them for the token's finds another token than others do.
    """
    scheme, _, token = authorization.partition(" ")
    return token.lstrip(" ") if scheme.lower() == _SCHEME else ""
