"""The configuration: read once, all problems at once, secrets never shown."""

import dataclasses
import re
from pathlib import Path
from typing import Any, ClassVar, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments.runtime.settings import PREFIX, Settings
from livecomments.runtime.shared_settings import share_of
from livecomments_command.settings import (
    KEYS,
    PROCESSES,
    EdgeSettings,
    GatewaySettings,
    RunSettings,
    StreamSettings,
    ToolSettings,
    load,
)
from livecomments_gateway.settings import JWT_SECRET_BYTES_MIN, SECRETS_MAX
from livecomments_schemas.errors import StartRefused

STRONG = "s" * JWT_SECRET_BYTES_MIN
WITH_JWT = {
    "LIVECOMMENTS_JWT_SECRET": STRONG,
    "LIVECOMMENTS_JWT_ISSUER": "https://id.example",
    "LIVECOMMENTS_JWT_AUDIENCE": "comments",
}
SECRETS = ("JWT_SECRET", "SESSION_SECRET")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AllSettings(RunSettings, GatewaySettings, EdgeSettings, StreamSettings, ToolSettings):
    """All that any process takes."""


def problems_of(environ: dict[str, str], **overrides: Any) -> list[str]:
    with pytest.raises(StartRefused) as refused:
        AllSettings.load(environ, **overrides)
    return str(refused.value).split("\n")


def test_nothing_configured_is_a_whole_installation() -> None:
    assert AllSettings.load({}) == AllSettings()
    assert AllSettings().problems() == []


def test_every_type_is_read_from_text() -> None:
    settings = AllSettings.load(
        {
            "LIVECOMMENTS_PORT": "0",
            "LIVECOMMENTS_DATA_DIR": "/srv/live",
            "LIVECOMMENTS_HEARTBEAT_INTERVAL_S": "7.5",
            "LIVECOMMENTS_GUESTS": "Off",
            "LIVECOMMENTS_KAFKA": "a:9092,b:9092",
            "LIVECOMMENTS_CQL": "c:9042",
            **WITH_JWT,
        }
    )
    assert (settings.port, settings.heartbeat_interval_s, settings.guests) == (0, 7.5, False)
    assert settings.data_dir == Path("/srv/live")
    assert (settings.kafka, settings.cql, settings.jwt_secret) == ("a:9092,b:9092", "c:9042", STRONG)


def test_names_of_others_are_not_ours() -> None:
    assert AllSettings.load({"PATH": "/bin", "livecomments_port": "x", "XLIVECOMMENTS_PORT": "x"}) == AllSettings()


def test_an_option_wins_over_the_environment_unless_it_was_not_given() -> None:
    settings = AllSettings.load(
        {"LIVECOMMENTS_PORT": "81", "LIVECOMMENTS_HOST": "::1"}, port=82, host=None, guests=False
    )
    assert (settings.port, settings.host, settings.guests) == (82, "::1", False)


def test_all_problems_are_told_at_once_with_name_and_value() -> None:
    environ = {
        "LIVECOMMENTS_PORT": "70000",
        "LIVECOMMENTS_REPLICAS": "one",
        "LIVECOMMENTS_EPOCH": "2",
        "LIVECOMMENTS_HEARTBEAT_INTERVALS": "15",
        "LIVECOMMENTS_GUESTS": "maybe",
        "LIVECOMMENTS_DRAIN_S": "-1",
        "LIVECOMMENTS_KAFKA": "a:9092",
    }
    assert sorted(problems_of(environ)) == [
        "LIVECOMMENTS_DRAIN_S=-1.0 must not be negative.",
        "LIVECOMMENTS_EPOCH is no setting any more: the log tells which epoch is open (livecomments epochs list).",
        "LIVECOMMENTS_GUESTS='maybe' must be true or false.",
        "LIVECOMMENTS_HEARTBEAT_INTERVALS is no setting.",
        "LIVECOMMENTS_KAFKA='a:9092' and LIVECOMMENTS_CQL must be set together, or neither.",
        "LIVECOMMENTS_PORT=70000 must be 0 to 65535.",
        "LIVECOMMENTS_REPLICAS='one' must be a whole number.",
    ]


def test_a_problem_of_an_option_is_told_as_one_of_its_setting() -> None:
    assert problems_of({}, port=-1) == ["LIVECOMMENTS_PORT=-1 must be 0 to 65535."]


