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


@pytest.mark.parametrize(("asked", "most"), [("1536Mi", "1.5Gi"), ("1000M", "1G"), (1024, "1Ki"), ("4Gi", "4Gi")])
def test_a_pod_may_ask_for_as_much_as_it_may_have(helm: Helm, asked: str | int, most: str) -> None:
    helm.render(edge={"resources": {"requests": {"memory": asked}, "limits": {"memory": most}}})


def test_a_release_whose_name_no_service_can_have_is_refused(helm: Helm) -> None:
    with pytest.raises(ChartRefused, match="fullnameOverride"):
        helm.render_values(example_values("minimal"), "1st")


def test_addresses_are_taken_as_the_processes_take_them(helm: Helm) -> None:
    kafka = "a:9092,10.0.0.1:9092, [fd00::1]:9092"
    assert helm.render(settings={"kafka": kafka}).environment("edge")["LIVECOMMENTS_KAFKA"] == kafka
