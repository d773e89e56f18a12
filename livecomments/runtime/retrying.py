"""Retrying: call again what is away, with a bounded backoff and jitter, until it answers or the caller gives up."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from livecomments_schemas.errors import Unavailable

RETRY_S: Final = 0.5
"""Between two tries, unless the caller says otherwise: short enough to notice who is back, long enough to be cheap."""
_JITTER: Final = (0.5, 1.0)
"""Of a pause: those who failed together must not come back together."""

T = TypeVar("T")
Kinds = type[Exception] | tuple[type[Exception], ...]


def never(_error: Exception) -> bool:
    """Go on trying: whoever awaits bounds the wait by cancelling it."""
    return False


def warn(log: logging.Logger, message: str, error: Exception, **extra: object) -> None:
    """Warn of a failure: its code, and the reason that whoever runs this can act on."""
    log.warning(message, extra={**extra, "code": getattr(error, "code", type(error).__name__), "reason": str(error)})


def told(log: logging.Logger, message: str, **extra: object) -> Callable[[Exception], bool]:
    """Make an `until` that warns of each failure and never gives up."""

    def tells(error: Exception) -> bool:
        warn(log, message, error, **extra)
        return False

    return tells


def after(tries: int) -> Callable[[Exception], bool]:
    """Make an `until` that gives up once `tries` calls have failed; at least 1."""
    failed = 0

    def gives_up(_error: Exception) -> bool:
        nonlocal failed
        failed += 1
        return failed >= tries

    return gives_up


def within(timeout_s: float, clock: Callable[[], float] = time.monotonic) -> Callable[[Exception], bool]:
    """Make an `until` that gives up at the first failure later than `timeout_s` from now."""
    deadline = clock() + timeout_s
    return lambda _error: clock() >= deadline


async def retrying(
    call: Callable[[], Awaitable[T]],
    until: Callable[[Exception], bool] = never,
    *,
    on: Kinds = Unavailable,
    first_s: float = RETRY_S,
    max_s: float | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> T:
    """Await `call()`; when it fails by one of `on`, pause and call again.

    Args:
        call: begins one try.
        until: hears of each failure, and says whether to give up.
        on: what may pass by itself. Anything else is raised at once.
        first_s: the first pause in seconds, of which half to all is slept; it doubles from try to try.
        max_s: the longest pause in seconds; `first_s` if None, so that all are alike.
        sleep: a seam for tests.

    Raises:
        The last failure, if `until` gave up.
    """
    pause_s = first_s
    while True:
        try:
            return await call()
        except on as error:
            if until(error):
                raise
        await sleep(pause_s * random.uniform(*_JITTER))  # noqa: S311 - jitter needs no secrecy
        pause_s = min(pause_s * 2, max_s or first_s)
