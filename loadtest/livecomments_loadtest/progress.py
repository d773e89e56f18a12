"""What the operator sees while it runs: a bar on a terminal, a line every few seconds elsewhere."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

BAR_EVERY_S: Final = 0.25
LINE_EVERY_S: Final = 5.0


class Sample(NamedTuple):
    """The run at one moment."""

    sent: int
    acked: int
    delivered: int
    connected: int
    phase: str


async def show(console: Console, comments: int, viewers: int, sample: Callable[[], Sample]) -> None:
    """Show samples until cancelled: a progress bar on a terminal, lines elsewhere."""
    if console.is_terminal:
        await _bar(console, comments, viewers, sample)
    else:
        await _lines(console, comments, viewers, sample)


async def _bar(console: Console, comments: int, viewers: int, sample: Callable[[], Sample]) -> None:
    columns = (
        TextColumn("{task.fields[phase]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(
            "{task.fields[delivered]} delivered, {task.fields[connected]}/{task.fields[viewers]} viewers", markup=False
        ),
        TimeElapsedColumn(),
    )
    # Refreshed by this task: rich's own thread would take time from the loop whose latencies are measured.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        bar = progress.add_task("load", total=comments, phase="", delivered=0, connected=0, viewers=viewers)
        while True:
            now = sample()
            progress.update(bar, completed=now.acked, phase=now.phase, delivered=now.delivered, connected=now.connected)
            progress.refresh()
            await asyncio.sleep(BAR_EVERY_S)


async def _lines(console: Console, comments: int, viewers: int, sample: Callable[[], Sample]) -> None:
    began = time.perf_counter()
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        now = sample()
        console.print(
            f"{time.perf_counter() - began:6.1f} s  {now.phase}: sent {now.sent}/{comments}, acked {now.acked}, "
            f"delivered {now.delivered}, viewers {now.connected}/{viewers}",
            highlight=False,
        )
