"""What commands print for people: text as it is, whoever wrote it.

`rich` takes `[red]` in a text for a colour and `4:100:` for an emoji, which changes what others wrote, or ends in a
traceback at `[/nope]`. A console from here does neither; what is to be coloured is given a `style`. What a terminal
would obey, in a text that somebody else wrote into the log, is shown as an escape.
"""

import unicodedata
from typing import IO, Any, Final

from rich.console import Console
from rich.progress import TextColumn
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 240
"""Columns of a table that goes into a file or pipe, where nothing says how wide it is."""


_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class _PlainConsole(Console):
    """Shows each text that it is given, in a table or out of it, as `_shown` says."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str("".join(map(_shown, text)), **how)


def _shown(char: str) -> str:
    if char in "\n\t" or (char.isprintable() and char not in _DIRECTIONS):
        return char
    is_order = char in _DIRECTIONS or unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")
    return ascii(char)[1:-1] if is_order else char


def plain_console(
    *, stderr: bool = False, width: int | None = None, quiet: bool = False, file: IO[str] | None = None
) -> Console:
    """Return a console that prints texts as they are, without markup, emoji, highlights or orders, and breaks no line.

    Args:
        stderr: print there instead of on standard output.
        width: of tables, in columns, where there is no terminal.
        quiet: print nothing.
        file: print there.
    """
    made = _PlainConsole(
        stderr=stderr, quiet=quiet, file=file, markup=False, emoji=False, highlight=False, soft_wrap=width is None
    )
    if width is not None and not made.is_terminal:
        made.width = width
    return made


def text_column(pattern: str) -> TextColumn:
    """Return a column of a progress bar whose fields are printed as they are."""
    return TextColumn(pattern, markup=False)
