"""The command line of livecomments."""

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer
import uvloop

from livecomments.runtime import logs
from livecomments.runtime.console import WIDTH_WITHOUT_TERMINAL, plain_console
from livecomments.runtime.machine import memory_bytes, raise_open_files
from livecomments.runtime.settings import Settings, key_of
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_command import backups, data_commands
from livecomments_command.capacity import fitted
from livecomments_command.planning import commands as planning
from livecomments_command.probing import commands as probing
from livecomments_command.records.kept_files import begin_report, on_standard_output, write_report
from livecomments_command.settings import (
    DerivingSettings,
    EdgeSettings,
    GatewaySettings,
    RunSettings,
    ServingSettings,
    StreamSettings,
    ToolSettings,
    tell,
)
from livecomments_command.settings import load as load_settings
from livecomments_command.terminal import commands as terminal
from livecomments_schemas.errors import EXIT_TRY_AGAIN, StartAgain, StartRefused, Unavailable, leaves_of

if TYPE_CHECKING:
    from livecomments_command.assembly.embedded import Embedded

app = typer.Typer(
    help="Live comments for live video: write, see within a moment, miss nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.add_typer(data_commands.dead_letters, name="dead-letters")
app.add_typer(data_commands.epochs, name="epochs")
for command in (data_commands.rebuild, data_commands.verify, data_commands.export, data_commands.compact):
    app.command()(command)
app.command()(data_commands.erase)
app.command()(backups.backup)
app.command()(backups.restore)
app.command("replay")(data_commands.replay_log)
app.command("plan")(planning.plan_command)
app.command()(terminal.tail)
app.command()(terminal.post)
app.command()(probing.probe)


@app.callback()
def _root(context: typer.Context) -> None:
    """Hand the environment to commands of other modules."""
    context.obj = os.environ


HostOption = Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")]
PortOption = Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8080")]


@app.command()
def run(
    host: HostOption = None,
    port: PortOption = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where comments are kept.", show_default="./data")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Play a real chat into the video 'demo'.")] = False,
) -> None:
    """Run the whole service in this process, on one durable file: no servers needed."""
    from livecomments.web.server import listening_socket, url_of
    from livecomments_command.assembly.embedded import Embedded, serve_embedded
    from livecomments_command.greeting import greet

    # Who starts it by hand reads the greeting.
    is_by_hand = sys.stderr.isatty() and key_of("log_level") not in os.environ
    level = "warning" if is_by_hand else None
    options = {"host": host, "port": port, "data_dir": data_dir, "log_level": level}
    settings = _fitted(load_settings(RunSettings, os.environ, **options))
    if demo:
        from livecomments_command.demo import with_issuer

        settings = with_issuer(settings)

    async def serve() -> None:
        listening = listening_socket(settings.host, settings.port)
        tell("run", settings)

        def started(_: Embedded) -> None:
            console = plain_console()
            url, note = url_of(listening), f"   (comments are kept in {settings.data_dir})"
            greet(console, url, note=note, moderated_at=_moderators_page(settings, url) if demo else "")
            console.print("Stop with Ctrl-C.", style="dim")

        await serve_embedded(settings, listening, started, beside=_play if demo else None)

    gc.set_threshold(*_COLLECT)
    uvloop.run(serve())


def _moderators_page(settings: RunSettings, url: str) -> str:
    from livecomments_command.demo import moderators_page

    return moderators_page(settings, url)


async def _play(service: "Embedded") -> None:
    """Play the demo. An error in it ends the process, with its traceback."""
    from livecomments_command.demo import play

    await play(service.posting)


@app.command()
def gateway(host: HostOption = None, port: PortOption = None) -> None:
    """Run a gateway: POST, history pages and the page, on Kafka and CQL (LIVECOMMENTS_KAFKA, LIVECOMMENTS_CQL)."""
    from livecomments_command.assembly.gateway import serve_gateway

    _serve("gateway", serve_gateway, _on_servers(GatewaySettings, host=host, port=port))


