"""`python -m bench.parsers`: CPU of a POST through our door, over the same behind uvicorn's protocol around httptools.

Two servers of each application, alike but for who reads HTTP: the embedded service, and a bare route, where nothing
else hides the difference. They are loaded in turns with the same number of POSTs, in pairs that swap who is first; a
post's CPU is the server process's, the kernel's work for it included. What counts is the median of the pairs' ratios.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop
from rich.table import Table
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import livecomments.web.server
from bench.bare_route import app
from bench.persist_stack import load_average
from bench.post import Server, of_videos, requests, serving
from infra.local.ports import claim_ports
from livecomments.runtime.console import plain_console
from livecomments.web.server import DrainingServer, listening_socket
from livecomments_command.__main__ import main as run_command
from tests.corpus.cases import AUDIENCE, ISSUER, SECRET

CONNECTIONS: Final = 16
POSTS: Final = 4_000
"""Of one half of a pair: seconds."""
PAIRS: Final = 7
PARSERS: Final = ("door", "httptools")
APPLICATIONS: Final = ("service", "bare")
LIMIT: Final = 1.05


def httptools(_: object, *, config: uvicorn.Config, server_state: Any, app_state: Any, **__: Any) -> HttpToolsProtocol:
    """Make what uvicorn would, of the arguments that a door is made of."""
    return HttpToolsProtocol(config, server_state, app_state)


def serve(application: str, parser: str, port: int, room: str) -> None:
    """Serve for ever, as a process of its own."""
    if parser == "httptools":
        vars(livecomments.web.server).update(Door=httptools, ReservingDoor=httptools)
    if application == "service":
        sys.argv = ["livecomments", "run", f"--port={port}", f"--data-dir={room}"]
        run_command()
        return

    async def nothing() -> None:
        """Take the place of a drain: there are no streams to end."""

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(DrainingServer(app, lambda: None, nothing).serve([listening_socket("127.0.0.1", port)]))


def run(room: Path, pairs: int) -> tuple[Table, dict[str, Any]]:
    """Run the pairs of both applications."""
    workload = room / "workload"
    workload.write_bytes(requests(of_videos(1)))
    own = {"JWT_SECRET": SECRET, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
    environ = {**os.environ, **{f"LIVECOMMENTS_{name}": value for name, value in own.items()}}
    table = Table(title=f"CPU µs a POST, {pairs} pairs of {POSTS:,} POSTs each", title_justify="left")
    for head in ("application", "door", "httptools", "door / httptools", "least", "most"):
        table.add_column(head, justify="right" if table.columns else "left")
    numbers: dict[str, Any] = {"loadAverage": load_average()}
    for application in APPLICATIONS:
        with ExitStack() as stack:
            servers = {}
            for parser in PARSERS:
                name = f"{application}-{parser}"
                port = claim_ports(room, {name: None})[name]
                command = ["bench.parsers", f"--serve={application}", f"--parser={parser}", f"--port={port}"]
                command.append(f"--room={room / name}")
                url = f"http://127.0.0.1:{port}/openapi.json"
                servers[parser] = stack.enter_context(serving(name, command, environ, port, url, room))
            costs = [_pair(servers, workload, number) for number in range(-1, pairs)][1:]  # the first warms up
        ratios = [one["door"] / one["httptools"] for one in costs]
        medians = [statistics.median(one[parser] for one in costs) for parser in PARSERS]
        numbers[application] = {"pairs": costs, "ratio": statistics.median(ratios)}
        cells = [*(f"{cost:,.0f}" for cost in medians), f"{statistics.median(ratios):.2f}"]
        table.add_row(application, *cells, f"{min(ratios):.2f}", f"{max(ratios):.2f}")
    return table, numbers


def _pair(servers: dict[str, Server], workload: Path, number: int) -> dict[str, float]:
    order = PARSERS if number % 2 else PARSERS[::-1]
    results = {name: servers[name].load(workload, 3_600, count=POSTS, connections=CONNECTIONS) for name in order}
    assert not any(one.refused for one in results.values())
    return {name: one.cpu_us_per_post for name, one in results.items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.parsers", description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--serve", choices=APPLICATIONS, help=argparse.SUPPRESS)
    parser.add_argument("--parser", choices=PARSERS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--room", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.parser, given.port, given.room)
        return
    console = plain_console(width=120)
    with tempfile.TemporaryDirectory(prefix="livecomments-bench-") as directory:
        table, numbers = run(Path(directory), given.pairs)
    is_met = numbers["service"]["ratio"] <= LIMIT
    console.print(table, f"door / httptools at most {LIMIT}: {'met' if is_met else 'NOT met'}")
    console.print(f"load average {numbers['loadAverage']} on {os.cpu_count()} cores")
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
