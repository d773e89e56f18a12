"""What Helm prints after an install is true."""

from typing import Any

import pytest

from tests.helm.chart import Helm, example_values, merged

BOTH: dict[str, Any] = {"settings": {"kafka_security": "SSL", "cql_tls": True}}


def said(helm: Helm, values: dict[str, Any], example: str = "minimal") -> tuple[str, str]:
    """What is encrypted and what is not."""
    lines = helm.notes(merged(example_values(example), values)).splitlines()
    encrypted = [line for line in lines if line.startswith("Encrypted: ")]
    (clear,) = [line for line in lines if line.startswith("Not encrypted: ")]
    return (encrypted or [""])[0], clear


def test_what_is_encrypted_is_told_from_what_is_not(helm: Helm) -> None:
    assert said(helm, {})[0] == ""
    for word in ("Kafka", "CQL", "internal ports"):
        assert word in said(helm, {})[1]
    encrypted, clear = said(helm, BOTH)
    assert encrypted == "Encrypted: Kafka; CQL."
    assert "Kafka" not in clear
    assert "CQL" not in clear
    one, other = said(helm, {"settings": {"kafka_security": "SASL_PLAINTEXT", "cql_tls": True}})
    assert one == "Encrypted: CQL."
    assert "Kafka (settings.kafka_security)" in other


@pytest.mark.parametrize(
    ("values", "example"), [({"front": {"tlsSecret": ""}}, "front"), ({"ingress": {"enabled": True}}, "minimal")]
)
def test_clients_in_clear_text_are_named(helm: Helm, values: dict[str, Any], example: str) -> None:
    assert "clients of the" in said(helm, values, example)[1]
    secured = {name: given | {"tlsSecret": "t", "hosts": ["a.org"]} for name, given in values.items()}
    if "front" in values:
        secured["front"].pop("hosts")
    assert "clients of the" in said(helm, secured, example)[0]


def test_the_address_is_the_one_that_leads_in(helm: Helm) -> None:
    assert "U=https://comments.example.org;" in helm.notes(example_values("full"))
    assert "svc/test-livecomments-front 8080:443" in helm.notes(example_values("front"))
    assert "No route leads in yet" in helm.notes(example_values("minimal"))
    assert "rollout status statefulset/test-livecomments-gateway" in helm.notes(example_values("front"))