def test_an_unknown_name_is_fatal_and_its_value_may_be_a_misspelt_secret() -> None:
    assert problems_of({"LIVECOMMENTS_JWT_SECRT": "hunter2"}) == ["LIVECOMMENTS_JWT_SECRT is no setting."]


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "1e9", "1_000", " 5", "٣", "0x10", "5.", "9" * 5_000])
@pytest.mark.parametrize("name", ["PORT", "HEARTBEAT_INTERVAL_S"])
def test_what_is_no_plain_number_is_refused(name: str, text: str) -> None:
    kind = "whole number" if name == "PORT" else "number"
    assert problems_of({PREFIX + name: text}) == [f"{PREFIX}{name}={text!r} must be a {kind}."]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("TOPIC_PREFIX", "x" * 65),
        ("TOPIC_PREFIX", "a/b"),
        ("PARTITIONS", "0"),
        ("PARTITIONS", "1025"),
        ("FOLLOW", ""),
        ("FOLLOW", "1,"),
        ("FOLLOW", "1/2/3"),
        ("FOLLOW", "-1"),
        ("FOLLOW", "all,1"),
        ("LINGER_MIN_MS", "0"),
        ("LINGER_MIN_MS", "101"),
        ("LINGER_MAX_MS", "24"),
        ("LINGER_MAX_MS", "201"),
        ("STALE_AFTER_S", "0"),
        ("STALE_AFTER_S", "30"),
        ("HEARTBEAT_INTERVAL_S", "2.5"),
        ("HEARTBEAT_INTERVAL_S", "0"),
        ("VIEWERS_MAX", "0"),
        ("SESSION_TTL_S", "-5"),
        ("APPEND_TIMEOUT_S", "0"),
        ("PERSIST_DELAY_S", "-0.1"),
        ("CQL", "c:9042"),
    ],
)
def test_a_value_out_of_its_bounds_or_at_odds_with_another_is_refused(name: str, value: str) -> None:
    assert problems_of({PREFIX + name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65535"),
        ("TOPIC_PREFIX", "Aa0._-" * 10),
        ("FOLLOW", "0,5,7"),
        ("FOLLOW", "2/3"),
        ("LINGER_MAX_MS", "200"),
        ("LINGER_MIN_MS", "100"),
        ("STALE_AFTER_S", "29.9"),
        ("DRAIN_S", "0"),
        ("SESSION_SECRET", STRONG),
    ],
)
def test_a_value_at_its_bound_is_taken(name: str, value: str) -> None:
    AllSettings.load({PREFIX + name: value})


@pytest.mark.parametrize("missing", ["ISSUER", "AUDIENCE"])
def test_a_jwt_key_needs_an_issuer_and_an_audience(missing: str) -> None:
    environ = {name: value for name, value in WITH_JWT.items() if not name.endswith(missing)}
    (problem,) = problems_of(environ)
    assert problem.startswith("LIVECOMMENTS_JWT_ISSUER=")
    assert "LIVECOMMENTS_JWT_AUDIENCE" in problem


@pytest.mark.parametrize("name", SECRETS)
def test_a_short_secret_is_refused_and_not_shown(name: str) -> None:
    short = "x" * (JWT_SECRET_BYTES_MIN - 1)
    problems = problems_of({**WITH_JWT, PREFIX + name: short})
    rule = f"must have at least {JWT_SECRET_BYTES_MIN} bytes a line, and at most {SECRETS_MAX} lines"
    assert problems == [f"{PREFIX}{name}=*** {rule}."]


def test_a_password_in_an_address_is_masked_too() -> None:
    for address in ("http://user:hunter2@collector:4318", "http://user:a/hunter2@x@collector:4318"):
        with pytest.raises(StartRefused, match=r"LIVECOMMENTS_OTLP_ENDPOINT='http://\*\*\*@collector:4318'") as refused:
            AllSettings.load({"LIVECOMMENTS_OTLP_ENDPOINT": address})
        assert "hunter2" not in str(refused.value)
        assert "hunter2" not in str(AllSettings(otlp_endpoint=address).shown())


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    settings = AllSettings.load({**WITH_JWT, "LIVECOMMENTS_SESSION_SECRET": "t" * 40})
    shown = settings.shown()
    assert {name: shown[name] for name in ("jwt_secret", "session_secret")} == {
        "jwt_secret": "***",
        "session_secret": "***",
    }
    for text in (str(shown), repr(settings), str(settings), f"{settings}"):
        assert STRONG not in text
        assert "t" * 40 not in text
    assert AllSettings().shown()["jwt_secret"] == ""


