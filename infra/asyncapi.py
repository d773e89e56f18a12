"""`python -m infra.asyncapi`: writes `schemas/asyncapi.yaml`, the topics as AsyncAPI 3; tests/test_docs.py compares.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0, and the Kafka bindings of version 0.5.0.

All of it is known elsewhere already: topics and settings by `topics.toml`, values by `schemas/json`, bounds by the code
that judges. What stands here is which record is in which topic, and what its headers hold.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from livecomments.log.revocations import SESSION_REVOKED
from livecomments.log.topics import (
    COUNTS_TOPIC,
    DEAD_LETTER_TOPIC,
    EPOCHS_TOPIC,
    REVOCATIONS_TOPIC,
    Topic,
    clean_topic,
    comments_topic,
    load_topics,
)
from livecomments_command.deriving.cleaning import CLEAN_COMMENT, CLEAN_REMOVED
from livecomments_schemas.counts import COMMENTS_COUNTED, COUNTS_PROGRESS, PROGRESS_KEY
from livecomments_schemas.epochs import EPOCH_CLOSED, EPOCH_ENDING, EPOCH_OPENED
from livecomments_schemas.events import (
    COMMENT_CREATED,
    DIGEST_BYTES,
    EPOCH_BEGAN,
    EPOCH_FENCE,
    EVENT_TYPES,
    SCHEMA_VERSION,
)
from livecomments_schemas.limits import AUTHOR_ID_BYTES_MAX, IDEMPOTENCY_KEY_CHARS_MAX, RECORD_VALUE_BYTES_MAX
from livecomments_schemas.positions import EPOCH_MAX
from livecomments_schemas.published import SCHEMA_FILE, published_schemas

FILE: Final = Path(__file__).parents[1] / "schemas" / "asyncapi.yaml"
_SCHEMA: Final = SCHEMA_VERSION.decode("ascii")
_BINDING: Final = "0.5.0"
_FIRST: Final = 1
_COMMENTS: Final = comments_topic(_FIRST).replace(str(_FIRST), "{epoch}")
_CLEAN: Final = clean_topic(_FIRST).replace(str(_FIRST), "{epoch}")
_RECORDS: Final[Mapping[str, tuple[bytes, ...]]] = {
    _COMMENTS: (*sorted(EVENT_TYPES), EPOCH_BEGAN, EPOCH_FENCE),
    COUNTS_TOPIC: (COMMENTS_COUNTED, COUNTS_PROGRESS),
    REVOCATIONS_TOPIC: (SESSION_REVOKED,),
    EPOCHS_TOPIC: (EPOCH_OPENED, EPOCH_ENDING, EPOCH_CLOSED),
}
"""Which types of records stand in a topic. The dead letters hold records of others, the clean topic none of the log."""
_DEAD_LETTER: Final = "deadLetter"
_CLEAN_NAMES: Final = {CLEAN_COMMENT: "cleanComment", CLEAN_REMOVED: "cleanRemoved"}
_OF_NOBODY: Final = frozenset(
    (EPOCH_BEGAN, EPOCH_FENCE, EPOCH_OPENED, EPOCH_ENDING, EPOCH_CLOSED, COMMENTS_COUNTED, COUNTS_PROGRESS)
)
"""Types without an `author`."""
_KEY_OF_VIDEO: Final = {
    "type": "string",
    "description": "The video id in ASCII. The writer chose the partition by it: murmur2 of the key, as Kafka's own "
    "partitioner has it, modulo the partitions of the epoch (its epoch.opened), never of the live topic.",
}
_KEY_OF_EPOCH: Final = {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "The epoch's number, in decimal."}
_KEYS: Final[Mapping[bytes, dict[str, str]]] = {
    COMMENTS_COUNTED: {"type": "string", "description": "The value's videoId, a slash, and its minute."},
    COUNTS_PROGRESS: {"type": "string", "const": PROGRESS_KEY.decode("ascii"), "description": "Always this word."},
    SESSION_REVOKED: {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The value's digest."},
}

_ORIGIN: Final[Mapping[str, str]] = {
    "origin-topic": "Of a copy: the topic it was copied from. Of a copy of a copy, the last one counts.",
    "origin-partition": "Of a copy: its partition there, in decimal.",
    "origin-offset": "Of a copy: its offset there, in decimal.",
    "origin-appended-at-ms": "Of a copy: when it was appended there, Unix milliseconds in decimal.",
}

_INFO: Final = """\
The log of live comments, as anybody may read it. docs/DATA.md says how; here stands what is in it.

