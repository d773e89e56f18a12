"""How long comments of a crowd linger, by what else the core does; in virtual time, in which a write takes some."""

import asyncio
from dataclasses import replace
from functools import cache
from typing import cast

import pytest

from livecomments_consumers.settings import HubSettings
from tests.consumers.edge import VirtualEdge, virtual_edge, virtually
from tests.consumers.sim.loop import VirtualLoop, clock, pass_time

VIEWERS = 60
WRITE_S = 500e-6
PASS_S = VIEWERS * WRITE_S
COMMENTS = 400
"""Five seconds of them: the linger follows what is free within a few ticks."""


class Core:
    """What writes take of the clock, and what the process uses of its core."""

    def __init__(self, edge: VirtualEdge, *, beside: float, taken: float) -> None:
        self._write = edge.hub.passes.write_to
        self._beside = beside
        self._got = 1.0 - taken
        self._written_s = 0.0
        self._began_at = clock()
        edge.hub.passes = replace(edge.hub.passes, write_to=self.write, cpu_s=self.cpu_s, slice_lanes=10)

    def write(self, fd: int, data: bytes) -> int:
        cast(VirtualLoop, asyncio.get_running_loop())._now += WRITE_S
        self._written_s += WRITE_S
        return self._write(fd, data)

    def cpu_s(self) -> float:
        return self._written_s * self._got + self._beside * (clock() - self._began_at)


@cache
def linger_s(*, beside: float = 0.0, taken: float = 0.0) -> float:
    """Return the linger once it is settled: where the process does so much else, and others take so much."""
    found = []

    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            Core(edge, beside=beside, taken=taken)
            assert all(edge.connect() is not None for _ in range(VIEWERS))
            for _ in range(COMMENTS):
                edge.append(1)
                await pass_time(0.0125)
            found.append(edge.hub._channels["v"].linger_s)

    virtually(run)
    return found[0]


def test_writing_takes_half_of_a_core_that_has_nothing_else_to_do() -> None:
    assert linger_s() == pytest.approx(2 * PASS_S, rel=0.15)


def test_where_much_else_is_done_writing_takes_no_more_than_a_quarter() -> None:
    at_most_s = HubSettings().linger_max_s
    assert linger_s(beside=0.5) == pytest.approx(min(4 * PASS_S, at_most_s), rel=0.05)


def test_a_core_that_other_processes_take_half_of_is_not_free() -> None:
    assert linger_s(taken=0.5) > 1.3 * linger_s()
