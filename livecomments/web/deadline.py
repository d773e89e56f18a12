"""One moment by which something must have come, moved often and reached rarely."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `passed` when the moment comes that was set last. Moving it away costs no timer of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._due_at: float | None = None
        self._timer: asyncio.Handle | None = None
        """No `TimerHandle`: uvloop's for what is due within half a millisecond tells no time."""
        self._looks_at = 0.0
        """When the timer calls."""

    def set(self, after_s: float) -> None:
        """Set it so many seconds from now."""
        due_at = self._due_at = self._loop.time() + after_s
        if self._timer is not None and self._looks_at > due_at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._look_at(due_at)

    def close(self) -> None:
        """Set no deadline any more, and drop the callback.

        It refers back to this object: the pair would wait for the garbage collector.
        """
        self._due_at = None
        self._passed = _nothing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, moment: float) -> None:
        self._looks_at = moment
        self._timer = self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due_at is None:
            return
        if self._loop.time() < self._due_at:
            self._look_at(self._due_at)
        else:
            self._due_at = None
            self._passed()


def _nothing() -> None:
    """Do nothing: what a closed deadline calls."""
