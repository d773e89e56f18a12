"""The parameters of an address, each said once and by its own name.

A cursor that is not understood is taken for none, and a program that pages reads the newest page for ever. So what
stands twice with two values, or nearly has the name of a parameter or of a position, is refused; what is plainly
somebody else's is left alone. Streams do the same (`consumers/livecomments_consumers/wanted.py`).
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
