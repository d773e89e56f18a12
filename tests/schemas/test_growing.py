"""That nothing is lost, doubled or answered wrongly while an epoch grows; by seeds, and with planted faults."""

import os
from typing import Final

import pytest

from .growing import GROWTHS_MAX, Plants, World, wrong_of

SEEDS: Final = range(int(os.environ.get("GROWING_SEEDS", "60")))
"""`GROWING_SEEDS=4000` takes minutes."""
NO_PLANTS: Final = Plants()


def test_nothing_is_lost_twice_or_answered_wrongly_while_an_epoch_grows() -> None:
    assert not wrong_of(SEEDS, NO_PLANTS)


def test_the_model_meets_what_it_is_for() -> None:
    """Epochs grow to the end, posts are fenced and answered in the next, and their keys are tried on both sides."""
    worlds = [World(seed, NO_PLANTS) for seed in SEEDS]
    for world in worlds:
        world.play()
    assert sum(len(world.ends().known) == GROWTHS_MAX + 1 for world in worlds) > len(worlds) / 2
    assert sum(post.was_fenced for world in worlds for post, _ in world.answers) > len(worlds)
    assert sum(position >> 40 > 1 for world in worlds for _, position in world.answers) > len(worlds)


@pytest.mark.parametrize(
    "plants",
    [
        Plants(ignores_fences=True),
        Plants(moves_early=True),
        Plants(checks_once=True),
        Plants(opens_early=True),
    ],
    ids=lambda plants: next(name for name, is_so in plants._asdict().items() if is_so),
)
def test_a_planted_fault_is_seen(plants: Plants) -> None:
    assert wrong_of(SEEDS, plants)
