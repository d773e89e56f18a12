"""`python -m bench.door`: what well-behaved clients notice of others that attack the door.

One embedded service; four clients that post, one request at a time on each of their connections. For each attack spans
in turns, without and with it. What counts is the ratio of their p99 (medians) and what the service grew by. Attackers
send as fast as they are read, and come again when they are cut off; the floor is as many connections of people who want
something, again and again. Where there are two cores the service has one, and all who call it the other. p99 is told
by the wall's clock, and by the CPU that the service used between a request and its answer: what other work there is
on the machine does not move that one.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.table import Table

from bench.persist_stack import load_average
from bench.post import Server, of_videos, requests, serving
from infra.local.ports import claim_ports
from livecomments.runtime.console import plain_console
from tests.corpus.cases import AUDIENCE, ISSUER, SECRET

CLIENTS: Final = 4
"""Connections of clients that behave well."""
ATTACKERS: Final = 16
"""Connections of one attack."""
SPAN_S: Final = 4.0
PAIRS: Final = 3
_WARM_UP_S: Final = 3.0
_PATIENCE_S: Final = 1.0
"""Until an attacker whose bytes are not read comes again."""
_CHUNKED: Final = (
    b"POST /sessions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_GET: Final = b"GET /comments/video-0?pageSize=10 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
ATTACKS: Final = {
    "(floor) pages, a connection each": _GET,
    "refused at once": b"GET / HTTP/1.1\r\n\r\n",
    "trailers": _CHUNKED + b"0\r\n" + b"X: y\r\n" * 100_000,
    "chunk extensions": _CHUNKED + (b"1;" + b"a" * 900 + b"\r\n \r\n") * 1_000,
    "chunks of one byte": _CHUNKED + b"1\r\n \r\n" * 7_000 + b"0\r\n\r\n",
    "requests behind each other": b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n" * 10_000,
    "no requests behind each other": b"GET / HTTP/1.1\r\n\r\n" * 14_500,
    "a head that does not end": b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 100_000,
}


class Span(NamedTuple):
    """What one span showed: of the well-behaved clients, and of the service."""

    p99_ms: float
    p99_server_ms: float
    posts_per_s: float
    grown_mb: float
    sent_bytes: int
    """Bytes that attackers sent meanwhile."""


def attack(port: int, payload: bytes, reads: bool) -> None:
    """Attack for ever by so many connections, as a process of its own; say each second how many bytes were sent."""
    sent = [0] * ATTACKERS

    def one(number: int) -> None:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
                for at in range(0, len(payload), 16_384):
                    sent[number] += connection.send(payload[at : at + 16_384])
                    if reads:
                        with suppress(BlockingIOError):
                            connection.recv(65_536, socket.MSG_DONTWAIT)
                connection.recv(65_536)

    for number in range(ATTACKERS):
        threading.Thread(target=one, args=(number,), daemon=True).start()
    while True:
        time.sleep(0.1)
        sys.stdout.write(f"{sum(sent)}\n")
        sys.stdout.flush()


@contextmanager
def attacked(port: int, kind: str) -> Iterator[list[int]]:
    """Attack until the end of the block; the list then holds what was sent, in bytes."""
    command = [sys.executable, "-m", "bench.door", "--attack", kind, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    found: list[int] = []
    try:
        while not int(process.stdout.readline()):
            pass  # until it has begun
        yield found
    finally:
        process.terminate()
        told = process.communicate()[0].split()
        found.append(int(told[-1]) if told else 0)


def span(server: Server, workload: Path, kind: str | None) -> Span:
    """Measure one span, attacked or not."""
    before_mb = server.rss_mb()
    with attacked(server.port, kind) if kind else nullcontext([0]) as sent:
        result = server.load(workload, SPAN_S, connections=CLIENTS)
        grown_mb = server.rss_mb() - before_mb
    return Span(result.p99_ms, result.p99_server_ms, result.posts_per_s, grown_mb, sent[0])


def run(room: Path, kinds: Sequence[str]) -> tuple[Table, dict[str, Any]]:
    """Run each of these attacks in turns with none."""
    workload = room / "workload"
    workload.write_bytes(requests(of_videos(1)))
    port = claim_ports(room, {"service": None})["service"]
    own = {"JWT_SECRET": SECRET, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
    environ = {**os.environ, **{f"LIVECOMMENTS_{name}": value for name, value in own.items()}}
    command = ["livecomments_command", "run", f"--port={port}", f"--data-dir={room}"]
    table = Table(title=f"{CLIENTS} clients that post, {ATTACKERS} connections that attack", title_justify="left")
    heads = [head for name in ("p99 ms", "of its CPU") for head in (name, "beside", "ratio")]
    for head in ("attack", *heads, "posts/s", "beside", "MB grown", "beside", "MB sent"):
        table.add_column(head, justify="right" if table.columns else "left")
    numbers: dict[str, Any] = {"loadAverage": load_average()}
    with serving("service", command, environ, port, f"http://127.0.0.1:{port}/openapi.json", room) as server:
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(server.process.pid, {0})
            os.sched_setaffinity(0, {1})
        server.load(workload, _WARM_UP_S, connections=CLIENTS)
        for kind in kinds:
            pairs = [(span(server, workload, None), span(server, workload, kind)) for _ in range(PAIRS)]
            medians = [
                [statistics.median(getattr(pair[side], name) for pair in pairs) for side in (0, 1)]
                for name in ("p99_ms", "p99_server_ms", "posts_per_s")
            ]
            sent = sum(pair[1].sent_bytes for pair in pairs)
            grown = [sum(pair[side].grown_mb for pair in pairs) for side in (0, 1)]
            told = {"p99": medians[0], "p99OfCpu": medians[1], "posts": medians[2]}
            numbers[kind] = {**told, "sent": sent, "grownMb": grown}
            cells = [f"{value:.1f}" for alone, beside in medians[:2] for value in (alone, beside, beside / alone)]
            cells += [f"{value:,.0f}" for value in (*medians[2], *grown)]
            table.add_row(kind, *cells, f"{sent / 2**20:,.1f}")
    return table, numbers


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.door", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--only", choices=ATTACKS, nargs="+", help="of the attacks; all by default")
    parser.add_argument("--attack", choices=ATTACKS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        attack(given.port, ATTACKS[given.attack], reads="behind" in given.attack)
        return
    console = plain_console(width=120)
    with tempfile.TemporaryDirectory(prefix="livecomments-bench-") as directory:
        table, numbers = run(Path(directory), given.only or list(ATTACKS))
    console.print(table, f"load average {numbers['loadAverage']} on {os.cpu_count()} cores")
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
