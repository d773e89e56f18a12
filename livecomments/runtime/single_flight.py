"""Single-flight: a call under way serves everybody who asks the same, so that a thundering herd asks once.

A call that nobody waits for any more is cancelled: otherwise clients who come and go would leave calls behind without
a bound.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[Key, T]):
    """Calls under way, by what they ask. Bounded by those who wait for them."""

    def __init__(self) -> None:
        self._flights: dict[Key, _Flight[T]] = {}

    async def join(self, key: Key, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await the call under way for `key`, or begin `call`.

        Args:
            key: everything that the answer depends on. An answer may be of a call that began before this one.
            call: begins a call; a call that has ended serves nobody new.

        Raises:
            What the call raises. Cancelling one who waits takes nothing from the others.
        """
        flight = self._flights.get(key)
        if flight is None or flight.task.done():
            flight = self._flights[key] = _Flight(asyncio.create_task(call()))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                flight.task.cancel()


class FreshFlight(Generic[Key, T]):
    """Single flight whose answers are never from before the question: of all who ask, one call is under way and the
    others share the next. Remembers every key for ever, so keys are few.
    """

    def __init__(self) -> None:
        self._flights = SingleFlight[tuple[Key, int], T]()
        self._turns: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._begun: defaultdict[Key, int] = defaultdict(int)

    async def join(self, key: Key, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await a call for `key` that begins after this one. Raises what the call raises."""

        async def begin() -> T:
            async with self._turns[key]:
                self._begun[key] += 1
                return await call()

        return await self._flights.join((key, self._begun[key]), begin)


class _Flight(Generic[T]):
    """One call, and how many wait for it."""

    def __init__(self, task: "asyncio.Task[T]") -> None:
        self.task = task
        self.waiting = 0
        # Nobody hears what a cancelled call raises while it ends; without this the loop would report it as forgotten.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
