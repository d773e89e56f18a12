"""The settings as the chart's schema lists them, for `make docs`: names, types, and what a process says it takes."""

import dataclasses
import json
import re
from typing import Any, Final

from livecomments.runtime.settings import Settings
from livecomments_command.settings import EdgeSettings, GatewaySettings, StreamSettings, ToolSettings

GIVEN_OTHERWISE: Final = frozenset(
    (
        "host",
        "port",
        "internal_port",
        "data_dir",
        "jwt_secret",
        "session_secret",
        "kafka_password",
        "cql_password",
        "kafka_certificate",
        "kafka_key",
        "cql_certificate",
        "cql_key",
    )
)
"""Settings that have values of their own in the chart, or no meaning there."""
KINDS: Final[dict[str, type[Settings]]] = {"gateway": GatewaySettings, "edge": EdgeSettings, "stream": StreamSettings}
"""What each component of the chart takes; its jobs are tools."""
JOBS: Final = dict.fromkeys(("topics", "migrate"), ToolSettings)
FIELDS: Final = {field.name: field for kind in KINDS.values() for field in dataclasses.fields(kind)}
_TYPES: Final = {int: "integer", float: "number", bool: "boolean", str: "string"}
_LISTED: Final = re.compile(r"must be one of ([\w-]+(?:, [\w-]+)*)")
_PLACE: Final = re.compile(r'("\$comment": "Written by `make docs`\.",\n +"properties": \{\n).*?(\n +\}\n)', re.DOTALL)


def written(schema: str) -> str:
    """The text of values.schema.json, with a line for each setting.

    Raises:
        ValueError: its place is not marked.
    """
    lines = [f"        {json.dumps(name)}: {json.dumps(given)}" for name, given in _properties().items()]
    text, count = _PLACE.subn(lambda found: found[1] + ",\n".join(lines) + found[2], schema)
    if count != 1:
        raise ValueError('needs "$comment": "Written by `make docs`." and then "properties", once')
    return text


def told_of(name: str, value: Any) -> bool:
    """Whether a process that is given this names this setting, and not only another that does not fit to it."""
    return bool(_problems(name, value))


def _problems(name: str, value: Any) -> list[str]:
    kind = next(kind for kind in KINDS.values() if name in kind.__dataclass_fields__)
    settings = dataclasses.replace(kind(), **{name: value})
    return [one for one in settings.problems() if re.search(rf"LIVECOMMENTS_{name.upper()}\b", one)]


def _properties() -> dict[str, Any]:
    return {name: _property(field) for name, field in FIELDS.items() if name not in GIVEN_OTHERWISE}


def _property(field: "dataclasses.Field[Any]") -> dict[str, Any]:
    kind = _TYPES[field.type]  # type: ignore[index]  # the types themselves, as nothing there is a forward reference
    if kind == "string" and (words := _words(field.name)):
        return {"enum": words}
    if kind not in ("integer", "number") or not told_of(field.name, -1):
        return {"type": kind}
    bounds = field.metadata["bounds"]
    most = {} if bounds is None or bounds.at_most is None else {"maximum": bounds.at_most}
    if not told_of(field.name, 0):
        return {"type": kind, "minimum": 0, **most}
    return {"type": kind, **({"minimum": 1} if kind == "integer" else {"exclusiveMinimum": 0}), **most}


def _words(name: str) -> list[str]:
    """The words that a setting may be, where its process lists them when it is given another."""
    found = [_LISTED.search(problem) for problem in _problems(name, "?")]
    return [word for one in found if one for word in one[1].split(", ")]
