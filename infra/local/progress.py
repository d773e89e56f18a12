"""Starting several servers at a time, with a line for each: what it waits for, and for how long."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from infra.local.lifecycle import Server


def bring_up(servers: Sequence[Server], console: Console) -> None:
    """Starts the servers at the same time, to outlive this process, and returns when all are ready.

    Raises:
        ServerUnavailable: what went wrong first, after the others are ready or have failed too.
    """
    failures: list[Exception] = []
    with _lines(servers, console):
        # Daemon threads: a Ctrl-C ends the waiting at once. What was started stays, to be stopped by `down`.
        threads = [threading.Thread(target=_bring_up_one, args=(server, failures), daemon=True) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _bring_up_one(server: Server, failures: list[Exception]) -> None:
    began = time.monotonic()
    try:
        server.start(detached=True)
        server.wait_ready()
    except Exception as error:  # whatever it is, it belongs to the thread that waits for us
        server.on_step("failed")
        failures.append(error)
    else:
        server.on_step(f"ready at {server.address} after {time.monotonic() - began:.1f} s")


@contextmanager
def _lines(servers: Sequence[Server], console: Console) -> Iterator[None]:
    """Shows the steps of each server: a spinner on a terminal, a plain line a step elsewhere."""
    if not console.is_terminal:
        for server in servers:
            server.on_step = _plain(server.kind)
        yield
        return
    columns = SpinnerColumn(finished_text="✓"), TextColumn("{task.fields[kind]:<10}"), TextColumn("{task.description}")
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for server in servers:
            server.on_step = _spinner(progress, progress.add_task("", total=1, kind=server.kind))
        yield


def _spinner(progress: Progress, task: TaskID) -> Callable[[str], None]:
    def say(step: str) -> None:
        progress.update(task, description=step, completed=int(step.startswith("ready")))

    return say


def _plain(kind: str) -> Callable[[str], None]:
    def say(step: str) -> None:
        print(f"{kind}: {step}", flush=True)

    return say
