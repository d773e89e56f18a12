import asyncio
from collections.abc import Callable
from weakref import WeakSet

import pytest
import uvloop

from livecomments.runtime.expiry import Expiry

LONG_S = 3_600.0
BOUND_S = 60.0


async def test_each_future_ends_in_its_own_time_whatever_the_order_they_were_added_in() -> None:
    expiry, loop = Expiry(), asyncio.get_running_loop()
    ended: list[asyncio.Future[None]] = []
    expiry.add(loop.create_future(), LONG_S)
    waits = {"late": 0.03, "early": 0.01, "middle": 0.02}
    futures: dict[str, asyncio.Future[None]] = {name: loop.create_future() for name in waits}
    for name, future in futures.items():
        future.add_done_callback(ended.append)
        expiry.add(future, waits[name])
    await asyncio.wait(futures.values())
    assert ended == [futures[name] for name in ("early", "middle", "late")]
    assert all(isinstance(future.exception(), TimeoutError) for future in futures.values())


async def test_a_future_that_is_done_stays_as_it_is_and_holds_up_none() -> None:
    expiry, loop = Expiry(), asyncio.get_running_loop()
    done, cancelled, late = (loop.create_future() for _ in range(3))
    for future in (done, cancelled, late):
        expiry.add(future, 0.01)
    done.set_result(1)
    cancelled.cancel()
    with pytest.raises(TimeoutError):
        await late
    assert done.result() == 1
    assert cancelled.cancelled()


async def test_one_is_ended_though_nothing_is_added_after_another_ended() -> None:
    expiry, loop = Expiry(), asyncio.get_running_loop()
    for _ in range(2):
        future = loop.create_future()
        expiry.add(future, 0.0)
        with pytest.raises(TimeoutError):
            await future


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
def test_what_is_due_when_it_comes_is_ended_and_holds_up_none_on_the_loop_of_servers_too(
    make_loop: Callable[[], asyncio.AbstractEventLoop], timeout_s: float
) -> None:
    """Of a timer that is due at once uvloop gives a handle that tells no time."""

    async def wait() -> None:
        expiry, loop = Expiry(), asyncio.get_running_loop()
        for waits_s in (timeout_s, timeout_s, 0.01):
            future = loop.create_future()
            expiry.add(loop.create_future(), LONG_S)
            expiry.add(future, waits_s)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(future), BOUND_S)
            assert future.done()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(wait())


async def test_what_is_done_is_not_kept() -> None:
    expiry, loop = Expiry(), asyncio.get_running_loop()
    kept = WeakSet[asyncio.Future[None]]()
    for _ in range(100):
        future = loop.create_future()
        kept.add(future)
        expiry.add(future, LONG_S)
        future.set_result(None)
    del future
    assert len(kept) == 1
