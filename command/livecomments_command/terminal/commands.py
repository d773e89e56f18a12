"""What is typed: `livecomments tail` and `livecomments post`."""

import os
import secrets
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from livecomments.runtime.console import plain_console
from livecomments_command.terminal.drawing import EventLines, json_line, plain
from livecomments_command.terminal.following import PAGE_SIZE_MAX, Following
from livecomments_command.terminal.remote import Refused, Remote
from livecomments_command.terminal.writing import TerminalWriter, Unknown
from livecomments_schemas.errors import EXIT_TRY_AGAIN, StartRefused

EXIT_INTERRUPTED: Final = 130


class AskedInVain(StartRefused):
    """The service has said no."""

    exit_code = 1


class LeftUnknown(StartRefused):
    """Nobody has said what became of it."""

    exit_code = EXIT_TRY_AGAIN


UrlOption = Annotated[str, typer.Option(help="The deployment.")]
TokenOption = Annotated[
    str | None, typer.Option(help="The environment's variable that holds a token; without, a guest.", metavar="NAME")
]
DEFAULT_URL: Final = "http://127.0.0.1:8080"


def tail(
    context: typer.Context,
    video: Annotated[str, typer.Argument(help="The video's id.")],
    url: UrlOption = DEFAULT_URL,
    history: Annotated[int, typer.Option(help="Comments to begin with.", min=0, max=PAGE_SIZE_MAX)] = 20,
    after: Annotated[str, typer.Option(help="Begin behind this comment id instead.", metavar="ID")] = "",
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for each event, for programs.")] = False,
    colour: Annotated[
        bool | None, typer.Option("--colour/--no-colour", help="By default on a terminal without NO_COLOR.")
    ] = None,
    token_env: TokenOption = None,
) -> None:
    """Show a video's comments as they come; deleted ones are struck through. Comes back by itself; Ctrl-C ends it.

    Exit code 0 when the video is over, 1 if the service refuses. Try: livecomments tail demo
    """
    environment: Mapping[str, str] = context.obj
    following = Following(_remote(url, token_env, environment), video, history, after)
    is_coloured = sys.stdout.isatty() and not environment.get("NO_COLOR") if colour is None else colour
    lines = EventLines(colour=is_coloured)
    try:
        for event in following.events():
            if event.kind in ("away", "back", "ended"):
                _note({"away": f"away: {event.told.get('why')}", "back": "back"}.get(event.kind, "the video is over"))
            elif json:
                print(json_line(event), flush=True)
            else:
                for line in lines.of(event):
                    print(line, flush=True)
    except Refused as refused:
        raise AskedInVain(str(refused)) from refused
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # whoever read it has enough: `tail … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def post(
    context: typer.Context,
    video: Annotated[str, typer.Argument(help="The video's id.")],
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    url: UrlOption = DEFAULT_URL,
    name: Annotated[str, typer.Option(help="The guest's name.")] = "Terminal",
    token_env: TokenOption = None,
    key: Annotated[
        str | None, typer.Option(help="The comment's Idempotency-Key, to try again what was left unknown.")
    ] = None,
    timeout_s: Annotated[float, typer.Option(help="For a final answer.", min=0)] = 60.0,
) -> None:
    """Write one comment, once, however often it has to be tried; prints its id.

    Exit code 1 if the service refuses it, 75 if there was no final answer in time. Try: livecomments post demo "Hello"
    """
    remote = _remote(url, token_env, context.obj)
    message = sys.stdin.read().rstrip("\n") if text == "-" else text
    key = key or secrets.token_hex(16)
    try:
        writer = TerminalWriter(remote, name, timeout_s, lambda why: _note(f"again: {why}"))
        print(plain(writer.write(video, message, key)))
    except Refused as refused:
        raise AskedInVain(str(refused)) from refused
    except Unknown as unknown:
        again = (
            f"run it again with --key {key}, and it will be there once"
            if token_env is not None
            else "look with `livecomments tail`: another run is another guest, who would write it a second time"
        )
        raise LeftUnknown(f"{unknown}. It may have been written: {again}") from unknown


def _remote(url: str, token_env: str | None, environment: Mapping[str, Any]) -> Remote:
    if token_env is not None and not environment.get(token_env):
        raise StartRefused(f"--token-env: the environment has no {token_env}, or it is empty")
    try:
        return Remote(url, environment[token_env] if token_env is not None else None)
    except ValueError as error:
        raise StartRefused(str(error)) from error


def _note(sentence: str) -> None:
    plain_console(stderr=True).print(f"livecomments: {sentence}")  # it may quote whatever answered
