"""What the chart makes of its values."""

import math
import re
import tomllib
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from livecomments.runtime.shared_settings import FollowSettings, InternalSettings, PublicSettings
from livecomments.web.health import health_routes
from livecomments_command.settings import EdgeSettings, load
from livecomments_consumers.app import stream_route
from livecomments_gateway.app import gateway_routes
from livecomments_streams.faust_runner import _LAST_WATERMARKS_S, _STOP_TIMEOUT_S
from tests.docs_tables import commands
from tests.helm.chart import (
    CHART,
    COMPONENTS,
    EXAMPLES,
    RELEASE,
    ROOT,
    ChartRefused,
    Helm,
    Manifest,
    Rendered,
    example_values,
)
from tests.helm.settings_schema import KINDS

PARTITIONS = tomllib.loads((ROOT / "infra/kafka/livecomments_topics/topics.toml").read_text())["topic"][0]["partitions"]
JOBS = ("topics", "migrate")
FULLNAME = f"{RELEASE}-livecomments"


def labels_of(rendered: Rendered, component: str) -> dict[str, str]:
    labels = rendered.workloads()[component]["spec"]["template"]["metadata"]["labels"]
    assert isinstance(labels, dict)
    return labels


def selected(rendered: Rendered, selector: Manifest) -> set[str]:
    """The components whose pods have all these labels."""
    return {name for name in rendered.workloads() if selector.items() <= labels_of(rendered, name).items()}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_commands_are_those_of_the_program(helm: Helm, example: str) -> None:
    rendered = helm.render(example)
    run = {
        name: [*each["containers"][0]["command"], *each["containers"][0]["args"]]
        for name, each in rendered.pods().items()
        if name != "front"  # is no process of ours
    }
    probe = run.pop("probe", ["livecomments", "probe"])
    assert probe[:2] == ["livecomments", "probe"]
    assert run == {name: ["livecomments", name] for name in (*COMPONENTS, "migrate")} | {
        "topics": ["livecomments", "topics", "--create"]
    }


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_process_listens_and_is_asked_on_the_ports_that_are_named(helm: Helm, example: str) -> None:
    rendered = helm.render(example)
    paths = {route.path for route in health_routes(dict)}
    for component in COMPONENTS:
        container = rendered.container(component)
        settings = load(KINDS[component], rendered.environment(component))
        assert isinstance(settings, InternalSettings)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        public = {"http": settings.port} if isinstance(settings, PublicSettings) else {}
        assert ports == public | {"internal": settings.internal_port}
        assert settings.host == "0.0.0.0"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] == "internal"
            assert container[probe]["httpGet"]["path"] in paths


