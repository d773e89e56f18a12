"""What a release wrote, all later ones read; what this one writes, those before may rely on."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from livecomments_schemas.render import render_comment

from .released import RELEASED, breaks, record_schemas
from .test_examples import record_of, shown_verdict, verdict_of

RELEASES: dict[Path, Any] = {path: json.loads(path.read_bytes()) for path in sorted(RELEASED.glob("*.json"))}
RECORDS = [
    pytest.param(example, id=f"{path.stem}/{name}")
    for path, release in RELEASES.items()
    for name, example in release["records"].items()
]
COMMENT = "comment-created.schema.json"


@pytest.mark.parametrize("example", RECORDS)
def test_a_record_of_a_release_is_what_it_was(example: Any) -> None:
    assert shown_verdict(verdict_of(example)) == example["verdict"]
    if "rendered" in example:
        value = record_of(example["record"]).value
        assert value is not None
        assert render_comment(example["commentId"], value) == example["rendered"].encode()


@pytest.mark.parametrize("release", RELEASES.values(), ids=[path.stem for path in RELEASES])
def test_no_schema_of_a_release_means_something_else_now(release: Any) -> None:
    now = record_schemas()
    assert release["schemas"].keys() <= now.keys()
    assert [each for name in release["schemas"] for each in breaks(release["schemas"][name], now[name], name)] == []


BREAKING: dict[str, Callable[[Any], object]] = {
    "a member is gone": lambda schema: schema["properties"].pop("videoTimeMs"),
    "a member becomes optional": lambda schema: schema["required"].remove("author"),
    "a member becomes required": lambda schema: schema["required"].append("videoTimeMs"),
    "a type changes": lambda schema: schema["properties"]["createdAt"].update(type="integer"),
    "a bound is wider": lambda schema: schema["properties"]["videoTimeMs"].update(minimum=-1),
    "a bound comes": lambda schema: schema["properties"]["message"].update(maxLength=10),
    "a bound goes": lambda schema: schema["properties"]["videoTimeMs"].pop("minimum"),
    "a member of a member is gone": lambda schema: schema["properties"]["author"]["properties"].pop("id"),
    "what may stand in a list changes": lambda schema: schema["properties"]["author"]["properties"]["roles"].update(
        items={"type": "integer"}
    ),
    "what was refused is taken": lambda schema: schema["properties"].update(commentId={"type": "string"}),
    "new members are refused": lambda schema: schema.update(additionalProperties=False),
}


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_a_change_that_breaks_readers_is_named(change: Callable[[Any], object]) -> None:
    before = record_schemas()[COMMENT]
    now = copy.deepcopy(before)
    change(now)
    assert len(breaks(before, now, COMMENT)) == 1


def test_a_new_member_and_better_words_break_nobody() -> None:
    before = record_schemas()[COMMENT]
    now = copy.deepcopy(before)
    now["properties"]["language"] = {"description": "As the author said.", "type": "string"}
    now["description"] = "Said better."
    assert breaks(before, now) == []
