"""Doing several things at a time, with a line for each: what it waits for, and for how long."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TimeElapsedColumn

from livecomments.runtime.console import text_column

Say = Callable[[str], None]
_FAILED = "failed"


class Work(NamedTuple):
    """One line: what it is called, and what is done. `do` says its steps, and returns what to say at the end."""

    kind: str
    do: Callable[[Say], str]


def together(works: Sequence[Work], console: Console) -> None:
    """Do all works at the same time, a thread each; return when all are done.

    Raises:
        Exception: what went wrong first, after the others are done or have failed too.
    """
    failures: list[Exception] = []
    with _lines(works, console) as says:
        # Daemon threads: a Ctrl-C ends the waiting at once. What was started stays, to be stopped by `down`.
        threads = [
            threading.Thread(target=_do, args=(work, say, failures), daemon=True)
            for work, say in zip(works, says, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _do(work: Work, say: Say, failures: list[Exception]) -> None:
    began = time.monotonic()
    try:
        ended = work.do(say)
    except Exception as error:  # whatever it is, it belongs to the thread that waits for us
        say(_FAILED)
        failures.append(error)
    else:
        say(f"{ended} after {time.monotonic() - began:.1f} s")


@contextmanager
def _lines(works: Sequence[Work], console: Console) -> Iterator[list[Say]]:
    """Show the steps of each: a spinner on a terminal, a plain line a step elsewhere."""
    if not console.is_terminal:
        yield [_plain(console, work.kind) for work in works]
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        text_column("{task.fields[kind]:<10}"),
        text_column("{task.description}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        yield [_spinner(progress, progress.add_task("", total=1, kind=work.kind)) for work in works]


def _spinner(progress: Progress, task: TaskID) -> Say:
    def say(step: str) -> None:
        progress.update(task, description=step, completed=int(" after " in step and step != _FAILED))

    return say


def _plain(console: Console, kind: str) -> Say:
    def say(step: str) -> None:
        console.print(f"{kind}: {step}")

    return say
