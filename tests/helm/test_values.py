"""What can be set, and that it is what a process takes."""

import json
import re
import tomllib
from typing import Any

import jsonschema
import pytest
import yaml

from livecomments_command.settings import GatewaySettings, load
from tests.helm.chart import CHART, COMPONENTS, EXAMPLES, ROOT, ChartRefused, Helm, example_values, leaves
from tests.helm.settings_schema import FIELDS, GIVEN_OTHERWISE, JOBS, KINDS, told_of, written

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SETTINGS = jsonschema.Draft7Validator(SCHEMA["definitions"]["settings"])


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_valid_and_lints(helm: Helm, example: str) -> None:
    helm.lint(example_values(example))


def test_the_defaults_lint(helm: Helm) -> None:
    helm.lint({})


def test_each_setting_can_be_set() -> None:
    text = (CHART / "values.schema.json").read_text()
    assert text == written(text), "values.schema.json is behind the code: run `make docs`"
    assert SCHEMA["definitions"]["settings"]["properties"].keys() == FIELDS.keys() - GIVEN_OTHERWISE


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.type in (int, float)])
def test_a_number_is_refused_only_where_the_process_refuses_it(name: str) -> None:
    for value in (1, 100, 100_000):
        assert SETTINGS.is_valid({name: value}) or name in GIVEN_OTHERWISE or told_of(name, value), value
    assert not SETTINGS.is_valid({name: -1}) or not told_of(name, -1)


def test_what_is_set_by_default_is_the_process_own_default() -> None:
    assert DEFAULTS["settings"] == {name: FIELDS[name].default for name in DEFAULTS["settings"]}
    assert DEFAULTS["ports"] == {"http": FIELDS["port"].default, "internal": FIELDS["internal_port"].default}


def test_each_value_has_a_default_and_a_meaning() -> None:
    found = dict(leaves(SCHEMA, SCHEMA["properties"]))
    assert [path for path, given in found.items() if not given.get("description")] == []
    assert found.keys() - {"global"} == set(_paths(DEFAULTS, found))


def test_the_chart_is_for_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"setings": {}}, "setings"),
        ({"settings": {"kafak": "x:9092"}}, "kafak"),
        ({"settings": {"session_secret": "x" * 32}}, "session_secret"),
        ({"settings": {"drain_s": -1}}, "drain_s"),
        ({"settings": {"drain_s": None}}, "drain_s"),
        ({"settings": {"viewers_max": "many"}}, "viewers_max"),
        ({"edge": {"settings": {"viewers": 1}}}, "viewers"),
        ({"edge": {"kind": "DaemonSet"}}, "kind"),
        ({"gateway": {"replicas": -1}}, "replicas"),
        ({"gateway": {"extraEnv": [{"name": "LIVECOMMENTS_PORT", "value": "1"}]}}, "extraEnv"),
        ({"sessionSecret": {"value": "short"}}, "sessionSecret"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"probes": {"liveness": {"path": "/"}}}, "path"),
        ({"ports": {"internal": 70_000}}, "internal"),
        ({"networkPolicy": {"kafka": {"ports": ["kafka"]}}}, "ports"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(helm: Helm, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ChartRefused, match=said):
        helm.render(**values)


def test_what_is_missing_is_said_at_once(helm: Helm) -> None:
    with pytest.raises(ChartRefused) as refused:
        helm.render_values({"jwtSecret": {"existingSecret": "jwt"}, "httpRoute": {"enabled": True}})
    for name in (
        "settings.kafka",
        "settings.cql",
        "sessionSecret.existingSecret",
        "settings.jwt_issuer",
        "httpRoute.parentRefs",
    ):
        assert name in str(refused.value)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_process_starts_with_what_it_gets(helm: Helm, example: str) -> None:
    rendered = helm.render(example)
    for component in rendered.workloads():
        environment = rendered.environment(component)
        if component == "front":  # is no process of ours
            continue
        if component == "probe":  # asks as people do, so it knows of no server
            assert not {"LIVECOMMENTS_KAFKA", "LIVECOMMENTS_CQL"} & environment.keys()
            continue
        load((KINDS | JOBS)[component], environment)
        assert re.fullmatch(r"[\w:.,-]+", environment["LIVECOMMENTS_KAFKA"])


def test_a_component_s_own_setting_wins(helm: Helm) -> None:
    rendered = helm.render(settings={"drain_s": 10}, edge={"settings": {"drain_s": 20.5}})
    drains = {name: rendered.environment(name)["LIVECOMMENTS_DRAIN_S"] for name in COMPONENTS}
    assert drains == {"gateway": "10", "edge": "20.5", "stream": "10"}


def test_large_numbers_arrive_as_they_were_written(helm: Helm) -> None:
    rendered = helm.render(
        settings={"tail_bytes_max": 33_554_433}, gateway={"settings": {"tail_records_max": 10_000_000}}
    )
    settings = load(GatewaySettings, rendered.environment("gateway"))
    assert (settings.tail_bytes_max, settings.tail_records_max) == (33_554_433, 10_000_000)


def _paths(values: dict[str, Any], found: dict[str, Any], path: str = "") -> list[str]:
    paths = []
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        paths += [here] if here in found or not isinstance(value, dict) else _paths(value, found, here)
    return paths
