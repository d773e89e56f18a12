"""Futures that are waited for only so long, many at a time."""

import asyncio
from heapq import heappop, heappush
from itertools import count
from typing import Any


class Expiry:
    """Ends futures with TimeoutError when their time comes. One timer of the loop serves all of them.

    Nearly all are done long before: a timer for each would cost a POST more than its limits do. One that is done stays
    in memory until those of an earlier time are, so no longer than the longest time that is given.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, asyncio.Future[Any]]] = []
        self._number = count()
        """Tells those of one moment apart: futures have no order."""
        self._timer: asyncio.Handle | None = None
        """No `TimerHandle`: uvloop's for what is due already tells no time."""
        self._due_at = 0.0
        """When the timer calls."""

    def add(self, future: asyncio.Future[Any], timeout_s: float) -> None:
        """End this future in so many seconds, unless it is done by then."""
        waiting, loop = self._waiting, future.get_loop()
        while waiting and waiting[0][2].done():
            heappop(waiting)
        due_at = loop.time() + timeout_s
        heappush(waiting, (due_at, next(self._number), future))
        if self._timer is not None and due_at < self._due_at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._begin(loop, due_at)

    def _begin(self, loop: asyncio.AbstractEventLoop, due_at: float) -> None:
        self._due_at = due_at
        self._timer = loop.call_at(due_at, self._expire)

    def _expire(self) -> None:
        due_by, waiting = self._due_at, self._waiting
        self._timer = None
        while waiting:
            due_at, _, future = waiting[0]
            if not future.done():
                loop = future.get_loop()
                if due_at > max(due_by, loop.time()):  # a loop may call a little early
                    self._begin(loop, due_at)
                    return
                future.set_exception(TimeoutError())
            heappop(waiting)
