"""How many there are of each component, and who decides it."""

import re
from typing import Any

from tests.helm.chart import COMPONENTS, ROOT, Helm

VIEWERS: dict[str, Any] = {
    "type": "Pods",
    "pods": {
        "metric": {"name": "livecomments_edge_viewers"},
        "target": {"type": "AverageValue", "averageValue": "14000"},
    },
}


def test_turned_on_a_scaler_begins_with_what_it_may_not_go_below(helm: Helm) -> None:
    """Without a number of its own a Deployment has one replica until the scaler has looked."""
    scaled = {"autoscaling": {"enabled": True, "minReplicas": 3}}
    rendered = helm.render(gateway=scaled, edge=scaled, stream=scaled)
    scalers, workloads = rendered.of("HorizontalPodAutoscaler"), rendered.workloads()
    assert scalers.keys() == set(COMPONENTS)
    for component, scaler in scalers.items():
        spec = scaler["spec"]
        assert workloads[component]["spec"]["replicas"] == spec["minReplicas"] == 3
        target = workloads[component]
        assert spec["scaleTargetRef"] == {
            "apiVersion": target["apiVersion"],
            "kind": target["kind"],
            "name": target["metadata"]["name"],
        }
        assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}


def test_a_scaler_goes_by_the_metrics_and_as_fast_as_it_is_told(helm: Helm) -> None:
    scaled = {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": 0, "metrics": [VIEWERS]}}
    rendered = helm.render(edge={"kind": "Deployment"} | scaled)
    (scaler,) = rendered.of("HorizontalPodAutoscaler").values()
    assert scaler["spec"]["metrics"] == [VIEWERS]
    assert scaler["spec"]["scaleTargetRef"]["kind"] == "Deployment"
    (policy,) = scaler["spec"]["behavior"]["scaleDown"]["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)


def test_how_many_edges_there_are_is_no_part_of_their_template(helm: Helm) -> None:
    two, many = (helm.render(edge={"replicas": count}).workloads()["edge"]["spec"] for count in (2, 20))
    assert two["template"] == many["template"]


def test_each_scales_by_what_it_is_short_of(helm: Helm) -> None:
    scaled = {"autoscaling": {"enabled": True, "targetOwnMetric": 12}}
    rendered = helm.render(gateway=scaled, edge=scaled, stream=scaled)
    known = re.findall(r"`(livecomments_\w+)`", (ROOT / "docs/METRICS.md").read_text())
    for component, scaler in rendered.of("HorizontalPodAutoscaler").items():
        own = scaler["spec"]["metrics"][1]["pods"]
        assert own["metric"]["name"].startswith(f"livecomments_{component}_")
        assert own["metric"]["name"] in known
        assert own["target"] == {"type": "AverageValue", "averageValue": "12"}
