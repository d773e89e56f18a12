"""What commands print for people: text as it is, whoever wrote it.

`rich` takes `[red]` in a text for a colour and `4:100:` for an emoji, which changes what others wrote, or ends in a
traceback at `[/nope]`. A console from here does neither; what is to be coloured is given a `style`.
"""

from typing import IO

from rich.console import Console
from rich.progress import TextColumn

WIDTH_WITHOUT_TERMINAL = 240
"""Columns of a table that goes into a file or pipe, where nothing says how wide it is."""


def plain_console(
    *, stderr: bool = False, width: int | None = None, quiet: bool = False, file: IO[str] | None = None
) -> Console:
    """Return a console that prints texts as they are, without markup, emoji or highlights, and breaks no line.

    Args:
        stderr: print there instead of on standard output.
        width: of tables, in columns, where there is no terminal.
        quiet: print nothing.
        file: print there.
    """
    made = Console(
        stderr=stderr, quiet=quiet, file=file, markup=False, emoji=False, highlight=False, soft_wrap=width is None
    )
    if width is not None and not made.is_terminal:
        made.width = width
    return made


def text_column(pattern: str) -> TextColumn:
    """Return a column of a progress bar whose fields are printed as they are."""
    return TextColumn(pattern, markup=False)
