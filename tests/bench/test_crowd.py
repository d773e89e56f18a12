"""The benchmark of a crowd that polls, once and tiny, on a real Kafka and a real edge; and what it calls a fault."""

import shutil
from pathlib import Path

import pytest

from bench import crowd
from infra.local.caches import CACHES, Fetch

TWICE_MAX = 2
"""What is asked for at the very end of nginx's ten seconds belongs to the next by its log."""


def fetch(began: float, ended: float, life_s: float, cursor: str = "1") -> Fetch:
    return Fetch(began, ended, 200, "MISS", "0", "long-poll", cursor, life_s)


@pytest.mark.parametrize(
    ("later", "is_twice"),
    [
        (fetch(0.1, 0.3, 8.0), True),  # while the first was on its way
        (fetch(8.1, 8.3, 8.0), True),
        (fetch(8.3, 8.4, 8.0), False),  # its life is over
        (fetch(0.1, 0.3, 8.0, cursor="2"), False),
    ],
)
def test_what_is_fetched_while_it_is_there_is_seen(later: Fetch, is_twice: bool) -> None:
    first = fetch(0.0, 0.2, 8.0)
    assert list(crowd.twice([later, first])) == ([(first, later)] if is_twice else [])


async def test_a_crowd_has_everything_once_in_order_and_asks_little(kafka_address: str, tmp_path: Path) -> None:
    behind = ",".join(name for name in CACHES if shutil.which(name))
    plan = crowd.Plan("20", "100", behind, rate=40, spread_s=0.5, warm_up_s=0.3, seconds=2.0)
    outcome = await crowd.measure(plan, kafka_address, tmp_path, False)
    directly, *cached = outcome.numbers["rows"]
    assert directly["answers_per_s"] > 0
    for row in (directly, *cached):
        assert (row["missed"], row["disordered"], row["refused"]) == (0, 0, 0), row
    for row in cached:
        assert 0 < row["upstream_per_s"] < row["answers_per_s"] / 4, row
        assert row["twice"] <= TWICE_MAX, row["twice_of"]