def test_every_secret_is_marked_as_one() -> None:
    named = {field.name for field in dataclasses.fields(AllSettings) if re.search("secret|password", field.name)}
    assert {field.name for field in dataclasses.fields(AllSettings) if field.metadata["secret"]} == named


def test_what_is_shown_is_every_setting_in_plain_json_types() -> None:
    shown = AllSettings().shown()
    assert list(shown) == [field.name for field in dataclasses.fields(AllSettings)]
    assert {type(value) for value in shown.values()} <= {str, int, float, bool}


def test_every_setting_is_described_in_a_sentence() -> None:
    for field in dataclasses.fields(AllSettings):
        assert field.metadata["doc"].endswith("."), field.name


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        AllSettings().port = 1  # type: ignore[misc]  # the point of the test


@given(
    st.dictionaries(
        st.sampled_from([PREFIX + field.name.upper() for field in dataclasses.fields(AllSettings)]), st.text()
    )
)
def test_no_text_raises_anything_but_start_refused_and_each_problem_is_a_line(environ: dict[str, str]) -> None:
    try:
        settings = AllSettings.load(environ)
    except StartRefused as refused:
        for line in str(refused).split("\n"):
            assert line.startswith(PREFIX)
            assert line.endswith(".")
    else:
        assert settings.problems() == []


@pytest.mark.parametrize(
    ("follow", "partitions"),
    [
        ("all", {0, 1, 2, 3, 4, 5, 6, 7}),
        ("0,5,7,5", {0, 5, 7}),
        ("1/3", {0, 3, 6}),
        ("3/3", {2, 5}),
        ("9/9", set()),
    ],
)
def test_a_share_names_its_partitions(follow: str, partitions: set[int]) -> None:
    assert share_of(follow, 8) == partitions


@given(st.integers(1, 20), st.integers(1, 64))
def test_the_shares_of_n_edges_cover_every_partition_once(edges: int, count: int) -> None:
    shares = [share_of(f"{ordinal}/{edges}", count) for ordinal in range(1, edges + 1)]
    assert sorted(partition for share in shares for partition in share) == list(range(count))


@pytest.mark.parametrize("follow", ["8", "0,8", "0/3", "4/3", "0/0"])
def test_a_share_that_does_not_exist_is_refused(follow: str) -> None:
    with pytest.raises(StartRefused, match=f"LIVECOMMENTS_FOLLOW={follow}: "):
        share_of(follow, 8)


SASL = {
    "KAFKA": "k:9093",
    "CQL": "c:9042",
    "KAFKA_SECURITY": "SASL_SSL",
    "KAFKA_USER": "u",
    "KAFKA_PASSWORD": "hunter2",
}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"KAFKA_SECURITY": "TLS"}, "KAFKA_SECURITY='TLS'"),
        ({"KAFKA_MECHANISM": "GSSAPI"}, "KAFKA_MECHANISM='GSSAPI'"),
        ({"KAFKA_USER": ""}, "KAFKA_USER=''"),
        ({"KAFKA_PASSWORD": ""}, "KAFKA_USER='u'"),
        ({"KAFKA_SECURITY": "SSL"}, "KAFKA_USER='u'"),
        ({"KAFKA_SECURITY": "SASL_PLAINTEXT", "KAFKA_CA": "ca.pem"}, "KAFKA_CA='ca.pem'"),
        ({"CQL_CA": "ca.pem"}, "CQL_CA='ca.pem'"),
        ({"CQL_USER": "u"}, "CQL_USER='u'"),
        ({"CQL_PASSWORD": "hunter2"}, "CQL_USER=''"),
    ],
)
def test_access_to_the_servers_that_does_not_fit_together_is_refused(changed: dict[str, str], named: str) -> None:
    problems = problems_of({PREFIX + name: value for name, value in (SASL | changed).items()})
    assert problems[0].startswith(PREFIX + named)
    assert "hunter2" not in str(problems)


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    environ = {PREFIX + name: value for name, value in SASL.items()}
    del environ[PREFIX + "KAFKA_PASSWORD"]
    environ[PREFIX + "KAFKA_PASSWORD_FILE"] = str(tmp_path / "password")
    settings = AllSettings.load(environ)
    assert settings.kafka_password == "hunter2"
    assert "hunter2" not in f"{settings} {settings.shown()}"
    for content in (b"", b"\n", b"\xff", b"x" * 5_000):
        (tmp_path / "password").write_bytes(content)
        assert problems_of(environ)[0].startswith("LIVECOMMENTS_KAFKA_PASSWORD_FILE must hold ")
    (tmp_path / "password").unlink()
    assert "cannot be read: No such file" in problems_of(environ)[0]


