"""For each value of the chart: another one, what must be on for it to matter, and where it is seen then.

A place is `Kind/name` of an object, without the release's name, and behind a space the path in it.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.helm.chart import COMPONENTS, Manifest

PODS: Final = "spec.template.spec"
OWN: Final = f"{PODS}.containers.0"
ON: Final[Manifest] = {"enabled": True}
ISSUER: Final[Manifest] = {"jwt_jwks_url": "https://id.example.org/keys", "jwt_issuer": "i", "jwt_audience": "a"}
FRONT: Final[Manifest] = {"gateway": {"kind": "StatefulSet"}, "front": ON}
POLICY: Final[Manifest] = {"networkPolicy": ON}
PEERS: Final = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
WORKLOADS: Final = {
    "gateway": "Deployment/gateway",
    "edge": "StatefulSet/edge",
    "stream": "Deployment/stream",
    "counts": "Deployment/counts",
    "clean": "Deployment/clean",
    "jobs": "Job/topics",
    "probe": "Deployment/probe",
    "front": "Deployment/front",
}
DERIVING: Final = ("counts", "clean")
"""Jobs that are off by default."""
NEEDS: Final[dict[str, Manifest]] = {
    "probe": {"probe": ON},
    "front": FRONT,
    "counts": {"counts": ON},
    "clean": {"clean": ON},
}
"""What must be on for a workload to be there."""


@dataclass(frozen=True)
class Bite:
    """One value: changed `to` this, with these other values `given`, it is seen at this place and holds `shown`."""

    to: Any
    place: str
    shown: Any = None
    """None: what it was changed to."""
    given: Manifest = field(default_factory=dict)


def bites() -> dict[str, Bite]:
    """Every value by its path."""
    found = dict(_general())
    for component in COMPONENTS:
        found |= _component(component)
    for job in DERIVING:
        found |= _deriving(job)
    for workload in WORKLOADS:
        found |= _pod(workload)
    return found


def _pod(workload: str) -> dict[str, Bite]:
    """What all pods may have."""
    given = NEEDS.get(workload, {})
    at = WORKLOADS[workload]
    found = {
        "resources.requests": Bite({"cpu": "7m"}, f"{at} {OWN}.resources.requests.cpu", "7m", given),
        "resources.limits": Bite({"memory": "7Gi"}, f"{at} {OWN}.resources.limits.memory", "7Gi", given),
        "podAnnotations": Bite({"a/b": "c"}, f"{at} spec.template.metadata.annotations.a/b", "c", given),
        "podLabels": Bite({"a/b": "c"}, f"{at} spec.template.metadata.labels.a/b", "c", given),
        "nodeSelector": Bite({"disk": "fast"}, f"{at} {PODS}.nodeSelector", None, given),
        "tolerations": Bite([{"operator": "Exists"}], f"{at} {PODS}.tolerations", None, given),
        "affinity": Bite({"podAntiAffinity": {}}, f"{at} {PODS}.affinity", None, given),
        "priorityClassName": Bite("high", f"{at} {PODS}.priorityClassName", None, given),
    }
    return {f"{workload}.{name}": bite for name, bite in found.items()} | (
        _extras(workload) if workload in (*COMPONENTS, *DERIVING, "jobs") else {}
    )


def _extras(workload: str) -> dict[str, Bite]:
    """What pods of our processes may have beside."""
    at, given = WORKLOADS[workload], NEEDS.get(workload, {})
    variable, source = {"name": "TZ", "value": "UTC"}, {"secretRef": {"name": "more"}}
    volume, mount = {"name": "words", "configMap": {"name": "w"}}, {"name": "words", "mountPath": "/words"}
    mounted: Manifest = {workload: {**given.get(workload, {}), "extraVolumes": [volume]}}
    found = {
        "extraEnv": Bite([variable], f"{at} {OWN}.env", variable, given),
        "extraEnvFrom": Bite([source], f"{at} {OWN}.envFrom", source, given),
        "initContainers": Bite([{"name": "wait", "image": "wait:1"}], f"{at} {PODS}.initContainers", None, given),
        "extraVolumes": Bite([volume], f"{at} {PODS}.volumes", volume, given),
        "extraVolumeMounts": Bite([mount], f"{at} {OWN}.volumeMounts", mount, mounted),
    }
    return {f"{workload}.{name}": bite for name, bite in found.items()}


def _component(component: str) -> dict[str, Bite]:
    at, scaler = WORKLOADS[component], f"HorizontalPodAutoscaler/{component} spec"
    scaled = {component: {"autoscaling": ON}}
    own = {"type": "Pods", "pods": {"metric": {"name": "x"}}}
    found = {
        "replicas": Bite(7, f"{at} spec.replicas"),
        **_process(component),
        "autoscaling.enabled": Bite(True, f"{scaler}.scaleTargetRef.kind", at.partition("/")[0]),
        "autoscaling.minReplicas": Bite(5, f"{scaler}.minReplicas", None, scaled),
        "autoscaling.maxReplicas": Bite(13, f"{scaler}.maxReplicas", None, scaled),
        "autoscaling.targetCPUUtilizationPercentage": Bite(
            55, f"{scaler}.metrics.0.resource.target.averageUtilization", None, scaled
        ),
        "autoscaling.targetOwnMetric": Bite(1500, f"{scaler}.metrics.1.pods.target.averageValue", "1500", scaled),
        "autoscaling.metrics": Bite([own], f"{scaler}.metrics", own, scaled),
        "autoscaling.behavior": Bite(
            {"scaleUp": {"stabilizationWindowSeconds": 9}},
            f"{scaler}.behavior.scaleUp.stabilizationWindowSeconds",
            9,
            scaled,
        ),
    }
    return {f"{component}.{name}": bite for name, bite in found.items()}


def _deriving(job: str) -> dict[str, Bite]:
    found = {"enabled": Bite(True, f"{WORKLOADS[job]} {OWN}.args", [job]), **_process(job)}
    return {f"{job}.{name}": bite for name, bite in found.items()}


def _process(component: str) -> dict[str, Bite]:
    """What is said of one kind of process."""
    at, given = WORKLOADS[component], NEEDS.get(component, {})
    sidecar = {"name": "proxy", "image": "proxy:1"}
    changed = {"name": "LIVECOMMENTS_LOG_LEVEL", "value": "debug"}
    return {
        "settings": Bite({"log_level": "debug"}, f"{at} {OWN}.env", changed, given),
        "sidecars": Bite([sidecar], f"{at} {PODS}.containers", sidecar, given),
        **_user(component),
    }


def _user(component: str) -> dict[str, Bite]:
    place = f"{WORKLOADS[component]} {PODS}.volumes.[kafka-password].secret"
    own: Manifest = {"settings": {"kafka_user": "own"}, "kafkaPassword": {"existingSecret": "before"}}
    own |= NEEDS.get(component, {}).get(component, {})
    return {
        "kafkaPassword.existingSecret": Bite("odd", f"{place}.secretName", None, {component: own}),
        "kafkaPassword.key": Bite("odd", f"{place}.items.0.key", None, {component: own}),
    }


def _general() -> dict[str, Bite]:
    three: Manifest = {component: {"replicas": 3} for component in COMPONENTS}
    gateway, edge, topics = (f"{WORKLOADS[name]} {OWN}" for name in ("gateway", "edge", "jobs"))
    return {
        **_images(gateway),
        **_secrets(),
        "nameOverride": Bite("other", "Deployment/test-other-gateway metadata.name", "test-other-gateway"),
        "fullnameOverride": Bite("other", "Deployment/other-gateway metadata.name", "other-gateway"),
        "commonLabels": Bite({"team": "video"}, "ConfigMap/ metadata.labels.team", "video"),
        "commonAnnotations": Bite({"a/b": "c"}, "Service/edge metadata.annotations.a/b", "c"),
        "settings": Bite({"cors_origins": "*"}, "ConfigMap/ data.LIVECOMMENTS_CORS_ORIGINS", "*"),
        "listenHost": Bite("::", f"{edge}.env", {"name": "LIVECOMMENTS_HOST", "value": "::"}),
        "ports.http": Bite(8000, "Service/edge-pods spec.ports.0.port"),
        "ports.internal": Bite(9000, "Service/internal spec.ports.0.port"),
        "gateway.kind": Bite("StatefulSet", "StatefulSet/gateway spec.serviceName", "test-livecomments-gateway-pods"),
        "edge.kind": Bite("Deployment", "Deployment/edge kind"),
        "jobs.hooks": Bite(False, "Job/topics-* kind", "Job"),
        "jobs.annotations": Bite({"a/b": "c"}, "Job/topics metadata.annotations.a/b", "c"),
        "jobs.backoffLimit": Bite(1, "Job/migrate spec.backoffLimit"),
        "jobs.activeDeadlineSeconds": Bite(100, "Job/migrate spec.activeDeadlineSeconds"),
        "jobs.ttlSecondsAfterFinished": Bite(60, "Job/topics spec.ttlSecondsAfterFinished"),
        "jobs.topics.enabled": Bite(False, "Job/topics", "gone"),
        "jobs.migrate.enabled": Bite(False, "Job/migrate", "gone"),
        "probe.enabled": Bite(True, "Deployment/probe kind", "Deployment"),
        "probe.url": Bite("https://a.example.org", "Pod/test spec.containers.0.args", "https://a.example.org"),
        "probe.edges": Bite(["http://b:1"], "Pod/test spec.containers.0.args", "http://b:1"),
        "probe.everySeconds": Bite(2.5, f"Deployment/probe {OWN}.args", "2.5", NEEDS["probe"]),
        "probe.token.existingSecret": Bite("t", "Pod/test spec.containers.0.env.0.valueFrom.secretKeyRef.name"),
        "probe.token.key": Bite(
            "odd",
            "Pod/test spec.containers.0.env.0.valueFrom.secretKeyRef.key",
            None,
            {"probe": {"token": {"existingSecret": "t"}}},
        ),
        **_probes(edge),
        "preStopSeconds": Bite(9, f"{edge}.lifecycle.preStop.sleep.seconds"),
        "minReadySeconds": Bite(9, "StatefulSet/edge spec.minReadySeconds"),
        "podSecurityContext": Bite({"runAsUser": 7}, f"{WORKLOADS['jobs']} {PODS}.securityContext.runAsUser", 7),
        "securityContext": Bite({"runAsUser": 7}, f"{topics}.securityContext.runAsUser", 7),
        "podDisruptionBudget.enabled": Bite(False, "PodDisruptionBudget/edge", "gone"),
        "podDisruptionBudget.maxUnavailable": Bite(2, "PodDisruptionBudget/edge spec.maxUnavailable", None, three),
        "topologySpread.enabled": Bite(
            False, f"StatefulSet/edge {PODS}.topologySpreadConstraints.0.topologyKey", "gone"
        ),
        "topologySpread.whenUnsatisfiable": Bite(
            "DoNotSchedule", f"StatefulSet/edge {PODS}.topologySpreadConstraints.1.whenUnsatisfiable"
        ),
        "serviceAccount.create": Bite(False, "ServiceAccount/", "gone"),
        "serviceAccount.name": Bite("ours", f"StatefulSet/edge {PODS}.serviceAccountName"),
        "serviceAccount.annotations": Bite({"a/b": "c"}, "ServiceAccount/ metadata.annotations.a/b", "c"),
        "extraObjects": Bite(
            [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}],
            "ConfigMap/mine kind",
            "ConfigMap",
        ),
        **_ways_in(),
        **_network(),
        **_monitoring(),
    }


def _probes(container: str) -> dict[str, Bite]:
    found = {}
    for probe in ("startup", "liveness", "readiness"):
        at = f"{container}.{probe}Probe"
        path = "/healthz/live" if probe == "startup" else "/healthz/ready"
        found[f"probes.{probe}.path"] = Bite(path, f"{at}.httpGet.path")
        for name in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
            found[f"probes.{probe}.{name}"] = Bite(9, f"{at}.{name}")
    return found


def _images(container: str) -> dict[str, Bite]:
    digest = "sha256:" + "0" * 64
    front = f"Deployment/front {OWN}.image"
    return {
        "global.imageRegistry": Bite("r.example.org", front, "r.example.org/haproxy:2.6", FRONT),
        "image.repository": Bite("r/x", f"{container}.image", "r/x:0.1.0"),
        "image.tag": Bite("other", f"{container}.image", "livecomments:other"),
        "image.digest": Bite(digest, f"{container}.image", f"livecomments@{digest}"),
        "image.pullPolicy": Bite("Always", f"{container}.imagePullPolicy"),
        "image.pullSecrets": Bite(["s"], f"Deployment/gateway {PODS}.imagePullSecrets.0.name", "s"),
        "image.command": Bite(["other"], f"{container}.command"),
        "front.image.repository": Bite("r/x", front, "r/x:2.6", FRONT),
        "front.image.tag": Bite("3.2", front, "haproxy:3.2", FRONT),
        "front.image.digest": Bite(digest, front, f"haproxy@{digest}", FRONT),
    }


def _secrets() -> dict[str, Bite]:
    found = {}
    for name, volume in (
        ("sessionSecret", "session-secret"),
        ("jwtSecret", "jwt-secret"),
        ("kafkaPassword", "kafka-password"),
        ("cqlPassword", "cql-password"),
    ):
        given: Manifest = {"settings": ISSUER, name: {"existingSecret": "before"}}
        place = f"Deployment/gateway {PODS}.volumes.[{volume}].secret"
        found[f"{name}.existingSecret"] = Bite("odd", f"{place}.secretName", None, {"settings": ISSUER})
        found[f"{name}.key"] = Bite("odd", f"{place}.items.0.key", None, given)
    for name, key in (("sessionSecret", "session-secret"), ("jwtSecret", "jwt-secret")):
        nobody: Manifest = {"settings": ISSUER, name: {"existingSecret": "", "value": "y" * 32}}
        found[f"{name}.value"] = Bite("x" * 32, f"Secret/ stringData.{key}", None, nobody)
    for name, volume in (("kafkaCertificate", "kafka-certificate"), ("cqlCertificate", "cql-certificate")):
        found[f"{name}.existingSecret"] = Bite("odd", f"StatefulSet/edge {PODS}.volumes.[{volume}].secret.secretName")
    found["caConfigMap"] = Bite("c", f"StatefulSet/edge {PODS}.volumes.[ca].configMap.name")
    found["caSecret"] = Bite("c", f"StatefulSet/edge {PODS}.volumes.[ca].secret.secretName")
    return found


def _ways_in() -> dict[str, Bite]:
    route = {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}}
    ingress, tls = {"ingress": ON}, {"ingress": {"enabled": True, "hosts": ["a.example.org"]}}
    front, config = "Service/front", "ConfigMap/front data.haproxy.cfg"
    host = "b.example.org"
    return {
        "service.type": Bite("NodePort", "Service/edge spec.type"),
        "service.port": Bite(81, "Service/gateway spec.ports.0.port"),
        "service.annotations": Bite({"a/b": "c"}, "Service/gateway metadata.annotations.a/b", "c"),
        "front.enabled": Bite(True, "Deployment/front kind", "Deployment", {"gateway": {"kind": "StatefulSet"}}),
        "front.replicas": Bite(3, "Deployment/front spec.replicas", None, FRONT),
        "front.serversMax": Bite(21, config, "    server edge-21 ", FRONT),
        "front.clusterDomain": Bite("c.example.org", config, ".svc.c.example.org:8080 check", FRONT),
        "front.tlsSecret": Bite("t", f"Deployment/front {PODS}.volumes.[certificate].secret.secretName", None, FRONT),
        "front.drainSeconds": Bite(31, config, "hard-stop-after 31s", FRONT),
        "front.service.type": Bite("NodePort", f"{front} spec.type", None, FRONT),
        "front.service.annotations": Bite({"a/b": "c"}, f"{front} metadata.annotations.a/b", "c", FRONT),
        "httpRoute.enabled": Bite(True, "HTTPRoute/ kind", "HTTPRoute", {"httpRoute": {"parentRefs": [{"name": "g"}]}}),
        "httpRoute.parentRefs": Bite([{"name": "h"}], "HTTPRoute/ spec.parentRefs", None, route),
        "httpRoute.hostnames": Bite([host], "HTTPRoute/ spec.hostnames", None, route),
        "httpRoute.annotations": Bite({"a/b": "c"}, "HTTPRoute/ metadata.annotations.a/b", "c", route),
        "httpRoute.streamRequestTimeout": Bite("1h", "HTTPRoute/ spec.rules.0.timeouts.request", None, route),
        "ingress.enabled": Bite(True, "Ingress/edge kind", "Ingress"),
        "ingress.className": Bite("c", "Ingress/edge spec.ingressClassName", None, ingress),
        "ingress.annotations": Bite({"a/b": "c"}, "Ingress/gateway metadata.annotations.a/b", "c", ingress),
        "ingress.edge.annotations": Bite({"a/b": "c"}, "Ingress/edge metadata.annotations.a/b", "c", ingress),
        "ingress.gateway.annotations": Bite({"a/b": "c"}, "Ingress/gateway metadata.annotations.a/b", "c", ingress),
        "ingress.hosts": Bite(["a.example.org", host], "Ingress/edge spec.rules.1.host", host, ingress),
        "ingress.tlsSecret": Bite("t", "Ingress/edge spec.tls.0.secretName", None, tls),
        "ingress.streamPath": Bite("/comments/*/stream", "Ingress/edge spec.rules.0.http.paths.0.path", None, ingress),
        "ingress.streamPathType": Bite("Exact", "Ingress/edge spec.rules.0.http.paths.0.pathType", None, ingress),
    }


def _network() -> dict[str, Bite]:
    egress = "NetworkPolicy/ spec.egress"
    issuer = POLICY | {"settings": ISSUER}
    return {
        "networkPolicy.enabled": Bite(True, "NetworkPolicy/ kind", "NetworkPolicy"),
        "networkPolicy.clients": Bite(PEERS, "NetworkPolicy/public spec.ingress.0.from", PEERS[0], POLICY),
        "networkPolicy.monitoring": Bite(PEERS, "NetworkPolicy/ spec.ingress.0.from", None, POLICY),
        "networkPolicy.kafka.to": Bite(PEERS, f"{egress}.1.to", None, POLICY),
        "networkPolicy.kafka.ports": Bite([9092, 9093], f"{egress}.1.ports.1.port", 9093, POLICY),
        "networkPolicy.cql.to": Bite(PEERS, f"{egress}.2.to", None, POLICY),
        "networkPolicy.cql.ports": Bite([9042, 9043], f"{egress}.2.ports.1.port", 9043, POLICY),
        "networkPolicy.issuer.to": Bite(PEERS, "NetworkPolicy/issuer spec.egress.0.to", None, issuer),
        "networkPolicy.issuer.ports": Bite([8443], "NetworkPolicy/issuer spec.egress.0.ports.0.port", 8443, issuer),
        "networkPolicy.extraEgress": Bite([{"to": PEERS}], f"{egress}.3", {"to": PEERS}, POLICY),
    }


def _monitoring() -> dict[str, Bite]:
    monitor, rule, boards = {"serviceMonitor": ON}, {"prometheusRule": ON}, {"dashboards": ON}
    endpoint = "ServiceMonitor/ spec.endpoints.0"
    drop = [{"action": "drop"}]
    return {
        "serviceMonitor.enabled": Bite(True, "ServiceMonitor/ kind", "ServiceMonitor"),
        "serviceMonitor.interval": Bite("7s", f"{endpoint}.interval", None, monitor),
        "serviceMonitor.labels": Bite({"r": "p"}, "ServiceMonitor/ metadata.labels.r", "p", monitor),
        "serviceMonitor.relabelings": Bite(drop, f"{endpoint}.relabelings", None, monitor),
        "serviceMonitor.metricRelabelings": Bite(drop, f"{endpoint}.metricRelabelings", None, monitor),
        "prometheusRule.enabled": Bite(True, "PrometheusRule/ kind", "PrometheusRule"),
        "prometheusRule.labels": Bite({"r": "p"}, "PrometheusRule/ metadata.labels.r", "p", rule),
        "prometheusRule.runbooks": Bite(
            "https://b/R",
            "PrometheusRule/ spec.groups.[livecomments-log].rules.0.annotations.runbook_url",
            "https://b/R#",
            rule,
        ),
        "dashboards.enabled": Bite(True, "ConfigMap/dashboard-edge kind", "ConfigMap"),
        "dashboards.labels": Bite({"r": "p"}, "ConfigMap/dashboard-edge metadata.labels.r", "p", boards),
    }