**Isolation.** Read uncommitted, as livecomments does: a record counts from its append on, whatever becomes of a
transaction that a foreign producer wrote it in.

**Compatibility.** Headers, members of values and types of records are added without notice: pass over what you do not
know. The number in the header `schema` changes when a type is no longer what its readers rely on: pass over records
whose number you do not know. Types of the epoch (`epoch.…`) and `session.revoked` keep the number 1 for ever. Each
number that a release wrote is read by all later ones. docs/DATA.md, *How the topics change*, says the rest.
"""


def document() -> dict[str, Any]:
    """Return the document, in the order in which it is written."""
    topics = {topic.name: topic for topic in load_topics(_FIRST)}
    topics = {_COMMENTS: topics.pop(comments_topic(_FIRST)), _CLEAN: topics.pop(clean_topic(_FIRST)), **topics}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "livecomments",
            "version": _SCHEMA,
            "description": _INFO,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_channel_name(name): _channel(name, topic) for name, topic in topics.items()},
        "operations": {f"write-{_channel_name(name)}": _operation(name, topic) for name, topic in topics.items()},
        "components": {
            "messages": {
                **{_name(kind): _message(kind) for kind in _all_types()},
                _DEAD_LETTER: _dead_letter(),
                **_clean(),
            },
            "schemas": _schemas(),
        },
    }


def _all_types() -> Iterable[bytes]:
    return (kind for kinds in _RECORDS.values() for kind in kinds)


def _name(kind: bytes) -> str:
    return kind.decode("ascii")


def _channel_name(topic: str) -> str:
    return topic.removesuffix("-{epoch}")


def _message_names(topic: str) -> list[str]:
    if topic == _CLEAN:
        return list(_CLEAN_NAMES.values())
    return [_DEAD_LETTER] if topic == DEAD_LETTER_TOPIC else [_name(kind) for kind in _RECORDS[topic]]


def _channel(name: str, topic: Topic) -> dict[str, Any]:
    settings = topic.settings
    policy = settings["cleanup.policy"].split(",")
    channel: dict[str, Any] = {
        "address": name,
        "description": f"{topic.holds} Key: {topic.key}. Read by: {', '.join(topic.read_by)}.",
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in _message_names(name)},
    }
    if name in (_COMMENTS, _CLEAN):
        described = f"The generation of the log, 1 to {EPOCH_MAX}; the topic {EPOCHS_TOPIC} says which one is open."
        channel["parameters"] = {"epoch": {"description": described, "examples": ["1"]}}
    channel["bindings"] = {
        "kafka": {
            "partitions": topic.partitions,
            "replicas": topic.replication_factor,
            "topicConfiguration": {
                "cleanup.policy": policy,
                "retention.ms": int(settings["retention.ms"]),
                "retention.bytes": int(settings["retention.bytes"]),
                "max.message.bytes": int(settings["max.message.bytes"]),
            },
            "bindingVersion": _BINDING,
        }
    }
    channel["x-settings"] = dict(settings)
    channel["x-isolation"] = "read_uncommitted"
    return channel


def _operation(name: str, topic: Topic) -> dict[str, Any]:
    channel = f"#/channels/{_channel_name(name)}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": f"Written by: {', '.join(topic.written_by)}.",
        "messages": [{"$ref": f"{channel}/messages/{each}"} for each in _message_names(name)],
    }


def _message(kind: bytes) -> dict[str, Any]:
    schema = _name(kind).replace(".", "-")
    key = _KEY_OF_EPOCH if kind in _OF_NOBODY else _KEY_OF_VIDEO
    return {
        "name": _name(kind),
        "title": f"{_name(kind)}, schema {_SCHEMA}",
        "contentType": "application/json",
        "headers": _headers(kind),
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "bindings": {"kafka": {"key": _KEYS.get(kind, key), "bindingVersion": _BINDING}},
    }


def _headers(kind: bytes) -> dict[str, Any]:
    """Describe the headers of a type: bytes of UTF-8 each, but for `digest`."""
    headers: dict[str, Any] = {
        "type": {"const": _name(kind), "description": "What was said."},
        "schema": {"const": _SCHEMA, "description": "The form in which it was said; see Compatibility."},
    }
    required = list(headers)
    if kind not in _OF_NOBODY:
        described = f"Who did it: the id of a user, at most {AUTHOR_ID_BYTES_MAX} bytes."
        headers["author"] = {"type": "string", "minLength": 1, "description": described}
        required.append("author")
    if kind in EVENT_TYPES:
        described = "W3C trace context: of our append where the comment is traced, else of the request it came with."
        headers["traceparent"] = {"type": "string", "description": described}
    if kind == COMMENT_CREATED:
        headers["key"] = {
            "type": "string",
            "minLength": 1,
            "maxLength": IDEMPOTENCY_KEY_CHARS_MAX,
            "description": "The client's Idempotency-Key: of comments of one author and video with the same key, each "
            "within the window of the next, the first counts.",
        }
        headers["digest"] = {
            "type": "string",
            "format": "binary",
            "description": f"{DIGEST_BYTES} bytes over message and video time: two posts with one key are equal if "
            "these are. Required where there is a key.",
        }
    if kind in EVENT_TYPES:
        headers |= {name: {"type": "string", "description": described} for name, described in _ORIGIN.items()}
    return {"type": "object", "required": required, "properties": headers}


def _dead_letter() -> dict[str, Any]:
    texts = {
        "reason": "Why nobody can read the record: a stable word.",
        "origin": "Where it lay: topic/partition/offset. A record may be set aside twice; this tells.",
        "value": "null, if the record had no value.",
        "cut": "Absent, or what of the record is too large to stand here; all of it lay at origin.",
    }
    headers = {name: {"type": "string", "description": described} for name, described in texts.items()}
    own = {"type": "string", "format": "binary", "description": "A header of the record's own, behind this prefix."}
    return {
        "name": _DEAD_LETTER,
        "title": "A record that was set aside",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "required": ["reason", "origin"],
            "properties": headers,
            "patternProperties": {r"^record\.": own},
        },
        "payload": {"type": "string", "format": "binary", "description": "The record's value."},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": "The record's key."}, "bindingVersion": _BINDING}
        },
    }


def _clean() -> dict[str, Any]:
    """Describe what stands in the clean topic: comments, and that they are gone."""
    key = {"type": "string", "pattern": "^[0-9a-v]{16}$", "description": "The id of the comment."}
    made = {}
    for kind, name in _CLEAN_NAMES.items():
        headers: dict[str, Any] = {
            "type": {"const": _name(kind), "description": "What it says of the comment."},
            "schema": {"const": _SCHEMA, "description": "The form in which it is said."},
            "author": {"type": "string", "description": "Who wrote the comment, or removed it."},
            **{
                header: {"type": "string", "description": described.removeprefix("Of a copy: ")}
                for header, described in _ORIGIN.items()
            },
        }
        is_comment = kind == CLEAN_COMMENT
        made[name] = {
            "name": name,
            "title": "A comment as pages show it" if is_comment else "A comment is gone",
            "contentType": "application/json",
            "headers": {"type": "object", "required": list(headers), "properties": headers},
            "payload": {"$ref": "#/components/schemas/comment"} if is_comment else {"type": "null"},
            "bindings": {"kafka": {"key": key, "bindingVersion": _BINDING}},
        }
    return made


def _schemas() -> dict[str, Any]:
    """Load the schemas of the values and those they refer to, and point their references into the document."""
    published = published_schemas()
    wanted = [*(_name(kind).replace(".", "-") for kind in _all_types()), "comment"]
    schemas: dict[str, Any] = {}
    while wanted:
        name = wanted.pop(0)
        if name in schemas:
            continue
        schemas[name] = _referring(published[name], wanted)
        del schemas[name]["$schema"]
    for kind in EVENT_TYPES:
        schemas[_name(kind).replace(".", "-")]["x-maxBytes"] = RECORD_VALUE_BYTES_MAX
    return schemas


def _referring(value: Any, wanted: list[str]) -> Any:
    if isinstance(value, list):
        return [_referring(each, wanted) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: _referring(each, wanted) for name, each in value.items()}
    if isinstance(reference := made.get("$ref"), str):
        file, _, part = reference.partition("#")
        name = file.removesuffix(SCHEMA_FILE)
        wanted.append(name)
        made["$ref"] = f"#/components/schemas/{name}{part}"
    return made


class _Dumper(yaml.SafeDumper):
    """Writes paragraphs as people do."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent)


def written() -> str:
    """Return the document as it is committed."""
    head = "# The topics as AsyncAPI 3. Written by `make docs` (infra/asyncapi.py).\n"
    body: str = yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return head + body


def main() -> None:
    """Write it."""
    FILE.write_text(written(), encoding="utf-8")
    print(f"{FILE.name}: written")


if __name__ == "__main__":
    main()
