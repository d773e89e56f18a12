"""How much of its core an edge may write in: half of what all else leaves free, but never less than a quarter. Pure.

All else is what this process does beside the pass in question, other passes too, and whoever takes the core from it.
Nobody tells an event loop how long it was idle. So it is told from the CPU that the process used; and of a pass, which
waits for nothing, what it took longer than the CPU that was used meanwhile is what others took.
"""

from typing import Final

PASSES_MIN: Final = 2.0
"""A linger is at least so many passes long, where nothing else is done: writing takes half of the core."""
PASSES_MAX: Final = 4.0
"""At least so many where much else is: a quarter."""


class Spare:
    """What one process leaves free of its core, looked at once a tick. Times are seconds of a monotonic clock.

    Args:
        now: the time at which it was made.
        cpu_s: CPU that the process had used by then.
    """

    def __init__(self, now: float, cpu_s: float) -> None:
        self._looked_at, self._cpu_s = now, cpu_s
        self._used = 1.0
        """The share of a core that this process uses; nothing is known at first."""
        self._got = 1.0
        """The share of the time that it has the core, when it needs it."""
        self._passes_s = self._passes_cpu_s = 0.0

    def passed(self, pass_s: float, cpu_s: float) -> None:
        """Note how long a pass took, and how much CPU the process used meanwhile."""
        self._passes_s += pass_s
        self._passes_cpu_s += cpu_s

    def look(self, now: float, cpu_s: float) -> None:
        """See what was used since the last look. One look's burst is no load: it counts half."""
        if now <= self._looked_at:
            return
        self._used += (min(1.0, (cpu_s - self._cpu_s) / (now - self._looked_at)) - self._used) / 2
        if self._passes_s:
            self._got += (min(1.0, self._passes_cpu_s / self._passes_s) - self._got) / 2
        self._looked_at, self._cpu_s = now, cpu_s
        self._passes_s = self._passes_cpu_s = 0.0

    def passes_a_linger(self, own: float) -> float:
        """Return how many passes long a linger is at least, for passes that took the share `own` of the time so far."""
        beside = max(0.0, self._used - own * self._got) + 1.0 - self._got
        return min(PASSES_MAX, PASSES_MIN / max(1.0 - beside, PASSES_MIN / PASSES_MAX))