def test_a_secret_in_the_place_of_its_file_is_not_printed() -> None:
    for secret in ("hunter2", "hunter2\0", "hunter2" * 1_000):
        (problem,) = problems_of({PREFIX + "JWT_SECRET_FILE": secret})
        assert problem.startswith("LIVECOMMENTS_JWT_SECRET_FILE ")
        assert "hunter2" not in problem


def test_a_secret_has_one_place_and_what_is_none_has_no_file(tmp_path: Path) -> None:
    both = {PREFIX + "JWT_SECRET": STRONG, PREFIX + "JWT_SECRET_FILE": "x"}
    assert "LIVECOMMENTS_JWT_SECRET and LIVECOMMENTS_JWT_SECRET_FILE must not both be set." in problems_of(both)
    assert problems_of({PREFIX + "PORT_FILE": "x"}) == ["LIVECOMMENTS_PORT_FILE is no setting."]


@pytest.mark.parametrize("kind", PROCESSES.values())
def test_by_its_defaults_a_process_has_no_problem(kind: type[Settings]) -> None:
    assert kind.load({}).problems() == []


def test_a_setting_is_declared_once_with_one_default() -> None:
    parts = {part for kind in PROCESSES.values() for part in kind.__mro__ if dataclasses.is_dataclass(part)}
    declared = [
        name
        for part in parts
        for name, kind in vars(part).get("__annotations__", {}).items()
        if get_origin(kind) is not ClassVar
    ]
    assert sorted(declared) == sorted(field.name for field in dataclasses.fields(AllSettings))


def test_a_process_takes_what_it_uses_and_nothing_else() -> None:
    names = {process: {field.name for field in dataclasses.fields(kind)} for process, kind in PROCESSES.items()}
    assert "viewers_max" not in names["gateway"] | names["stream"] | names["tools"]
    assert "jwt_secret" not in names["edge"] | names["stream"] | names["tools"]
    assert "group" not in names["run"] | names["gateway"] | names["edge"] | names["tools"]
    assert "kafka" not in names["run"]
    assert "partitions" not in names["gateway"] | names["edge"] | names["stream"]


def test_what_only_another_process_knows_is_told_and_not_taken(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "livecomments.command")
    environ = {"LIVECOMMENTS_VIEWERS_MAX": "many", "LIVECOMMENTS_GROUP": "g", "LIVECOMMENTS_GUESTS": "no"}
    assert load(GatewaySettings, environ) == GatewaySettings(guests=False)
    (record,) = caplog.records
    assert record.message == "not taken: settings of other processes"
    assert vars(record)["names"] == ["LIVECOMMENTS_GROUP", "LIVECOMMENTS_VIEWERS_MAX"]


def test_a_secret_s_file_is_known_where_the_secret_is() -> None:
    assert load(EdgeSettings, {"LIVECOMMENTS_JWT_SECRET_FILE": "/nowhere"}) == EdgeSettings()
    with pytest.raises(StartRefused, match="cannot be read"):
        load(GatewaySettings, {"LIVECOMMENTS_JWT_SECRET_FILE": "/nowhere"})


@pytest.mark.parametrize("kind", PROCESSES.values())
def test_what_no_process_knows_is_fatal_for_each(kind: type[Settings]) -> None:
    with pytest.raises(StartRefused, match="LIVECOMMENTS_VIEWER_MAX is no setting"):
        load(kind, {"LIVECOMMENTS_VIEWER_MAX": "1"})


def test_the_keys_of_all_are_those_of_each() -> None:
    assert AllSettings.environment_keys() == KEYS
