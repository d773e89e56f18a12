"""How far the store is behind is told by who sees log and store, whether or not a stream job runs."""

import asyncio

from livecomments.following.follower import Follower
from livecomments.following.tail import TailBounds
from livecomments.history.store_lag import StoreLag
from livecomments.runtime.metrics import REGISTRY
from tests.consumers.streams import until
from tests.history.world import Event, World


def told() -> dict[str, float | None]:
    names = ("records", "seconds")
    found = {name: REGISTRY.get_sample_value(f"livecomments_history_store_behind_{name}") for name in names}
    return found | {"unobserved": REGISTRY.get_sample_value("livecomments_history_store_unobserved_partitions")}


async def test_the_store_is_as_far_behind_as_its_watermark_says_and_nothing_is_told_that_is_not_seen(
    world: World,
) -> None:
    lag = StoreLag(world.follower, world.store, clock=lambda: world.now)
    await world.append(*[Event("comment")] * 5)
    await world.take_on()
    await lag.look()
    assert told() == {"records": 5.0, "seconds": 0.0, "unobserved": 0.0}
    world.now += 30.0
    await world.persist(2)
    await world.advance()
    await lag.look()
    assert told() == {"records": 3.0, "seconds": 30.0, "unobserved": 0.0}
    world.store.is_away = True
    await lag.look()
    assert told()["records"] == 3.0  # it was so a moment ago
    world.now += 60.0
    await lag.look()
    assert told() == {"records": None, "seconds": None, "unobserved": 1.0}
    world.store.is_away = False
    await world.persist(3)
    await world.advance()
    await lag.look()
    assert told() == {"records": 0.0, "seconds": 0.0, "unobserved": 0.0}


async def test_a_process_that_follows_nothing_tells_nothing(world: World) -> None:
    lag = StoreLag(Follower(world.gate, (), TailBounds(1, 1, 1.0)), world.store)
    await lag.look()
    assert told() == {"records": None, "seconds": None, "unobserved": 0.0}


async def test_it_is_looked_at_again_and_again_until_it_is_cancelled(world: World) -> None:
    await world.append(*[Event("comment")] * 4)
    await world.take_on()
    running = asyncio.create_task(StoreLag(world.follower, world.store, clock=lambda: world.now).run())
    await until(lambda: told()["records"] == 4.0 or running.done(), 60.0)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
