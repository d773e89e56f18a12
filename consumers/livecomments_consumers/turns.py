"""Turns: viewers behind are given what they lack one block at a time, in order, and a few of them in a slice.

A crowd that comes back wants seconds of work at once. Between two slices the loop is given away, so what is live (the
pass over the others, reading the log) waits for one slice and never for the crowd.

Why in order, and one block each: served one by one to the end, the last of ten thousand would wait for all others,
and its blocks would not be in memory any more. In turns the crowd moves together, from one shared block to the next:
each is made and compressed once, and let go when all have passed.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

_SLICE_S: Final = 0.002
"""Less than a slice of a live pass takes, so that what is live gets more than half."""
_SLICE_TURNS: Final = 100
"""Some 2 ms of blocks that are made already; a clock that stands still ends no slice."""

Turn = Callable[[], None]


class Turns:
    """The turns of one hub."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: deque[Turn] = deque()
        self._is_due = False

    def ask(self, turn: Turn) -> None:
        """Have `turn` called after all that asked before. It may ask again. What it raises ends no other's turn."""
        self._waiting.append(turn)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._give)

    async def wait(self) -> None:
        """Return when those who asked before have had their turn."""
        turn = asyncio.get_running_loop().create_future()
        self.ask(partial(_begin, turn))
        await turn

    def _give(self) -> None:
        until = self._clock() + _SLICE_S
        try:
            for _ in range(min(len(self._waiting), _SLICE_TURNS)):
                self._waiting.popleft()()
                if self._clock() >= until:
                    break
        finally:  # whatever was raised is the loop's to tell; those who wait are given their turns
            self._is_due = bool(self._waiting)
            if self._is_due:
                asyncio.get_running_loop().call_soon(self._give)


def _begin(turn: asyncio.Future[None]) -> None:
    if not turn.done():  # who waited may have left
        turn.set_result(None)
