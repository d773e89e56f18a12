"""Holding writes between two epochs: one has ended by its fences, and the next is not open yet."""

import asyncio
from collections.abc import Callable

from livecomments.following.follower import Follower
from livecomments.log.interface import AppendUnavailable
from livecomments.runtime.metrics import HOLDS, SECONDS_BUCKETS, Histogram, Reading

_held = Reading("livecomments_gateway_appends_held", "Writes that wait for the next epoch to open.", fresh_s=HOLDS)
_held_seconds = Histogram(
    "livecomments_gateway_held_seconds",
    "How long a write waited for the next epoch to open, or in vain.",
    buckets=SECONDS_BUCKETS,
)


class Holding:
    """Writes that wait until a follower goes on in the next epoch, `held_max` at most."""

    def __init__(self, follower: Follower, held_max: int, clock: Callable[[], float]) -> None:
        self._held_max = held_max
        self._clock = clock
        self._moved = asyncio.Event()
        self._held = 0
        _held.set(0)
        follower.moved.append(self._go_on)

    async def wait(self, until: float) -> None:
        """Wait for the next epoch, until this time of the loop at most. Raises AppendUnavailable."""
        if self._held >= self._held_max:
            raise AppendUnavailable("Too many comments wait to be written. Try again in a second.")
        self._held += 1
        _held.set(self._held)
        began_at = self._clock()
        try:
            async with asyncio.timeout_at(until):
                await self._moved.wait()
        except TimeoutError as error:
            raise AppendUnavailable("The log goes on in its next epoch, which is not open yet. Try again.") from error
        finally:
            _held_seconds.observe(self._clock() - began_at)
            self._held -= 1
            _held.set(self._held)

    def _go_on(self, _before: object) -> None:
        self._moved.set()  # who waits is woken
        self._moved.clear()
