"""Which other sites' pages may call us: an exact list of origins, never a pattern, and nobody's credentials.

Source: the Fetch standard, "CORS protocol". Tokens travel in `Authorization`, so no answer allows credentials: a cookie
of another site's visitor never speaks for them. Whoever may call may send any header: what tracing, fetch libraries and
frameworks add is no business of ours, and a list of their names would be behind them for ever.
"""

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = tuple[tuple[bytes, bytes], ...]

_PREFLIGHT: Final = b"access-control-request-method"
_METHODS: Final = b"GET, POST, PUT, DELETE"
_REQUEST_HEADERS: Final = b", ".join(
    (
        b"Authorization",
        b"Content-Type",
        b"Idempotency-Key",
        b"Last-Event-ID",
        b"If-None-Match",
        b"Cache-Control",
        b"Idempotency-After",
        b"X-Requested-With",
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"sentry-trace",
    )
)
"""Named whether a preflight asks for them or not; what else it asks for is named behind them."""
_ANSWER_HEADERS: Final = (
    b"Allow, Date, ETag, RateLimit, RateLimit-Policy, Retry-After, Stream-Cursor, Stream-Next-Offset, "
    b"Stream-Up-To-Date, WWW-Authenticate, X-Request-Id"
)
"""All that ours have beside those which every page may read (held by tests/gateway/test_cors.py)."""
_ASKED: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*+")
_ASKED_BYTES_MAX: Final = 2_048
"""Of the names a preflight asks for: more than any page sends."""
_PREFLIGHT_S: Final = b"600"
"""A browser asks again after this long; Chromium takes no more than two hours."""


def origins_of(text: str) -> frozenset[str]:
    """Split a comma-separated list of origins that `Settings` has checked."""
    return frozenset(origin.strip() for origin in text.split(",") if origin.strip())


class CorsRules:
    """The allowlist. Empty: no other site's page can read an answer, and no header is added."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(origin.encode("ascii") for origin in origins)

    @property
    def is_open(self) -> bool:
        """Whether any origin is allowed."""
        return bool(self._origins)

    def headers(self, origin: bytes | None) -> Headers:
        """Return what an answer to a request with this `Origin` carries, a stream's too."""
        if not self._origins:
            return ()
        if origin not in self._origins:
            return ((b"vary", b"origin"),)
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _ANSWER_HEADERS),
            (b"vary", b"origin"),
        )

    def preflight(self, origin: bytes | None, asked: bytes = b"") -> Headers:
        """Return what the answer to a preflight carries that asks for these request headers."""
        headers = self.headers(origin)
        if len(headers) < 2:
            return headers
        is_list = len(asked) <= _ASKED_BYTES_MAX and _ASKED.fullmatch(asked)
        return (
            *headers,
            (b"vary", b"access-control-request-headers"),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_HEADERS + (b", " + asked if is_list else b"")),
            (b"access-control-max-age", _PREFLIGHT_S),
        )


class CorsAnswers:
    """An application whose answers say who may read them, and which answers preflights itself."""

    def __init__(self, app: ASGIApp, rules: CorsRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._rules.is_open:
            await self._app(scope, receive, send)
            return
        asked = scope["headers"]
        origin = next((value for name, value in asked if name == b"origin"), None)
        if scope["method"] == "OPTIONS" and origin is not None and any(name == _PREFLIGHT for name, _ in asked):
            wanted = b", ".join(value for name, value in asked if name == b"access-control-request-headers")
            headers = self._rules.preflight(origin, wanted)
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        added = self._rules.headers(origin)

        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, send_with)


NO_CORS: Final = CorsRules()
