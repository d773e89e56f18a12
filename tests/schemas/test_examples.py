"""The JSON Schemas, the golden examples and our code say the same: byte by byte, in every direction."""

import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

import livecomments_schemas
from livecomments_schemas import judge as judge_module
from livecomments_schemas.events import COMMENT_CREATED, EVENT_TYPES, Record
from livecomments_schemas.judge import Kind, Verdict, judge
from livecomments_schemas.positions import comment_id, position_at
from livecomments_schemas.render import render_comment
from livecomments_schemas.window import Window

from .records import at, comment, fresh_window, with_value

PACKAGE = Path(livecomments_schemas.__file__).parent
SCHEMA_FILES = sorted((PACKAGE / "json").glob("*.schema.json"))
EXAMPLE_FILES = sorted((PACKAGE.parent / "examples").glob("*.json"))
RECORD_FILES = [path for path in EXAMPLE_FILES if path.name.startswith("record-")]
PAYLOAD_FILES = [path for path in EXAMPLE_FILES if path not in RECORD_FILES]
EXAMPLES: dict[Path, Any] = {path: json.loads(path.read_bytes()) for path in EXAMPLE_FILES}
SCHEMAS: dict[str, Any] = {path.name: json.loads(path.read_bytes()) for path in SCHEMA_FILES}


CLOSED = frozenset(("epoch-fence",))
"""Schemas of values that readers compare byte by byte: nothing is ever added."""


def ids(path: object) -> str:
    return path.name if isinstance(path, Path) else str(path)


@cache
def validator(name: str) -> Validator:
    bundle = {file: {"$id": file, **contents} for file, contents in SCHEMAS.items()}  # so that they find each other
    return Draft202012Validator({"$ref": f"{name}.schema.json", "$defs": bundle})


def bytes_of(shown: Any) -> bytes | None:
    if isinstance(shown, dict):
        return bytes.fromhex(shown["hex"])
    return None if shown is None else str(shown).encode()


def record_of(shown: Any) -> Record:
    headers = {name: bytes_of(value) or b"" for name, value in shown["headers"].items()}
    key, value = bytes_of(shown["key"]), bytes_of(shown["value"])
    return Record(shown["partition"], shown["offset"], key, value, headers, shown["appendedAtMs"])


def verdict_of(example: Any) -> Verdict:
    shown = example["record"]
    window = Window(example["epoch"], shown["partition"], example["partitionCount"], since=0, whole=True)
    for before in example.get("before", []):
        judge(record_of(before), window)
    return judge(record_of(shown), window)


def shown_verdict(verdict: Verdict) -> dict[str, Any]:
    survivor = verdict.survivor
    members = {
        "kind": verdict.kind.value,
        "videoId": verdict.video_id,
        "reason": verdict.reason,
        "survivor": survivor
        and {"offset": survivor.survivor, "digest": {"hex": survivor.digest.hex()}, "void": survivor.void},
        "target": verdict.target,
    }
    return {name: value for name, value in members.items() if value}


def members_of(schema: Any) -> list[tuple[str, Any]]:
    """Every member that a schema describes, at any depth, with its schema."""
    own = [(name, member) for name, member in schema.get("properties", {}).items() if member is not False]
    return own + [inner for _, member in own for inner in members_of(member)]


