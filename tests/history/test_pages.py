"""What pages promise at the places where something goes wrong or moves; `test_properties` has all the rest."""

import asyncio
from collections.abc import Iterator

import pytest

from livecomments.following.follower import PartitionUnavailable
from livecomments.history.pages import Page
from livecomments.history.stretch import HistoryBehind
from livecomments.sqlite import DurableFile
from livecomments.store.interface import StoreUnavailable
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.positions import BEFORE_EVERYTHING
from tests.history.world import Event, Move, Sizes, World, open_world, until

QUIET = "quiet"


async def fill(world: World, stored: int, middle: int, tail: int) -> None:
    """So many comments in the store, between it and the tail, and in the tail."""
    assert tail <= world.sizes.tail
    await world.take_on()
    await world.append(*[Event("comment")] * (stored + middle + tail))
    await world.follow()
    if stored:
        await world.persist(stored)
        await world.advance()
    if tail < world.sizes.tail:
        world.followed.tail.forget(world.position(stored + middle - 1))


def offsets(world: World, page: Page) -> list[int]:
    return [entry.position - world.position(0) for entry in page.comments]


async def test_a_video_without_comments_has_an_empty_page_that_a_stream_continues(world: World) -> None:
    await world.take_on()
    page = await world.newest_first(QUIET, None, 10)
    assert page == Page([], None, world.judged)
    assert page.covered_through == BEFORE_EVERYTHING
    assert await world.oldest_first(QUIET, BEFORE_EVERYTHING, 10) == page
    await world.append(Event("comment", video=1))
    await world.follow()
    assert await world.newest_first(QUIET, None, 10) == Page([], None, world.position(0))


async def test_a_page_that_the_tail_can_fill_asks_nobody_else(world: World) -> None:
    await fill(world, 5, 5, 8)
    world.store.is_away = True
    world.calls.clear()
    page = await world.newest_first(QUIET, None, 8)
    assert offsets(world, page) == [17, 16, 15, 14, 13, 12, 11, 10]
    assert page.next_cursor == world.position(10)
    assert world.calls == []


async def test_a_page_crosses_tail_log_and_store(world: World) -> None:
    await fill(world, 3, 3, 3)
    page = await world.newest_first(QUIET, None, 8)
    assert offsets(world, page) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert page.next_cursor == world.position(1)
    assert page.covered_through == world.position(8)
    rest = await world.newest_first(QUIET, page.next_cursor, 8)
    assert offsets(world, rest) == [0]
    assert rest.next_cursor is None
    up = await world.oldest_first(QUIET, BEFORE_EVERYTHING, 8)
    assert offsets(world, up) == list(range(8))
    assert up.next_cursor == world.position(7)


@pytest.mark.parametrize("fails", ["store watermark", "log read", "store read"])
async def test_a_page_that_breaks_off_repeats_and_skips_nothing(world: World, fails: str) -> None:
    await fill(world, 3, 3, 3)
    world.moves = moving(world, fails, Move("fail"))
    page = await world.newest_first(QUIET, None, 8)
    assert offsets(world, page)[:3] == [8, 7, 6]
    assert len(page.comments) < 8
    rest = await world.newest_first(QUIET, page.next_cursor, 9)
    assert offsets(world, page) + offsets(world, rest) == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert rest.next_cursor is None


@pytest.mark.parametrize("fails", ["store watermark", "log read", "store read"])
async def test_a_page_upwards_that_breaks_off_repeats_and_skips_nothing(world: World, fails: str) -> None:
    await fill(world, 3, 3, 3)
    found: list[int] = []
    cursor: int | None = BEFORE_EVERYTHING
    world.moves = moving(world, fails, Move("fail"))
    while cursor is not None:
        try:
            page = await world.oldest_first(QUIET, cursor, 5)
        except Unavailable:
            assert not found
            continue
        found += offsets(world, page)
        cursor = page.next_cursor
    assert found == list(range(9))


def moving(world: World, call: str, *moves: Move) -> Iterator[Move]:
    """Nothing happens until `call`, and then these moves."""
    while world.calls[-1] != call:
        yield Move("wait", 0)
    yield from moves


async def test_a_page_of_which_nothing_can_be_had_says_so(world: World) -> None:
    await fill(world, 3, 0, 0)
    world.store.is_away = True
    with pytest.raises(StoreUnavailable):
        await world.newest_first(QUIET, None, 8)


async def test_history_beyond_the_bound_is_not_guessed_and_comes_when_it_is_stored(file: DurableFile) -> None:
    async with open_world(file, sizes=Sizes(tail=2, middle=5)) as world:
        await fill(world, 3, 6, 2)
        page = await world.newest_first(QUIET, None, 8)
        assert offsets(world, page) == [10, 9]
        with pytest.raises(HistoryBehind):
            await world.newest_first(QUIET, page.next_cursor, 8)
        with pytest.raises(HistoryBehind):
            await world.oldest_first(QUIET, BEFORE_EVERYTHING, 8)
        await world.persist(1)
        await world.advance()
        world.now += 1
        page = await world.newest_first(QUIET, page.next_cursor, 9)
        assert offsets(world, page) == [8, 7, 6, 5, 4, 3, 2, 1, 0]


