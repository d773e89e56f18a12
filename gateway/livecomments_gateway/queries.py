"""The query of an address: each parameter at most once, and by its exact name.

If a misspelt `cursor` were ignored, a program that pages would read the newest page for ever. So a parameter that
stands twice with two values is refused, and so is one whose name is nearly that of ours or means a position elsewhere.
Any other (`utm_source`) is ignored. Streams do the same (`consumers/livecomments_consumers/wanted.py`).
"""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request

from livecomments_gateway.kinds import Parameter
from livecomments_schemas.errors import ParameterRejected

_POSITIONS: Final = frozenset(
    (
        "nextcursor",
        "after",
        "before",
        "since",
        "lasteventid",
        "fromid",
        "sinceid",
        "afterid",
        "beforeid",
        "offset",
        "page",
    )
)
"""How others say where to read on, by their letters alone."""


def parameters_of(request: Request, *ours: Parameter[Any]) -> Mapping[str, str]:
    """Return the parameters of `request`, by name. Raises ParameterRejected."""
    names = {_letters(each.name): each.name for each in ours}
    said: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        letters = _letters(name)
        if letters in names or letters in _POSITIONS:
            if names.get(letters) != name:
                known = ", ".join(names.values())
                raise ParameterRejected(f"A parameter here nearly says one of: {known}. Send these, exactly so.")
            if said.setdefault(name, value) != value:
                raise ParameterRejected("A parameter stands here twice, with two values. Send each once.")
    return said


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
