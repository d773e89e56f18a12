"""What every pod of the release has, the front's and the probe's too, and what its workload does with it."""

import re

import pytest

from tests.helm.chart import EXAMPLES, Helm, Manifest

OWNER_AND_GROUP = 0o440
"""Of secrets as files: the group is the pod's own."""


def secret_volumes(pod: Manifest) -> list[Manifest]:
    return [volume["secret"] for volume in pod["volumes"] if "secret" in volume and volume["name"] != "ca"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_secrets_are_read_by_the_process_alone(helm: Helm, example: str) -> None:
    found = [secret for pod in helm.render(example).pods().values() for secret in secret_volumes(pod)]
    assert found
    assert {secret["defaultMode"] for secret in found} == {OWNER_AND_GROUP}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_volume_is_mounted_and_every_mount_is_a_volume(helm: Helm, example: str) -> None:
    rendered = helm.render(example)
    for component, pod in rendered.pods().items():
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounts = {mount["name"] for mount in rendered.container(component)["volumeMounts"]}
        assert mounts == (volumes - {"tmp", "data"} if component == "front" else volumes)  # it writes nothing
        for mount in rendered.container(component)["volumeMounts"]:
            assert mount.get("readOnly", False) is (mount["name"] not in ("tmp", "data"))


def test_a_rollout_adds_a_pod_before_it_takes_one_and_looks_at_it_for_a_while(helm: Helm) -> None:
    found = helm.render("front", counts={"enabled": True}, probe={"enabled": True}, minReadySeconds=20).workloads()
    for component, workload in found.items():
        spec = workload["spec"]
        if component in ("counts", "probe"):  # two of them would do the same twice
            assert spec["strategy"] == {"type": "Recreate"}
        elif workload["kind"] == "Deployment":
            assert spec["strategy"] == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
            assert spec["minReadySeconds"] == 20
        elif workload["kind"] == "StatefulSet":
            assert spec["minReadySeconds"] == 20


def test_the_front_is_spread_as_the_others_are(helm: Helm) -> None:
    pods = helm.render("front").pods()
    assert [one["topologyKey"] for one in pods["front"]["topologySpreadConstraints"]] == [
        one["topologyKey"] for one in pods["edge"]["topologySpreadConstraints"]
    ]


def test_the_front_runs_the_file_that_is_mounted_and_is_asked_where_it_answers(helm: Helm) -> None:
    rendered = helm.render("front")
    container = rendered.container("front")
    text = rendered.of("ConfigMap")["front"]["data"]["haproxy.cfg"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    *program, file = container["command"]
    # A master, so that SIGTERM ends it softly, in the foreground, so that the container goes on.
    assert program == ["haproxy", "-W", "-db", "-f"]
    assert mounts[file]["subPath"] == "haproxy.cfg"
    for path in re.findall(r"lua-load (\S+)/|lua-prepend-path (\S+)/\?", text):
        assert "".join(path) in mounts
    assert "crt /certificate/tls.crt" in text
    assert "/certificate" in mounts
    bind, answered = re.findall(r"^frontend health\n    bind :(\d+)\n    monitor-uri (\S+)$", text, re.MULTILINE)[0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8080, "https": 8443, "internal": int(bind)}
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": answered, "port": "internal"}


def test_each_port_of_a_service_leads_to_the_port_of_its_name(helm: Helm) -> None:
    rendered = helm.render("front", ports={"http": 8000, "internal": 9000})
    for name, service in rendered.of("Service").items():
        for port in service["spec"]["ports"]:
            assert port["targetPort"] == port["name"]
            if service["spec"].get("clusterIP") == "None":  # who comes has the pod's own address
                assert port["port"] == {"http": 8000, "internal": 9000}[port["name"]], name


@pytest.mark.parametrize(("kind", "policy"), [("LoadBalancer", "Local"), ("NodePort", "Local"), ("ClusterIP", None)])
def test_the_front_knows_who_asks(helm: Helm, kind: str, policy: str | None) -> None:
    """By address, for what is bounded by address; inside of the cluster nothing stands between."""
    spec = helm.render("front", front={"service": {"type": kind}}).of("Service")["front"]["spec"]
    assert spec.get("externalTrafficPolicy") == policy


def test_another_file_starts_the_front_again_and_another_setting_of_the_processes_does_not(helm: Helm) -> None:
    def template(**values: object) -> Manifest:
        found: Manifest = helm.render("front", **values).workloads()["front"]["spec"]["template"]
        return found

    before = template()
    assert template(front={"serversMax": 21})["metadata"] != before["metadata"]
    assert template(settings={"log_level": "debug"}) == before


def test_a_probe_is_started_again_when_it_does_not_answer_and_not_when_others_do_not(helm: Helm) -> None:
    container = helm.render(probe={"enabled": True}).container("probe")
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz/live", "port": "internal"}
    assert "readinessProbe" not in container, "nobody sends it anything"
