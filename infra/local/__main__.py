"""`python -m infra.local up | down | status`: the servers of this checkout, left running until `down`."""

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.local.progress import bring_up
from infra.local.servers import RUN_DIR, CassandraServer, KafkaServer, Server, ServerUnavailable, why_unavailable

app = typer.Typer(help="A real Kafka and a real Cassandra on loopback.", no_args_is_help=True, add_completion=False)
RunDir = Annotated[Path, typer.Option(help="Where their data lies, a folder each.")]


@app.command()
def up(
    run_dir: RunDir = RUN_DIR,
    kafka_port: Annotated[int | None, typer.Option(help="By default a free one, the same at every start.")] = None,
    cassandra_port: Annotated[int | None, typer.Option(help="By default a free one, the same at every start.")] = None,
) -> None:
    """Start both, wait until they work, and leave them running."""
    # The clients complain of every attempt before the one that succeeds.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    reason = why_unavailable()
    if reason is not None:
        _fail(reason)
    try:
        bring_up(_servers(run_dir, kafka_port, cassandra_port), Console())
    except ServerUnavailable as error:
        _fail(str(error))


@app.command()
def down(run_dir: RunDir = RUN_DIR) -> None:
    """Stop both; their data stays."""
    for server in _servers(run_dir):
        server.stop()
        typer.echo(f"{server.kind}: stopped; its data stays in {server.data_dir}")


@app.command()
def status(run_dir: RunDir = RUN_DIR) -> None:
    """Say where they listen; exit status 1 unless both run."""
    servers = _servers(run_dir)
    for server in servers:
        typer.echo(f"{server.kind}: {f'runs at {server.address}' if server.is_running() else 'does not run'}")
    raise typer.Exit(code=0 if all(server.is_running() for server in servers) else 1)


def _servers(run_dir: Path, kafka_port: int | None = None, cassandra_port: int | None = None) -> list[Server]:
    return [
        KafkaServer(run_dir / "kafka", port=kafka_port),
        CassandraServer(run_dir / "cassandra", port=cassandra_port),
    ]


def _fail(reason: str) -> None:
    typer.echo(reason, err=True)
    raise typer.Exit(code=1)


if __name__ == "__main__":
    app()
