"""How far the store is behind is told by who sees log and store, whether or not a stream job runs."""

import asyncio
from pathlib import Path

from livecomments.embedded.store import TABLES, EmbeddedStore
from livecomments.following.follower import Follower
from livecomments.following.tail import TailBounds
from livecomments.history.store_lag import StoreLag
from livecomments.runtime.metrics import REGISTRY
from livecomments.sqlite import DurableFile
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import first_position, position_at
from tests.consumers.streams import until
from tests.following.test_growing import NEW, OLD, epochs, fences_of, following
from tests.history.faults import WatchedStore
from tests.history.world import Event, World
from tests.log.contract import WAIT_S
from tests.schemas.records import comment


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


async def test_in_the_next_epoch_nothing_is_behind_since_the_one_before(tmp_path: Path) -> None:
    now, moving = 1_000.0, False
    async with (
        epochs(tmp_path / "log") as (old, new),
        following(old) as follower,
        DurableFile(tmp_path / "store", TABLES) as file,
        EmbeddedStore(file) as stored,
    ):
        fences: list[int] = []

        async def around(call: str) -> None:
            nonlocal moving
            if call == "watermark:done" and moving:
                moving = False
                await follower.move_on(new, fences, range(NEW))

        store = WatchedStore(stored, around)
        lag = StoreLag(follower, store, clock=lambda: now)
        number = partition_of("launch", OLD)
        for _ in range(9):
            await old.append(number, comment("launch"))
        fences += await fences_of(old)
        await follower.followed[number].reach(position_at(1, fences[number]), WAIT_S)
        for each in range(OLD):
            await stored.advance_watermark(1, each, first_position(1) + (2 if each == number else fences[each]))
        await lag.look()
        assert told() == {"records": 7.0, "seconds": 0.0, "unobserved": 0.0}
        now, moving = now + 30.0, True
        await lag.look()  # in the middle of it all goes on in the next epoch
        assert told()["unobserved"] == float(OLD), "of neither epoch is told what the other holds"
        number = partition_of("launch", NEW)
        offset = await new.append(number, comment("launch"))
        await follower.followed[number].reach(first_position(2) + offset, WAIT_S)
        await lag.look()
        assert told() == {"records": 1.0, "seconds": 0.0, "unobserved": 0.0}


async def test_it_is_looked_at_again_and_again_until_it_is_cancelled(world: World) -> None:
    await world.append(*[Event("comment")] * 4)
    await world.take_on()
    running = asyncio.create_task(StoreLag(world.follower, world.store, clock=lambda: world.now).run())
    await until(lambda: told()["records"] == 4.0 or running.done(), 60.0)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
