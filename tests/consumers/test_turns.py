"""Whose turn it is."""

import asyncio
from contextlib import suppress
from functools import partial

from livecomments_consumers.turns import Turns


class Clock:
    """Moves on by `step_s` at each look."""

    def __init__(self, step_s: float = 0.0) -> None:
        self._now, self._step_s = 0.0, step_s

    def __call__(self) -> float:
        self._now += self._step_s
        return self._now


async def rounds(turns: Turns, count: int) -> list[int]:
    """How many of so many turns were given in each round of the loop."""
    given: list[int] = []
    for number in range(count):
        turns.ask(partial(given.append, number))
    counts, before = [], 0
    while len(given) < count:
        await asyncio.sleep(0)
        counts.append(len(given) - before)
        before = len(given)
    assert given == list(range(count))
    return counts


async def test_turns_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    assert sum(await rounds(Turns(Clock()), 250)) == 250


async def test_a_slice_of_turns_is_bounded_and_then_others_run() -> None:
    assert await rounds(Turns(Clock()), 250) == [100, 100, 50]


async def test_a_slice_ends_when_its_time_is_up_and_gives_at_least_one_turn() -> None:
    assert await rounds(Turns(Clock(0.001)), 5) == [2, 2, 1]
    assert await rounds(Turns(Clock(1.0)), 3) == [1, 1, 1]


async def test_who_asks_again_in_a_turn_has_the_next_one_after_all_others() -> None:
    turns, had = Turns(Clock()), []

    def again() -> None:
        had.append("first")
        if len(had) < 4:
            turns.ask(again)

    turns.ask(again)
    turns.ask(lambda: had.append("second"))
    for _ in range(4):
        await asyncio.sleep(0)
    assert had == ["first", "second", "first", "first"]


async def test_who_leaves_while_waiting_for_a_turn_keeps_nobody_from_theirs() -> None:
    turns = Turns(Clock())
    leaving, staying = asyncio.create_task(turns.wait()), asyncio.create_task(turns.wait())
    await asyncio.sleep(0)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    await asyncio.wait_for(staying, 1.0)
    assert leaving.cancelled()


async def test_a_turn_that_raises_takes_no_turn_from_the_others() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fails(error: Exception) -> None:
        raise error

    turns, given, failures = Turns(Clock()), list[int](), [ValueError("a bug"), asyncio.InvalidStateError("another")]
    for number, failure in enumerate(failures):
        turns.ask(partial(fails, failure))
        turns.ask(partial(given.append, number))
    async with asyncio.timeout(10):
        await turns.wait()
        turns.ask(partial(given.append, 2))  # nor does it take those of who asks later
        await turns.wait()
    assert given == [0, 1, 2]
    assert told == failures
