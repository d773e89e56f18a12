"""Values that look right and are not: refused, by the schema or in a sentence of the chart's own."""

from typing import Any

import jsonschema
import pytest

from tests.helm.chart import ChartRefused, Helm, example_values, merged
from tests.helm.test_values import DEFAULTS, SCHEMA

VALUES = jsonschema.Draft7Validator(SCHEMA)
"""What Helm looks at first, before it renders anything."""
MINIMAL = merged(DEFAULTS, example_values("minimal"))


@pytest.mark.parametrize(
    "values",
    [
        {"nameOverride": "Live"},
        {"fullnameOverride": "live.comments"},
        {"fullnameOverride": "1st"},
        {"fullnameOverride": "x" * 64},
        {"commonLabels": {"app.kubernetes.io/name": "x"}},
        {"commonLabels": {"team": "video and chat"}},
        {"commonLabels": {"two words": "x"}},
        {"commonLabels": {"team": "x" * 64}},
        {"gateway": {"podLabels": {"app.kubernetes.io/component": "edge"}}},
        {"jobs": {"podLabels": {"app.kubernetes.io/instance": "x"}}},
        {"edge": {"podAnnotations": {"checksum/settings": "x"}}},
        {"jobs": {"annotations": {"helm.sh/hook": "post-install"}}},
        {"image": {"repository": "registry.example.org/Live"}},
        {"image": {"repository": "registry.example.org/live:1.0"}},
        {"image": {"repository": "https://registry.example.org/live"}},
        {"image": {"tag": "1.0 beta"}},
        {"image": {"digest": "sha256:" + "A" * 64}},
        {"image": {"pullSecrets": ["My Secret"]}},
        {"sessionSecret": {"existingSecret": "Live_Comments"}},
        {"sessionSecret": {"key": "a/b"}},
        {"kafkaPassword": {"existingSecret": "UPPER"}},
        {"caConfigMap": "CA"},
        {"listenHost": "localhost"},
        {"ports": {"http": 0}},
        {"gateway": {"extraVolumes": [{"name": "tmp"}]}},
        {"gateway": {"extraVolumes": [{"name": "My_Files"}]}},
        {"edge": {"extraVolumeMounts": [{"name": "x", "mountPath": "/data"}]}},
        {"edge": {"extraVolumeMounts": [{"name": "x", "mountPath": "/"}]}},
        {"stream": {"extraVolumeMounts": [{"name": "x", "mountPath": "files"}]}},
        {"stream": {"extraEnv": [{"name": "TIME ZONE", "value": "UTC"}]}},
        {"gateway": {"resources": {"requests": {"memory": "1 GB"}}}},
        {"gateway": {"resources": {"limits": {"cpu": -1}}}},
        {"gateway": {"priorityClassName": "Web"}},
        {"gateway": {"autoscaling": {"maxReplicas": "ten"}}},
        {"edge": {"autoscaling": {"minReplicas": 0}}},
        {"edge": {"sidecars": [{"name": "proxy"}]}},
        {"jobs": {"sidecars": []}},
        {"jobs": {"activeDeadlineSeconds": 0}},
        {"httpRoute": {"hostnames": ["Comments.example.org"]}},
        {"httpRoute": {"hostnames": ["https://comments.example.org"]}},
        {"ingress": {"hosts": ["comments.example.org/live"]}},
        {"ingress": {"hosts": ["a.example.org", "a.example.org"]}},
        {"global": {"imageRegistry": "https://registry.example.org"}},
        {"global": {"imageRegistry": "registry.example.org/"}},
        {"front": {"image": {"repository": "HAProxy"}}},
        {"front": {"image": {"tag": ""}}},
        {"front": {"serversMax": 0}},
        {"front": {"serversMax": 201}},
        {"front": {"drainSeconds": 0}},
        {"front": {"tlsSecret": "Comments_TLS"}},
        {"front": {"replicas": 0}},
        {"front": {"clusterDomain": "cluster.local:53"}},
        {"front": {"podLabels": {"app.kubernetes.io/component": "edge"}}},
        {"front": {"service": {"type": "ExternalName"}}},
        {"gateway": {"kind": "DaemonSet"}},
        {"gateway": {"autoscaling": {"targetOwnMetric": -1}}},
        {"serviceMonitor": {"relabelings": {"action": "drop"}}},
        {"podSecurityContext": []},
        {"caSecret": "My_CA"},
        {"ingress": {"tlsSecret": "Comments_TLS"}},
        {"networkPolicy": {"kafka": {"ports": []}}},
        {"podDisruptionBudget": {"maxUnavailable": 0}},
        {"serviceAccount": {"name": "Live"}},
        {"podDisruptionBudget": {"maxUnavailable": "100%"}},
        {"httpRoute": {"parentRefs": [{}]}},
        {"httpRoute": {"parentRefs": [{"name": "Gate Way"}]}},
        {"httpRoute": {"hostnames": ["a.example.org", "a.example.org"]}},
        {"ingress": {"className": "My Class"}},
        {"ingress": {"hosts": ["a" * 64 + ".example.org"]}},
        {"networkPolicy": {"kafka": {"to": [{"ipBlok": {}}]}}},
        {"networkPolicy": {"kafka": {"to": [{"ipBlock": {"cidr": "10.0.0.0/40"}}]}}},
        {"networkPolicy": {"clients": [{"ipBlock": {}}]}},
        {"gateway": {"autoscaling": {"metrics": [{"type": "Cpu"}]}}},
        {"gateway": {"autoscaling": {"behavior": {"scaleDwon": {}}}}},
        {"edge": {"extraVolumeMounts": [{"name": "x", "mountPath": "/secrets/x"}]}},
        {"image": {"command": []}},
        {"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap"}]},
        {"networkPolicy": {"kafka": {"ports": [9092, 9092]}}},
        {"networkPolicy": {"issuer": {"ports": [443, 443]}}},
        {"minReadySeconds": 600},
        {"preStopSeconds": 1_000_000},
        {"front": {"drainSeconds": 1_000_000}},
        {"settings": {"kafka_security": "TLS"}},
        {"settings": {"kafka_mechanism": "SCRAM"}},
        {"edge": {"settings": {"log_level": "DEBUG"}}},
        {"settings": {"replicas": 10}},
        {"settings": {"trace_ratio": 1.5}},
        {"counts": {"replicas": 2}},
        {"clean": {"enabled": "yes"}},
    ],
    ids=str,
)
def test_what_the_cluster_would_refuse_or_misread_is_refused_before(values: dict[str, Any]) -> None:
    assert not VALUES.is_valid(merged(MINIMAL, values))


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"repository": "registry.example.org:5000/a/live_comments", "tag": "1.0-rc.1"}},
        {"image": {"repository": "livecomments"}},
        {"commonLabels": {"example.org/team": "video", "empty": ""}},
        {"httpRoute": {"hostnames": ["*.example.org", "localhost"]}},
        {"gateway": {"resources": {"requests": {"cpu": 0.5, "memory": "512Mi"}}}},
        {"gateway": {"extraVolumeMounts": [{"name": "x", "mountPath": "/data/x"}]}},
        {"networkPolicy": {"issuer": {"ports": [443, 8443]}}},
        {"networkPolicy": {"clients": [{"ipBlock": {"cidr": "fd00::/64", "except": ["fd00::/96"]}}]}},
    ],
    ids=str,
)
def test_what_is_unusual_and_right_is_taken(values: dict[str, Any]) -> None:
    VALUES.validate(merged(MINIMAL, values))


