"""What a run of growths reads off the command, and says of the POSTs beside it."""

import itertools

from chaos.growing import COLUMNS, PAUSE, Growth
from chaos.pulse import Answer
from livecomments_command.pause import Pause


def test_what_the_command_says_of_the_pause_is_understood() -> None:
    pause = Pause(itertools.count(10.0, 0.25).__next__)
    pause.begin()
    pause.note("for the fences")
    pause.note("for the stream job to store what stands before them")
    pause.note("until the next one was open")
    found = PAUSE.search(pause.sentence())
    assert found is not None
    assert found.groups() == ("0.750", "0.250")
    assert PAUSE.search(Pause().sentence()) is None


def test_posts_that_met_the_fences_are_told_apart_from_those_before_and_after() -> None:
    before = [Answer(n, n + 0.1, 201, comment_id="a") for n in range(3)]
    met = [Answer(9.9, 10.4, 201, comment_id="b"), Answer(10.0, 15.0, 503, "overloaded")]
    after = [Answer(10.6, 10.7, 201, comment_id="c")]
    posts = [*before, *met, *after]
    growth = Growth(64, "leader", 12.0, paused_s=0.5, job_s=0.25, fenced_at=10.0, opened_at=10.5, posts=posts)
    assert dict(zip(COLUMNS, growth.row(), strict=True)) == {
        "to partitions": "64",
        "hurt": "leader",
        "took s": "12.0",
        "pause": "500",
        "of it the job": "250",
        "before p50 p99 max": "100 100 100",
        "held": "2,750 5,000 5,000",
        "after": "100 100 100",
        "refused": "1 overloaded",
    }
