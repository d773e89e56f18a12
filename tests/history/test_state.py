"""The state of a video is a fold: facts in any order, states joined in any order, come to the same."""

import random
from itertools import pairwise

import pytest

from livecomments.following.tail import Entry
from livecomments.history.state import VideoState
from livecomments_schemas.events import COMMENT_PINNED, COMMENT_UNPINNED, VIDEO_CHANGED, VIDEO_ENDED, VIDEO_STARTED
from livecomments_schemas.positions import first_position

FIRST = first_position(1)
FACTS = [
    Entry(position, 0, kind, "v", "mod", value)
    for position, (kind, value) in enumerate(
        [
            (VIDEO_CHANGED, b'{"slowModeS": 5}'),
            (COMMENT_PINNED, b'{"commentId": "one"}'),
            (VIDEO_ENDED, b"{}"),
            (COMMENT_UNPINNED, b"{}"),
            (VIDEO_STARTED, b"{}"),
            (VIDEO_CHANGED, b'{"slowModeS": 7}'),
            (VIDEO_ENDED, b"{}"),
            (COMMENT_PINNED, b'{"commentId": "two"}'),
        ],
        FIRST,
    )
]
WHOLE = VideoState(FIRST + 6, True, FIRST + 5, b'{"slowModeS": 7}', FIRST + 7, "two")


def heard(facts: list[Entry]) -> VideoState:
    state = VideoState()
    for fact in facts:
        state = state.hear(fact)
    return state


@pytest.mark.parametrize("seed", range(20))
def test_whoever_hears_and_joins_in_whatever_order_comes_to_the_same_state(seed: int) -> None:
    dice = random.Random(seed)
    facts = dice.sample(FACTS, len(FACTS))
    assert heard(facts) == WHOLE
    cuts = [0, *sorted(dice.sample(range(1, len(facts)), 2)), len(facts)]
    one, other, third = (heard(facts[start:end]) for start, end in pairwise(cuts))
    assert one.join(other).join(third) == third.join(other.join(one)) == WHOLE
    assert WHOLE.join(VideoState()) == VideoState().join(WHOLE) == WHOLE


def test_it_is_whole_once_each_kind_was_said_and_an_unpinned_comment_is_none() -> None:
    assert heard(FACTS[:5]) == VideoState(FIRST + 4, False, FIRST, b'{"slowModeS": 5}', FIRST + 3, "")
    assert [heard(FACTS[:count]).is_whole for count in range(5)] == [False, False, False, True, True]
    assert [heard(FACTS[:count]).said_at for count in range(1, 5)] == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
