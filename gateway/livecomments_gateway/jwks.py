"""An issuer's keys, fetched from its JWKS address in the background.

No request ever waits for the issuer. A `kid` that is not known makes us fetch early, but not more often than the
cooldown allows, whatever tokens come in; until a fetch that began later has answered, nobody can tell that the issuer
does not publish it. While the issuer is away its last keys stay good for a day.
"""

import asyncio
import logging
import time
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPMessage
from typing import IO, Final, NamedTuple

from livecomments.runtime.metrics import Counter
from livecomments_gateway.keys import (
    JWKS_BYTES_MAX,
    KID_CHARS_MAX,
    KeysUnavailable,
    ParsedKeys,
    VerifyingKey,
    parse_jwks,
)

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


_MISSED_MAX: Final = 1_000
"""Kids that were asked for and not known, with the time: without it, a token by one is told to try again."""


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
        self._missed: OrderedDict[str, float] = OrderedDict()
        """By kid: when it was asked for first and was not known."""
        self._told_at = float("-inf")
        """When the last fetch that succeeded began: what was published by then is known."""
        self._wanted = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Tell whether there are keys that are not too old."""
        return self._fetched_at is not None and self._clock() - self._fetched_at <= self._times.stale_s

    def find(self, kid: object) -> Sequence[VerifyingKey]:
        if not self.is_ready:
            raise KeysUnavailable("The issuer's keys are not known here yet. Try again in a moment.")
        if not isinstance(kid, str) or not 0 < len(kid) <= KID_CHARS_MAX:
            return ()
        if (found := self._parsed.keys.get(kid)) is not None:
            return (found,)
        now, cooldown_s = self._clock(), self._times.cooldown_s
        if self._missed.setdefault(kid, now) < self._told_at and now - self._told_at < cooldown_s:
            return ()
        if len(self._missed) > _MISSED_MAX:
            self._missed.popitem(last=False)
        if now - self._tried_at >= cooldown_s:
            self._wanted.set()
        raise KeysUnavailable("This key is being asked for. Try again in a moment.")

    async def run(self) -> None:
        """Fetch until cancelled."""
        while True:
            wait_s, began_at = self._times.refresh_s, self._clock()
            try:
                async with asyncio.timeout(_WHOLE_ANSWER * self._times.fetch_timeout_s):
                    parsed = parse_jwks(await asyncio.to_thread(_fetch, self._url, self._times.fetch_timeout_s))
            except (OSError, HTTPException, ValueError) as error:
                _fetches.labels("failed").inc()
                _log.warning("the issuer's keys could not be fetched", extra={"kind": type(error).__name__})
                wait_s = self._times.retry_s
            else:
                _fetches.labels("fetched").inc()
                self._take(parsed, began_at)
            self._tried_at = self._clock()
            self._wanted.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    def _take(self, parsed: ParsedKeys, began_at: float) -> None:
        """Replace the keys by these. A token whose key is not among them is no longer accepted."""
        if parsed.left_out != self._parsed.left_out:  # said once, not at each fetch
            for reason in parsed.left_out:
                _log.warning("a key of the issuer is left out", extra={"reason": reason})
        self._missed.update(dict.fromkeys(self._parsed.keys.keys() - parsed.keys.keys(), float("-inf")))  # withdrawn
        self._parsed, self._fetched_at, self._told_at = parsed, self._clock(), began_at


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
