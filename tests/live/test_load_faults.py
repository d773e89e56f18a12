"""A whole deployment under a checked load: quiet, and with every process killed in turn. It runs on its own servers."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from chaos.faults import FAULTS, SMALL_TAIL, FaultPlan, FaultReport, run_faults
from infra.local.balancer import installed
from infra.local.servers import why_unavailable
from infra.local.stack import BROKER, Stack

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

QUIET = FaultPlan(faults=(), lasts_s=15.0, comments=1_500, videos=3, viewers=24, drop_rate=6.0)
FAULTY = FaultPlan(lasts_s=150.0, comments=7_500, videos=3, viewers=24, drop_rate=4.0)
TAILS = pytest.mark.parametrize("environment", [{}, SMALL_TAIL], ids=["default tail", "small tail"])


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where one set of servers lives for all tests here; the processes of livecomments are started anew for each."""
    if reason := why_unavailable():
        pytest.skip(reason)
    if installed() is None:
        pytest.skip("No load balancer found: apt-get install haproxy.")
    path = tmp_path_factory.mktemp("stack")
    yield path
    Stack(path, {}).kill()


def run(run_dir: Path, environment: dict[str, str], plan: FaultPlan) -> FaultReport:
    # Never those of LIVECOMMENTS_KAFKA: ours are to be killed.
    others = {name: value for name, value in os.environ.items() if not name.startswith("LIVECOMMENTS_")}
    stack = Stack(run_dir, {**others, **environment})
    stack.bring_up(Console(), detached=False)
    report = asyncio.run(run_faults(stack, plan, print))
    print(report.load_said)
    Console(width=140).print(report.table("seconds after the kill"))
    return report


@TAILS
def test_a_quiet_run_keeps_one_order_nothing_twice_nothing_missing(run_dir: Path, environment: dict[str, str]) -> None:
    report = run(run_dir, environment, QUIET)
    assert not report.problems
    assert report.load["counts"]["acked"] == QUIET.comments
    served_from = report.load["servedFrom"]
    assert served_from["history reads from tail"] > 0
    assert not environment or served_from["history reads from store"] > 0


def test_every_process_may_be_killed_and_nothing_is_lost_twice_or_out_of_order(run_dir: Path) -> None:
    report = run(run_dir, SMALL_TAIL, FAULTY)
    assert not report.problems
    assert report.load["counts"]["acked"] == FAULTY.comments
    assert [outcome.fault for outcome in report.outcomes] == list(FAULTS)
    broker = next(outcome for outcome in report.outcomes if outcome.fault.name == BROKER)
    answers = broker.while_away(broker.posts)
    assert answers
    assert {(answer.status, answer.code) for answer in answers} <= {(503, "append_unknown"), (503, "overloaded")}
