"""Events as lines of a terminal. What people wrote is text: no escape, direction or line of theirs gets through."""

import json
import unicodedata
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

from livecomments_command.terminal.following import VideoEvent

REMEMBERED_MAX: Final = 1_000
"""Comments whose lines can be shown again, struck through, when they are deleted."""
_COLOURS: Final = (31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96)
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SHORT_TIME: Final = slice(11, 19)
"""The hour, minute and second of an RFC 3339 time."""


def plain(text: str) -> str:
    """Return the text on one line, with nothing in it that a terminal would obey."""
    return "".join(map(_shown, text))


def _shown(char: str) -> str:
    if char == "\n":
        return " ⏎ "
    if char == "\t":
        return " "
    is_order = char in _DIRECTIONS or unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")
    return "\ufffd" if is_order else char


class EventLines:
    """Lines for events; with `colour`, names in colours of their own and deleted comments struck through."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._shown: OrderedDict[str, str] = OrderedDict()

    def of(self, event: VideoEvent) -> Iterator[str]:
        """Yield the lines that tell it; none for what people need not see."""
        told = event.told
        if event.kind == "comment":
            yield self._comment(told)
        elif event.kind == "delete":
            text = self._shown.pop(str(told.get("commentId")), None)
            if text is not None:
                yield self._in("9;2", text) if self._colour else f"deleted: {text}"
        elif event.kind == "gap":
            yield self._in("2", "… comments are missing here; what is shown before and after is whole")
        elif event.kind == "stale":
            yield self._in("2", "the service hears nothing new at this moment")

    def _comment(self, comment: dict[str, Any]) -> str:
        author = comment.get("author")
        author = author if isinstance(author, dict) else {}
        name, message = plain(str(author.get("displayName", ""))), plain(str(comment.get("message", "")))
        at = plain(str(comment.get("createdAt", ""))[_SHORT_TIME])
        self._shown[str(comment.get("commentId"))] = f"{at} {name}: {message}"
        if len(self._shown) > REMEMBERED_MAX:
            self._shown.popitem(last=False)
        colour = _COLOURS[zlib.crc32(str(author.get("id", "")).encode()) % len(_COLOURS)]
        return f"{self._in('2', at)} {self._in(f'1;{colour}', name)}: {message}"

    def _in(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour else text


def json_line(event: VideoEvent) -> str:
    """Return the event as a line of JSON, for programs: its members, and `event`."""
    return json.dumps({"event": event.kind, **event.told}, ensure_ascii=False)
