"""What users add to pods, of a job too, arrives where it belongs."""

from typing import Any

from tests.helm.chart import COMPONENTS, Helm, Manifest

SIDECAR = {"name": "proxy", "image": "proxy:1"}
BEFORE = {"name": "wait", "image": "wait:1"}
FROM = {"secretRef": {"name": "more"}}
EXTRAS: dict[str, Any] = {
    "extraEnvFrom": [FROM],
    "initContainers": [BEFORE],
    "extraVolumes": [{"name": "words", "configMap": {"name": "words"}}],
    "extraVolumeMounts": [{"name": "words", "mountPath": "/words"}],
    "podAnnotations": {"example.org/a": "b"},
    "podLabels": {"example.org/c": "d"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "web", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "web",
}


def test_what_a_pod_may_have_a_job_s_pod_may_have_too(helm: Helm) -> None:
    values = {name: EXTRAS | {"sidecars": [SIDECAR]} for name in COMPONENTS}
    rendered = helm.render(**values, jobs=EXTRAS)
    for name, workload in rendered.workloads().items():
        template = workload["spec"]["template"]
        pod: Manifest = template["spec"]
        own, *others = pod["containers"]
        assert others == ([SIDECAR] if name in COMPONENTS else [])
        assert pod["initContainers"] == [BEFORE]
        assert FROM in own["envFrom"]
        assert EXTRAS["extraVolumes"][0] in pod["volumes"]
        assert EXTRAS["extraVolumeMounts"][0] in own["volumeMounts"]
        assert EXTRAS["podAnnotations"].items() <= template["metadata"]["annotations"].items()
        assert EXTRAS["podLabels"].items() <= template["metadata"]["labels"].items()
        for key in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
            assert pod[key] == EXTRAS[key]


def test_a_job_has_failed_before_helm_gives_up_and_stays_for_a_day(helm: Helm) -> None:
    helm_s = 300  # its --timeout, unless it is told another
    jobs = helm.render().of("Job").values()
    assert all(job["spec"]["activeDeadlineSeconds"] < helm_s for job in jobs)
    assert {job["spec"]["ttlSecondsAfterFinished"] for job in jobs} == {86_400}
    assert all("ttlSecondsAfterFinished" not in job["spec"] for job in helm.render("gitops").of("Job").values())


def test_gateways_alone_reach_the_issuer_of_tokens(helm: Helm) -> None:
    jwt = {"jwt_jwks_url": "https://id.example.org/keys", "jwt_issuer": "i", "jwt_audience": "a"}
    peers = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    policy = {"enabled": True, "issuer": {"to": peers, "ports": [8443]}}
    spec = helm.render(settings=jwt, networkPolicy=policy).of("NetworkPolicy")["issuer"]["spec"]
    assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert spec["egress"] == [{"ports": [{"port": 8443, "protocol": "TCP"}], "to": peers}]
    assert "issuer" not in helm.render(networkPolicy=policy).of("NetworkPolicy")


def test_an_ingress_a_tier_for_each_host(helm: Helm) -> None:
    hosts = ["a.example.org", "b.example.org"]
    both, own = {"x/y": "both", "x/z": "both"}, {"x/z": "own"}
    values = {"enabled": True, "hosts": hosts, "tlsSecret": "t", "annotations": both, "edge": {"annotations": own}}
    found = helm.render(ingress=values).of("Ingress")
    assert found.keys() == {"edge", "gateway"}
    assert found["edge"]["metadata"]["annotations"] == both | own
    assert found["gateway"]["metadata"]["annotations"] == both
    for one in found.values():
        assert [rule["host"] for rule in one["spec"]["rules"]] == hosts
        assert one["spec"]["tls"] == [{"secretName": "t", "hosts": hosts}]
    (rule,) = helm.render(ingress={"enabled": True}).of("Ingress")["gateway"]["spec"]["rules"]
    assert "host" not in rule


def test_a_key_of_a_security_context_can_be_taken_away(helm: Helm) -> None:
    """OpenShift gives users itself, and refuses pods that want one."""
    rendered = helm.render(podSecurityContext=dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup")))
    for pod in rendered.pods().values():
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_a_pod_that_waits_for_nobody_has_no_hook_of_zero_seconds(helm: Helm) -> None:
    assert "lifecycle" not in helm.render(preStopSeconds=0).container("edge")
