"""What a stream request asks for: where to resume, and how much of the past it wants. Pure.

A position is the header `Last-Event-ID`, else the parameter of that name, else `after`. The first is a browser's own;
the second is how polyfills and other hubs spell it (`lastEventId`, `lastEventID`, `Last-Event-ID`, …); the third is in
our own addresses. A native `EventSource` repeats its first URL on every reconnect, so with a position that goes before
it nothing else is looked at: not `after`, nor `history`.

A resume that is not understood must not be taken for none, since what was missed would be lost without a `gap`, or
come twice. So a parameter that nearly says one is refused; what is plainly somebody else's (`_`, `utm_source`) is left
alone.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from livecomments_consumers.sessions import check_names, session_of
from livecomments_schemas.errors import ParameterRejected, Rejected
from livecomments_schemas.limits import HISTORY_ON_JOIN_MAX, MISSED_ON_RESUME_MAX
from livecomments_schemas.positions import CursorRejected, Home, parse_comment_id, parse_cursor

AFTER: Final = "after"
HISTORY: Final = "history"
MISSED: Final = "missed"
LAST_EVENT_ID: Final = "lasteventid"
"""The letters of that parameter's name, which has as many spellings as there are polyfills."""
_OF_OLD_POLYFILLS: Final = "evslasteventid"
PARAMETERS_MAX: Final = 64
"""Each that is not ours is held against the names of ours. Trackers add a handful."""

_FOREIGN: Final = ("_", "utm_")
_NEAR_CHARS_MAX: Final = 24
_NEAR: Final = re.compile(
    r"after.*|.*cursor.*|since.*|.*lastevent.*|eventid|last(seen|comment|message)?(id)?|resume.*|position|offset"
    r"|start(after|from|at)|.*fromid|replay.*|missed.*|history.*"
)
"""How others name a position, or one might name what we have; by their letters alone."""


class HistoryRejected(Rejected):
    """`history` is no number, or out of range."""

    code = "invalid_history"


class MissedRejected(Rejected):
    """`missed` is no number, or out of range."""

    code = "invalid_missed"


class Wanted(NamedTuple):
    """What a request asks for: at most one of `after` and `history` is set."""

    after: int | None
    """Everything after this position."""
    history: int
    """The newest so many comments first, then live."""
    missed: int | None = None
    """Of what came after `after`, no more than the newest so many comments; None: all of it."""
    session: bytes = b""
    """The name of the session whose token that came along; empty without one."""


def wanted(headers: Mapping[str, str], query: Iterable[tuple[str, str]], home: Home) -> Wanted:
    """Return what the request of a stream of a video at `home` asks for.

    Args:
        headers: by name in lower case.
        query: names and values, decoded, in their order.
        home: the video's.

    Raises:
        CursorRejected, HistoryRejected, MissedRejected, ParameterRejected, TokenInUrlRejected: final; another try with
            the same request is refused again.
    """
    said = _Said(query, home.partition)
    if any("event" in name and name != "last-event-id" and LAST_EVENT_ID in letters_of(name) for name in headers):
        raise ParameterRejected("Send the position as Last-Event-ID, exactly so.")
    session = session_of(headers.get("authorization", ""), headers.get("cookie", ""))
    missed = said.number(MISSED, MISSED_ON_RESUME_MAX, MissedRejected)  # refused at once, not when it comes back
    cursor = headers.get("last-event-id") or said.one(LAST_EVENT_ID) or said.one(AFTER)
    if cursor:
        return Wanted(parse_cursor(cursor, home), 0, missed, session)
    return Wanted(None, said.number(HISTORY, HISTORY_ON_JOIN_MAX, HistoryRejected) or 0, None, session)


class _Said:
    """The parameters that are ours, each with all that was said of it."""

    def __init__(self, query: Iterable[tuple[str, str]], partition: int) -> None:
        self._values: dict[str, set[str]] = {}
        pairs = list(query)
        check_names(name for name, _ in pairs)
        if len(pairs) > PARAMETERS_MAX:
            raise ParameterRejected(f"At most {PARAMETERS_MAX} parameters.")
        for name, value in pairs:
            letters = letters_of(name)
            if letters == _OF_OLD_POLYFILLS:
                letters = LAST_EVENT_ID
            if name in (AFTER, HISTORY, MISSED) or letters == LAST_EVENT_ID:
                self._values.setdefault(letters, set()).add(value)
            elif not name.startswith(_FOREIGN):
                _check_foreign(letters, value, partition)

    def one(self, name: str) -> str | None:
        """Return the value of a parameter, None without one. Raises ParameterRejected if it has several."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise ParameterRejected("A parameter stands here twice, with two values. Send each once.")
        (value,) = values
        return value

    def number(self, name: str, most: int, rejected: type[Rejected]) -> int | None:
        """Return the value of a parameter that is a number from 0 to `most`, None without one. Raises `rejected`."""
        text = self.one(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
            raise rejected(f"{name} is a number from 0 to {most}.")
        return int(text)


def _check_foreign(letters: str, value: str, partition: int) -> None:
    """Raise ParameterRejected if a parameter of another name seems to say where to resume."""
    is_near = len(letters) <= _NEAR_CHARS_MAX and (
        _NEAR.fullmatch(letters) or any(_is_one_off(letters, name) for name in (AFTER, HISTORY, MISSED, LAST_EVENT_ID))
    )
    if is_near or _is_position(value, partition):
        raise ParameterRejected(
            "A parameter here seems to say where to resume, and is not known. "
            "Send Last-Event-ID as a header, or lastEventId or after in the address, exactly so; or leave it out."
        )


def letters_of(name: str) -> str:
    """Return what is compared of a parameter's name: its letters and digits, in lower case."""
    return "".join(filter(str.isalnum, name)).lower()


def _is_position(text: str, partition: int) -> bool:
    """Tell whether it is an id of this very partition: sixteen random characters are not, in sixteen million tries."""
    try:
        return parse_comment_id(text)[1] == partition
    except CursorRejected:
        return False


def _is_one_off(text: str, name: str) -> bool:
    """Tell whether one letter added, left out or changed, or two exchanged, make one of the other."""
    if abs(len(text) - len(name)) > 1:
        return False
    begin = 0
    while begin < min(len(text), len(name)) and text[begin] == name[begin]:
        begin += 1
    one, other = text[begin:], name[begin:]
    return one[1:] == other[1:] or one[1:] == other or one == other[1:] or one[:2][::-1] + one[2:] == other
