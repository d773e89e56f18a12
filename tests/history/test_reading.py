"""What `History` promises at its seams; `test_properties` has what holds everywhere."""

import asyncio

import pytest

from livecomments.history.reading import Above, Found
from livecomments.history.stretch import Source
from livecomments.sqlite import DurableFile
from livecomments.store.interface import Row, StoreUnavailable
from livecomments_schemas.events import COMMENT_CREATED, VIDEO_CHANGED
from tests.history.test_pages import QUIET, fill
from tests.history.world import Event, Sizes, World, open_world, until


@pytest.mark.parametrize(
    ("after", "source", "first", "through"),
    [
        (-1, Source.STORE, 0, 2),
        (1, Source.STORE, 2, 2),
        (2, Source.LOG, 3, 5),
        (4, Source.LOG, 5, 5),
        (5, Source.TAIL, 6, 8),
        (7, Source.TAIL, 8, 8),
    ],
)
async def test_each_position_is_read_where_it_is_and_up_to_the_seam(
    world: World, after: int, source: Source, first: int, through: int
) -> None:
    await fill(world, 3, 3, 3)
    found = await world.forward(QUIET, world.position(after), 9)
    assert found.source is source
    assert [entry.position for entry in found.entries] == list(
        range(world.position(first), world.position(through) + 1)
    )
    assert found.through == world.position(through)


async def test_a_full_stretch_goes_to_its_last_entry_and_no_further(world: World) -> None:
    await fill(world, 3, 3, 3)
    for after in (-1, 2, 5):
        found = await world.forward(QUIET, world.position(after), 2)
        assert len(found.entries) == 2
        assert found.through == world.position(after + 2)


async def test_at_the_end_there_is_nothing_and_no_step_back(world: World) -> None:
    await fill(world, 3, 3, 3)
    assert await world.forward(QUIET, world.judged, 9) == ([], world.judged, Source.TAIL)
    assert (await world.forward(QUIET, world.judged + 7, 9)).through == world.judged + 7


async def test_a_tail_that_begins_before_the_middle_ends_repeats_nothing(file: DurableFile) -> None:
    """Age had cut the first tail short; the one that is taken on later reaches further back."""
    async with open_world(file, sizes=Sizes(tail=8, tail_age_s=50)) as world:
        await world.take_on()
        await world.append(*[Event("comment")] * 9)
        await world.follow()
        world.now += 60
        await world.append(Event("comment"))
        await world.follow()
        assert world.followed.tail.after == world.position(8)
        found = await world.forward(QUIET, world.position(-1), 3)
        assert found.source is Source.LOG
        await world.retake()
        assert world.followed.tail.after == world.position(1)
        for limit in (1, 3, 4, 99):
            after, seen = world.position(-1), list[int]()
            while after < world.judged:
                entries, after, _ = await world.forward(QUIET, after, limit)
                seen += [entry.position for entry in entries]
            assert seen == [world.position(offset) for offset in range(10)]


async def test_a_delete_in_the_tail_takes_the_text_in_store_and_log(world: World) -> None:
    await fill(world, 3, 8, 1)
    await world.append(Event("delete", number=10), Event("delete", number=5), Event("delete", number=0))
    await world.follow()
    deleted = set()
    after = world.position(-1)
    while after < world.judged:
        entries, after, _ = await world.forward(QUIET, after, 99)
        deleted |= {entry.position - world.position(0) for entry in entries if not entry.value}
    assert deleted == {1, 6, 11}
    for offset in range(12):
        found = await world.find(QUIET, world.position(offset))
        assert found.deleted == (offset in deleted)
        assert found.entry is not None
        assert found.entry.is_shown != found.deleted


@pytest.mark.parametrize("offset", [0, 4, 7])
async def test_only_a_comment_of_the_video_is_found(world: World, offset: int) -> None:
    await fill(world, 3, 3, 3)
    assert (await world.find(QUIET, world.position(offset))).entry is not None
    assert await world.find("busy", world.position(offset)) == Found(None, False)
    assert await world.find(QUIET, world.position(offset) - (1 << 40)) == Found(None, False)


async def test_a_record_that_is_no_comment_is_not_found(world: World) -> None:
    await world.take_on()
    await world.append(Event("comment"), Event("delete"), Event("ended"), Event("comment"), Event("nonsense"))
    await world.follow()
    found = [await world.find(QUIET, world.position(offset)) for offset in range(5)]
    assert [one.entry is None for one in found] == [False, True, True, True, True]


async def test_a_comment_that_another_node_has_shown_is_waited_for(world: World) -> None:
    await fill(world, 1, 1, 1)
    await world.append(*[Event("comment")] * 2)
    finding = asyncio.create_task(world.find(QUIET, world.position(3)))
    await until(lambda: "log bounds:done" in world.calls)
    await world.follow(1)
    found = await finding
    assert found.entry is not None
    await world.follow()
    assert await world.find(QUIET, world.position(99)) == Found(None, False)


async def test_the_watermark_is_asked_for_once_in_a_while(world: World) -> None:
    await fill(world, 3, 3, 3)
    for _ in range(3):
        await world.forward(QUIET, world.position(-1), 9)
    assert world.calls.count("store watermark") == 1
    await world.persist()
    await world.advance()
    assert (await world.forward(QUIET, world.position(-1), 9)).through == world.position(2)
    world.now += 0.3
    assert (await world.forward(QUIET, world.position(-1), 9)).through == world.position(8)
    assert world.calls.count("store watermark") == 2


