"""Every page, stretch and comment of random worlds equals the model, whatever moves while it is read."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livecomments.history.pages import Page
from livecomments.store.interface import Row
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import COMMENT_CREATED, COMMENT_DELETED
from livecomments_schemas.positions import BEFORE_EVERYTHING
from tests.history.conftest import Ground
from tests.history.model import Accepted
from tests.history.world import VIDEOS, WAIT_S, Event, Move, Sizes, World, older_epoch, open_world

DEFAULTS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
T = TypeVar("T")
STEPS_MAX = 500
"""Of one walk: none of these worlds needs as many."""

events = st.builds(
    Event,
    st.sampled_from(("comment",) * 3 + ("retry", "delete", "delete", "stray", "ended", "started", "nonsense")),
    st.sampled_from((0, 1, 1, 2, 2, 2)),
    st.integers(0, 12),
)
moves = st.one_of(
    st.builds(Move, st.sampled_from(("append", "publish")), event=events),
    st.builds(Move, st.sampled_from(("follow", "persist")), st.integers(1, 6)),
    st.builds(Move, st.sampled_from(("advance", "advance", "wait", "retake", "fail"))),
)


def lists(of: st.SearchStrategy[Any], size_max: int) -> st.SearchStrategy[list[Any]]:
    """Lists of any length alike: those of Hypothesis are mostly short, and nothing leaves a tail then."""
    return st.integers(0, size_max).flatmap(lambda size: st.lists(of, min_size=size, max_size=size))


worlds = st.fixed_dictionaries(
    {
        "epoch": st.sampled_from((1, 1, 2)),
        "sizes": st.builds(Sizes, st.integers(1, 8), st.integers(1, 12), st.sampled_from((0.5, 1e9)), st.just(1_000)),
        "older": st.integers(0, 3),
        "before": lists(events, 40),
        "meanwhile": lists(events, 15),
        "stored": st.integers(0, 45),
        "forgotten": st.integers(0, 1) | st.integers(0, 45),
        "stored_later": st.integers(0, 15),
        "followed": st.integers(0, 60),
        "moves": lists(moves, 20),
    }
)
walks = st.fixed_dictionaries(
    {
        "video": st.sampled_from(range(3)),
        "limits": st.lists(st.integers(1, 5), min_size=1, max_size=4),
        "start": st.none() | st.integers(0, 45),
    }
)


def in_world(
    ground: Ground, drawn: dict[str, Any], test: Callable[[World], Coroutine[Any, Any, object]], *, still: bool = False
) -> None:
    """Run `test` in a world as drawn; a `still` one does not move, and all is judged."""

    async def run() -> None:
        async with asyncio.timeout(60), open_world(ground.file, drawn["epoch"], drawn["sizes"]) as world:
            await _add_older(world, drawn["older"] if drawn["epoch"] > 1 else 0)
            await world.append(*drawn["before"])
            if drawn["stored"]:
                await world.persist(drawn["stored"])
                await world.advance()
                await _forget(world, drawn["forgotten"])
            await world.take_on()
            await world.append(*drawn["meanwhile"])
            await world.follow(1_000 if still else drawn["followed"])
            if drawn["stored_later"]:
                await world.persist(drawn["stored_later"])
                await world.advance()
            world.moves = iter(() if still else drawn["moves"])
            await test(world)

    ground.runner.run(run())


async def _add_older(world: World, count: int) -> None:
    """Comments of the epoch before, which only the store has."""
    for video_id in VIDEOS:
        for index in range(count):
            position, value = older_epoch(world.log.epoch) + 7 * index, b'{"message":"older"}'
            await world.store.inner.write([Row(video_id, position, COMMENT_CREATED, "ana", value, 0)])
            world.model.add(video_id, Accepted(position, COMMENT_CREATED, value, 0))


async def _forget(world: World, offset: int) -> None:
    """Retention took what is stored, but for a window: with less nobody can judge what follows."""
    stored = (await world.persister()).next_offset
    offset = min(offset, stored - world.sizes.window, world.model.end - 1)
    if offset > 0:
        await world.forget_before(offset)


@given(worlds, walks)
@settings(DEFAULTS, max_examples=150)
def test_a_walk_downwards_shows_every_comment_once_and_no_deleted_one(
    ground: Ground, drawn: dict[str, Any], walk: dict[str, Any]
) -> None:
    in_world(ground, drawn, lambda world: walk_down(world, **walk))


@given(worlds, walks)
@settings(DEFAULTS, max_examples=150)
def test_a_walk_upwards_shows_every_comment_once_and_no_deleted_one(
    ground: Ground, drawn: dict[str, Any], walk: dict[str, Any]
) -> None:
    in_world(ground, drawn, lambda world: walk_up(world, **walk))


@given(worlds, walks)
@settings(DEFAULTS, max_examples=150)
def test_a_stream_gets_every_entry_once_in_order(ground: Ground, drawn: dict[str, Any], walk: dict[str, Any]) -> None:
    in_world(ground, drawn, lambda world: stream(world, **walk))


@given(worlds, walks)
@settings(DEFAULTS, max_examples=100)
def test_a_page_and_the_stream_after_it_are_the_whole_video(
    ground: Ground, drawn: dict[str, Any], walk: dict[str, Any]
) -> None:
    in_world(ground, drawn, lambda world: page_then_stream(world, **walk))


@given(worlds, walks)
@settings(DEFAULTS, max_examples=100)
def test_in_a_still_world_pages_are_exactly_the_model(
    ground: Ground, drawn: dict[str, Any], walk: dict[str, Any]
) -> None:
    in_world(ground, drawn, lambda world: exact_pages(world, **walk), still=True)


@given(worlds, walks)
@settings(DEFAULTS, max_examples=100)
def test_a_comment_is_found_wherever_it_is(ground: Ground, drawn: dict[str, Any], walk: dict[str, Any]) -> None:
    in_world(ground, drawn, lambda world: find_all(world, walk["video"]))


@given(worlds, walks, walks)
@settings(DEFAULTS, max_examples=100)
def test_many_may_read_at_once(
    ground: Ground, drawn: dict[str, Any], walk: dict[str, Any], other: dict[str, Any]
) -> None:
    async def read(world: World) -> None:
        await asyncio.gather(
            walk_down(world, **walk), walk_up(world, **walk), stream(world, **other), page_then_stream(world, **other)
        )

    in_world(ground, drawn, read)


async def tried(read: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a client gets who tries again."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await read()
            except Unavailable:
                await asyncio.sleep(0)


async def walk_down(world: World, video: int, limits: list[int], start: int | None) -> list[Page]:
    """Walk to the oldest comment; every page says what it must."""
    video_id = VIDEOS[video]
    cursor = None if start is None else min(world.position(start), world.judged + 1)
    pages: list[Page] = []
    for step in range(STEPS_MAX):
        judged, limit = world.judged, limits[step % len(limits)]
        page = await tried(lambda: world.newest_first(video_id, cursor, limit))  # noqa: B023 - awaited
        positions = [entry.position for entry in page.comments]
        below = page.covered_through + 1 if cursor is None else cursor
        above = BEFORE_EVERYTHING if page.next_cursor is None else page.next_cursor - 1
        assert page.covered_through == (below - 1) >= (judged if cursor is None else 0)
        assert above + 1 < below or page.next_cursor is None, "it goes on"
        assert len(positions) <= limit
        assert positions == sorted(set(positions), reverse=True)
        assert all(above < position < below for position in positions)
        _check_comments(world, video_id, page, above, below - 1, judged)
        pages.append(page)
        cursor = page.next_cursor
        if cursor is None:
            return pages
    raise AssertionError("endless")


async def walk_up(world: World, video: int, limits: list[int], start: int | None) -> list[Page]:
    """Walk to the newest comment; every page says what it must."""
    video_id = VIDEOS[video]
    cursor = BEFORE_EVERYTHING if start is None else min(world.position(start), world.judged)
    pages: list[Page] = []
    for step in range(STEPS_MAX):
        judged, limit = world.judged, limits[step % len(limits)]
        page = await tried(lambda: world.oldest_first(video_id, cursor, limit))  # noqa: B023 - awaited
        positions = [entry.position for entry in page.comments]
        assert len(positions) <= limit
        assert positions == sorted(set(positions))
        assert all(cursor < position <= page.covered_through for position in positions)
        _check_comments(world, video_id, page, cursor, page.covered_through, max(judged, page.covered_through))
        pages.append(page)
        if page.next_cursor is None:
            assert page.covered_through >= judged
            return pages
        assert page.next_cursor == page.covered_through > cursor, "it goes on"
        cursor = page.next_cursor
    raise AssertionError("endless")


def _check_comments(world: World, video_id: str, page: Page, after: int, through: int, deletes_through: int) -> None:
    """All comments in the range that nothing deleted are in the page, and none that a delete so far has deleted."""
    found = {entry.position: entry.value for entry in page.comments}
    must = {at: value for at, value in world.model.always_shown(video_id, through).items() if at > after}
    may = world.model.shown(video_id, through, deletes_through)
    assert must.items() <= found.items() <= may.items()


async def stream(world: World, video: int, limits: list[int], start: int | None) -> None:
    """Go forward to the newest entry; every stretch says what it must."""
    video_id, model = VIDEOS[video], world.model
    after = BEFORE_EVERYTHING if start is None else min(world.position(start), world.judged)
    for step in range(STEPS_MAX):
        judged, limit = world.judged, limits[step % len(limits)]
        entries, through, _ = await tried(lambda: world.forward(video_id, after, limit))  # noqa: B023 - awaited
        assert len(entries) <= limit
        wanted = model.entries(video_id, after, through)
        assert [(entry.position, entry.kind, entry.target) for entry in entries] == [
            (one.position, one.kind, one.target) for one in wanted
        ]
        always, may = model.always_shown(video_id, through), model.shown(video_id, through, judged)
        for entry, one in zip(entries, wanted, strict=True):
            assert entry.value == one.value or (not entry.value and one.position not in always)
            assert not entry.is_shown or one.position in may
        if through >= judged:
            return
        assert through > after, "it goes on"
        after = through
    raise AssertionError("endless")


async def page_then_stream(world: World, video: int, limits: list[int], start: int | None) -> None:
    """What a client that joins shows, once it has the first page and all that follows."""
    video_id, limit = VIDEOS[video], limits[0]
    page = await tried(lambda: world.newest_first(video_id, None, limit))
    shown = {entry.position: entry.value for entry in page.comments}
    since, after = page.next_cursor or 0, page.covered_through
    for step in range(STEPS_MAX):
        limit = limits[step % len(limits)]
        entries, through, _ = await tried(lambda: world.forward(video_id, after, limit))  # noqa: B023 - awaited
        for entry in entries:
            assert after < entry.position <= through
            if entry.is_shown:
                assert entry.position not in shown
                shown[entry.position] = entry.value
            elif entry.kind == COMMENT_DELETED:
                shown.pop(entry.target, None)
        after = through
        if after >= world.judged:
            break
    must = {at: value for at, value in world.model.always_shown(video_id, after).items() if at >= since}
    may = world.model.shown(video_id, after, after)
    assert must.items() <= shown.items() <= may.items()


async def exact_pages(world: World, video: int, limits: list[int], start: int | None) -> None:
    """Both walks, against the list they have to give."""
    everything = world.model.shown(VIDEOS[video], world.judged, world.judged)
    down = [entry for page in await walk_down(world, video, limits, None) for entry in page.comments]
    up = [entry for page in await walk_up(world, video, limits, None) for entry in page.comments]
    assert [(entry.position, entry.value) for entry in reversed(down)] == list(everything.items())
    assert [(entry.position, entry.value) for entry in up] == list(everything.items())
    assert all(entry.comment_id and entry.author_id == "ana" for entry in up)


async def find_all(world: World, video: int) -> None:
    """Every position of the log, asked for as a comment of a video."""
    video_id, model = VIDEOS[video], world.model
    for offset in range(model.end):
        position, judged = world.position(offset), world.judged
        if position > judged:
            return
        found = await tried(lambda: world.find(video_id, position))  # noqa: B023 - awaited
        ever = any(one.kind == COMMENT_CREATED for one in model.entries(video_id, position - 1, position))
        if position in model.always_shown(video_id, position):
            assert found.entry is not None
            assert found.entry.is_shown
            assert not found.deleted
        elif position not in model.shown(video_id, position, judged):
            assert found.deleted == ever
            assert (found.entry is None) != ever
