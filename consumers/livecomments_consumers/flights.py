"""Reads under way, each for everybody who needs the same: a crowd that comes together reads once.

One that nobody waits for any more is ended: else viewers who come and go would leave reads behind without a bound.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")


class Flights(Generic[Key, T]):
    """Reads by what they are asked for; `read` does one."""

    def __init__(self, read: Callable[[Key], Coroutine[Any, Any, T]]) -> None:
        self._read = read
        self._flights: dict[Key, _Flight[T]] = {}

    async def join(self, key: Key) -> T:
        """What the read of `key` gives, or raises: of the one under way, or of one that begins now."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(self._read(key)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)  # who leaves takes it from nobody else
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                del self._flights[key]
                flight.task.cancel()


class _Flight(Generic[T]):
    """One read, and how many wait for it."""

    def __init__(self, task: "asyncio.Task[T]") -> None:
        self.task = task
        self.waiting = 0