def test_what_does_not_fit_together_is_said_in_a_sentence_each(helm: Helm) -> None:
    scaled = {"enabled": True, "minReplicas": 5, "maxReplicas": 3}
    by_nothing = {"enabled": True, "targetCPUUtilizationPercentage": 0}
    with pytest.raises(ChartRefused) as refused:
        helm.render(
            fullnameOverride="",
            ports={"http": 9090},
            settings={"kafka": "kafka", "cql": "cql:9042;other:9042"},
            sessionSecret={"value": "x" * 32},
            jwtSecret={"existingSecret": "jwt", "value": "y" * 32, "key": "session-secret"},
            gateway={
                "settings": {"kafka": "other:9092"},
                "autoscaling": scaled,
                "resources": {"requests": {"cpu": None}},
            },
            edge={
                "settings": {"topic_prefix": "x", "cql_keyspace": "other"},
                "autoscaling": by_nothing | {"maxReplicas": 4},
            },
            stream={
                "settings": {"replicas": 1, "store_ttl_s": 1, "append_timeout_s": 1, "cql_tls": True, "kafka_user": "x"}
            },
            front={"enabled": True, "serversMax": 3},
            ingress={"enabled": True, "tlsSecret": "tls"},
            caConfigMap="ca",
            caSecret="ca",
        )
    for said in (
        "ports: http and internal must differ",
        'settings.kafka: "kafka" is no list of addresses',
        'settings.cql: "cql:9042;other:9042" is no list of addresses',
        "sessionSecret: give existingSecret or value",
        "jwtSecret: give existingSecret or value",
        "sessionSecret.key and jwtSecret.key",
        "gateway.settings.kafka: it is the same for all",
        "gateway.autoscaling: minReplicas 5 is above maxReplicas 3",
        "gateway.resources.requests.cpu: give it",
        "edge.settings.topic_prefix: it is",
        "edge.settings.cql_keyspace: it is",
        "edge.autoscaling: give targetCPUUtilizationPercentage, targetOwnMetric or metrics",
        "gateway.kind: make it StatefulSet, as front.enabled",
        "front.serversMax: 3, and there may be 4 of edge",
        "ingress.hosts: name those that ingress.tlsSecret is for",
        "caConfigMap, caSecret: give one",
        "stream.settings.replicas: it is",
        "stream.settings.store_ttl_s: it is",
        "stream.settings.append_timeout_s: it is",
        "stream: give settings.kafka_user and kafkaPassword.existingSecret",
        "stream.settings.cql_tls: it is",
    ):
        assert said in str(refused.value)


