"""What the manifests of exports and feeds have in common, so that a reader knows one form.

`export.json` of a full export and `_manifest/NNNNNNNNN.json` of each step of a feed say alike: `version`, `kind`,
`topic`, `epoch`, `partitionCount`, `format`, `videoId`, the `partitions` with their positions, the `schema` of the
rows, and lists of `files` and `facts`, each file with its rows, positions, size and SHA-256.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from livecomments_command.records.export_files import CSV_COLUMNS
from livecomments_command.records.parquet import CHANGE_COLUMNS, COMMENT_COLUMNS, FACT_COLUMNS, TYPES
from livecomments_schemas.errors import StartRefused

VERSION: Final = 2
_VERSIONS: Final = (1, VERSION)
EXPORT: Final = "export"
CHANGES: Final = "changes"

_COMMENT: Final = {
    "commentId": "string",
    "videoId": "string",
    "author": "object",
    "message": "string",
    "createdAt": "string",
    "videoTimeMs": "int64",
}
_CHANGE: Final = {
    "op": "string",
    "position": "int64",
    "partition": "int32",
    "videoId": "string",
    "commentId": "string",
    "appendedAtMs": "int64",
    "comment": "object",
}
_FACT: Final = {
    "position": "string",
    "type": "string",
    "videoId": "string",
    "authorId": "string",
    "appendedAtMs": "int64",
    "value": "object",
}


def schema_of(kind: str, form: str) -> Mapping[str, Mapping[str, str]]:
    """Return the members or columns of the rows of `files` and of `facts`, by name, with their types."""
    if form == "parquet":
        columns = CHANGE_COLUMNS if kind == CHANGES else COMMENT_COLUMNS
        return {"files": _typed(columns), "facts": _typed(FACT_COLUMNS)}
    if form == "csv":
        return {"files": {**_typed(CSV_COLUMNS), "created_at": "string"}, "facts": _FACT}
    return {"files": _CHANGE if kind == CHANGES else _COMMENT, "facts": _FACT}


def checked(path: str, content: bytes, positions: Sequence[int]) -> dict[str, Any]:
    """Return what a manifest says of a file of these rows, before what is of its kind."""
    return {
        "path": path,
        "rows": len(positions),
        "firstPosition": min(positions),
        "lastPosition": max(positions),
        "bytes": len(content),
        "sha256": sha256_of(content),
    }


def sha256_of(content: bytes) -> str:
    """Return the checksum that `sha256sum` prints, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def understood(written: bytes, kind: str, where: str) -> dict[str, Any]:
    """Parse a manifest of this kind.

    Raises:
        StartRefused: it is of something else, or of a version that came later.
    """
    try:
        content: dict[str, Any] = orjson.loads(written)
        version, found = content["version"], content.get("kind", EXPORT)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        version = found = None
    if found == kind and isinstance(version, int) and version > VERSION:
        raise StartRefused(f"{where} was written by a later version (form {version}). Upgrade livecomments to read it.")
    if found != kind or version not in _VERSIONS:
        raise StartRefused(f"{where} is no manifest of {_NAMES[kind]} that this livecomments understands.")
    return content


_NAMES: Final = {EXPORT: "an export", CHANGES: "a feed of changes"}


def _typed(columns: Sequence[str]) -> Mapping[str, str]:
    return {name: TYPES[name] for name in columns}
