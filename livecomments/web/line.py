"""Who has more to do than one turn of theirs takes: in a line, one a round of the loop.

A connection that sends its next request before the last one is answered, or a body in thousands of chunks, has all its
work here already. Done as it comes, a hundred such connections would have a hundred turns between two of everybody
else. So they share one: with it the others wait for a turn, however many stand here.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class Line:
    """The line of one server."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def join(self, turn: Callable[[], None]) -> None:
        """Have `turn` called after all that joined before, in a round of its own. It may join again."""
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._give)

    def _give(self) -> None:
        turn = self._waiting[0]
        try:
            turn()
        finally:
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._give)
