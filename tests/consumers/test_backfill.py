"""Reads that viewers behind share, in virtual time."""

import math
from typing import Final

from livecomments_consumers.settings import HubSettings
from livecomments_schemas.positions import comment_id
from tests.consumers.edge import HeldStore, Reader, VirtualEdge, virtual_edge, virtually
from tests.consumers.sim.loop import pass_time
from tests.consumers.streams import counted

CROWD: Final = 200
PATIENCE_S: Final = 10.0
"""Many times what seven tries take: by then who is behind a store that is away knows what it misses."""
TRIES_MAX: Final = 20


def back(edge: VirtualEdge, offset: int) -> Reader:
    """A viewer that has seen everything up to the record at `offset`."""
    reader = edge.connect("v", "", f"last-event-id: {comment_id(edge.log.position(offset), 0)}")
    assert reader is not None
    return reader


def test_a_crowd_that_comes_back_to_one_place_is_one_read_of_the_store() -> None:
    before = counted("backfills_total", source="store")

    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(20)
            await edge.store_all()
            readers = [back(edge, 3) for _ in range(CROWD)]
            readers.pop(0).transport.cut()  # whose read it is may leave
            await pass_time(1.0)
            assert {reader.said.count(b"event: comment") for reader in readers} == {16}
            assert edge.store.seen["store read"] == 1
            assert counted("backfills_total", source="store") == before + 1

    virtually(run)


def test_nothing_is_read_for_who_has_left() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(CROWD + 1)
            await edge.store_all()
            readers = [back(edge, offset) for offset in range(CROWD)]
            await pass_time(0)
            for reader in readers[1:]:
                reader.transport.cut()
            await pass_time(1.0)
            assert readers[0].said.count(b"event: comment") == CROWD
            assert edge.store.seen["store read"] == 1

    virtually(run)


def test_who_comes_after_the_log_went_back_is_not_given_what_was_read_of_it_before() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(8)
            edge.append(2, text="lost")
            await edge.store_all()
            store = edge.history._store = HeldStore(edge)
            held = store.let_go
            assert held is not None
            before = back(edge, 3)
            await pass_time(0.1)
            assert store.let_go is None, "its read is under way"
            edge.log.lose_end(8)
            await pass_time(3.0)
            await edge.store_all()
            after = back(edge, 3)
            await pass_time(0.1)
            held.set()
            await pass_time(3.0)
            assert b"lost" not in before.said
            assert before.said.count(b"event: gap") == 1
            assert b"lost" not in after.said
            assert after.said.count(b"event: comment") == 4

    virtually(run)


def test_who_is_behind_a_store_that_stays_away_is_told_a_gap_in_time_and_goes_on_live() -> None:
    """The log reaches back only to where the store ends, so nobody but the store has what is missed."""

    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(20)
            await edge.store_all()
            edge.log.forget(20)
            edge.store.away_until = math.inf
            reader = back(edge, 3)
            await pass_time(PATIENCE_S)
            assert reader.said.count(b"event: gap") == 1
            assert b"store_unavailable" in reader.said, reader.said
            assert edge.store.seen["store away"] < TRIES_MAX
            edge.append(1, text="live")
            await pass_time(1.0)
            assert reader.said.count(b"event: comment") == 1

    virtually(run)
