"""Progress bars of commands that read many records: how far, how fast, how long still."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from livecomments.runtime.console import text_column

Advance = Callable[[int], None]
"""Called with how many records were done since the last call."""


class _RateColumn(ProgressColumn):
    """Records a second, as they come now."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "")


@contextmanager
def bar(console: Console, what: str, total: int) -> Iterator[Advance]:
    """Show a progress bar within the context; without a terminal, print one line at the end."""
    columns = [
        text_column("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
