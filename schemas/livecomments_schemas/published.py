"""The JSON Schemas of `json/`, as they are published: of what clients are answered, and of records' values."""

import json
from importlib import resources
from typing import Any, Final

SCHEMA_FILE: Final = ".schema.json"
"""How the names of their files end, by which they refer to each other."""
_OF_RECORD: Final = "Value of a"
"""How the titles begin of those that are of records in topics, which no answer holds."""


def published_schemas() -> dict[str, Any]:
    """Load all of them, by the names of their files without SCHEMA_FILE, in their order."""
    files = sorted(resources.files("livecomments_schemas").joinpath("json").iterdir(), key=lambda each: each.name)
    return {file.name.removesuffix(SCHEMA_FILE): json.loads(file.read_text("utf-8")) for file in files}


def is_of_record(schema: Any) -> bool:
    """Tell whether a schema is of a record's value."""
    return bool(schema["title"].startswith(_OF_RECORD))
