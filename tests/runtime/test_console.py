"""What people read is what was written, whoever wrote it."""

import io

import pytest
from rich.progress import Progress
from rich.table import Table

from livecomments.runtime.console import WIDTH_WITHOUT_TERMINAL, plain_console, text_column

TEXTS = ["partition 4:100: gone", ":smile:", "[red]red[/red]", "[/nope]", "[link=https://a]b[/link]", "a [@click=x]b"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_printed_as_it_is(text: str) -> None:
    out = io.StringIO()
    plain_console(file=out).print(text, style="bold")
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    wide = plain_console(file=out, width=WIDTH_WITHOUT_TERMINAL)
    wide.print(table)
    with Progress(text_column("{task.description}"), console=plain_console(file=out)) as progress:
        progress.add_task(text, total=1)
    assert out.getvalue().count(text) == 5


def test_a_long_line_is_not_broken_and_a_table_has_room() -> None:
    out = io.StringIO()
    plain_console(file=out).print("word " * 200)
    assert out.getvalue().count("\n") == 1
    assert plain_console(file=out, width=150).width == 150


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("one\rtwo\x9b2J", "one\\rtwo\\x9b2J"),
        ("\u202edab \u2028", "\\u202edab \\u2028"),
        ("👩\u200d👧 größe\ntwo", "👩\u200d👧 größe\ntwo"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_wherever_it_stands(text: str, shown: str) -> None:
    file = io.StringIO()
    console = plain_console(file=file, width=80)
    console.print(text, style="red")
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    console.print(table)
    said = file.getvalue()
    assert said.startswith(shown)
    for line in shown.splitlines():
        assert said.count(line.strip()) == 5