async def test_a_long_stretch_of_deleted_comments_makes_short_pages_that_lead_on(file: DurableFile) -> None:
    count = 60
    async with open_world(file, sizes=Sizes(tail=1)) as world:
        await world.take_on()
        await world.append(Event("comment"), *[Event("comment"), Event("delete")] * count, Event("ended", video=1))
        await world.follow()
        await world.persist()
        await world.advance()
        cursor, pages, shown = None, 0, list[int]()
        while pages == 0 or cursor is not None:
            world.calls.clear()
            page = await world.newest_first(QUIET, cursor, 2)
            assert world.calls.count("store read") <= 8
            cursor, pages, shown = page.next_cursor, pages + 1, shown + offsets(world, page)
        assert shown == [0]
        assert pages > 2


async def test_what_is_deleted_while_a_page_upwards_is_read_is_not_in_it(world: World) -> None:
    """The store's row was read before the delete came; the page covers the delete, so no stream will tell of it."""
    await world.take_on()
    await world.append(Event("comment"), *[Event("comment", video=1)] * 8)
    await world.follow()
    await world.persist(1)
    await world.advance()

    world.moves = moving(world, "store read:done", Move("publish", event=Event("delete")))
    page = await world.oldest_first(QUIET, BEFORE_EVERYTHING, 5)
    assert page.covered_through == world.position(9), "the delete, too"
    assert page.comments == []


async def test_what_is_deleted_while_a_page_downwards_is_read_is_told_by_its_stream(world: World) -> None:
    await fill(world, 2, 2, 2)

    newest, stored = (Move("publish", event=Event("delete", number=number)) for number in (0, 3))
    world.moves = moving(world, "store read", newest, stored)
    page = await world.newest_first(QUIET, None, 9)
    assert page.covered_through == world.position(5)
    stretch = await world.forward(QUIET, page.covered_through, 9)
    assert {entry.target - world.position(0) for entry in stretch.entries} == {5, 2}
    assert set(offsets(world, page)) >= {0, 1, 3, 4}


async def test_a_cursor_that_another_node_gave_is_waited_for(world: World) -> None:
    """A page that left out what our follower has not judged yet would lose it: the next one goes on further down."""
    await fill(world, 2, 2, 2)
    await world.append(*[Event("comment")] * 4)
    reading = asyncio.create_task(world.newest_first(QUIET, world.position(9), 5))
    await until(lambda: "log bounds:done" in world.calls)
    assert not reading.done()
    await world.follow()
    page = await reading
    assert offsets(world, page) == [8, 7, 6, 5, 4]
    assert page.covered_through == world.position(8)


async def test_a_cursor_that_our_follower_does_not_come_to_is_not_answered(world: World) -> None:
    await fill(world, 2, 2, 2)
    await world.append(Event("comment"))
    with pytest.raises(PartitionUnavailable):
        await world.newest_first(QUIET, world.position(7), 5)


@pytest.mark.parametrize("ahead", [7, 1_000, 1 << 41])
async def test_a_cursor_that_nobody_gave_covers_only_what_there_is(world: World, ahead: int) -> None:
    await fill(world, 2, 2, 2)
    page = await world.newest_first(QUIET, world.position(ahead), 5)
    assert offsets(world, page) == [5, 4, 3, 2, 1]
    assert page.covered_through == world.position(5)
    page = await world.oldest_first(QUIET, world.position(ahead), 5)
    assert page == Page([], None, world.position(ahead))


async def test_a_new_epoch_has_its_pages_before_anything_is_stored(file: DurableFile) -> None:
    async with open_world(file, epoch=2, sizes=Sizes(tail=2)) as world:
        await world.take_on()
        assert await world.newest_first(QUIET, None, 5) == Page([], None, world.position(0) - 1)
        await world.append(*[Event("comment")] * 6)
        await world.follow()
        assert offsets(world, await world.newest_first(QUIET, None, 9)) == [5, 4, 3, 2, 1, 0]
        assert offsets(world, await world.oldest_first(QUIET, BEFORE_EVERYTHING, 9)) == [0, 1, 2, 3, 4, 5]


async def test_a_cursor_from_before_everything_is_an_empty_page_with_a_stream_from_there(world: World) -> None:
    await fill(world, 3, 0, 0)
    for before in (0, 1, BEFORE_EVERYTHING + 1):
        assert await world.newest_first(QUIET, before, 8) == Page([], None, BEFORE_EVERYTHING)


async def test_a_page_says_what_was_deleted_within_it_wherever_the_comments_are(world: World) -> None:
    await world.take_on()
    await world.append(*[Event("comment")] * 4)  # 0 to 3
    await world.append(Event("delete", number=0), Event("delete", number=2), Event("delete", number=0))  # of 3, 1, 3
    await world.append(Event("comment"), Event("delete", video=1))
    await world.follow()
    first, second = world.position(3), world.position(1)
    for stored in (0, 5, 8):  # from the tail, from both, from the store
        if stored:
            await world.persist(stored)
            await world.advance()
            world.followed.tail.forget(world.position(stored - 1))
        page = await world.oldest_first(QUIET, BEFORE_EVERYTHING, 10)
        assert (offsets(world, page), page.deletes) == ([0, 2, 7], (first, second))
        page = await world.newest_first(QUIET, None, 10, with_deletes=True)
        assert (offsets(world, page), page.deletes) == ([7, 2, 0], (first, second))
        assert (await world.newest_first(QUIET, None, 10)).deletes == ()
        later = await world.oldest_first(QUIET, world.position(4), 10)
        assert (offsets(world, later), set(later.deletes)) == ([7], {first, second})
        newest = await world.newest_first(QUIET, None, 2, with_deletes=True)
        assert (offsets(world, newest), newest.deletes, newest.next_cursor) == ([7], (first,), world.position(6))
