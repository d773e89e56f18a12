"""Reads that viewers behind share, in virtual time."""

from typing import Final

from consumers.hub import HubSettings
from schemas.positions import comment_id
from tests.consumers.edge import Reader, VirtualEdge, virtual_edge, virtually
from tests.consumers.sim.loop import pass_time

CROWD: Final = 200


def back(edge: VirtualEdge, offset: int) -> Reader:
    """A viewer that has seen everything up to the record at `offset`."""
    reader = edge.connect("v", "", f"last-event-id: {comment_id(edge.log.position(offset), 0)}")
    assert reader is not None
    return reader


def test_a_crowd_that_comes_back_to_one_place_is_one_read_of_the_store() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(20)
            await edge.store_all()
            readers = [back(edge, 3) for _ in range(CROWD)]
            readers.pop(0).transport.cut()  # whose read it is may leave
            await pass_time(1.0)
            assert {reader.said.count(b"event: comment") for reader in readers} == {16}
            assert edge.store.seen["store read"] == 1

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