@app.command()
def edge(host: HostOption = None, port: PortOption = None) -> None:
    """Run an edge: streams over Server-Sent Events, of whatever partition it is asked for."""
    from livecomments_command.assembly.edge import serve_edge

    _serve("edge", serve_edge, _on_servers(EdgeSettings, host=host, port=port))


@app.command()
def stream() -> None:
    """Run the stream job: from the log into the store, in a consumer group."""
    from livecomments_command.assembly.stream import run_stream

    settings = _on_servers(StreamSettings)
    tell("stream", settings)
    uvloop.run(run_stream(settings, lambda: _say(f"stream job runs in group {settings.group}")))


@app.command()
def counts() -> None:
    """Run the job that counts comments and writers a minute, into the topic comment-counts; made if it is missing."""
    from livecomments_command.deriving.running import run_counts

    settings = _on_servers(DerivingSettings)
    tell("counts", settings)
    uvloop.run(run_counts(settings, lambda: _say("counts what comes")))


@app.command()
def clean() -> None:
    """Run the job that keeps the clean topic of each epoch, comments-clean-<epoch>; made if it is missing."""
    from livecomments_command.deriving.running import run_clean

    settings = _on_servers(DerivingSettings)
    tell("clean", settings)
    uvloop.run(run_clean(settings, lambda: _say("cleans what comes")))


@app.command()
def topics(
    create: Annotated[
        bool, typer.Option("--create", help="Create those that are missing, and open the first epoch.")
    ] = False,
    epoch: Annotated[
        int | None, typer.Option(help="With --create: the comments topic to adopt, where there are several.", min=1)
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            help="With --create: of the first epoch's topic; of one that is there, those it began with.", min=1
        ),
    ] = None,
) -> None:
    """Compare the topics with what they must be; exit code 1 if they differ. Never alters one."""
    from livecomments_command.epochs import check_topics

    checked = check_topics(_on_servers(ToolSettings), create=create, epoch=epoch, partitions=partitions)
    created, differences, notes = asyncio.run(checked)
    for name in created:
        _say(f"created {name}")
    for sentence in (*notes, *differences):
        _say(sentence)
    if not differences:
        _say("the topics are as they must be")
    sys.exit(1 if differences else 0)


@app.command()
def migrate() -> None:
    """Bring the store's schema up to date. Safe to run twice, and from two places at once."""
    from livecomments_command.assembly.cql import migrate_schema

    applied = migrate_schema(_on_servers(ToolSettings))
    _say(f"applied {', '.join(applied)}" if applied else "the schema is up to date")


@app.command()
def load(
    url: Annotated[str, typer.Option(help="The deployment to play into.")] = "http://127.0.0.1:8080",
    videos: Annotated[int, typer.Option(help="Videos played side by side.")] = 20,
    viewers: Annotated[int, typer.Option(help="Viewers over real streams; some drop and resume.")] = 200,
    comments: Annotated[int, typer.Option(help="Comments over all videos.")] = 20_000,
    speed: Annotated[float, typer.Option(help="How many times faster than it was the chat is played.")] = 20.0,
    seed: Annotated[int, typer.Option(help="The run follows from it.")] = 1,
    drop_rate: Annotated[float, typer.Option(help="Cuts of a viewer's connection, a minute.")] = 2.0,
    deadline_s: Annotated[float, typer.Option(help="For everything to be answered and caught up after the end.")] = 120,
    chat: Annotated[Path | None, typer.Option(help="Another chat: JSON lines with offsetMs, author, message.")] = None,
    metrics: Annotated[list[str] | None, typer.Option(help="A process's internal address, for its /metrics.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report to this file too.")] = None,
) -> None:
    """Play a real chat through a deployment; check one order, nothing twice, nothing missing. Exit code 1 if not."""
    from livecomments_loadtest import DeploymentUnavailable, LoadPlan, PlanRejected, run_load
    from livecomments_loadtest.chat import CHAT

    console = plain_console(width=WIDTH_WITHOUT_TERMINAL)
    begin_report(json)
    try:
        plan = LoadPlan(
            url=url,
            chat=chat or CHAT,
            videos=videos,
            viewers=viewers,
            comments=comments,
            speed=speed,
            seed=seed,
            drop_rate=drop_rate,
            deadline_s=deadline_s,
            metrics=tuple(metrics or ()),
        )
        report = uvloop.run(run_load(plan, console))
    except (PlanRejected, DeploymentUnavailable) as error:
        raise StartRefused(str(error)) from error
    console.print(report.table())
    if json is not None:
        write_report(json, report.to_json())
    sys.exit(0 if report.ok else 1)


