"""Joining with history, in virtual time."""

import asyncio

import orjson
import pytest

from livecomments_consumers.settings import HubSettings
from livecomments_schemas.events import comment_deleted
from livecomments_schemas.positions import comment_id
from tests.consumers.edge import EndedStore, HeldStore, Reader, VirtualEdge, virtual_edge, virtually
from tests.consumers.sim.loop import clock, pass_time


def shown(reader: Reader | None) -> list[bytes]:
    """The texts of the comments that were shown, in their order."""
    assert reader is not None
    return [text.split(b'"')[0] for text in reader.said.split(b'"message":"')[1:]]


def test_history_reaches_past_what_was_deleted() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            for n in range(4):
                edge.append(1, text=f"good {n}")
            spam = range(edge.log.end, edge.log.end + 100)
            edge.append(len(spam), text="spam")
            for offset in spam:
                edge.log.append(comment_deleted("v", comment_id(edge.log.position(offset), 0), "m"))
            await edge.store_all()
            reader = edge.connect(query="?history=3")
            await pass_time(5.0)
            assert shown(reader) == [b"good 1", b"good 2", b"good 3"]

    virtually(run)


def test_a_crowd_that_joins_a_video_with_history_is_one_read_of_the_store() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(5)
            await edge.store_all()
            before = edge.store.seen["store read"]
            readers = [edge.connect(query="?history=3") for _ in range(200)]
            await pass_time(5.0)
            assert [len(shown(reader)) for reader in readers] == [3] * 200
            assert edge.store.seen["store read"] == before + 1

    virtually(run)


@pytest.mark.parametrize("count", [0, 5])
def test_who_shares_a_read_that_began_before_misses_nothing_that_came_since(count: int) -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(count, text="old")
            edge.append(1, "other")
            await edge.store_all()
            store = edge.history._store = HeldStore(edge)
            held = store.let_go
            assert held is not None
            first = edge.connect(query="?history=3")
            await pass_time(0.1)
            assert store.let_go is None, "its read is under way"
            edge.append(1, text="new")
            await pass_time(1.0)
            second = edge.connect(query="?history=3")
            await pass_time(0.1)
            held.set()
            await pass_time(3.0)
            assert shown(first) == shown(second) == [b"old"] * min(count, 3) + [b"new"]

    virtually(run)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("lane", ["transport", "asgi"])
def test_a_viewer_whose_read_is_ended_by_whatever_it_is_does_not_stay_without_it(
    lane: str, error: BaseException
) -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(5, text="old")
            await edge.store_all()
            store, edge.history._store = edge.history._store, EndedStore(edge, error)
            if lane == "transport":
                reader = edge.connect(query="?history=3")
                assert reader is not None
                await pass_time(1.0)
                assert reader.ended_at is not None
            else:
                reader = Reader()
                serving = asyncio.create_task(edge.respond("v", "?history=3"))
                await pass_time(1.0)
                reader = serving.result()
                assert reader.serving is not None
                assert reader.serving.done()
            edge.history._store = store
            again = edge.connect(query="?history=3")
            await pass_time(1.0)
            assert shown(again) == [b"old"] * 3

    virtually(run)


async def resumed(edge: VirtualEdge, lane: str, after: int, missed: int) -> Reader:
    """A stream after an offset that wants no more than the newest so many."""
    query = f"?after={comment_id(edge.log.position(after), 0)}&missed={missed}"
    reader = edge.connect(query=query) if lane == "transport" else await edge.respond("v", query)
    await pass_time(5.0)
    assert reader is not None
    return reader


@pytest.mark.parametrize("lane", ["transport", "asgi"])
@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("missed", [0, 1, 3, 5])
def test_who_wants_only_the_newest_is_told_of_the_rest_as_a_gap(lane: str, is_stored: bool, missed: int) -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            for n in range(8):
                edge.append(1, text=f"m{n}")
                edge.append(1, "other")
            if is_stored:
                await edge.store_all()
            await pass_time(1.0)
            reader = await resumed(edge, lane, 4, missed)  # after m2: five came since
            edge.append(1, text="live")
            await pass_time(1.0)
            expected = [b"m%d" % n for n in range(8 - missed, 8)] if missed else []
            assert shown(reader) == [*expected, b"live"]
            gaps = [orjson.loads(text.partition(b"\n")[0]) for text in reader.said.split(b"data: ")[1:]]
            gaps = [gap for gap in gaps if isinstance(gap, dict) and "reason" in gap]
            if missed == 5:
                assert gaps == []
            else:
                through = comment_id(edge.log.position(16 - 2 * missed - 1), 0)
                assert gaps == [{"from": comment_id(edge.log.position(4), 0), "to": through, "reason": "as_asked"}]
                assert reader.said.index(b"as_asked") < reader.said.index(b"event: heartbeat")

    virtually(run)


def test_while_the_store_is_away_who_wants_only_the_newest_is_given_what_can_be_had() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            for n in range(4):
                edge.append(1, text=f"m{n}")
            await edge.store_all()
            edge.store.away_until = clock() + 1.0
            reader = await resumed(edge, "transport", 0, 1)
            assert shown(reader) == [b"m1", b"m2", b"m3"]
            assert b"as_asked" not in reader.said

    virtually(run)


def test_a_crowd_that_wants_only_the_newest_is_one_read_of_the_store() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(20)
            await edge.store_all()
            before = edge.store.seen["store read"]
            query = f"?after={comment_id(edge.log.position(3), 0)}&missed=5"
            readers = [edge.connect(query=query) for _ in range(200)]
            await pass_time(5.0)
            assert [len(shown(reader)) for reader in readers] == [5] * 200
            assert edge.store.seen["store read"] <= before + 2, "where the newest begin, and what they are"

    virtually(run)
