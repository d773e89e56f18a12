"""How long a follower rests between two polls, so that several records share what one costs. Pure.

A poll costs a follower about a millisecond of CPU whether it brings one record or twenty, and the more nodes share a
topic, the fewer records come to each: four nodes that poll a hundred times a second cost twice what one does.
"""

from typing import Final, NamedTuple

TOGETHER: Final = 10.0
"""Records for which a poll is worth its while."""
_SMALL_RECORDS: Final = 100
"""Whoever gets more has work enough, and does not rest."""
_WEIGHT: Final = 0.125
"""Of the last poll, in the rate that comes to be expected."""


class Rest(NamedTuple):
    """Bounds of a rest. Comments that come to an idle reader never wait: it rests after a poll, and not before."""

    least_s: float
    most_s: float


class Resting:
    """The rests of one reader; `now` is a monotonic time in seconds."""

    def __init__(self, bounds: Rest, now: float) -> None:
        self._bounds = bounds
        self._rate = 0.0
        """Records a second that are expected."""
        self._noted_at = now

    def after(self, count: int, now: float) -> float:
        """Return until when to rest after a poll that brought so many records: until the next are worth a poll."""
        least_s, most_s = self._bounds
        self._rate += (count / max(now - self._noted_at, least_s) - self._rate) * _WEIGHT
        self._noted_at = now
        if not 0 < count < _SMALL_RECORDS:
            return now
        return now + max(least_s, min(TOGETHER / self._rate, most_s))
