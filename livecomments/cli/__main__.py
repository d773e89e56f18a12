"""The command line of livecomments."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console

from livecomments.runtime import logs
from livecomments.runtime.settings import Settings
from schemas.errors import StartRefused

app = typer.Typer(
    help="Live comments for live video: write, see within a moment, miss nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Keeps a single command a subcommand."""


@app.command()
def run(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8080")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where comments are kept.", show_default="./data")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Play a real chat into the video 'demo'.")] = False,
) -> None:
    """Run the whole service in this process, on one durable file: no servers needed."""
    from livecomments.cli.demo import play
    from livecomments.cli.embedded import Service, serve_embedded
    from livecomments.runtime.lifecycle import listening_socket

    settings = Settings.load(os.environ, host=host, port=port, data_dir=data_dir)
    playing: set[asyncio.Task[None]] = set()

    async def serve() -> None:
        listening = listening_socket(settings.host, settings.port)
        url = f"http://{settings.host}:{listening.getsockname()[1]}"

        def started(service: Service) -> None:
            _greet(url, settings.data_dir)
            if demo:
                playing.add(asyncio.get_running_loop().create_task(play(service.posting)))

        try:
            await serve_embedded(settings, listening, started)
        finally:
            for task in playing:
                task.cancel()

    uvloop.run(serve())


_JSON: Final = "-H 'Content-Type: application/json'"


def _greet(url: str, data_dir: Path) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold green]livecomments[/] is running: [bold]{url}/[/]   (comments are kept in {data_dir})\n")
    console.print("Write a comment:", style="dim")
    console.print(
        f"  TOKEN=$(curl -s {url}/sessions {_JSON} -d '{{\"displayName\":\"Ana\"}}' | grep -o 'lcs_[^\"]*')\n"
        f"  curl {url}/comments/demo -H \"Authorization: Bearer $TOKEN\" {_JSON} -d '{{\"message\":\"Hello\"}}'",
        markup=False,
    )
    console.print("Follow a video:", style="dim")
    console.print(f"  curl -N '{url}/comments/demo/stream?history=10'\n", markup=False)
    console.print("Stop with Ctrl-C.", style="dim")


def main() -> None:
    """Run the command; what keeps it from starting is a sentence on stderr and exit code 2."""
    logs.configure()
    try:
        app()
    except StartRefused as refused:
        _refuse([refused])
    except BaseExceptionGroup as group:
        refusals = group.subgroup(StartRefused)
        if refusals is None:
            raise
        _refuse(_leaves(refusals))


def _leaves(group: BaseExceptionGroup[StartRefused]) -> list[StartRefused]:
    leaves: list[StartRefused] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def _refuse(refusals: list[StartRefused]) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for refused in refusals:
        console.print(f"livecomments: {refused}", style="red", markup=False)
    sys.exit(2)


if __name__ == "__main__":
    main()
