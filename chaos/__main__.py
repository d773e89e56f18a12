"""`python -m chaos faults | grow | alerts | fill | crowd`: a deployment of its own, hurt, grown or filled."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from infra.local.__main__ import fail, need_servers, quiet
from infra.local.servers import RUN_DIR, ServerUnavailable
from infra.local.stack import Stack
from livecomments.runtime.console import WIDTH_WITHOUT_TERMINAL, plain_console
from livecomments_schemas.errors import StartRefused, Unavailable

app = typer.Typer(
    help="Fault injection on a deployment of its own, on loopback.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def faults(
    run_dir: Annotated[Path, typer.Option(help="Where the deployment lives that is killed.")] = RUN_DIR / "faults",
    lasts_s: Annotated[float, typer.Option(help="How long comments are posted: beyond the last kill.")] = 240,
    comments: Annotated[int, typer.Option(help="Comments over all videos.")] = 30_000,
    videos: Annotated[int, typer.Option(help="Videos played side by side.")] = 8,
    viewers: Annotated[int, typer.Option(help="Viewers over real streams.")] = 200,
    small_tail: Annotated[bool, typer.Option(help="With a tail that does not reach back to the store.")] = False,
    rounds: Annotated[int, typer.Option(help="How often each is killed.")] = 1,
    growing: Annotated[bool, typer.Option(help="Then grow on three brokers, with each process hurt meanwhile.")] = True,
) -> None:
    """Kill every process of a deployment of its own in turn, under load; exit status 1 if a promise was broken."""
    from chaos.faults import FAULTS, SMALL_TAIL, FaultPlan, run_faults
    from chaos.growing import HURTS

    quiet()
    console = plain_console()
    need_servers()
    stack = Stack(run_dir, {**os.environ, **(SMALL_TAIL if small_tail else {})})
    plan = FaultPlan(FAULTS * rounds, lasts_s, comments, videos, viewers)
    try:
        stack.bring_up(console, detached=False)
        report = asyncio.run(run_faults(stack, plan, console.print))
    except (ServerUnavailable, StartRefused, Unavailable, TimeoutError) as error:
        fail(str(error))
    finally:
        stack.kill()
    console.print(report.load_said)
    console.print(report.table("seconds after the kill"))
    for note in report.restarted:
        console.print(note, style="yellow")
    for problem in report.problems:
        console.print(problem, style="red")
    if report.problems or not growing:
        raise typer.Exit(code=1 if report.problems else 0)
    grow(run_dir / "growing", rounds=len(HURTS), hurt=list(HURTS), lasts_s=lasts_s * 2)


@app.command()
def grow(
    run_dir: Annotated[Path, typer.Option(help="Where the deployment lives that grows.")] = RUN_DIR / "growing",
    rounds: Annotated[int, typer.Option(help="How often the partitions are doubled.")] = 5,
    hurt: Annotated[
        list[str] | None, typer.Option(help="What is hurt, in turn: leader, gateway, stream, edge-1, drained.")
    ] = None,
    lasts_s: Annotated[float, typer.Option(help="How long comments are posted: beyond the last growth.")] = 180,
    comments: Annotated[int, typer.Option(help="Comments over all videos.")] = 10_000,
    videos: Annotated[int, typer.Option(help="Videos played side by side.")] = 8,
    viewers: Annotated[int, typer.Option(help="Viewers over real streams.")] = 60,
    flood: Annotated[float, typer.Option(help="POSTs a second beside them, which only the broker and we work on.")] = 0,
) -> None:
    """Grow the epoch of a deployment on three brokers under load; exit status 1 if a promise was broken."""
    from chaos.faults import FaultPlan
    from chaos.growing import FLOOD_SETTINGS, HURTS, make_topics, run_growth
    from infra.local.servers import KafkaCluster
    from infra.local.stack import KAFKA

    quiet()
    console = plain_console()
    need_servers()
    hurts = hurt or []
    if not set(hurts) <= set(HURTS):
        fail(f"--hurt must be of {', '.join(HURTS)}.")
    cluster = KafkaCluster(run_dir / "kafka")
    plan = FaultPlan((), lasts_s, comments, videos, viewers)
    stack = None
    try:
        cluster.start()
        cluster.wait_ready()
        make_topics(cluster)
        environ = {"LIVECOMMENTS_REPLICAS": "1", **os.environ, **(FLOOD_SETTINGS if flood else {})}
        stack = Stack(run_dir, {**environ, KAFKA: cluster.address})
        stack.bring_up(console, detached=False)
        report = asyncio.run(run_growth(stack, cluster, plan, rounds, hurts, console.print, flood_per_s=flood))
    except (ServerUnavailable, StartRefused, Unavailable, TimeoutError) as error:
        fail(str(error))
    finally:
        if stack is not None:
            stack.kill()
        cluster.kill()
    console.print(report.load_said)
    console.print(report.table())
    for problem in report.problems:
        console.print(problem, style="red")
    raise typer.Exit(code=1 if report.problems else 0)


@app.command()
def alerts(
    run_dir: Annotated[Path, typer.Option(help="Where the deployment lives that is hurt.")] = RUN_DIR / "alerts",
    faster: Annotated[float, typer.Option(help="So many times as short are the times of the rules.")] = 12.0,
    only: Annotated[list[str] | None, typer.Option(help="Faults whose name has this in it.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the overview dashboard of that time into this file.")
    ] = None,
) -> None:
    """Hurt a deployment of its own while a Prometheus watches it; exit status 1 if an alert did not fire that must."""
    from chaos.alerts import HURTS, SETTINGS, Ground, run_hurts, table
    from chaos.growing import make_topics
    from infra.local.servers import KafkaCluster
    from infra.local.stack import KAFKA

    quiet()
    console = plain_console()
    need_servers()
    cluster = KafkaCluster(run_dir / "kafka")
    stack = None
    try:
        cluster.start()
        cluster.wait_ready()
        make_topics(cluster, partitions=6)
        environ = {"LIVECOMMENTS_REPLICAS": "1", **os.environ, **SETTINGS}
        stack = Stack(run_dir, {**environ, KAFKA: cluster.address})
        stack.bring_up(console, detached=False)
        hurts = [hurt for hurt in HURTS if any(part in hurt.name for part in only or [""])]
        seen = asyncio.run(run_hurts(Ground(stack, cluster), faster, hurts, console.print, picture))
    except (ServerUnavailable, StartRefused, Unavailable, TimeoutError) as error:
        fail(str(error))
    finally:
        if stack is not None:
            stack.kill()
        cluster.kill()
    plain_console(width=WIDTH_WITHOUT_TERMINAL).print(table(seen, faster))
    raise typer.Exit(code=1 if any(each.missing for each in seen) else 0)


@app.command()
def fill(
    run_dir: Annotated[Path, typer.Option(help="Where the deployment lives that is filled.")] = RUN_DIR / "filled",
    records: Annotated[int, typer.Option(help="Keyed comments in each partition.")] = 16_384,
) -> None:
    """Fill a deployment of its own, and measure how long each process takes to start on it, and how much memory."""
    from chaos.fill import fill as fill_log
    from chaos.fill import measure, table, until_stored

    quiet()
    console = plain_console()
    need_servers()
    stack = Stack(run_dir, os.environ)
    try:
        stack.bring_up(console, detached=False)
        before = list(measure(stack))
        asyncio.run(fill_log(stack.settings, records, console.print))
        asyncio.run(until_stored(stack.settings, console.print))
        after = list(measure(stack))
    except (ServerUnavailable, StartRefused, Unavailable) as error:
        fail(str(error))
    finally:
        stack.kill()
    console.print(table(before, "before"))
    console.print(table(after, f"with {records:,} more keyed comments in each partition"))


@app.command()
def crowd(
    run_dir: Annotated[Path, typer.Option(help="Where Kafka, edges and cache live.")] = RUN_DIR / "crowd",
    cache: Annotated[str, typer.Option(help="nginx or varnishd.")] = "nginx",
    pollers: Annotated[int, typer.Option(help="Clients that poll one video.")] = 5_000,
    kafka: Annotated[str | None, typer.Option(help="Bootstrap servers; one is started by default.")] = None,
) -> None:
    """Kill cache and edges before a crowd that polls, keep silent, flood it, delete; status 1 if a promise broke."""
    from bench.stand import broker
    from chaos.crowd import CrowdPlan, CrowdReport, run_crowd

    quiet()
    console = plain_console(width=150)
    need_servers()
    run_dir.mkdir(parents=True, exist_ok=True)

    async def run() -> CrowdReport:
        async with broker(run_dir, kafka) as address:
            return await run_crowd(address, run_dir, CrowdPlan(cache, pollers), console.print)

    try:
        report = asyncio.run(run())
    except (ServerUnavailable, StartRefused, Unavailable, TimeoutError) as error:
        fail(str(error))
    console.print(report.table())
    for problem in report.problems:
        console.print(problem, style="red")
    if report.problems:
        raise typer.Exit(code=1)


if __name__ == "__main__":
    app()
