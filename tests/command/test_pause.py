"""How long writes waited is told as a sum of steps."""

import itertools

from livecomments_command.pause import Pause


def test_the_steps_of_a_pause_add_up_to_it() -> None:
    pause = Pause(itertools.count(10.0, 0.25).__next__)
    pause.said_s = 0.125
    pause.note("before anybody waited")
    pause.begin()
    pause.note("for the fences")
    pause.note("until that was said")
    assert pause.sentence() == (
        "writes waited 0.500 s: 0.250 for the fences, 0.250 until that was said; to say a record and read it took 0.125"
    )


def test_who_goes_on_where_another_run_wrote_the_fences_does_not_know_how_long_it_was() -> None:
    pause = Pause()
    pause.note("until the next one was open")
    assert pause.sentence() == "writes waited since another run of this command wrote the fences"
