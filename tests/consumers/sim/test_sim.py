"""Thousands of schedules of everything that may happen to an edge, and bugs that some of them must notice."""

from collections import Counter
from typing import Final

import pytest

from tests.consumers.sim.plants import PLANTS
from tests.consumers.sim.run import Failure, run_many, run_seed, run_seeds

SEEDS: Final = 2_000
PLANT_SEEDS_MAX: Final = SEEDS
"""A planted bug must be noticed within what runs. The rarest takes some hundreds, whichever order things happen in."""

SOMETIMES: Final = (
    *("behind: history", "behind: own", "behind: shared", "many blocks at once", "paused", "gzip"),
    *("cut mid-chunk", "cut mid-event", "lane: asgi", "lane: transport"),
    *("store read", "deleted row read", "store away", "log away", "overtaken", "offset unavailable"),
    *("partition read anew", "lost end", "log went back", "log made anew", "appended before the loss was seen"),
    "grown again past what was read",
    *("event comment", "event delete", "event heartbeat", "event stale", "event bye", "event video"),
    *("bye drain", "bye rotate", "bye error", "bye ended", "bye revoked", "told to come back", "aborted"),
    *("stays away", "refused", "facts read", "auto: taken on unasked", "auto: let go"),
    *("gap history_behind", "gap store_unavailable", "gap history_unavailable", "gap unknown_position"),
    *("gap as_asked", "seeds that grew", "behind the fence"),
    *("over the seam: streamed", "over the seam: resumed", "over the seam: delete", "over the seam: edge"),
)
"""What must have happened among all seeds, so that none of it is only believed to be checked."""


@pytest.mark.timeout(600)
def test_no_schedule_loses_repeats_or_reorders_anything_and_no_id_runs_ahead() -> None:
    seen: Counter[str] = Counter()
    failures: list[Failure] = []
    run_many(range(SEEDS), seen, failures.append)
    assert not failures, "\n".join(f"{failure.what}\n{failure.replay}" for failure in failures[:5])
    assert seen["seeds"] == SEEDS
    never = [what for what in SOMETIMES if not seen[what]]
    assert not never, f"never happened: {never}"
    assert 0.4 * SEEDS < seen["seeds that lost the end"] < 0.6 * SEEDS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_noticed(plant: str) -> None:
    failure = run_seeds(range(PLANT_SEEDS_MAX), Counter(), PLANTS[plant])
    assert failure is not None
    again = run_seed(failure.seed, Counter(), PLANTS[plant])
    assert again == failure, "it does not repeat"
    assert f"--start {failure.seed}" in failure.replay


def test_a_seed_repeats_exactly() -> None:
    once, again = traces(), traces()
    assert once == again
    assert len(once) > 1_000


def traces() -> list[str]:
    """All that happens in a few seeds."""
    lines: list[str] = []
    for seed in range(20):
        assert run_seed(seed, Counter(), watch=lambda world: lines.extend(world.all_traces())) is None
    return lines
