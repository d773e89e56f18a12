"""What a router says is counted by what it is worth; and where it learns the number of partitions."""

from typing import NamedTuple

import httpx
import pytest

from livecomments.runtime.metrics import REGISTRY
from livecomments.web.health import routing_route
from livecomments.web.routed import count_routed
from livecomments_command.assembly.serving import make_app
from livecomments_schemas.partitions import partition_of

HOME = partition_of("demo", 64)
KINDS = ("home", "spill", "elsewhere", "any", "unrouted")


class Counts(NamedTuple):
    epoch: int
    partition_count: int


@pytest.mark.parametrize(
    ("route", "to"),
    [
        (f"{HOME}/64/1", "home"),
        (f"{HOME}/64/2", "spill"),
        (f"{HOME}/32/1", "elsewhere"),
        (f"{HOME + 1}/64/1", "elsewhere"),
        (f"{HOME}/64", "unrouted"),
        ("any", "any"),
        ("Any", "unrouted"),
        ("99999999999/64/1", "unrouted"),
        ("", "unrouted"),
        (None, "unrouted"),
    ],
)
def test_a_request_is_counted_by_what_its_router_took_for_true(route: str | None, to: str) -> None:
    before = {kind: _count(kind) for kind in KINDS}
    count_routed(route, HOME, 64)
    assert {kind: _count(kind) - before[kind] for kind in KINDS} == {kind: float(kind == to) for kind in KINDS}


async def test_routers_are_told_the_number_of_partitions_and_the_epoch() -> None:
    transport = httpx.ASGITransport(make_app([routing_route(lambda: Counts(3, 256))]))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/internal/routing")
    assert answer.json() == {"epoch": 3, "partitions": 256}
    assert answer.headers["cache-control"] == "no-store"


def _count(kind: str) -> float:
    return REGISTRY.get_sample_value("livecomments_routed_requests_total", {"to": kind}) or 0.0
