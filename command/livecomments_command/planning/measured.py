"""What was measured, from `measured.json`: each number with its benchmark and the row of docs/BENCHMARKS.md."""

from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import orjson


class Measurement(NamedTuple):
    """One number."""

    value: float
    unit: str
    what: str
    bench: str
    row: str
    """As it stands on the page."""


@cache
def measured() -> dict[str, Measurement]:
    """Return all, by name."""
    found: dict[str, dict[str, Any]] = orjson.loads(resources.files(__package__).joinpath("measured.json").read_bytes())
    return {name: Measurement(**fields) for name, fields in found.items()}
