"""What is given to operators says what the code and the contract of the topics say."""

import tomllib
from pathlib import Path
from typing import Any

import yaml

from livecomments_command.settings import StreamSettings
from tests.helm.chart import Helm, example_values

ROOT = Path(__file__).parents[2]
OPERATORS = ROOT / "infra/operators"
CONTRACT = tomllib.loads((ROOT / "infra/kafka/livecomments_topics/topics.toml").read_text())["topic"]


def manifests(name: str) -> dict[str, Any]:
    return {one["metadata"]["name"]: one for one in yaml.safe_load_all((OPERATORS / name).read_text())}


def test_the_topics_are_under_the_contract() -> None:
    wanted = {one["name"].replace("{epoch}", "1"): one for one in CONTRACT if not one.get("optional")}
    found = manifests("topics.yaml")
    assert found.keys() == wanted.keys()
    for name, topic in found.items():
        spec = topic["spec"]
        assert (spec["partitions"], spec["replicas"]) == (
            wanted[name]["partitions"],
            wanted[name]["replication_factor"],
        )
        assert spec["config"] == wanted[name]["settings"]


def test_rights_are_on_topics_and_the_group_that_there_are() -> None:
    names = [one["name"].replace("{epoch}", "") for one in CONTRACT]
    for user in manifests("users.yaml").values():
        for acl in user["spec"]["authorization"]["acls"]:
            resource = acl["resource"]
            if resource["type"] == "group":
                assert StreamSettings.group.startswith(resource["name"])
            else:
                assert resource["name"] in names
                assert (resource["patternType"] == "prefix") == resource["name"].endswith("-")


def test_the_example_of_the_chart_has_its_users_and_the_servers(helm: Helm) -> None:
    rendered = helm.render("operators")
    users = manifests("users.yaml")
    for component in ("gateway", "edge", "stream", "topics", "migrate"):
        user = rendered.environment(component)["LIVECOMMENTS_KAFKA_USER"]
        assert user == f"livecomments-{'tools' if component in ('topics', 'migrate') else component}"
        assert user in users
        assert rendered.secret_files(component)["LIVECOMMENTS_KAFKA_PASSWORD_FILE"] == (user, "password")
    kafka, scylla = manifests("kafka.yaml")["kafka"], manifests("scylla.yaml")["scylla"]
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    settings = example_values("operators")["settings"]
    assert settings["kafka"] == f"kafka-kafka-bootstrap:{listener['port']}"
    assert (settings["kafka_security"], listener["tls"]) == ("SASL_SSL", True)
    datacenter = rendered.environment("edge")["LIVECOMMENTS_CQL_DATACENTER"]
    assert scylla["spec"]["datacenter"]["name"] == datacenter
    assert {user["metadata"]["labels"]["strimzi.io/cluster"] for user in users.values()} == {"kafka"}
