"""How long which partition of the log has not answered, neither with records nor to a probe. Pure."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

_QUIET_S: Final = 0.5
"""Less than between two probes, or an answer to one would spare the next question."""


class Silence:
    """When each followed partition last answered, and when any of them did."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._since_by_partition: dict[int, float] = {}

    def broke(self, numbers: Iterable[int], followed: Collection[int]) -> None:
        """Note that these answered just now; remember each that is `followed` until it is forgotten."""
        now = self._clock()
        for number in numbers:
            self._since = now
            if number in followed:
                self._since_by_partition[number] = now

    def forget(self, number: int) -> None:
        """Forget a partition that is followed no more."""
        self._since_by_partition.pop(number, None)

    def quiet(self) -> list[int]:
        """List the followed partitions that have not answered just now, and are to be asked."""
        before = self._clock() - _QUIET_S
        return [number for number, since in self._since_by_partition.items() if since <= before]

    @property
    def of_all_s(self) -> float:
        """Seconds since any partition answered."""
        return self._clock() - self._since

    @property
    def longest_s(self) -> float:
        """Seconds since the followed partition answered that has been silent longest."""
        return self._clock() - min(self._since_by_partition.values(), default=self._since)

    def of_s(self, number: int) -> float:
        """Return the seconds since the partition answered; of one that is not followed, since any did."""
        return self._clock() - self._since_by_partition.get(number, self._since)
