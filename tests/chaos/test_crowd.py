"""A small crowd behind a recommended cache and two edges, all of them killed: everybody has everything, once."""

from pathlib import Path

import pytest

from chaos.crowd import CrowdPlan, run_crowd
from infra.local.caches import Cache


@pytest.mark.timeout(600)
async def test_a_crowd_misses_nothing_over_kills_of_the_cache_and_its_edges(kafka_address: str, tmp_path: Path) -> None:
    """Behind nginx, whose keys and locks are ours to set; `python -m chaos crowd --cache varnishd` has the other."""
    if (missing := Cache.why_missing("nginx")) is not None:
        pytest.skip(missing)
    # How soon a deleted text is gone is the long run's to say, on a quiet machine.
    plan = CrowdPlan("nginx", pollers=200, span_s=1.0, silence_s=0.0, flood=400.0, flood_s=1.0, gone_within_s=60.0)
    report = await run_crowd(kafka_address, tmp_path, plan, print)
    print(report.deleted_s)
    assert report.problems == []
    assert all(phase.saw.comments for phase in report.phases)
    answers, asked = (sum(each) for each in zip(*((one.saw.answers, one.asked) for one in report.phases), strict=True))
    assert asked * 4 < answers, "the crowd asked the edges by itself"
