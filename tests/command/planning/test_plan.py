"""What a load takes: the arithmetic, and that each number it rests on stands on the page that it names."""

import re
import shlex
from math import inf
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from livecomments_command.__main__ import app
from livecomments_command.planning.measured import measured
from livecomments_command.planning.plan import ASSUMED, Demand, Needed, bytes_per_s, crowds, plan, writes_per_s

DOCS: Final = Path(__file__).parents[3] / "docs"
PAGE: Final = (DOCS / "BENCHMARKS.md").read_text()
SECTIONS: Final = {
    line: section
    for page in ("SCALE.md", "OPERATING.md")
    for section in (DOCS / page).read_text().split("\n## ")
    for line in re.findall(r"livecomments (plan --[-a-z0-9 ]+)", section)
}
"""By each plan that is told on a page: the words of its section."""
DEMANDS: Final = st.builds(
    Demand, st.integers(1, 10**8), st.floats(0.01, 10**6), st.integers(1, 10**7), st.floats(0.0, 1.0), st.just(inf)
)


def planned(viewers: int = 10_000, comments: float = 100.0, videos: int = 1_000, most: float = inf) -> Needed:
    return plan(Demand(viewers, comments, videos, video_comments_max=most), measured())


@pytest.mark.parametrize("name", list(measured()))
def test_each_number_stands_on_the_page_of_benchmarks(name: str) -> None:
    assert measured()[name].row in PAGE


@settings(max_examples=60)
@given(DEMANDS)
def test_all_viewers_and_comments_are_of_some_video(demand: Demand) -> None:
    made = crowds(demand)
    assert sum(one.videos for one in made) == demand.videos
    assert sum(one.videos * one.viewers for one in made) == pytest.approx(demand.viewers, rel=0.02)
    assert sum(one.videos * one.comments_per_s for one in made) == pytest.approx(demand.comments_per_s, rel=0.02)


@settings(max_examples=60)
@given(DEMANDS)
def test_more_viewers_never_take_less(demand: Demand) -> None:
    fewer, more = (plan(demand._replace(viewers=demand.viewers * factor), measured()) for factor in (1, 3))
    assert (more.edges, more.partitions, more.egress_bytes_per_s) >= (fewer.edges, fewer.partitions, 0)
    assert more.edges >= fewer.edges >= 2


def test_a_small_deployment_is_two_of_each_and_the_topic_as_it_is_made() -> None:
    needed = planned()
    assert (needed.edges, needed.gateways, needed.stream_jobs) == (2, 2, 2)
    assert (needed.partitions, needed.brokers) == (64, 3)


def test_partitions_are_a_power_of_two_so_that_each_growth_is_a_multiple() -> None:
    counts = [planned(viewers, 1_000.0, 10_000).partitions for viewers in (10**4, 10**5, 10**6, 10**7)]
    assert counts == sorted(counts)
    assert all(count & (count - 1) == 0 for count in counts)


def test_comments_that_come_close_are_written_together_and_cost_less_each() -> None:
    found = measured()
    assert writes_per_s(5.0, found) == 5.0
    assert writes_per_s(1_000.0, found) == writes_per_s(100.0, found) < 100.0
    assert bytes_per_s(1_000.0, found) / 1_000 < bytes_per_s(100.0, found) / 100 < bytes_per_s(1.0, found)


def test_what_an_owner_refuses_costs_nothing() -> None:
    free, limited = planned(comments=20_000.0), planned(comments=20_000.0, most=100.0)
    assert limited.comments_per_s < free.comments_per_s == pytest.approx(20_000.0, rel=0.02)
    assert limited.gateways < free.gateways


def test_one_video_is_not_divisible_and_breaks_first() -> None:
    first = planned(viewers=10_000, comments=100_000.0, videos=1).limits[0]
    assert first.used > 1
    assert "hottest video" in first.what


def test_the_command_says_what_it_takes_and_on_what_it_rests() -> None:
    said = CliRunner().invoke(app, ["plan", "--viewers", "1000000", "--comments", "20000", "--videos", "50000"])
    assert said.exit_code == 0
    assert "1,000,000 viewers, 20,000 comments/s, 50,000 videos" in said.output
    assert "what breaks first" in said.output
    for name in (*measured(), *ASSUMED):
        assert name in said.output


@pytest.mark.parametrize("line", SECTIONS)
def test_what_pages_tell_of_a_plan_is_what_it_says(line: str) -> None:
    said = CliRunner().invoke(app, shlex.split(line), env={"COLUMNS": "200"})
    assert said.exit_code == 0
    found = dict(re.findall(r"│ ([a-z ]+?) +│ ([\d,]+)\b", said.output))
    for name in ("edges", "gateways", "stream jobs", "partitions", "brokers"):
        number = {"2": "two", "3": "three"}.get(found[name], found[name])
        assert re.search(rf"\b{number}\b", SECTIONS[line], re.IGNORECASE), (name, number)
