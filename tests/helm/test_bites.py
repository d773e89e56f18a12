"""Each value of the chart changes what is rendered, where it says."""

import re
from typing import Any

import pytest

from tests.helm.bites import Bite, bites
from tests.helm.chart import Helm, Manifest, Rendered, leaves, merged
from tests.helm.test_values import SCHEMA

BITES = bites()
GONE = "gone"


@pytest.mark.parametrize("path", BITES)
def test_a_changed_value_is_seen_where_it_is_meant_to(helm: Helm, path: str) -> None:
    bite = BITES[path]
    before = helm.render(**bite.given)
    after = helm.render(**merged(bite.given, _set(path, bite.to)))
    shown = bite.to if bite.shown is None else bite.shown
    if shown == GONE:
        assert _at(before, bite) is not None
        assert _at(after, bite) is None
    else:
        assert not _holds(_at(before, bite), shown), "it is so anyway"
        assert _holds(_at(after, bite), shown), _at(after, bite)


def test_no_value_is_left_out() -> None:
    assert dict(leaves(SCHEMA, SCHEMA["properties"])).keys() == BITES.keys()


def _set(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def _holds(found: Any, shown: Any) -> bool:
    """Whether it is that; a list: has it as a member; a text: somewhere."""
    if isinstance(found, list) and not isinstance(shown, list):
        return shown in found
    return found == shown or (isinstance(found, str) and isinstance(shown, str) and shown in found)


def _at(rendered: Rendered, bite: Bite) -> Any:
    """What is at its place; None where there is nothing."""
    place, _, path = bite.place.partition(" ")
    kind, _, name = place.partition("/")
    pattern = re.escape(name).replace(r"\*", "[0-9a-f]+")
    value: Any = next((one for known, one in rendered.of(kind).items() if re.fullmatch(pattern, known)), None)
    for part in _parts(path):
        value = _member(value, part)
    return value


def _parts(path: str) -> list[str]:
    """Names and numbers, with dots in between; dots of file names stay."""
    return [part for part in path.replace("haproxy.cfg", "haproxy/cfg").split(".") if part]


def _member(value: Any, part: str) -> Any:
    if isinstance(value, list):
        if part.isdigit():
            return value[int(part)] if int(part) < len(value) else None
        return next((one for one in value if one["name"] == part.strip("[]")), None)
    found: Manifest = value or {}
    return found.get(part, found.get(part.replace("/", ".")))
