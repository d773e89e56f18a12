"""The detour: what a stream needs of the store is read from the log while the store is away, or too far behind.

The log holds it too, for as long as it retains. Only streams are served so, since a gap told to a viewer is final; a
page costs nobody anything when it says 503 and is asked for again. One reading from the lowest position that was asked
for serves all who come with a higher one: a crowd of n, in any order, makes it begin anew about ln n times. Who asks
for more records than may be read takes nothing from the others.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from livecomments.following.tail import Tail
from livecomments.history.middle import Middle
from livecomments.history.stretch import HistoryBehind

DETOURS_MAX: Final = 8
"""Partitions at once, the ones used last."""


class Detour:
    """The detours of one process; `make` makes a fresh middle of a partition."""

    def __init__(self, make: Callable[[int], Middle]) -> None:
        self._make = make
        self._middles: OrderedDict[int, tuple[int, Middle]] = OrderedDict()
        """By partition: from where it was read, and what was."""

    async def cover(self, partition: int, after: int, through: Callable[[], int]) -> Tail | None:
        """Read the partition's records later than `after`, or than an earlier position, as `Middle.cover` does.

        Raises:
            HistoryBehind: more than the bounds allow, or the log no longer holds them.
            LogUnavailable
        """
        while True:
            since, middle = self._from(partition, after, through())
            try:
                return (await middle.cover(since, through)).tail
            except HistoryBehind:
                if self._middles.get(partition) == (since, middle):
                    del self._middles[partition]
                if after <= since:
                    raise
                # another's position was too far away; this one may be near enough

    def let_go(self, partition: int) -> None:
        """Free the memory: the store answers."""
        if partition in self._middles:
            self._middles.pop(partition)[1].let_go()

    def _from(self, partition: int, after: int, through: int) -> tuple[int, Middle]:
        """Find or begin a reading of what is later than `after`; return where it begins, too. Raises HistoryBehind."""
        known = self._middles.get(partition)
        if known is None or after < known[0]:
            made = self._make(partition)
            made.check_span(after, through)
            if known is not None:
                known[1].let_go()
            known = self._middles[partition] = after, made
        self._middles.move_to_end(partition)
        while len(self._middles) > DETOURS_MAX:
            self._middles.popitem(last=False)[1][1].let_go()
        return known
