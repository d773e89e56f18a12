"""What a process may follow beyond what it is told to: how much that costs it, and what it lets go of first. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

NEVER: Final = float("-inf")
"""When a partition was used that nobody asked for yet."""
UNUSED_S: Final = 30.0
"""A partition that was asked for stays so long at least, whatever it costs. That is longer than any request takes, and
taking it on again and again costs more than following it."""
_ROOM: Final = 0.8
"""Share of each bound up to which partitions are taken on unasked: what was taken on may cost more later."""


class Load(NamedTuple):
    """What one followed partition costs."""

    bytes: int
    records_per_s: float
    used_at: float
    """When somebody asked for it last, monotonic seconds; `NEVER`: nobody did."""


class Share:
    """Follows the cost of all followed partitions together.

    Args:
        bytes_max: of all tails.
        records_per_s_max: of all partitions; each costs its reader CPU, whether anybody wants it or not.
        unused_s: see `UNUSED_S`.
    """

    def __init__(self, bytes_max: int, records_per_s_max: float, *, unused_s: float = UNUSED_S) -> None:
        self._unused_s = unused_s
        self._bytes_max = bytes_max
        self._records_per_s_max = records_per_s_max
        self._seen: dict[int, tuple[int, float]] = {}
        self._rates: dict[int, float] = {}

    def observe(self, next_offsets: Mapping[int, int], now: float) -> None:
        """Take note of how far each followed partition is read."""
        for number, offset in next_offsets.items():
            before, at = self._seen.get(number, (offset, now))
            if now > at:
                rate = max(0, offset - before) / (now - at)
                self._rates[number] = (self._rates.get(number, rate) + rate) / 2  # one second's burst is no rate
        self._seen = {number: (offset, now) for number, offset in next_offsets.items()}
        self._rates = {number: rate for number, rate in self._rates.items() if number in next_offsets}

    def load(self, number: int, tail_bytes: int, used_at: float) -> Load:
        """Return what a partition costs, as far as is known: one just taken on is not known to have any rate."""
        return Load(tail_bytes, self._rates.get(number, 0.0), used_at)

    def has_room(self, loads: Iterable[Load]) -> bool:
        """Tell whether one more may be taken on that nobody asked for."""
        size, rate = _sum(loads)
        return size < _ROOM * self._bytes_max and rate < _ROOM * self._records_per_s_max

    def beyond(self, loads: Mapping[int, Load], held: Collection[int], now: float) -> list[int]:
        """List what to let go of until the rest is within the bounds: what was used longest ago goes first.

        What is `held`, or was used within `unused_s`, is never let go, so the rest may still exceed the bounds.
        """
        size, rate = _sum(loads.values())
        unused = [number for number in loads if number not in held and loads[number].used_at < now - self._unused_s]
        going = []
        for number in sorted(unused, key=lambda number: (loads[number].used_at, -loads[number].records_per_s)):
            if size <= self._bytes_max and rate <= self._records_per_s_max:
                break
            going.append(number)
            size, rate = size - loads[number].bytes, rate - loads[number].records_per_s
        return going


def even_cap(sizes: Collection[int], most: int) -> int | None:
    """Return to how many bytes each is cut so that all together have `most`; None if they have no more anyway.

    The small ones keep what they have: only what is larger than the cap is cut to it.
    """
    if sum(sizes) <= most:
        return None
    left, count = most, len(sizes)
    for size in sorted(sizes):
        if size * count > left:
            break
        left, count = left - size, count - 1
    return left // count


def _sum(loads: Iterable[Load]) -> tuple[int, float]:
    known = list(loads)
    return sum(load.bytes for load in known), sum(load.records_per_s for load in known)