def test_liveness_asks_for_nothing_but_an_answer(helm: Helm) -> None:
    rendered = helm.render()
    for component in COMPONENTS:
        probes = {name: rendered.container(component)[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
        assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
            "startup": "/healthz/ready",  # having read its part of the log
            "liveness": "/healthz/live",
            "readiness": "/healthz/live",  # with the log away, all of them would go, and their answers with them
        }


@pytest.mark.parametrize(
    "values", [{}, {"preStopSeconds": 11}, {"edge": {"settings": {"drain_s": 30.5}}, "front": {"drainSeconds": 31}}]
)
@pytest.mark.parametrize("example", EXAMPLES)
def test_a_pod_is_given_the_time_to_drain(helm: Helm, example: str, values: dict[str, Any]) -> None:
    rendered = helm.render(example, **values)
    for component in COMPONENTS:
        drain_s = float(rendered.environment(component)["LIVECOMMENTS_DRAIN_S"])
        waited_s = values.get("preStopSeconds", 5)
        assert rendered.pods()[component]["terminationGracePeriodSeconds"] == waited_s + math.ceil(drain_s) + 15
        if component != "stream":  # nobody routes to it
            assert rendered.container(component)["lifecycle"]["preStop"] == {"sleep": {"seconds": waited_s}}


def test_edges_have_names_that_stay_and_take_on_what_they_are_asked_for(helm: Helm) -> None:
    rendered = helm.render(edge={"replicas": 3})
    spec = rendered.of("StatefulSet")["edge"]["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    # Without a partition the controller makes the pod with the lowest number as it was before, and deletes it again.
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["serviceName"] in {f"{FULLNAME}-{name}" for name in rendered.of("Service")}
    for component in ("gateway", "edge"):
        settings = load(KINDS[component], rendered.environment(component))
        assert isinstance(settings, FollowSettings)
        assert settings.follow == "auto"


def test_edges_without_numbers_surge(helm: Helm) -> None:
    rendered = helm.render(edge={"kind": "Deployment"}, settings={"follow": "all"})
    assert load(EdgeSettings, rendered.environment("edge")).follow == "all"
    assert rendered.of("Deployment")["edge"]["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }


@pytest.mark.parametrize("example", EXAMPLES)
def test_pods_are_restricted(helm: Helm, example: str) -> None:
    rendered = helm.render(example)
    for component, pod in rendered.pods().items():
        container = rendered.container(component)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] >= 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is False
        writable = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
        assert writable == {"tmp", "data"}
        mounts = {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in writable}
        if component != "front":  # writes nothing
            assert mounts == {"/tmp", rendered.environment(component).get("LIVECOMMENTS_DATA_DIR", "/data")}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_service_s_name_gets_into_the_environment(helm: Helm, example: str) -> None:
    """A Service named livecomments would be LIVECOMMENTS_PORT=tcp://…, and no process would start."""
    assert all(pod["enableServiceLinks"] is False for pod in helm.render(example).pods().values())


def test_a_follower_of_everything_fits_into_its_memory(helm: Helm) -> None:
    rendered = helm.render()
    for component in ("gateway", "edge"):
        settings = load(KINDS[component], rendered.environment(component))
        assert isinstance(settings, FollowSettings)
        limit = rendered.container(component)["resources"]["limits"]["memory"]
        assert limit.endswith("Gi")
        assert int(limit.removesuffix("Gi")) * 2**30 >= 1.5 * (settings.tails_bytes_max + PARTITIONS * 2**20)


@pytest.mark.parametrize("example", EXAMPLES)
def test_services_lead_to_the_pods_that_are_meant(helm: Helm, example: str) -> None:
    rendered = helm.render(example, fullnameOverride="")
    found = {name: selected(rendered, one["spec"]["selector"]) for name, one in rendered.of("Service").items()}
    internal = found.pop("internal")
    ours = {"gateway": {"gateway"}, "edge": {"edge"}, "edge-pods": {"edge"}, "probe-edges": {"edge"}}
    fronts = {"gateway-pods": {"gateway"}, "front": {"front"}}
    assert found == (ours | fronts if example == "front" else ours)
    assert internal - {*JOBS, "probe", "front"} == set(COMPONENTS)
    for name, service in rendered.of("Service").items():
        for component in found.get(name) or COMPONENTS:
            ports = {port["name"] for port in rendered.container(component)["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for name in ("edge-pods", "internal"):
        assert rendered.of("Service")[name]["spec"]["clusterIP"] == "None"
        assert rendered.of("Service")[name]["spec"]["publishNotReadyAddresses"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_workload_selects_its_own_pods_and_keeps_doing_so(helm: Helm, example: str) -> None:
    rendered = helm.render(example)
    for component in COMPONENTS:
        workload = rendered.workloads()[component]
        selector = workload["spec"]["selector"]["matchLabels"]
        assert selected(rendered, selector) == {component}
        # Immutable, so nothing that an upgrade changes may be in it.
        assert not {"app.kubernetes.io/version", "helm.sh/chart"} & labels_of(rendered, component).keys()


def test_the_jobs_run_before_all_else_and_need_nothing_of_it(helm: Helm) -> None:
    rendered = helm.render("full")
    jobs = rendered.of("Job")
    assert list(jobs) == list(JOBS)
    weights = []
    for name, job in jobs.items():
        annotations = job["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation"
        weights.append(int(annotations["helm.sh/hook-weight"]))
        pod = rendered.pods()[name]
        assert pod["serviceAccountName"] == "default"
        assert pod["restartPolicy"] == "Never"
        container = rendered.container(name)
        assert "envFrom" not in container
        referred = {secret for secret, _ in rendered.secret_files(name).values()}
        assert referred
        assert not referred & {one["metadata"]["name"] for one in rendered.manifests}
    assert weights == sorted(set(weights))


def test_plain_jobs_are_new_ones_when_they_change(helm: Helm) -> None:
    before = helm.render("gitops").of("Job")
    assert [job["metadata"]["annotations"] for job in before.values()] == [{"argocd.argoproj.io/sync-wave": "-1"}] * 2
    after = helm.render("gitops", image={"tag": "another"}).of("Job")
    assert not before.keys() & after.keys()
    assert before.keys() == helm.render("gitops", service={"port": 8000}).of("Job").keys()


def test_jobs_can_be_left_out(helm: Helm) -> None:
    assert not helm.render(jobs={"topics": {"enabled": False}, "migrate": {"enabled": False}}).of("Job")


def test_only_the_gateway_gets_the_secrets_of_tokens_and_all_get_the_passwords(helm: Helm) -> None:
    rendered = helm.render("full")
    taken = {component: rendered.secret_files(component) for component in (*COMPONENTS, *JOBS)}
    passwords = {
        "LIVECOMMENTS_KAFKA_PASSWORD_FILE": ("livecomments-kafka", "kafka-password"),
        "LIVECOMMENTS_CQL_PASSWORD_FILE": ("livecomments-cql", "password"),
        "LIVECOMMENTS_KAFKA_CERTIFICATE": ("livecomments-client", "tls.crt"),
        "LIVECOMMENTS_KAFKA_KEY": ("livecomments-client", "tls.key"),
    }
    assert taken.pop("gateway") == passwords | {
        "LIVECOMMENTS_SESSION_SECRET_FILE": ("livecomments", "session-secret"),
        "LIVECOMMENTS_JWT_SECRET_FILE": ("livecomments-jwt", "hs256"),
    }
    assert all(others == passwords for others in taken.values())
    assert "SECRET" not in str(rendered.container("edge")["env"])
    assert not rendered.of("Secret")
    assert "LIVECOMMENTS_JWT_SECRET" not in helm.render().environment("gateway")


def test_every_pod_has_the_ca_certificates_that_settings_name(helm: Helm) -> None:
    for component, pod in (rendered := helm.render("full")).pods().items():
        assert {"name": "ca", "configMap": {"name": "ca"}} in pod["volumes"]
        assert {"name": "ca", "mountPath": "/ca", "readOnly": True} in rendered.container(component)["volumeMounts"]
    assert "ca" not in {volume["name"] for pod in helm.render().pods().values() for volume in pod["volumes"]}


def test_a_name_of_digits_stays_a_name(helm: Helm) -> None:
    digits = {"existingSecret": "3", "key": "4"}
    values = {"caConfigMap": "1", "image": {"pullSecrets": ["2"]}, "kafkaPassword": digits}
    for component, pod in (rendered := helm.render(**values, stream={"priorityClassName": "5"})).pods().items():
        assert {"name": "ca", "configMap": {"name": "1"}} in pod["volumes"]
        assert pod["imagePullSecrets"] == [{"name": "2"}]
        assert ("3", "4") in rendered.secret_files(component).values()
    assert rendered.pods()["stream"]["priorityClassName"] == "5"


def test_a_user_without_a_password_is_refused(helm: Helm) -> None:
    with pytest.raises(ChartRefused, match=r"kafkaPassword\.existingSecret"):
        helm.render(settings={"kafka_security": "SASL_SSL", "kafka_user": "u"})


def test_a_secret_among_the_values_is_kept_in_one_of_ours(helm: Helm) -> None:
    rendered = helm.render("trial", fullnameOverride=FULLNAME)
    (secret,) = rendered.of("Secret").values()
    assert secret["stringData"] == {"session-secret": example_values("trial")["sessionSecret"]["value"]}
    assert list(rendered.secret_files("gateway").values()) == [(secret["metadata"]["name"], "session-secret")]


def test_the_image_is_named_by_digest_where_there_is_one(helm: Helm) -> None:
    digest = example_values("full")["image"]["digest"]
    images = {container["image"] for pod in helm.render("full").pods().values() for container in pod["containers"]}
    assert images == {f"registry.example.org/livecomments@{digest}"}
    assert helm.render().container("edge")["image"] == "livecomments:0.1.0"


def test_the_image_runs_as_the_user_that_the_chart_gives(helm: Helm) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    user = helm.render().pods()["gateway"]["securityContext"]["runAsUser"]
    assert f"USER {user}\n" in dockerfile
    assert 'ENTRYPOINT ["livecomments"]' in dockerfile


def test_a_changed_setting_restarts_the_processes_and_a_changed_service_or_secret_none(helm: Helm) -> None:
    def templates(**values: Any) -> dict[str, Any]:
        return {name: each["spec"]["template"] for name, each in helm.render(**values).workloads().items()}

    before = templates()
    assert before == templates(service={"port": 8000}, httpRoute={"enabled": True, "parentRefs": [{"name": "x"}]})
    changed = templates(settings={"guests": False})
    assert all(before[name] != changed[name] for name in COMPONENTS)
    secret = {"existingSecret": "", "value": "x" * 32}
    assert templates(sessionSecret=secret) == templates(sessionSecret=secret | {"value": "y" * 32 + "\n" + "x" * 32})


def backend_of(path: str, rendered: Rendered) -> list[str]:
    """The Services that the HTTPRoute and the Ingress choose for a path: the longest expression that matches wins."""
    (route,) = rendered.of("HTTPRoute").values()
    rules = [
        (match["path"], rule["backendRefs"][0]["name"]) for rule in route["spec"]["rules"] for match in rule["matches"]
    ]
    # Istio tries every prefix before any expression, so these may not be mixed.
    assert {match["type"] for match, _ in rules} == {"RegularExpression"}
    by_route = [name for match, name in rules if re.fullmatch(match["value"], path)]
    by_ingress = [
        each["backend"]["service"]["name"]
        for tier in ("edge", "gateway")
        for each in rendered.of("Ingress")[tier]["spec"]["rules"][0]["http"]["paths"]
        if re.match(each["path"], path)
    ]
    return [by_route[0], by_ingress[0]]


def test_streams_lead_to_the_edges_and_all_else_to_the_gateways(helm: Helm) -> None:
    rendered = helm.render("full")
    unused: Any = None
    (stream,) = [stream_route(unused)]
    for path in (stream.path, "/streams/{video_id}"):
        assert backend_of(path.replace("{video_id}", "a.b~c-D_1"), rendered) == [f"{FULLNAME}-edge"] * 2
    others = [getattr(route, "path", "") for route in gateway_routes(unused, unused, unused, unused)]
    assert "/comments/{video_id}" in others
    for path in (*others, "/", "/page.js"):
        assert backend_of(re.sub(r"{\w+}", "a-stream", path), rendered) == [f"{FULLNAME}-gateway"] * 2
    (route,) = rendered.of("HTTPRoute").values()
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s"}
    assert (
        "timeouts"
        not in helm.render("full", httpRoute={"streamRequestTimeout": ""}).of("HTTPRoute")[""]["spec"]["rules"][0]
    )


def test_a_file_of_the_user_s_can_be_mounted(helm: Helm) -> None:
    rendered = helm.render("full")
    assert "words" in {volume["name"] for volume in rendered.pods()["gateway"]["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in rendered.container("gateway")["volumeMounts"]}
    others = {"tmp": "/tmp", "data": "/data", "ca": "/ca", "words": "/words"}
    assert mounts == others | {name: f"/secrets/{name}" for name in mounts.keys() - others.keys()}
    assert "words" not in {volume["name"] for volume in rendered.pods()["edge"]["volumes"]}


def test_evictions_take_one_of_each_at_a_time(helm: Helm) -> None:
    rendered = helm.render()
    budgets = rendered.of("PodDisruptionBudget")
    assert {name: selected(rendered, one["spec"]["selector"]["matchLabels"]) for name, one in budgets.items()} == {
        name: {name} for name in COMPONENTS
    }
    for name, budget in budgets.items():
        assert budget["metadata"]["labels"]["app.kubernetes.io/component"] == name
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_the_network_lets_through_what_is_needed_only(helm: Helm) -> None:
    rendered = helm.render("full")
    values = example_values("full")["networkPolicy"]
    everything, public = rendered.of("NetworkPolicy")[""]["spec"], rendered.of("NetworkPolicy")["public"]["spec"]
    assert selected(rendered, everything["podSelector"]["matchLabels"]) == {*COMPONENTS, *JOBS, "probe"}
    assert everything["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["from"] for rule in everything["ingress"]] == [values["monitoring"]]
    assert [[port["port"] for port in rule["ports"]] for rule in everything["egress"]] == [
        [53, 53],
        values["kafka"]["ports"],
        values["cql"]["ports"],
    ]
    assert [rule.get("to") for rule in everything["egress"]] == [None, values["kafka"]["to"], values["cql"]["to"]]
    (expression,) = public["podSelector"]["matchExpressions"]
    assert expression["values"] == ["gateway", "edge"]
    (let_in,) = public["ingress"]
    (port,) = let_in["ports"]
    *clients, ours = let_in["from"]
    assert (port, clients) == ({"port": "http", "protocol": "TCP"}, values["clients"])
    assert selected(rendered, ours["podSelector"]["matchLabels"]) == {"probe"}
    closed = helm.render(networkPolicy={"enabled": True}).of("NetworkPolicy")[""]["spec"]
    assert closed["ingress"] == []


def test_metrics_of_every_process_are_collected(helm: Helm) -> None:
    rendered = helm.render("full")
    (monitor,) = rendered.of("ServiceMonitor").values()
    labels = rendered.of("Service")["internal"]["metadata"]["labels"]
    others = [one["metadata"]["labels"] for name, one in rendered.of("Service").items() if name != "internal"]
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels.items()
    assert not any(selector.items() <= other.items() for other in others)  # nothing is counted twice
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("internal", "/metrics")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_alerts_and_dashboards_come_with_it(helm: Helm) -> None:
    rendered = helm.render("full")
    (rule,) = rendered.of("PrometheusRule").values()
    given = yaml.safe_load((CHART / "monitoring/rules.yaml").read_text())
    assert [group["name"] for group in rule["spec"]["groups"]] == [group["name"] for group in given["groups"]]
    alerts = {each["alert"]: each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each}
    assert f'job=~"{FULLNAME}-internal"' in alerts["LivecommentsDown"]["expr"]
    where = "https://docs.example.org/livecomments/RUNBOOKS#livecommentsdown"
    assert alerts["LivecommentsDown"]["annotations"]["runbook_url"] == where
    assert "{{ $labels.instance }}" in alerts["LivecommentsDown"]["annotations"]["summary"]
    boards = [one for name, one in rendered.of("ConfigMap").items() if name.startswith("dashboard-")]
    files = {name: text for one in boards for name, text in one["data"].items()}
    assert files == {
        f"livecomments-{path.name}": path.read_text() for path in (CHART / "monitoring/dashboards").iterdir()
    }
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in boards)
    plain = helm.render()
    assert not plain.of("PrometheusRule")
    assert not [name for name in plain.of("ConfigMap") if name.startswith("dashboard-")]


def test_each_component_is_spread_over_nodes_and_zones(helm: Helm) -> None:
    rendered = helm.render()
    for component in COMPONENTS:
        constraints = rendered.pods()[component]["topologySpreadConstraints"]
        assert [one["topologyKey"] for one in constraints] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        for one in constraints:
            assert selected(rendered, one["labelSelector"]["matchLabels"]) == {component}


APPENDED = {"Job": "-abcde", "Deployment": "-0123456789", "StatefulSet": "-0123456789"}
"""What controllers add, in names and labels of what they make."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_longest_name_still_fits(helm: Helm, example: str) -> None:
    release = "r" * 53  # the longest that Helm takes
    values = example_values(example) | {"fullnameOverride": "", "nameOverride": "n" * 63}
    manifests = [one for one in yaml.safe_load_all(helm.render_values(values, release)) if one]
    for one in manifests:
        assert len(one["metadata"]["name"] + APPENDED.get(one["kind"], "")) <= 63
        assert all(len(value) <= 63 for value in one["metadata"].get("labels", {}).values())


@pytest.mark.parametrize("example", EXAMPLES)
def test_all_objects_are_marked_and_in_the_namespace(helm: Helm, example: str) -> None:
    rendered = helm.render(example, extraObjects=[])
    values = example_values(example)
    for one in rendered.manifests:
        metadata = one["metadata"]
        assert metadata["namespace"] == "default"
        assert metadata["labels"]["app.kubernetes.io/instance"] == RELEASE
        assert values.get("commonLabels", {}).items() <= metadata["labels"].items()
        assert values.get("commonAnnotations", {}).items() <= metadata.get("annotations", {}).items()
    names = [(one["kind"], one["metadata"]["name"]) for one in rendered.manifests]
    assert len(set(names)) == len(names)


def test_an_object_of_the_user_s_is_added_with_its_templates_rendered(helm: Helm) -> None:
    assert helm.render("full").of("ConfigMap")["extra"]["data"] == {"hello": "world"}


def test_a_stream_job_is_not_killed_while_it_stores(helm: Helm) -> None:
    grace_s = helm.render().pods()["stream"]["terminationGracePeriodSeconds"]
    assert grace_s > _STOP_TIMEOUT_S + _LAST_WATERMARKS_S


def words_of(container: Manifest) -> dict[str, str]:
    """The options of its command that have a value, the last of each."""
    arguments = container["args"][1:]
    return {name: value for name, value in pairwise(arguments) if name.startswith("--")}


@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_test_is_the_probe_of_what_was_installed(helm: Helm, example: str) -> None:
    rendered = helm.render(example, fullnameOverride="")
    (pod,) = [one for one in rendered.manifests if one["kind"] == "Pod"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    options = {name for parameter in commands()["probe"].params for name in parameter.opts}
    assert {word for word in container["args"] if word.startswith("--")} <= options
    assert "--follow" not in container["args"]
    services = {f"{FULLNAME}-{name}": one for name, one in rendered.of("Service").items()}
    for name in ("--url", "--edge"):
        url = urlsplit(words_of(container)[name])
        if url.hostname in services:
            assert url.port in {port["port"] for port in services[url.hostname]["spec"]["ports"]}
        else:
            assert example == "full"
    edges = services[f"{FULLNAME}-probe-edges"]["spec"]
    assert edges["clusterIP"] == "None"
    assert "publishNotReadyAddresses" not in edges, "an edge that is leaving is none to watch"


def test_a_probe_goes_on_where_it_is_asked_for(helm: Helm) -> None:
    assert "probe" not in helm.render().workloads()
    rendered = helm.render("full")
    spec = rendered.workloads()["probe"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    container = rendered.container("probe")
    words = words_of(container)
    assert "--follow" in container["args"]
    assert words["--url"] == "https://comments.example.org"
    (port,) = container["ports"]
    assert (port["name"], str(port["containerPort"])) == ("internal", words["--metrics"])
    (token,) = [one for one in container["env"] if one["name"] == words["--token-env"]]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "livecomments-probe", "key": "token"}
    (test,) = [one["spec"]["containers"][0] for one in rendered.manifests if one["kind"] == "Pod"]
    assert words_of(test)["--name"] != words["--name"], "they would delete each other's comments"
    reached = rendered.of("NetworkPolicy")["probe"]["spec"]["egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in reached] == [["http"], [443]]
    with pytest.raises(ChartRefused, match=r"probe\.token\.existingSecret"):
        helm.render(settings={"guests": False}, probe={"enabled": True})
