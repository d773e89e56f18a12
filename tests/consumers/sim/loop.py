"""An event loop whose time passes only when nobody has anything to do: seconds cost nothing, and runs repeat."""

import asyncio
from typing import Any, Final

_IDLE_MAX: Final = 20_000
"""Rounds without time passing: more than any schedule needs, so somebody runs in circles."""


pass_time: Final = asyncio.sleep
"""Lets the time of a `VirtualLoop` pass: nobody waits."""


def clock() -> float:
    """The time of the running loop, in seconds."""
    return asyncio.get_running_loop().time()


class Stuck(AssertionError):
    """Nothing will ever happen again, or always the same."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Timers and callbacks, no I/O."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1_000.0
        self._rounds = 0
        self._selector = self  # what the base class asks for events, and lets wait

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Nothing ever comes from outside, so waiting is moving the clock."""
        if timeout is None:
            raise Stuck("nobody has anything to do, and no timer runs")
        self._rounds = 0 if timeout > 0 else self._rounds + 1
        if self._rounds > _IDLE_MAX:
            raise Stuck("time stands still")
        self._now += max(0.0, timeout)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """No other thread ever calls."""