@pytest.mark.parametrize("path", SCHEMA_FILES, ids=ids)
def test_a_schema_is_sound_described_and_open_to_new_members(path: Path) -> None:
    schema = SCHEMAS[path.name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    is_closed = path.name.removesuffix(".schema.json") in CLOSED
    assert is_closed or "ignore those you do not know" in schema["description"]
    for name, member in [(path.name, schema), *members_of(schema)]:
        assert "description" in member or "$ref" in member, name
        assert member.get("type") != "object" or member["additionalProperties"] is not is_closed, name
    assert set(schema["required"]) <= set(schema["properties"])


@pytest.mark.parametrize("path", RECORD_FILES, ids=ids)
def test_a_golden_record_is_judged_named_and_rendered_as_it_says(path: Path) -> None:
    example = EXAMPLES[path]
    record, verdict = record_of(example["record"]), verdict_of(example)
    assert shown_verdict(verdict) == example["verdict"]
    assert comment_id(position_at(example["epoch"], record.offset), record.partition) == example["commentId"]
    is_shown = verdict.kind is Kind.ACCEPTED and record.headers["type"] == COMMENT_CREATED
    assert ("rendered" in example) is is_shown
    if is_shown:
        assert record.value is not None
        assert render_comment(example["commentId"], record.value) == example["rendered"].encode()


@pytest.mark.parametrize("path", RECORD_FILES, ids=ids)
def test_the_value_of_a_sound_golden_record_follows_its_schema(path: Path) -> None:
    example = EXAMPLES[path]
    assert example["about"].endswith(".")
    if example["verdict"]["kind"] not in ("invalid", "unknown_schema"):
        validator(example["schema"]).validate(json.loads(example["record"]["value"]))
    if "rendered" in example:
        validator("comment").validate(json.loads(example["rendered"]))


@pytest.mark.parametrize("path", PAYLOAD_FILES, ids=ids)
def test_a_golden_payload_follows_its_schema_or_not_as_it_says(path: Path) -> None:
    example = EXAMPLES[path]
    assert example["about"].endswith(".")
    assert path.name.startswith(example["schema"])
    assert validator(example["schema"]).is_valid(example["payload"]) is example["valid"]


@pytest.mark.parametrize("path", PAYLOAD_FILES, ids=ids)
def test_a_new_member_never_makes_a_payload_invalid(path: Path) -> None:
    example = EXAMPLES[path]
    grown = {**example["payload"], "ofALaterVersion": {"any": ["thing"]}}
    assert validator(example["schema"]).is_valid(grown) is (example["valid"] and example["schema"] not in CLOSED)


def test_every_schema_has_a_valid_example_and_every_example_a_schema() -> None:
    shown = {example["schema"] for example in EXAMPLES.values() if example.get("valid", True)}
    assert {f"{name}.schema.json" for name in shown} == set(SCHEMAS)


def test_every_payload_schema_has_an_example_that_it_refuses() -> None:
    payloads = {EXAMPLES[path]["schema"] for path in PAYLOAD_FILES}
    assert payloads == {EXAMPLES[path]["schema"] for path in PAYLOAD_FILES if not EXAMPLES[path]["valid"]}


def test_every_event_type_has_its_value_schema_and_a_golden_record() -> None:
    of_types = {kind.decode().replace(".", "-") for kind in EVENT_TYPES}
    assert {f"{name}.schema.json" for name in of_types} <= set(SCHEMAS)
    assert {EXAMPLES[path]["schema"] for path in RECORD_FILES} == of_types


def test_every_kind_and_every_reason_has_a_golden_record() -> None:
    verdicts = [EXAMPLES[path]["verdict"] for path in RECORD_FILES]
    assert {verdict["kind"] for verdict in verdicts} == {kind.value for kind in Kind}
    reasons = set(re.findall(r'RecordCorrupt\("(\w+)"\)', inspect.getsource(judge_module)))
    assert {verdict["reason"] for verdict in verdicts if "reason" in verdict} == reasons


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "displayName", "x"]), inner),
    max_leaves=4,
)
NAMES = st.sampled_from(["videoId", "message", "author", "createdAt", "videoTimeMs", "commentId", "x"])


@given(st.dictionaries(NAMES, JSON, max_size=3), st.sets(NAMES, max_size=1))
def test_what_judge_accepts_is_what_the_schema_promises_to_clients(change: dict[str, Any], gone: set[str]) -> None:
    value = {**json.loads(comment().value), **change}
    encoded = json.dumps({name: member for name, member in value.items() if name not in gone}).encode()
    kind = judge(at(0, with_value(comment(), encoded)), fresh_window()).kind
    if kind is Kind.ACCEPTED:
        validator("comment-created").validate(json.loads(encoded))
        validator("comment").validate(json.loads(render_comment(comment_id(position_at(1, 0), 0), encoded)))
