"""`python -m infra.local up | down | status`: everything on this machine, left running until `down`."""

import logging
import os
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from infra.local.apps import App
from infra.local.servers import RUN_DIR, ServerUnavailable, why_unavailable
from infra.local.stack import CQL, KAFKA, Stack
from livecomments.runtime.console import plain_console
from livecomments_command.greeting import greet
from livecomments_schemas.errors import StartRefused, Unavailable

app = typer.Typer(
    help="Kafka, Cassandra, gateway, stream job, edges and a load balancer, on loopback.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
RunDir = Annotated[Path, typer.Option(help="Where all of it lives, a folder each.")]
PORT: Final = 8080


@app.command()
def up(
    run_dir: RunDir = RUN_DIR,
    port: Annotated[int, typer.Option(help="Of the one address; 0 takes a free one, the same at every start.")] = PORT,
    kafka_port: Annotated[int | None, typer.Option(help="By default a free one, the same at every start.")] = None,
    cassandra_port: Annotated[int | None, typer.Option(help="By default a free one, the same at every start.")] = None,
    data: Annotated[
        bool, typer.Option("--data", help="With the jobs of data teams: counts, and the clean topic.")
    ] = False,
) -> None:
    """Start what does not run, wait until it works, and leave it running. Runs again with changed code or settings."""
    quiet()
    console = plain_console()
    need_servers()
    stack = Stack(
        run_dir, os.environ, port=port or None, kafka_port=kafka_port, cassandra_port=cassandra_port, data=data
    )
    try:
        for note in stack.bring_up(console):
            console.print(note, style="yellow")
    except (ServerUnavailable, StartRefused, Unavailable) as error:
        fail(str(error))
    _greet(stack, console, run_dir)


@app.command()
def down(run_dir: RunDir = RUN_DIR) -> None:
    """Stop all of it; data stays."""
    Stack(run_dir, os.environ).take_down(typer.echo)


@app.command()
def status(run_dir: RunDir = RUN_DIR) -> None:
    """Say what runs where; exit status 1 unless all of it does."""
    servers = Stack(run_dir, os.environ).servers.values()
    for server in servers:
        typer.echo(f"{server.kind}: {f'runs at {_where(server)}' if server.is_running() else 'does not run'}")
    raise typer.Exit(code=0 if all(server.is_running() for server in servers) else 1)


def quiet() -> None:
    """Silence the Kafka and Cassandra clients, which complain of every attempt before the one that succeeds."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)


def need_servers() -> None:
    """Exit with status 1 and a sentence where neither servers nor their addresses are to be had."""
    reason = None if os.environ.get(KAFKA) and os.environ.get(CQL) else why_unavailable()
    if reason is not None:
        fail(reason)


def _where(server: object) -> str:
    if isinstance(server, App) and server.internal_address != server.address:
        return f"{server.address}, health and metrics at {server.internal_address}"
    return getattr(server, "address", "")


def _greet(stack: Stack, console: Console, run_dir: Path) -> None:
    streams_url = None if stack.balancer else f"http://{stack.edges[0].address}"
    no_balancer = "\nNo load balancer found (apt-get install haproxy): streams are at the edges' own addresses."
    console.print()
    greet(console, stack.url, streams_url=streams_url, note="" if stack.balancer else no_balancer)
    for server in stack.servers.values():
        console.print(f"  {server.kind:<10} {_where(server)}", style="dim")
    suffix = "" if run_dir == RUN_DIR else f' ARGS="--run-dir {run_dir}"'
    console.print(f"\nLook into their logs: make logs. Stop: make down{suffix}", style="dim")


def fail(reason: str) -> NoReturn:
    """Exit with status 1 and this sentence on standard error."""
    typer.echo(reason, err=True)
    raise typer.Exit(code=1)


if __name__ == "__main__":
    app()
