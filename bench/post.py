"""`python -m bench.post`: acknowledged POSTs a second of one gateway process, on a real Kafka and with JWTs checked.

Beside it, in the same run and by the same client, a bare route that only parses the same JSON. One hot video, then a
thousand, of all partitions and of the share that a gateway has which is one of four; each comment has a key and a token
of one of a thousand people. Then a few well-behaved clients alone, and
while others send the corpus of bad input. At last many posts under one video, to see whether memory stays flat. What
counts are the ratios; the load average stands beside them.
"""

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
import orjson
from rich.console import Console
from rich.table import Table

from bench.bad_input import play
from bench.compiled import compiled
from bench.persist_stack import load_average, new_keyspace, servers
from infra.local.epochs import OwnEpoch, own_epoch
from infra.local.ports import claim_ports
from livecomments.runtime.console import plain_console
from livecomments.runtime.shared_settings import share_of
from livecomments_schemas.partitions import partition_of
from tests.corpus.cases import AUDIENCE, ISSUER, SECRET

PARTITIONS: Final = 64
VIDEOS: Final = 1_000
PEOPLE: Final = 1_000
SHARES: Final = 4
"""Gateways behind a router, so many; of the share of one of them are a workload's videos."""
CONNECTIONS: Final = 128
FEW_CONNECTIONS: Final = 4
MEASURED_S: Final = 10.0
WARM_UP_S: Final = 5.0
RSS_SAMPLES: Final = 20
_MESSAGE: Final = "what a goal, unbelievable! " * 4
_KEY_MARK: Final = "@" * 16
"""The client puts a number here that no other request has."""
_CLAIMS: Final = {"iss": ISSUER, "aud": AUDIENCE, "exp": 4_102_444_800}
_HERE: Final = Path(__file__).parent
_START_S: Final = 60.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_MB: Final = os.sysconf("SC_PAGE_SIZE") / 2**20


class Result(NamedTuple):
    """What one server made of one workload."""

    server: str
    posts_per_s: float
    p50_ms: float
    p99_ms: float
    p99_server_ms: float
    """By the CPU that the server used meanwhile, for whomever: what others do on the machine does not move it."""
    cpu_us_per_post: float
    """Of the server's process."""
    core: float
    """Of it, on average."""
    client_core: float
    """What the client took; near 1, it was the limit."""
    refused: int


def of_videos(count: int) -> Iterator[str]:
    """Name the videos of a workload in turn, so often that each person writes."""
    return (f"video-{number % count}" for number in range(max(count, PEOPLE)))


def of_a_share(count: int) -> list[str]:
    """Name so many videos that a router sends to one gateway of `SHARES`: all are of its partitions."""
    share = share_of(f"1/{SHARES}", PARTITIONS)
    named = (f"video-{number}" for number in itertools.count())
    return list(itertools.islice((video for video in named if partition_of(video, PARTITIONS) in share), count))


