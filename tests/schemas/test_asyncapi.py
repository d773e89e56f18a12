"""The contract of the topics is what the records are: each golden one has the headers and the value it promises."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from infra.asyncapi import document
from livecomments_command.deriving.counting import MinuteCounts
from livecomments_schemas.counts import Count, counted
from livecomments_schemas.epochs import Contract, Epochs, epoch_closed, epoch_ending, epoch_opened
from livecomments_schemas.events import EPOCH_BEGAN, EPOCH_FENCE, NewRecord, Record, epoch_event

from .test_examples import EXAMPLES, RECORD_FILES, ids

DOCUMENT = document()
MESSAGES = DOCUMENT["components"]["messages"]
SOUND = [path for path in RECORD_FILES if EXAMPLES[path]["verdict"]["kind"] in ("accepted", "duplicate", "void")]
CONTRACT = Contract(1, 2, "an id", 3, {"retention.ms": "1"})


def validator_of(schema: Any) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def errors_of(record: NewRecord | Record) -> list[str]:
    """What of a record is not as the document says."""
    message = MESSAGES[record.headers["type"].decode()]
    assert record.key is not None
    assert record.value is not None
    headers = {name: value.decode("latin-1") for name, value in record.headers.items()}
    parts = (
        (message["headers"], headers),
        (message["payload"], json.loads(record.value)),
        (message["bindings"]["kafka"]["key"], record.key.decode()),
    )
    return [each.message for schema, value in parts for each in validator_of(schema).iter_errors(value)]


@pytest.mark.parametrize("path", SOUND, ids=ids)
def test_a_golden_record_is_as_the_document_says(path: Path) -> None:
    shown = EXAMPLES[path]["record"]
    headers = {
        name: bytes.fromhex(value["hex"]) if isinstance(value, dict) else value.encode()
        for name, value in shown["headers"].items()
    }
    assert errors_of(NewRecord(shown["key"].encode(), shown["value"].encode(), headers)) == []


def test_what_is_said_of_epochs_is_as_the_document_says() -> None:
    grown = Contract(2, 4, "", 3, {})
    written = [epoch_opened(CONTRACT), epoch_ending(1, [5, 6], grown), epoch_closed(1, "grown", [7, 8])]
    written += [epoch_event(EPOCH_FENCE, 1), epoch_event(EPOCH_BEGAN, 2)]
    assert [errors_of(record) for record in written] == [[]] * 5


def test_what_is_said_of_counts_is_as_the_document_says() -> None:
    count = Count("launch", 29_000_000, 12, 5, "000g00000000000b")
    counting = MinuteCounts({})
    counting.begin(1, {0: 0, 1: 7})
    assert [errors_of(record) for record in (counted(count), counting.progress())] == [[], []]


@pytest.mark.parametrize(
    "name", [path for path in EXAMPLES if re.match(r"epoch-(opened|ending|closed)", path.name)], ids=ids
)
def test_what_the_schema_refuses_of_an_epoch_is_passed_over(name: Path) -> None:
    example = EXAMPLES[name]
    kind = example["schema"].replace("-", ".").encode()
    opened = Epochs() if kind == b"epoch.opened" else Epochs().after(stored(epoch_opened(CONTRACT)))
    said = NewRecord(b"1", json.dumps(example["payload"]).encode(), {"type": kind, "schema": b"1"})
    assert (opened.after(stored(said)) is not opened) is example["valid"]


def stored(record: NewRecord) -> Record:
    return Record(0, 0, record.key, record.value, record.headers, 1)


def test_each_type_of_a_record_stands_in_one_topic() -> None:
    listed = [name for channel in DOCUMENT["channels"].values() for name in channel["messages"]]
    assert sorted(listed) == sorted(MESSAGES)
    assert DOCUMENT["channels"].keys() == {
        "comments",
        "comments-clean",
        "comments-dead-letter",
        "comment-counts",
        "session-revocations",
        "livecomments-epochs",
    }