def test_what_a_pod_cannot_have_is_said_before_any_job_runs(helm: Helm) -> None:
    volume = {"name": "files", "emptyDir": {}}
    with pytest.raises(ChartRefused) as refused:
        helm.render(
            settings={"kafka": "a:0", "topic_prefix": "My Topic", "cql_keyspace": "live-comments", "drain_s": 60},
            gateway={
                "kind": "StatefulSet",
                "sidecars": [{"name": "gateway", "image": "x:1"}],
                "resources": {"requests": {"memory": "5Gi"}},
                "extraEnv": [{"name": "TZ", "value": "UTC"}] * 2,
            },
            edge={"extraVolumes": [volume, volume], "extraVolumeMounts": [{"name": "other", "mountPath": "/x"}]},
            stream={"initContainers": [{"name": "wait", "image": "x:1"}] * 2},
            jobs={"resources": {"requests": {"memory": "1G"}, "limits": {"memory": "512Mi"}}},
            front={"enabled": True},
        )
    for said in (
        'settings.kafka: "a:0" is no list of addresses',
        'settings.topic_prefix: "My Topic" can begin no name',
        'settings.cql_keyspace: "live-comments" can be no name',
        "front.drainSeconds: 30 is less than the drain_s of edges, 60",
        "gateway.sidecars, initContainers: each needs a name of its own",
        "gateway.extraEnv: each needs a name of its own",
        "gateway.resources: requests.memory 5Gi is above limits.memory 4Gi",
        "edge.extraVolumes: each needs a name of its own",
        'edge.extraVolumeMounts: "other" is none of its extraVolumes',
        "stream.sidecars, initContainers: each needs",
        "jobs.resources: requests.memory 1G is above limits.memory 512Mi",
    ):
        assert said in str(refused.value)


