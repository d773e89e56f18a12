"""The jobs that make topics of the log, in the chart: off by default, one process each, with health and settings."""

import pytest

from livecomments_command.settings import DerivingSettings, GatewaySettings, load
from tests.helm.bites import DERIVING
from tests.helm.chart import Helm


def test_they_are_off_until_they_are_wanted(helm: Helm) -> None:
    assert not {*DERIVING} & helm.render().workloads().keys()


@pytest.mark.parametrize("job", DERIVING)
def test_one_process_runs_that_replaces_the_one_before(helm: Helm, job: str) -> None:
    rendered = helm.render(**{job: {"enabled": True}})
    assert {*DERIVING} & rendered.workloads().keys() == {job}
    spec = rendered.of("Deployment")[job]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    container = rendered.container(job)
    assert [*container["command"], *container["args"]] == ["livecomments", job]
    settings = load(DerivingSettings, rendered.environment(job))
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"internal": settings.internal_port}
    assert "lifecycle" not in container, "nobody routes to it"


@pytest.mark.parametrize("job", DERIVING)
def test_one_that_has_much_to_read_is_not_ended_for_that(helm: Helm, job: str) -> None:
    container = helm.render(**{job: {"enabled": True}}).container(job)
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert asked == dict.fromkeys(asked, "/healthz/live")


def test_gateways_answer_with_counts_where_they_are_made_unless_told_otherwise(helm: Helm) -> None:
    on = {"enabled": True}
    for values, answers in (({}, False), ({"clean": on}, False), ({"counts": on}, True)):
        assert load(GatewaySettings, helm.render(**values).environment("gateway")).counts is answers
    told = helm.render(counts=on, settings={"counts": False})
    assert load(GatewaySettings, told.environment("gateway")).counts is False
