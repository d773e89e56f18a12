"""The bench of replays goes every way it names, and finds a rate for each and for the loop beside it."""

from pathlib import Path

from bench.replays import Plan, measured

WAYS = [
    "replay",
    "replay --merged",
    "replay --to-topic",
    "rebuild",
    "verify",
    "rebuild --from-mirror",
    "verify --mirror",
]


async def test_each_way_is_measured_beside_a_loop(tmp_path: Path) -> None:
    results = await measured(Plan(records=600, videos=5), tmp_path)
    assert [one.way.partition(",")[0] for one in results] == WAYS
    assert all(one.per_s > 0 and one.bare_per_s > 0 for one in results)
