"""HAProxy and the router, as the chart runs them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.docs_tables import FRONT
from tests.helm.chart import CHART, Helm, Rendered
from tests.live.secured import make_certificates

ADDRESS = "test-livecomments-{0}-{1}.test-livecomments-{0}-pods.default.svc.cluster.local:8080"


def config(rendered: Rendered) -> str:
    text = rendered.of("ConfigMap")["front"]["data"]["haproxy.cfg"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("name", FRONT)
def test_it_is_what_is_recommended(name: str) -> None:
    assert (CHART / "front" / name).read_text() == FRONT[name].read_text(), "copy it anew: `make docs`"


def test_each_server_is_known_by_the_name_and_the_number_of_its_pod(helm: Helm) -> None:
    rendered = helm.render("front", front={"serversMax": 7})
    servers = re.findall(r"^    server (\S+) (\S+) (.*)$", config(rendered), re.MULTILINE)
    for tier in ("gateway", "edge"):
        workload = rendered.of("StatefulSet")[tier]["spec"]
        assert workload["ordinals"] == {"start": 1}
        assert workload["serviceName"] == f"test-livecomments-{tier}-pods"
        ours = {name: (address, options) for name, address, options in servers if name.startswith(f"{tier}-")}
        for number in range(1, 8):
            address = ADDRESS.format(tier, number)
            assert ours.pop(f"{tier}-{number}") == (address, f"check port 9090 id {number}")
            assert ours.pop(f"{tier}-{number}-unready") == (address, f"backup id {1000 + number}")
        assert not ours
    (asked,) = re.findall(r'^    setenv INTERNAL_PORTS "(.*)"$', config(rendered), re.MULTILINE)
    headless = [f"test-livecomments-{tier}-pods.default.svc.cluster.local.:9090" for tier in ("gateway", "edge")]
    assert asked.split() == headless


def test_more_or_fewer_edges_start_no_front_again(helm: Helm) -> None:
    few, many = (helm.render("front", edge={"replicas": count}).workloads()["front"]["spec"] for count in (2, 20))
    assert few == many


@pytest.mark.parametrize(
    "values",
    [{}, {"front": {"tlsSecret": ""}}, {"listenHost": "::"}, {"ports": {"http": 8000, "internal": 9000}}],
    ids=str,
)
@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
def test_haproxy_takes_it(helm: Helm, tmp_path: Path, values: dict[str, Any]) -> None:
    """As it would be mounted, but for the places."""
    rendered = helm.render("front", **values)
    data = rendered.of("ConfigMap")["front"]["data"]
    files = make_certificates(tmp_path)
    (tmp_path / "tls.crt").write_bytes(files.certificate.read_bytes())
    (tmp_path / "tls.key").write_bytes(files.key.read_bytes())
    for name in ("haproxy.lua", "partition.lua"):
        (tmp_path / name).write_text(data[name])
    text = data["haproxy.cfg"].replace("/usr/local/etc/haproxy/router", str(tmp_path))
    (tmp_path / "haproxy.cfg").write_text(text.replace("/certificate", str(tmp_path)))
    command = ["haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "[ALERT]" not in done.stderr


def test_with_a_certificate_it_speaks_http_2_and_leads_there(helm: Helm) -> None:
    rendered = helm.render("front")
    assert "bind :8443 ssl crt /certificate/tls.crt alpn h2,http/1.1\n" in config(rendered)
    assert "http-request redirect scheme https code 301 unless { ssl_fc }\n" in config(rendered)
    ports = {port["name"]: port["port"] for port in rendered.of("Service")["front"]["spec"]["ports"]}
    assert ports == {"http": 80, "https": 443}
    plain = helm.render("front", front={"tlsSecret": ""})
    assert "ssl_fc" not in config(plain)
    assert [port["name"] for port in plain.of("Service")["front"]["spec"]["ports"]] == ["http"]


def test_what_no_edge_answers_is_a_stream_that_says_when_to_come_back(helm: Helm) -> None:
    text = config(helm.render("front"))
    assert text.count('lf-string ":\\nretry: ') == 3
    assert "set-status 200" in text


def test_it_is_given_the_time_to_drain(helm: Helm) -> None:
    rendered = helm.render("front", front={"drainSeconds": 100}, preStopSeconds=9)
    assert "hard-stop-after 100s\n" in config(rendered)
    assert rendered.pods()["front"]["terminationGracePeriodSeconds"] == 9 + 100 + 5
    assert rendered.container("front")["lifecycle"]["preStop"] == {"sleep": {"seconds": 9}}
    assert rendered.of("PodDisruptionBudget")["front"]["spec"]["maxUnavailable"] == 1


def test_the_network_lets_it_reach_gateways_and_edges(helm: Helm) -> None:
    policies = helm.render("front").of("NetworkPolicy")
    front, health = policies["front"]["spec"], policies["health"]["spec"]
    assert [port["port"] for port in front["egress"][0]["ports"]] == ["http", "internal"]
    assert [port["port"] for port in front["ingress"][0]["ports"]] == ["http", "https"]
    (let_in,) = health["ingress"]
    assert let_in["ports"] == [{"port": "internal", "protocol": "TCP"}]
    assert let_in["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "front"
    clients = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    public = helm.render("front", networkPolicy={"clients": clients}).of("NetworkPolicy")["public"]["spec"]
    peers = [one.get("podSelector", {}).get("matchLabels", {}) for one in public["ingress"][0]["from"]]
    assert [peer.get("app.kubernetes.io/component") for peer in peers] == [None, "probe", "front"]
