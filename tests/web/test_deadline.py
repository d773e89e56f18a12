"""A moment that is moved: on the loop of servers, whose timers of what is due at once tell no time."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from livecomments.web.deadline import Deadline

BOUND_S = 60.0


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_one_that_is_due_at_once_can_be_moved_away_and_back(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def move() -> None:
        passed = asyncio.Event()
        deadline = Deadline(asyncio.get_running_loop(), passed.set)
        for after_s in (0.0, 0.0001, 3_600.0, -1.0):
            deadline.set(after_s)
        await asyncio.wait_for(passed.wait(), BOUND_S)
        deadline.set(3_600.0)
        deadline.close()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(move())
