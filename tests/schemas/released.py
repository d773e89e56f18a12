"""What was released of the records' forms, and what would break those who read them.

`python -m tests.schemas.released 0.1.0` writes `schemas/released/0.1.0.json` when a version is released: the schemas of
the records' values and the golden records. It is never written again.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import livecomments_schemas
from livecomments_schemas.published import SCHEMA_FILE, is_of_record, published_schemas

ROOM: Final = Path(livecomments_schemas.__file__).parents[1]
RELEASED: Final = ROOM / "released"
_SAID_ONLY: Final = frozenset(("$schema", "title", "description"))
"""What a schema may say otherwise without meaning anything else."""
_SHOWN: Final = frozenset(("accepted", "duplicate", "void"))
"""Verdicts that hold for ever. What no version could read, a later one may."""


def snapshot() -> dict[str, Any]:
    """Return what a release promises: the schemas of records by their names, and golden records by their files'."""
    found = {path.name: json.loads(path.read_bytes()) for path in sorted((ROOM / "examples").glob("record-*.json"))}
    records = {name: each for name, each in found.items() if each["verdict"]["kind"] in _SHOWN}
    return {"schemas": record_schemas(), "records": records}


def record_schemas() -> dict[str, Any]:
    """Return the schemas of values of records, and those that they refer to, by their files' names."""
    schemas = {f"{name}{SCHEMA_FILE}": schema for name, schema in published_schemas().items()}
    wanted = [name for name, schema in schemas.items() if is_of_record(schema)]
    for name in wanted:
        wanted += [each for each in _referred(schemas[name]) if each not in wanted]
    return {name: schemas[name] for name in sorted(wanted)}


def _referred(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _referred(each)
    elif isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str) and (file := reference.partition("#")[0]):
            yield file
        for each in schema.values():
            yield from _referred(each)


def breaks(before: Any, now: Any, at: str = "") -> list[str]:
    """Name what a reader of `before` relies on and `now` no longer promises, or the other way round.

    Only members that nobody must send may come. Whatever else differs is a break: a bound that is wider surprises old
    readers of new records, one that is narrower makes old records unreadable.
    """
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return [] if before == now else [f"{at}: {before} became {now}"]
    found: list[str] = []
    for name in sorted((before.keys() | now.keys()) - _SAID_ONLY):
        where = f"{at}/{name}"
        if name == "properties":
            members, known = now.get(name, {}), before.get(name, {})
            found += [f"{where}/{gone}: is gone" for gone in known if gone not in members]
            found += [
                each for one in known if one in members for each in breaks(known[one], members[one], f"{where}/{one}")
            ]
        elif name == "required":
            found += [] if set(before.get(name, ())) == set(now.get(name, ())) else [f"{where}: differs"]
        elif name not in before or name not in now:
            found.append(f"{where}: {'came' if name in now else 'is gone'}")
        else:
            found += breaks(before[name], now[name], where)
    return found


def main() -> None:
    """Write the snapshot of a version. Raises FileExistsError: there is one."""
    path = RELEASED / f"{sys.argv[1]}.json"
    RELEASED.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps(snapshot(), indent=1, ensure_ascii=False) + "\n")
    print(f"{path.name}: written")


if __name__ == "__main__":
    main()
