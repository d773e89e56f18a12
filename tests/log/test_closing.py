"""An epoch that closes while gateways write, by seeds: whatever is answered 201 is stored before the next one opens."""

from collections import Counter
from typing import Final

import pytest

from tests.log.closing import CLOSINGS, Rules, World

SEEDS: Final = range(60)


def run(seed: int, rules: Rules = Rules()) -> World:  # noqa: B008 - frozen
    world = World(seed, rules)
    world.run()
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_that_was_answered_201_is_left_behind_in_an_epoch_that_is_over(seed: int) -> None:
    assert run(seed).wrong == []


def test_the_model_meets_what_it_is_about() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS[:10]:
        seen += run(seed).seen
    assert {
        "created",
        "contract_broken",
        "append_unknown",
        "no answer",
        *(
            f"killed {where}"
            for where in ("before it closed", "after it closed", "before it stored", "before it opened")
        ),
    } <= seen.keys()
    assert seen["opened"] == 10 * CLOSINGS


@pytest.mark.parametrize(
    "rules",
    [
        Rules(wait_s=0.0),
        Rules(wait_s=10.0),
        Rules(confirms=False),
        Rules(counts_from_asking=False),
        Rules(stores_first=False),
        Rules(waits_anew=False),
    ],
    ids=str,
)
def test_a_rule_that_is_not_kept_loses_what_was_answered(rules: Rules) -> None:
    assert any(run(seed, rules).wrong for seed in range(300))
