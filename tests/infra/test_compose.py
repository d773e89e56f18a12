"""compose.yaml, the Dockerfile and the load balancers' files say what the code says. No container is started here."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from livecomments.runtime.settings import PREFIX
from livecomments.runtime.shared_settings import InternalSettings, RecordSettings, ServerSettings
from livecomments_command.settings import (
    PROCESSES,
    AnySettings,
    EdgeSettings,
    GatewaySettings,
    ServingSettings,
    load,
)
from tests.docs_tables import commands

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "livecomments:local"}
DERIVING = {"counts", "clean"}
RUNNING = {"gateway-1", "gateway-2", "stream", "edge-1", "edge-2"} | DERIVING
HAPROXY = (ROOT / "infra/haproxy/haproxy.cfg").read_text()
NGINX = (ROOT / "infra/nginx/nginx.conf").read_text()


_DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")
"""A variable of whoever runs compose, and what it is without."""


def settings_of(name: str, kind: type[AnySettings]) -> AnySettings:
    """As the process of that service would read them."""
    image = dict(re.findall(rf"\b({PREFIX}\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
    given = {key: _DEFAULT.sub(r"\1", value) for key, value in OURS[name].get("environment", {}).items()}
    environ = {**image, **given}
    command = "counts, clean" if name in DERIVING else OURS[name]["command"][0]
    load(PROCESSES.get(command, PROCESSES["tools"]), environ)
    return load(kind, environ)


def test_it_has_every_process_and_says_that_it_was_not_run() -> None:
    assert set(SERVICES) == {"kafka", "scylla", "topics", "migrate", "haproxy"} | RUNNING
    assert "Not run where it was written" in (ROOT / "compose.yaml").read_text()


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_command_is_one_of_ours_with_options_that_it_has(name: str) -> None:
    command, *options = OURS[name]["command"]
    known = commands()[command]
    assert set(options) <= {option for parameter in known.params for option in parameter.opts}


@pytest.mark.parametrize("name", sorted(OURS))
def test_its_settings_are_settings_and_name_servers_that_are_there(name: str) -> None:
    settings = settings_of(name, ServerSettings)
    for address in (settings.kafka, settings.cql):
        host, port = address.split(":")
        assert host in SERVICES
        assert SERVICES[host]["hostname"] == host
        assert int(port) in (9_042, 9_092)
    assert settings.kafka in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert settings.replicas == 1, "one broker, one node"


def test_every_process_takes_on_what_it_is_asked_for() -> None:
    assert settings_of("edge-1", EdgeSettings).follow == settings_of("edge-2", EdgeSettings).follow == "auto"
    assert settings_of("gateway-1", GatewaySettings).follow == "auto"


@pytest.mark.parametrize("name", sorted(RUNNING))
def test_it_starts_after_topics_and_tables_is_asked_whether_it_is_ready_and_may_drain(name: str) -> None:
    service, settings = OURS[name], settings_of(name, InternalSettings)
    after = {other: how["condition"] for other, how in service["depends_on"].items()}
    first = {"gateway-1": "service_healthy"} if name == "gateway-2" else {}
    assert after == dict.fromkeys(("topics", "migrate"), "service_completed_successfully") | first
    assert f"http://127.0.0.1:{settings.internal_port}/healthz/ready" in service["healthcheck"]["test"][-1]
    assert float(service["stop_grace_period"].removesuffix("s")) > settings_of("edge-1", EdgeSettings).drain_s + 8
    data_dir = settings_of(name, RecordSettings).data_dir
    assert service["restart"] == "unless-stopped"
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert str(data_dir) in " ".join([*service["tmpfs"], *service.get("volumes", ())]), "and writable"


def test_gateways_sign_alike() -> None:
    """The first makes the key in a volume; the second starts when it is there."""
    first, second = OURS["gateway-1"], OURS["gateway-2"]
    assert first["volumes"] == second["volumes"] == [f"gateway:{settings_of('gateway-1', RecordSettings).data_dir}"]
    assert "gateway-1" in second["depends_on"]


def test_only_the_load_balancer_is_published_and_on_loopback_only() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["haproxy"]
    listens = _one(r"^    bind :(\d+)$", HAPROXY)
    assert SERVICES["haproxy"]["ports"] == [f"127.0.0.1:8080:{listens}"]
    mounted, _, _ = SERVICES["haproxy"]["volumes"][0].partition(":")
    assert (ROOT / mounted).read_text() == HAPROXY
    router, _, inside = SERVICES["haproxy"]["volumes"][1].removesuffix(":ro").partition(":")
    assert (ROOT / router / "partition.lua").exists()
    assert _one(r"^    lua-prepend-path (\S+)/\?\.lua$", HAPROXY) == inside
    assert (ROOT / router / _one(rf"^    lua-load {inside}/(\S+)$", HAPROXY)).exists()


def test_images_are_of_one_version() -> None:
    for name, service in SERVICES.items():
        if name not in OURS:
            tag = service["image"].rstrip("}").rpartition(":")[2]
            assert re.match(r"\d+\.\d+", tag), name


def test_the_load_balancers_lead_to_the_services() -> None:
    servers = re.findall(r"^    server (\S+) (\S+):(\d+) check port (\d+) id (\d+)$", HAPROXY, re.MULTILINE)
    assert {(host, int(port), int(internal)) for _, host, port, internal, _ in servers} == {
        (name, settings_of(name, ServingSettings).port, settings_of(name, ServingSettings).internal_port)
        for name in ("gateway-1", "gateway-2", "edge-1", "edge-2")
    }
    internal = {f"{host}:{internal}" for _, host, _, internal, _ in servers}
    assert set(_one(r'^    setenv INTERNAL_PORTS "(.*)"$', HAPROXY).split()) == internal
    unready = re.findall(r"^    server (\S+)-unready (\S+):(\d+) backup id \d+$", HAPROXY, re.MULTILINE)
    assert unready == [server[:3] for server in servers]
    assert set(re.findall(r"^        server (\S+):(\d+) ", NGINX, re.MULTILINE)) == {
        (host, port) for _, host, port, _, _ in servers
    }


def test_the_load_balancers_wait_longer_than_three_heartbeats_and_any_answer() -> None:
    settings = settings_of("edge-1", EdgeSettings)
    for text, pattern in (
        (HAPROXY, r"^    timeout client (\d+)s$"),
        (HAPROXY, r"^    timeout server (\d+)s$"),
        (NGINX, r"^            proxy_read_timeout (\d+)s;$"),
    ):
        found = re.findall(pattern, text, re.MULTILINE)
        assert found, pattern
        assert min(map(int, found)) > max(3 * settings.heartbeat_interval_s, settings.append_timeout_s)
        assert f"LIVECOMMENTS_HEARTBEAT_INTERVAL_S={settings.heartbeat_interval_s:g}" in text


def test_the_image_is_locked_and_nobody_in_it_is_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes" in text
    assert "--without-pip" in text
    _, _, last = text.rpartition("\nFROM ")
    assert "pip uninstall --yes" in last
    assert {"version", "revision", "created", "licenses"} <= set(
        re.findall(r"org\.opencontainers\.image\.(\w+)=", last)
    )
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert "@sha256" not in text, "a digest comes from `make digest`"
    assert re.search(r"^USER (?!0\b|root)\d+$", text, re.MULTILINE)
    copied = set(re.findall(r"^COPY ([\w/]+) \1$", text, re.MULTILINE))
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert copied == {package.rpartition("/")[0] or package for package in wheel["packages"]}
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert allowed >= copied | {"pyproject.toml", "requirements/distributed.lock"}


def _one(pattern: str, text: str) -> str:
    found = re.findall(pattern, text, re.MULTILINE)
    assert len(found) == 1, pattern
    return str(found[0])
