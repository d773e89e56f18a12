"""While the store is away a stream gets from the log what it would have got from the store, within bounds."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings

from livecomments.following.tail import Tail
from livecomments.history.detour import Detour
from livecomments.history.middle import Budget, Middle
from livecomments.history.reading import History
from livecomments.history.stretch import HistoryBehind, Source
from livecomments.sqlite import DurableFile
from livecomments.store.interface import StoreUnavailable
from livecomments_schemas.positions import BEFORE_EVERYTHING
from tests.history.conftest import Ground
from tests.history.test_properties import DEFAULTS, STEPS_MAX, in_world, tried, walks, worlds
from tests.history.world import VIDEOS, Event, Sizes, World, open_world

QUIET, BUSY = VIDEOS[:2]


async def stored(world: World, count: int) -> None:
    """So many comments in the store, of which the tail has the newest few."""
    await world.append(*[Event("comment", number % 2) for number in range(count)])
    await world.persist()
    await world.advance()
    await world.take_on()
    await world.follow()
    world.store.is_away = True


async def stream(world: World, video: int, limits: list[int], start: int | None) -> None:
    """Go forward to the newest entry; every stretch says what it must."""
    video_id, model = VIDEOS[video], world.model
    after = world.position(-1) if start is None else min(world.position(start), world.judged)
    for step in range(STEPS_MAX):
        judged, limit = world.judged, limits[step % len(limits)]
        entries, through, _ = await tried(
            lambda: world.forward(video_id, after, limit, around_store=True)  # noqa: B023 - awaited
        )
        always, may = model.always_shown(video_id, through), model.shown(video_id, through, judged)
        assert [entry.position for entry in entries] == [
            one.position for one in model.entries(video_id, after, through)
        ]
        for entry in entries:
            assert not entry.is_shown or entry.value == may[entry.position]
            assert entry.is_shown or entry.position not in always
        if through >= judged:
            return
        assert through > after, "it goes on"
        after = through
    raise AssertionError("endless")


@given(worlds, walks)
@settings(DEFAULTS, max_examples=150)
def test_a_stream_gets_every_entry_once_in_order_without_the_store(
    ground: Ground, drawn: dict[str, Any], walk: dict[str, Any]
) -> None:
    async def without_store(world: World) -> None:
        world.store.is_away = True
        await stream(world, **walk)

    in_world(ground, {**drawn, "forgotten": 0}, without_store)


@given(worlds, walks)
@settings(DEFAULTS, max_examples=100)
def test_a_stream_gets_every_entry_once_in_order_while_the_store_comes_and_goes(
    ground: Ground, drawn: dict[str, Any], walk: dict[str, Any]
) -> None:
    async def flapping(world: World) -> None:
        read, calls = world.history.forward, iter(range(STEPS_MAX))

        async def forward(*arguments: Any, **options: Any) -> Any:
            world.store.is_away = next(calls) % 3 != 0
            return await read(*arguments, **options)

        world.history.forward = forward  # type: ignore[method-assign]  # the store's moods, at each read
        await stream(world, **walk)

    in_world(ground, {**drawn, "forgotten": 0}, flapping)


async def test_it_is_for_those_who_ask_for_it(world: World) -> None:
    await stored(world, 40)
    with pytest.raises(StoreUnavailable):
        await world.forward(QUIET, BEFORE_EVERYTHING, 10)


async def test_one_reading_serves_all_who_come_with_a_higher_position(world: World) -> None:
    await stored(world, 40)
    for after in (3, 9, 20, 3):
        found = await world.forward(QUIET, world.position(after), 99, around_store=True)
        assert found.source is Source.LOG
        assert found.entries[0].position > world.position(after)
    log_reads = [call for call in world.calls if call == "log read"]
    before = len(log_reads)
    await world.forward(BUSY, world.position(5), 99, around_store=True)
    assert len([call for call in world.calls if call == "log read"]) == before


async def test_more_than_the_bound_and_what_the_log_no_longer_holds_is_refused(world: World) -> None:
    await stored(world, 40)
    few = History(world.follower, world.store, middle_records_max=10, window_records=world.sizes.window)
    with pytest.raises(StoreUnavailable):
        await few.forward(few.home(QUIET), QUIET, world.position(5), 10, around_store=True)
    found = await few.forward(few.home(QUIET), QUIET, world.position(25), 10, around_store=True)
    assert found.source is Source.LOG, "a later position is near enough"
    await world.forget_before(20)
    other = History(world.follower, world.store, window_records=world.sizes.window)
    with pytest.raises(StoreUnavailable):
        await other.forward(other.home(QUIET), QUIET, world.position(5), 10, around_store=True)


async def test_what_an_older_epoch_held_is_refused(file: DurableFile) -> None:
    async with open_world(file, epoch=2) as world:
        await stored(world, 40)
        with pytest.raises(StoreUnavailable):
            await world.forward(QUIET, BEFORE_EVERYTHING, 10, around_store=True)
        assert (await world.forward(QUIET, world.position(-1), 10, around_store=True)).source is Source.LOG


async def test_a_store_that_is_back_is_read_again(world: World) -> None:
    await stored(world, 40)
    assert (await world.forward(QUIET, world.position(5), 10, around_store=True)).source is Source.LOG
    world.store.is_away = False
    assert (await world.forward(QUIET, world.position(5), 10, around_store=True)).source is Source.STORE


async def test_a_store_that_is_behind_by_more_than_may_be_read_costs_nobody_who_needs_only_the_newest(
    file: DurableFile,
) -> None:
    async with open_world(file, sizes=Sizes(tail=4, middle=10)) as world:
        await stored(world, 10)
        world.store.is_away = False
        await world.forward(QUIET, world.position(-1), 10)
        await world.append(*[Event("comment")] * 30)
        await world.follow()
        for world.store.is_away in (False, True):
            found = await world.forward(QUIET, world.position(30), 99, around_store=True)
            assert [entry.position for entry in found.entries] == [world.position(one) for one in range(31, 36)]
            with pytest.raises(HistoryBehind):
                await world.forward(QUIET, world.position(15), 99, around_store=True)


async def test_one_who_asks_for_too_much_takes_nothing_from_the_others(world: World) -> None:
    await stored(world, 40)
    few = History(world.follower, world.store, middle_records_max=10, window_records=world.sizes.window)
    near = await few.forward(few.home(QUIET), QUIET, world.position(25), 10, around_store=True)
    reads = world.calls.count("log read")
    with pytest.raises(StoreUnavailable):
        await few.forward(few.home(QUIET), QUIET, world.position(5), 10, around_store=True)
    assert await few.forward(few.home(QUIET), QUIET, world.position(25), 10, around_store=True) == near
    assert world.calls.count("log read") == reads


async def test_one_whose_position_is_near_enough_does_not_fail_with_one_whose_is_not(world: World) -> None:
    """Both need the same part of the log, and from the farther position on it has more bytes than may be held."""
    await stored(world, 40)
    judge_, window, through = world.history._judge, world.sizes.window, world.followed.tail.after
    whole = Middle(world.log, 0, window, judge_, records_max=99, budget=Budget(1 << 30))
    size = (await whole.cover(world.position(20), lambda: through)).tail
    assert size is not None
    budget = Budget(size.bytes)
    detour = Detour(lambda number: Middle(world.log, number, window, judge_, records_max=99, budget=budget))
    far, near = await asyncio.gather(
        *(detour.cover(0, world.position(offset), lambda: through) for offset in (5, 20)), return_exceptions=True
    )
    assert isinstance(far, HistoryBehind)
    assert isinstance(near, Tail), near
    assert near.after == world.position(20)
