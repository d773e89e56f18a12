"""Fair queueing of costly connections: they wait in a line, one has its turn at a time, and the line rests behind it.

A connection that sends its next request before the last one is answered, or a body in thousands of chunks, has all its
work here already. Done as it comes, a hundred such connections would have a hundred turns between two of everybody
else. So they share one, however many stand here; and since an answer takes several rounds of the loop, each of which
would have a turn, the line rests between two: it has a share of the loop's time, and everybody else the most of it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

WORK_REST_S: Final = 0.001
"""Some three times what a turn costs, a page's answer included; the shortest that a timer of uvloop waits. Who sends
one request behind the other, as hardly any client of today does, gets a thousand answers a second."""
EXIT_REST_S: Final = 0.01
"""Behind who is told why it is refused, or what it still sends is dropped: a hundred times a second, up to 128 KB.
Some come again at once, as often as they are let go; others send for ever."""


class Line:
    """One line of a server: first come, first served, with a rest of `rest_s` seconds behind each turn."""

    def __init__(self, rest_s: float) -> None:
        self.rest_s = rest_s
        self._waiting: OrderedDict[Callable[[], None], None] = OrderedDict()
        self._is_busy = False
        """A call of `_give` is due: for the next turn, or at the end of a rest."""

    def join(self, turn: Callable[[], None]) -> None:
        """Have `turn` called after all that joined before, in a round of its own. It may join again."""
        self._waiting[turn] = None
        if not self._is_busy:
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._give)

    def leave(self, turn: Callable[[], None]) -> None:
        """Let go of `turn`, if it waits."""
        self._waiting.pop(turn, None)

    def _give(self) -> None:
        if not self._waiting:
            self._is_busy = False
            return
        asyncio.get_running_loop().call_later(self.rest_s, self._give)
        self._waiting.popitem(last=False)[0]()
