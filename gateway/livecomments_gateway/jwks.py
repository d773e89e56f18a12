"""An issuer's keys, fetched from its JWKS address in the background.

No request ever waits for the issuer. A `kid` that is not known makes us fetch early, but not more often than the
cooldown allows, whatever tokens come in. While the issuer is away its last keys stay good for a day.
"""

import asyncio
import logging
import time
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPMessage
from typing import IO, Final, NamedTuple

from livecomments.runtime.metrics import Counter
from livecomments_gateway.keys import JWKS_BYTES_MAX, KeysUnavailable, ParsedKeys, VerifyingKey, parse_jwks

_log = logging.getLogger("livecomments.gateway")
_fetches = Counter("livecomments_gateway_jwks_fetches_total", "Fetches of the issuer's keys, by result.", ["result"])


class JwksTimes(NamedTuple):
    """When keys are fetched, and how long they are good. Only tests use other values."""

    refresh_s: float = 300.0
    cooldown_s: float = 30.0
    """Between two fetches that unknown kids cause."""
    retry_s: float = 5.0
    """After a fetch that failed."""
    stale_s: float = 86_400.0
    """Keys are good this long without a fetch that succeeds."""
    fetch_timeout_s: float = 3.0
    """For each read of the answer; `_WHOLE_ANSWER` times as long for all of it."""


_WHOLE_ANSWER: Final = 4
"""Factor of `fetch_timeout_s` for a whole answer: an issuer that sends a byte at a time must not hold up the next
fetch."""


class JwksKeys:
    """The keys of one issuer. `run` fetches; `find` only looks."""

    def __init__(
        self, url: str, *, times: JwksTimes | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._times = times or JwksTimes()
        self._clock = clock
        self._parsed = ParsedKeys({}, ())
        self._fetched_at: float | None = None
        self._tried_at = float("-inf")
        self._wanted = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Tell whether there are keys that are not too old."""
        return self._fetched_at is not None and self._clock() - self._fetched_at <= self._times.stale_s

    def find(self, kid: object) -> Sequence[VerifyingKey]:
        if not self.is_ready:
            raise KeysUnavailable("The issuer's keys are not known here yet. Try again in a moment.")
        found = self._parsed.keys.get(kid) if isinstance(kid, str) else None
        if found is None and isinstance(kid, str) and self._clock() - self._tried_at >= self._times.cooldown_s:
            self._wanted.set()
        if found is None and self._wanted.is_set():
            raise KeysUnavailable("This key is being asked for. Try again in a moment.")
        return () if found is None else (found,)

    async def run(self) -> None:
        """Fetch until cancelled."""
        while True:
            wait_s = self._times.refresh_s
            try:
                async with asyncio.timeout(_WHOLE_ANSWER * self._times.fetch_timeout_s):
                    parsed = parse_jwks(await asyncio.to_thread(_fetch, self._url, self._times.fetch_timeout_s))
            except (OSError, HTTPException, ValueError) as error:
                _fetches.labels("failed").inc()
                _log.warning("the issuer's keys could not be fetched", extra={"kind": type(error).__name__})
                wait_s = self._times.retry_s
            else:
                _fetches.labels("fetched").inc()
                self._take(parsed)
            self._tried_at = self._clock()
            self._wanted.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    def _take(self, parsed: ParsedKeys) -> None:
        """Replace the keys by these. A token whose key is not among them is no longer accepted."""
        if parsed.left_out != self._parsed.left_out:  # said once, not at each fetch
            for reason in parsed.left_out:
                _log.warning("a key of the issuer is left out", extra={"reason": reason})
        self._parsed, self._fetched_at = parsed, self._clock()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None  # an issuer that was taken over must not send us about the network


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def _fetch(url: str, timeout_s: float) -> bytes:
    """Fetch the body at `url`, blocking. Raises OSError, HTTPException."""
    with _OPENER.open(url, timeout=timeout_s) as answer:  # the scheme was checked by Settings
        body: bytes = answer.read(JWKS_BYTES_MAX + 1)
    return body
