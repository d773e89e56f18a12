"""What a fault run calls broken: each planted here, and seen."""

import pytest

from chaos.faults import Fault, FaultReport, Outcome, promises_broken
from chaos.pulse import Answer, Pulse, Stored
from infra.local.stack import BROKER, GATEWAY, STORE, STREAM
from livecomments_command.settings import ToolSettings

WITHIN_S = 5.0
FINE = Answer(1.0, 1.1, 201, comment_id="a")


def outcome(name: str, *posts: Answer, pages: tuple[Answer, ...] = (), viewers_until: float = 0.0) -> Outcome:
    """Killed at 10, started at 20, ready at 25."""
    return Outcome(Fault(name, 10.0), 10.0, 20.0, 25.0, 26.0, list(posts), list(pages), viewers_until, 26.0)


def broken(*outcomes: Outcome, gaps: int = 0) -> list[str]:
    pulse = Pulse("http://127.0.0.1:1", ToolSettings(), "t")
    pulse.watches[0].gaps = gaps
    return list(promises_broken(pulse, outcomes, WITHIN_S))


REFUSED = Answer(12.0, 12.1, 503, "overloaded")


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (outcome(BROKER, Answer(12.0, 12.1, 201)), "acknowledged while no broker ran"),
        (outcome(BROKER, Answer(12.0, 20.5, 503, "append_unknown")), "answered after 8.5 s"),
        (outcome(BROKER, Answer(12.0, 12.1, 500, "internal")), "answered with [500]"),
        (outcome(BROKER, Answer(12.0, 12.1, 0)), "answered with [0]"),
        (outcome(STORE, FINE, pages=(Answer(12.0, 12.1, 404),)), "answered with [404]"),
        (outcome(STORE, REFUSED), "were refused"),
        (outcome(STREAM, REFUSED), "were refused"),
        (outcome(STORE, FINE, viewers_until=14.0), "viewers were behind"),
        (outcome(STREAM, FINE, viewers_until=14.0), "viewers were behind"),
    ],
)
def test_what_must_not_be_is_said(planted: Outcome, said: str) -> None:
    assert [said in sentence for sentence in broken(planted)] == [True]


@pytest.mark.parametrize(
    "fine",
    [
        outcome(BROKER, REFUSED, Answer(12.0, 17.0, 503, "append_unknown"), Answer(21.0, 22.0, 201)),
        outcome(BROKER, Answer(9.9, 12.0, 201)),
        outcome(BROKER, Answer(19.0, 21.0, 201)),
        outcome(GATEWAY, Answer(9.9, 10.1, 0), REFUSED),
        outcome("edge-1", FINE, viewers_until=14.0),
        outcome(STORE, FINE, pages=(Answer(12.0, 12.1, 503, "store_unavailable"),)),
    ],
)
def test_what_may_be_is_not(fine: Outcome) -> None:
    assert broken(fine) == []


def test_a_gap_is_always_said() -> None:
    assert broken(gaps=1) == ["A viewer of pulse-t-0 was told 1 gaps."]


def test_the_first_201_is_that_after_the_last_refusal() -> None:
    posts = (Answer(10.1, 10.2, 201), Answer(11.0, 16.0, 503, "append_unknown"), Answer(12.0, 12.1, 503, "overloaded"))
    later = (Answer(13.0, 21.0, 201), Answer(14.0, 20.5, 201))
    assert outcome(BROKER, *posts, *later).first_201_at == 20.5
    assert outcome(STORE, *posts[:1]).first_201_at == 10.2


def test_stored_means_what_the_log_held_a_while_before() -> None:
    pulse = Pulse("http://127.0.0.1:1", ToolSettings(), "t")
    pulse.stored += [
        Stored(1.0, 10, 10),
        Stored(2.0, 20, 10),
        Stored(4.5, 30, 9),
        Stored(5.5, 40, 20),
        Stored(6.0, 50, 20),
    ]
    assert pulse.stored_after(3.0) == 5.5, "20 were there at 2.0; at 4.5 not even the 10 of 1.0 were counted"
    assert pulse.stored_after(5.8) == 6.0
    assert pulse.stored_after(6.1) is None


def test_a_viewer_misses_what_was_acknowledged_and_has_not_come() -> None:
    pulse = Pulse("http://127.0.0.1:1", ToolSettings(), "t")
    watch = pulse.watches[0]
    pulse.acked[watch.video_id] += [Answer(1.0, 1.1, 201, "", "a"), Answer(2.0, 2.1, 201, "", "b")]
    watch.arrived["a"] = 4.0
    assert pulse.missing(acked_before=2.0) == 0
    assert pulse.missing(acked_before=3.0) == 1
    assert pulse.late(since=0.0, more_than_s=2.0) == [4.0]
    assert pulse.late(since=1.5, more_than_s=2.0) == []


def test_the_table_has_a_line_for_each_fault() -> None:
    report = FaultReport([outcome(BROKER, REFUSED, FINE), outcome(STORE, FINE)], {}, "", [], [])
    assert report.table("t").row_count == 2