def requests(videos: Iterable[str]) -> bytes:
    """Prepare a request for each of these videos, as post_load.c reads them."""
    said = [{**_CLAIMS, "sub": f"user-{number}", "name": "Ana Lyst"} for number in range(PEOPLE)]
    tokens = [jwt.encode(claims, SECRET, "HS256") for claims in said]
    body = orjson.dumps({"message": _MESSAGE, "videoTimeMs": 61_500})
    packed = bytearray()
    for number, video in enumerate(videos):
        lines = [
            f"POST /comments/{video} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {tokens[number % PEOPLE]}",
            f"Idempotency-Key: {_KEY_MARK}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        request = "\r\n".join([*lines, "", ""]).encode() + body
        packed += len(request).to_bytes(4, "little") + request
    return bytes(packed)


class Server:
    """A process under load."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes], client: Path) -> None:
        self.name = name
        self.process = process
        self.port = port
        self._client = client

    def load(self, workload: Path, seconds: float, *, count: int = 10**9, connections: int = CONNECTIONS) -> Result:
        """Load it for a time, or with so many posts; blocking."""
        command = [str(self._client), str(self.port), str(connections), str(seconds), str(count), str(workload)]
        command.append(str(self.process.pid))
        cpu = self.cpu_s()
        told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        cpu, took = self.cpu_s() - cpu, told["seconds"]
        return Result(
            self.name,
            told["done"] / took,
            told["p50_us"] / 1_000,
            told["p99_us"] / 1_000,
            told["p99_server_us"] / 1_000,
            cpu / max(1, told["done"]) * 1e6,
            cpu / took,
            told["cpu_s"] / took,
            told["refused"],
        )

    def cpu_s(self) -> float:
        """Return the seconds of CPU so far."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def rss_mb(self) -> float:
        """Read the memory of now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE_MB


@contextmanager
def serving(
    name: str, command: list[str], environ: dict[str, str], port: int, ready: str, room: Path
) -> Iterator[Server]:
    """Run a server as a process of its own, from when the URL `ready` answers."""
    with (room / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", *command], env=environ, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_S
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((room / f"{name}.log").read_text()[-2_000:])
            time.sleep(0.1)
        yield Server(name, port, process, load_client())
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except urllib.error.HTTPError as error:
        return bool(error.code == 404)  # the bare route knows no other path
    except OSError:
        return False


def load_client() -> Path:
    """Return the program that posts, compiled if need be; blocking. Raises SystemExit: there is no compiler."""
    return compiled(_HERE / "post_load.c")


def issued() -> dict[str, str]:
    """Return the settings of a gateway that takes the tokens of `requests`."""
    return {"SESSION_SECRET": SECRET, "JWT_SECRET": SECRET, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}


def environment(topics: OwnEpoch, cql: str, internal_port: int) -> dict[str, str]:
    """Return the gateway's environment: its defaults, but for addresses."""
    own = {
        "KAFKA": topics.kafka,
        "CQL": cql,
        "CQL_KEYSPACE": new_keyspace(cql),
        "REPLICAS": "1",
        "TOPIC_PREFIX": topics.prefix,
        "INTERNAL_PORT": str(internal_port),
        **issued(),
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LIVECOMMENTS_")}
    return environ | {f"LIVECOMMENTS_{name}": str(value) for name, value in own.items()}


def memory(gateway: Server, workload: Path, posts: int) -> list[tuple[int, float]]:
    """Sample `(posts, MB)` as the posts go on."""
    curve = [(0, gateway.rss_mb())]
    for number in range(1, RSS_SAMPLES + 1):
        gateway.load(workload, 3_600, count=posts // RSS_SAMPLES)
        curve.append((number * posts // RSS_SAMPLES, gateway.rss_mb()))
    return curve


async def beside_bad_input(gateway: Server, workload: Path) -> dict[str, Any]:
    """Measure the p99 of a few good clients, alone and while the corpus is played; how often it was answered what."""

    def load() -> Result:
        return gateway.load(workload, MEASURED_S, connections=FEW_CONNECTIONS)

    alone = await asyncio.to_thread(load)
    session = jwt.encode({**_CLAIMS, "sub": "corpus"}, SECRET, "HS256")
    statuses, beside = await asyncio.gather(play(gateway.port, session, MEASURED_S), asyncio.to_thread(load))
    return {"alone": alone.p99_ms, "beside": beside.p99_ms, "refused": beside.refused, "statuses": dict(statuses)}


def run(kafka: str, cql: str, room: Path, posts: int, console: Console) -> dict[str, Any]:
    """Run each workload on both servers in turn, then the curve of memory; last the gateway that has a share."""
    topics = asyncio.run(own_epoch(kafka, PARTITIONS))
    ports = claim_ports(room, {"gateway": None, "internal": None, "bare": None})
    environ = environment(topics, cql, ports["internal"])
    report: dict[str, Any] = {"loadAverage": [load_average()]}
    urls = {name: f"http://127.0.0.1:{port}/" for name, port in ports.items()}
    bare_command = ["uvicorn", "bench.bare_route:app", "--no-access-log", "--log-level=warning"]
    bare_command += ["--loop=uvloop", f"--port={ports['bare']}"]
    command = ["livecomments_command", "gateway", f"--port={ports['gateway']}"]
    ready = urls["internal"] + "healthz/ready"

    def compare(title: str, videos: Iterable[str], workload: Path, *compared: Server) -> None:
        workload.write_bytes(requests(videos))
        for server in compared:
            server.load(workload, 3_600, count=2 * VIDEOS)  # until each video is known
            server.load(workload, WARM_UP_S)
        results = [server.load(workload, MEASURED_S) for server in compared]
        report[title] = [result._asdict() for result in results]
        report["loadAverage"].append(load_average())
        console.print(_table(title, results), f"load average {load_average()} on {os.cpu_count()} cores\n")

    hot = room / "hot.requests"
    with serving("bare", bare_command, environ, ports["bare"], urls["bare"], room) as bare:
        with serving("gateway", command, environ, ports["gateway"], ready, room) as gateway:
            compare("one hot video", of_videos(1), hot, bare, gateway)
            compare(f"{VIDEOS:,} videos", of_videos(VIDEOS), room / "many.requests", bare, gateway)
            report["badInput"] = found = asyncio.run(beside_bad_input(gateway, hot))
            alone, beside, statuses = found["alone"], found["beside"], found["statuses"]
            console.print(
                f"{FEW_CONNECTIONS} well-behaved clients: p99 {alone:.1f} ms alone, {beside:.1f} ms "
                f"({beside / alone:.2f} ×) beside {sum(statuses.values()):,} requests of the corpus, "
                f"answered {statuses}\n"
            )
            curve = memory(gateway, hot, posts)
            report["memory"] = curve
            shown = " ".join(f"{mb:.0f}" for _, mb in curve)
            console.print(f"memory over {posts:,} posts under one video, MB: {shown}")
        of_share = {**environ, "LIVECOMMENTS_FOLLOW": f"1/{SHARES}"}
        with serving("gateway of a share", command, of_share, ports["gateway"], ready, room) as gateway:
            title = f"{VIDEOS:,} videos of a share, {PARTITIONS // SHARES} of {PARTITIONS} partitions"
            compare(title, of_a_share(VIDEOS), room / "share.requests", bare, gateway)
    return report


def _table(workload: str, results: list[Result]) -> Table:
    table = Table(title=workload, title_justify="left")
    for head in ("server", "posts/s", "p50 ms", "p99 ms", "CPU µs a post", "× bare", "core", "client core", "refused"):
        table.add_column(head, justify="left" if head == "server" else "right")
    for one in results:
        ratio = one.cpu_us_per_post / results[0].cpu_us_per_post
        shown = [f"{one.posts_per_s:,.0f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.cpu_us_per_post:,.0f}"]
        table.add_row(one.server, *shown, f"{ratio:.2f}", f"{one.core:.2f}", f"{one.client_core:.2f}", f"{one.refused}")
    return table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.post", description=__doc__)
    parser.add_argument("--posts", type=int, default=100_000, help="for the curve of memory")
    parser.add_argument("--kafka", help="bootstrap servers; one is started by default")
    parser.add_argument("--cql", help="contact points; one is started by default")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    given = parser.parse_args()
    console = plain_console(width=120)
    with servers(given.kafka, given.cql) as (kafka, cql, directory):
        report = run(kafka, cql, directory, given.posts, console)
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