_log = logging.getLogger("livecomments.command")
AnySettings = TypeVar("AnySettings", bound=Settings)
Serving = TypeVar("Serving", bound=ServingSettings)
OnServers = TypeVar("OnServers", bound=ServerSettings)
Serve = Callable[[Serving, socket.socket, Callable[[], None]], Coroutine[Any, Any, None]]

_COLLECT: Final = (20_000, 20, 50)
"""Thresholds of the garbage collector. Almost all garbage is freed by counting references; by default the collector
looks for cycles after 700 new objects, and again and again through the whole tail: a tenth of a POST's CPU, and
pauses."""


def _serve(name: str, serve: Serve[Serving], settings: Serving) -> None:
    from livecomments.web.server import listening_socket, url_of

    settings = _fitted(settings)
    listening = listening_socket(settings.host, settings.port)
    gc.set_threshold(*_COLLECT)
    tell(name, settings)
    uvloop.run(
        serve(
            settings,
            listening,
            lambda: _say(f"{name} serves {url_of(listening)}/, its health {settings.internal_port}"),
        )
    )


def _fitted(settings: AnySettings) -> AnySettings:
    return fitted(settings, raise_open_files(), memory_bytes(), os.environ)


def _on_servers(kind: type[OnServers], **overrides: Any) -> OnServers:
    settings = load_settings(kind, os.environ, **overrides)
    if not settings.kafka:
        raise StartRefused("Set LIVECOMMENTS_KAFKA and LIVECOMMENTS_CQL; without them there is only: livecomments run")
    return settings


def _say(sentence: str) -> None:
    plain_console().print(sentence)


def main() -> None:
    """Run the command; what keeps it from its job is a sentence on stderr, and an exit code (docs/COMMANDS.md).

    Of a process that nobody looks at, the sentence is a line of its log, as all that it says. A bug is a line of the
    log, with its traceback; whoever looks at a terminal sees the traceback as it is.
    """
    logs.configure()
    try:
        _run()
    except Exception:
        if sys.stderr.isatty():
            raise
        _log.critical("unhandled error", exc_info=True)
        sys.exit(1)


def _run() -> None:
    try:
        with on_standard_output():
            app()
    except (StartRefused, Unavailable) as refused:
        _refuse([refused])
    except StartAgain as again:
        _refuse([again], EXIT_TRY_AGAIN)
    except BaseExceptionGroup as group:
        refusals = group.subgroup((StartRefused, Unavailable))
        if refusals is None:
            raise
        _refuse(leaves_of(refusals))


_RUNNING: Final = ({"run"}, {"gateway"}, {"edge"}, {"stream"}, {"probe", "--follow"})
"""Words of commands that go on, and have a log."""
_PIECE_CHARS_MAX: Final = 240
"""Of a sentence in a line of the log, where a longer text would be cut."""


def _refuse(refusals: Sequence[BaseException], code: int = 2) -> None:
    has_log = any(words <= set(sys.argv[1:]) for words in _RUNNING) and not sys.stderr.isatty()
    console = plain_console(stderr=True)
    for refused in refusals:
        if has_log:
            lines = str(refused).splitlines()
            why = [piece for line in lines for piece in wrap(line, _PIECE_CHARS_MAX, break_on_hyphens=False)]
            level = logging.WARNING if isinstance(refused, StartAgain) else logging.CRITICAL
            _log.log(level, "does not go on", extra={"why": why})
        else:
            console.print(f"livecomments: {refused}", style="red")
    sys.exit(max(refused.exit_code if isinstance(refused, StartRefused) else code for refused in refusals))


if __name__ == "__main__":
    main()
