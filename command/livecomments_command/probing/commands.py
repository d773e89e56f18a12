"""What is typed: `livecomments probe`."""

import asyncio
import contextlib
import hashlib
import re
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
import uvloop

from livecomments.runtime.console import WIDTH_WITHOUT_TERMINAL, plain_console
from livecomments.runtime.values import refuse_pipe, without_credentials
from livecomments_command.probing.videos import NAME
from livecomments_command.records.kept_files import begin_report, write_report
from livecomments_command.terminal.commands import DEFAULT_URL, TokenOption, UrlOption
from livecomments_schemas.errors import StartRefused

if TYPE_CHECKING:
    from livecomments.web.server import DrainingServer
    from livecomments_command.probing.asking import Person
    from livecomments_command.probing.running import Probe
    from livecomments_command.probing.telling import ProbeReport

_KEPT_IN: Final = "livecomments"
_TOKEN: Final = re.compile(r"[!-~]+")


def probe(
    context: typer.Context,
    url: UrlOption = DEFAULT_URL,
    edge: Annotated[
        list[str] | None,
        typer.Option(help="An edge, or a name that stands for all of them; without, streams come by --url."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of this probe: two at one deployment need two.")] = "probe",
    token_env: TokenOption = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the token instead, read anew for each turn.")
    ] = None,
    session_file: Annotated[
        Path | None, typer.Option(help="Keeps a guest's session for the next run.", show_default="in your home")
    ] = None,
    timeout_s: Annotated[float, typer.Option(help="For one comment, from writing to deleting.", min=1)] = 30.0,
    deadline_s: Annotated[float, typer.Option(help="No comment is begun after it.", min=1)] = 200.0,
    json: Annotated[Path | None, typer.Option(help="Write the report to this file too.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="One partition after the other, until it is stopped.")
    ] = False,
    every_s: Annotated[float, typer.Option(help="With --follow: a comment so often.", min=0.05)] = 1.0,
    metrics: Annotated[int | None, typer.Option(help="With --follow: a port for /metrics and health.")] = None,
    host: Annotated[str, typer.Option(help="Address of that port.")] = "127.0.0.1",
) -> None:
    """Write, watch, read and delete a comment of its own in every partition, as people do. Exit code 1 if one fails.

    Try: livecomments probe --url https://comments.example.org --edge http://edges.internal:8080
    """
    if not NAME.fullmatch(name):
        raise StartRefused("--name must be 1 to 24 characters of A-Z a-z 0-9 _ -")
    if metrics is not None and not follow:
        raise StartRefused("--metrics is for a probe that goes on: add --follow")
    from livecomments_command.probing.asking import Person
    from livecomments_command.probing.running import Probe
    from livecomments_loadtest.client import is_url, origin_of

    for address in (url, *(edge or ())):
        if not is_url(address):
            raise StartRefused(
                f"--url and --edge must be addresses like https://example.org, and not {without_credentials(address)!r}"
            )

    begin_report(json)
    token = _token(token_env, token_file, context.obj)
    person = Person(origin_of(url), token, session_file or _kept(name, url))
    made = Probe(person, edge or (), name, timeout_s)
    if follow:
        uvloop.run(_follow(person, made, every_s, None if metrics is None else (host, metrics)))
    else:
        _tell(uvloop.run(_once(person, made, deadline_s)), json)


def _tell(report: "ProbeReport", json: Path | None) -> NoReturn:
    console = plain_console(width=WIDTH_WITHOUT_TERMINAL)
    console.print(report.table())
    for sentence in report.sentences():
        console.print(sentence)
    if json is not None:
        write_report(json, report.to_json())
    sys.exit(0 if report.ok else 1)


async def _once(person: "Person", probe: "Probe", deadline_s: float) -> "ProbeReport":
    from livecomments.runtime.machine import raise_open_files

    raise_open_files()
    with contextlib.closing(person):
        return await probe.once(deadline_s)


async def _follow(person: "Person", probe: "Probe", every_s: float, at: tuple[str, int] | None) -> None:
    """Probe until SIGTERM or SIGINT; what is under way is deleted first."""
    from livecomments.runtime.machine import raise_open_files
    from livecomments.runtime.vitals import watch_loop
    from livecomments.web.server import listening_socket
    from livecomments_command.assembly.serving import internal_server

    raise_open_files()  # a stream of each edge
    server: DrainingServer | None = None
    with contextlib.closing(person):
        async with asyncio.TaskGroup() as running:
            probing = running.create_task(probe.follow(every_s))
            beside = running.create_task(watch_loop())
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, probing.cancel)
            if at is not None:
                server = internal_server(dict)
                running.create_task(server.serve([listening_socket(*at)]))
            await asyncio.wait([probing])
            beside.cancel()
            if server is not None:
                server.should_exit = True


def _token(variable: str | None, file: Path | None, environment: Mapping[str, str]) -> Callable[[], str] | None:
    if variable is not None and file is not None:
        raise StartRefused("--token-env or --token-file, not both")
    try:
        if variable is not None:
            given = _one_word(environment.get(variable, ""))
            return lambda: given
        if file is None:
            return None
        refuse_pipe(file)
        _one_word(file.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise StartRefused(f"no token is in {file or f'the environment as {variable}'}: {error}") from error
    return lambda: _one_word(file.read_text("ascii"))


def _one_word(text: str) -> str:
    if not _TOKEN.fullmatch(token := text.strip()):
        raise ValueError("a token is one word of printable ASCII")
    return token


def _kept(name: str, url: str) -> Path:
    """Return where a guest's session is kept, for each deployment apart."""
    directory = Path(typer.get_app_dir(_KEPT_IN))
    with contextlib.suppress(OSError):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:16]}.session"