async def test_a_delete_whose_target_is_no_comment_takes_nothing(world: World) -> None:
    """Whoever writes to the log by himself can say so; the settings of a video stay what they are."""
    await fill(world, 1, 1, 1)
    changed = Row(QUIET, world.position(0), VIDEO_CHANGED, "own", b'{"title":"T"}', 0, 0, False)
    comment = changed._replace(kind=COMMENT_CREATED)
    above = Above(world.position(1), None, {changed.position})
    found = world.history.entries([changed, comment], world.followed, above)
    assert [entry.value for entry in found] == [b'{"title":"T"}', b""]


async def test_the_newest_position_is_never_one_of_before_the_question(world: World) -> None:
    await fill(world, 1, 1, 1)
    held, goes_on = asyncio.Event(), asyncio.Event()

    async def around(name: str) -> None:
        if name == "bounds:done":
            held.set()
            await goes_on.wait()

    world.gate.around = around
    first = asyncio.create_task(world.history.newest(0))
    await until(held.is_set)
    before = world.model.end - 1
    await world.append(Event("comment"))
    second = asyncio.create_task(world.history.newest(0))
    await asyncio.sleep(0)
    goes_on.set()
    assert (await first, await second) == (world.position(before), world.position(before + 1))


@pytest.mark.parametrize("is_away", [False, True])
async def test_readers_at_once_ask_for_the_watermark_once_and_one_that_leaves_takes_it_from_nobody(
    world: World, is_away: bool
) -> None:
    await fill(world, 3, 0, 3)
    may_answer, asked = asyncio.Event(), 0

    async def around(name: str) -> None:
        nonlocal asked
        if name == "watermark":
            asked += 1
            await may_answer.wait()
            if is_away:
                raise StoreUnavailable("away")

    world.store.around = around
    readers = [asyncio.create_task(world.forward(QUIET, world.position(-1), 9)) for _ in range(20)]
    await until(lambda: asked > 0)
    readers.pop(0).cancel()
    may_answer.set()
    found = await asyncio.gather(*readers, return_exceptions=True)
    assert asked == 1
    if is_away:
        assert {type(one) for one in found} == {StoreUnavailable}
    else:
        assert [one for one in found if isinstance(one, BaseException)] == []


async def test_an_older_watermark_serves_while_the_store_is_away(world: World) -> None:
    await fill(world, 3, 3, 3)
    await world.forward(QUIET, world.position(-1), 9)
    world.store.is_away = True
    world.now += 60
    found = await world.forward(QUIET, world.position(2), 9)
    assert found.source is Source.LOG
    assert len(found.entries) == 3
    with pytest.raises(StoreUnavailable):
        await world.find(QUIET, world.position(1))


async def test_without_any_watermark_only_the_tail_is_known(world: World) -> None:
    await fill(world, 3, 3, 3)
    world.store.is_away = True
    with pytest.raises(StoreUnavailable):
        await world.find(QUIET, world.position(3))
    assert (await world.find(QUIET, world.position(6))).entry is not None
    assert len((await world.forward(QUIET, world.position(5), 9)).entries) == 3


async def test_a_store_ahead_of_the_follower_loses_and_repeats_nothing(world: World) -> None:
    await world.take_on()
    await world.append(*[Event("comment")] * 20)
    await world.follow(4)
    world.followed.tail.forget(world.position(1))
    await world.persist(15)
    await world.advance()
    after, seen = world.position(-1), list[int]()
    for _ in range(2):
        entries, after, _ = await world.forward(QUIET, after, 6)
        seen += [entry.position for entry in entries]
    assert after == world.position(5) > world.judged
    await world.follow()
    while after < world.judged:
        entries, after, _ = await world.forward(QUIET, after, 6)
        seen += [entry.position for entry in entries]
    assert seen == [world.position(offset) for offset in range(20)]


async def test_the_log_is_left_alone_once_the_store_has_caught_up(world: World) -> None:
    await fill(world, 3, 3, 3)
    await world.forward(QUIET, world.position(-1), 9)
    assert "log read" in world.calls
    await world.persist()
    await world.advance()
    world.now += 1
    world.calls.clear()
    assert (await world.forward(QUIET, world.position(-1), 9)).source is Source.STORE
    assert not [call for call in world.calls if call.startswith("log")]
    assert world.history._middle(0)._read is None


async def test_a_reader_whose_watermark_came_late_uses_the_one_that_overtook_it(world: World) -> None:
    """Its own is older than what the others have let the log's part go of."""
    await fill(world, 2, 6, 2)
    followed = world.history.home(QUIET)
    await world.forward(QUIET, world.position(2), 9)
    old = world.history._watermarks[followed.epoch, followed.number]
    await world.persist(3)
    await world.advance()
    world.now += 0.3
    early = await world.forward(QUIET, world.position(4), 9)
    assert (early.source, len(early.entries)) == (Source.LOG, 3)
    world.history._watermarks[followed.epoch, followed.number] = (
        world.now,
        old[1],
    )  # as a reader has it that was slow to go on
    found = await world.forward(QUIET, world.position(2), 9)
    assert [entry.position for entry in found.entries] == [world.position(3), world.position(4)]
    assert (found.source, found.through) == (Source.STORE, world.position(4))


@pytest.mark.parametrize("store_is_away", [False, True])
async def test_what_was_read_of_a_log_that_went_back_is_not_given_again(world: World, store_is_away: bool) -> None:
    await fill(world, 3, 6, 3)
    world.store.is_away = store_is_away

    async def log_reads() -> int:
        before = world.calls.count("log read")
        found = await world.forward(QUIET, world.position(3), 9, around_store=True)
        assert found.source is Source.LOG
        return world.calls.count("log read") - before

    assert await log_reads() > 0
    assert await log_reads() == 0
    world.follower.continuity.note("its end was lost")
    assert await log_reads() > 0
    assert await log_reads() == 0
