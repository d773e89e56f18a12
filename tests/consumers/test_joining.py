"""Joining with history, in virtual time."""

import pytest

from livecomments_consumers.settings import HubSettings
from livecomments_schemas.events import comment_deleted
from livecomments_schemas.positions import comment_id
from tests.consumers.edge import HeldStore, Reader, virtual_edge, virtually
from tests.consumers.sim.loop import pass_time


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
            store = edge.hub.history._store = HeldStore(edge)
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