FILES: dict[str, Any] = {"name": "files", "emptyDir": {}}
MOUNT: dict[str, Any] = {"name": "files", "mountPath": "/files"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 1}}},
            "gateway.autoscaling: minReplicas 1 leaves",
        ),
        ({"jobs": {"activeDeadlineSeconds": 400}}, "jobs.activeDeadlineSeconds: 400 is not below"),
        ({"jobs": {"activeDeadlineSeconds": 300}}, "jobs.activeDeadlineSeconds: 300 is not below"),
        ({"settings": {"drain_s": 1_000_000}}, "stream: drain_s 1e+06 is more than an hour"),
        ({"edge": {"settings": {"drain_s": 3600.5}}}, "edge: drain_s 3600.5 is more than an hour"),
        ({"settings": {"kafka": "a:9092,b:99999"}}, '"b:99999" has no port'),
        ({"settings": {"cql": "[fd00::1]:65536"}}, '"[fd00::1]:65536" has no port'),
        ({"settings": {"kafka": "a:9092, a:9092"}}, '"a:9092, a:9092" names an address twice'),
        ({"settings": {"cql": "a:9042,b:9042,a:9042"}}, "settings.cql: "),
        ({"settings": {"counts": True}}, "settings.counts: nobody counts"),
        ({"gateway": {"settings": {"counts": True}}}, "settings.counts: nobody counts"),
        (
            {"edge": {"extraVolumes": [FILES | {"configMap": {"name": "x"}}]}},
            "files has more than one source: configMap,",
        ),
        ({"jobs": {"extraVolumes": [FILES], "extraVolumeMounts": [MOUNT, MOUNT]}}, "two are at one mountPath"),
        (
            {"clean": {"extraVolumes": [FILES], "extraVolumeMounts": [MOUNT, MOUNT | {"mountPath": "/files/"}]}},
            "clean.extraVolumeMounts: two are at one mountPath",
        ),
        (
            {"settings": {"kafka": "a:9093"}, "networkPolicy": {"enabled": True}},
            "networkPolicy.kafka.ports: add the 9093",
        ),
        ({"settings": {"cql": "a:9142"}, "networkPolicy": {"enabled": True}}, "networkPolicy.cql.ports: add the 9142"),
        (
            {"settings": {"otlp_endpoint": "http://collector:4318"}, "networkPolicy": {"enabled": True}},
            "networkPolicy.extraEgress: let",
        ),
        ({"settings": {"kafka_ca": "/ca/ca.crt"}}, "settings.kafka_ca: nothing is in /ca"),
        ({"settings": {"cql_ca": "/ca/ca.crt"}}, "settings.cql_ca: nothing is in /ca"),
        ({"settings": {"topic_prefix": "x" * 65}}, "can begin no name of a topic"),
        ({"podDisruptionBudget": {"maxUnavailable": 2}}, "maxUnavailable: 2 may be all of gateway"),
        (
            {"podDisruptionBudget": {"maxUnavailable": 3}, "stream": {"autoscaling": {"enabled": True}}},
            "maxUnavailable: 3 may be all of stream",
        ),
        ({"gateway": {"resources": {"limits": {"cpu": "250m"}}}}, "gateway.resources: requests.cpu 500m is above"),
        ({"front": {"resources": {"limits": {"memory": "256Mi"}}}}, "front.resources: requests.memory 512Mi is above"),
        ({"probe": {"resources": {"requests": {"memory": "1Gi"}}}}, "probe.resources: requests.memory 1Gi is above"),
    ],
    ids=str,
)
def test_what_would_only_be_seen_later_is_said_at_once(helm: Helm, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ChartRefused) as refused:
        helm.render(**values)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"gateway": {"autoscaling": {"enabled": False, "minReplicas": 1}}},
        {"jobs": {"hooks": False, "activeDeadlineSeconds": 3600}},
        {"edge": {"settings": {"drain_s": 3600}}},
        {"settings": {"kafka": "a:65535,b:65535"}},
        {"settings": {"counts": False}, "counts": {"enabled": True}},
        {"settings": {"kafka": "a:9093"}, "networkPolicy": {"enabled": True, "kafka": {"ports": [9092, 9093]}}},
        {"podDisruptionBudget": {"maxUnavailable": "50%"}},
        {"podDisruptionBudget": {"maxUnavailable": 2, "enabled": False}},
        {"gateway": {"replicas": 1}},
        {"edge": {"extraVolumes": [FILES], "extraVolumeMounts": [MOUNT, MOUNT | {"mountPath": "/others"}]}},
        {"gateway": {"resources": {"requests": {"cpu": 1}, "limits": {"cpu": "1000m"}}}},
    ],
    ids=str,
)
def test_what_is_as_unusual_and_works_is_rendered(helm: Helm, values: dict[str, Any]) -> None:
    assert helm.render(**values).manifests


@pytest.mark.parametrize(("asked", "most"), [("1536Mi", "1.5Gi"), ("1000M", "1G"), (1024, "1Ki"), ("4Gi", "4Gi")])
def test_a_pod_may_ask_for_as_much_as_it_may_have(helm: Helm, asked: str | int, most: str) -> None:
    helm.render(edge={"resources": {"requests": {"memory": asked}, "limits": {"memory": most}}})


def test_a_release_whose_name_no_service_can_have_is_refused(helm: Helm) -> None:
    with pytest.raises(ChartRefused, match="fullnameOverride"):
        helm.render_values(example_values("minimal"), "1st")


def test_addresses_are_taken_as_the_processes_take_them(helm: Helm) -> None:
    kafka = "a:9092,10.0.0.1:9092, [fd00::1]:9092"
    assert helm.render(settings={"kafka": kafka}).environment("edge")["LIVECOMMENTS_KAFKA"] == kafka
