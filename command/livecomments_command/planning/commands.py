"""`livecomments plan`: what a load takes, as a table, with each number that it rests on."""

from math import inf
from typing import Annotated

import typer
from rich.table import Table

from livecomments.runtime.console import WIDTH_WITHOUT_TERMINAL, plain_console
from livecomments_command.planning.measured import measured
from livecomments_command.planning.plan import ASSUMED, Demand, Needed, plan

_GB = 1e9


def plan_command(
    viewers: Annotated[int, typer.Option(help="Watching at once.", min=1)] = 10_000,
    comments: Annotated[float, typer.Option(help="A second, over all videos.", min=0.001)] = 100.0,
    videos: Annotated[int, typer.Option(help="Live at once.", min=1)] = 1_000,
    hot: Annotated[
        float, typer.Option(help="The hottest video's share beside its own by Zipf's law.", min=0.0, max=1.0)
    ] = 0.1,
    video_max: Annotated[
        float,
        typer.Option(help="Comments a second that one video's owner lets in (`maxCommentsPerS`); 0: all.", min=0.0),
    ] = 0.0,
    retention: Annotated[float, typer.Option(help="Days that the log keeps.", min=0.1)] = 7.0,
    store: Annotated[float, typer.Option(help="Days that the store keeps.", min=0.1)] = 365.0,
) -> None:
    """Say what a load takes: processes, partitions, brokers, memory, disks; on what numbers; and what breaks first.

    Measured on one machine, and never a promise. Try: livecomments plan --viewers 1000000 --comments 20000
    """
    demand = Demand(viewers, comments, videos, hot, video_max or inf)
    assumed = {
        **ASSUMED,
        "retention_days": ASSUMED["retention_days"]._replace(value=retention),
        "store_days": ASSUMED["store_days"]._replace(value=store),
    }
    needed, console = plan(demand, measured(), assumed), plain_console(width=WIDTH_WITHOUT_TERMINAL)
    console.print(table_of(demand, needed))
    first = Table(title="what breaks first, whatever is added", title_justify="left")
    for head in ("limit", "needed", "bound", "used", "what helps"):
        first.add_column(head)
    for limit in needed.limits:
        first.add_row(limit.what, f"{limit.needed:,.0f}", f"{limit.bound:,.0f}", f"{limit.used:.0%}", limit.help)
    console.print(first)
    rests = Table(title="what this rests on", title_justify="left")
    for head in ("number", "value", "", "from"):
        rests.add_column(head)
    for name, found in measured().items():
        rests.add_row(name, f"{found.value:,g}", found.unit, f"measured by {found.bench}: {found.what}")
    for name, one in assumed.items():
        rests.add_row(name, f"{one.value:,g}", one.unit, f"assumed: {one.why}")
    console.print(rests)


def table_of(demand: Demand, needed: Needed) -> Table:
    """Return what is needed as a table."""
    load = f"{demand.viewers:,} viewers, {demand.comments_per_s:,g} comments/s, {demand.videos:,} videos"
    made = Table(title=load, title_justify="left")
    for head in ("what", "how much", "of which"):
        made.add_column(head)
    cores = f"{needed.delivering_cores:,.1f} cores write to viewers, {needed.following_cores:,.2f} read the log"
    made.add_row("comments let in", f"{needed.comments_per_s:,.0f}/s", "")
    made.add_row("edges", f"{needed.edges:,}", cores)
    made.add_row("memory of an edge", f"{needed.edge_bytes / _GB:,.1f} GB", "tails, viewers, connections")
    made.add_row("gateways", f"{needed.gateways:,}", f"{needed.gateway_bytes / _GB:,.1f} GB each")
    made.add_row("stream jobs", f"{needed.stream_jobs:,}", "")
    made.add_row("partitions", f"{needed.partitions:,}", "")
    made.add_row("brokers", f"{needed.brokers:,}", f"{needed.log_bytes / _GB:,.0f} GB of disk in all")
    made.add_row("store", f"{needed.store_bytes / _GB:,.0f} GB", "in all, before compression")
    made.add_row("egress to viewers", f"{needed.egress_bytes_per_s * 8 / _GB:,.2f} Gbit/s", "compressed")
    return made
