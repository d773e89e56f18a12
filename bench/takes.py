"""`python -m bench.takes`: how long the first request for a partition waits, and what others notice meanwhile.

Each partition of a topic on a real Kafka holds a whole window of keyed comments, and a little more. A gateway and an
edge follow what they are asked for. While others post to one partition, each of the rest gets its first POST at the
gateway, and its first viewer at the edge, one after the other. Beside it: what those who post notice when nothing is
taken on.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table
from bench.persist_stack import new_keyspace
from bench.post import issued, load_client, requests
from bench.stand import environment
from infra.local.apps import App
from infra.local.epochs import own_epoch
from infra.local.servers import CassandraServer, running
from livecomments.kafka.log import KafkaLog
from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.partitions import partition_of

_ONLY_ASKED: Final = {"FOLLOW": "auto", "FOLLOW_RECORDS_PER_S_MAX": "0.001"}
_AT_ONCE: Final = 2_000
"""Comments appended together while the partitions are filled."""
_CONNECTIONS: Final = 16
_REST_S: Final = 0.2
"""Between two first requests."""
_AUTHOR: Final = Author("user-0", "Ana Lyst")

Ask = Callable[[str], tuple[bytes, bytes]]
"""Given a video: the request for it, and up to what its answer is waited for."""


class Plan(NamedTuple):
    """What is measured."""

    partitions: int = 33
    records: int = DEDUPE_WINDOW_RECORDS + 1_024
    """In each of them: what is read back when it is taken on."""
    rate: float = 300.0
    """POSTs a second to the first partition meanwhile."""
    cql: str = ""
    """Contact points of the gateway's store; one is started by default."""


class Row(NamedTuple):
    """The first requests for a partition."""

    what: str
    asked: int
    p50_ms: float
    p99_ms: float
    """The longest, where there are fewer than a hundred."""
    others_p99_ms: float
    """Of POSTs to another partition meanwhile; of POSTs while nothing was taken on, `others_alone_ms`."""
    others_alone_ms: float
    failed: int
    """First requests and others that were not answered as asked."""


async def measure(plan: Plan, kafka: str, directory: Path, pinned: bool) -> Outcome:
    """Fill the partitions, then ask for each of them."""
    topics = await own_epoch(kafka, plan.partitions)
    videos = videos_of(plan.partitions)
    async with AsyncExitStack() as stack:
        cql = plan.cql
        if not cql:
            store = CassandraServer(directory / "cassandra")
            await asyncio.to_thread(stack.enter_context, running(store))
            cql = store.address
        log = await stack.enter_async_context(KafkaLog(kafka, topics.topic, topics.number))
        for number, video in enumerate(videos):
            await _fill(log, number, video, plan.records)
        keyspace = await asyncio.to_thread(new_keyspace, cql)
        settings = {**_ONLY_ASKED, "CQL": cql, "CQL_KEYSPACE": keyspace}
        of_gateway = {**settings, **issued()}
        gateway = App("gateway", "gateway", directory / "gateway", lambda: environment(topics, of_gateway))
        edge = App("edge", "edge", directory / "edge", lambda: environment(topics, settings))
        for app in (gateway, edge):
            await asyncio.to_thread(stack.enter_context, running(app))
        load = _Load(gateway, videos[0], plan.rate, directory)
        await load.run(1.0)
        alone = await load.run(plan.partitions * _REST_S)
        rows = []
        for what, app, ask in (("POST", gateway, _post), ("viewer", edge, _view)):
            others = asyncio.create_task(load.run(plan.partitions * _REST_S * 2))
            waits = [await _first(ask, app, video) for video in videos[1:]]
            met = await others
            good = sorted(wait for wait in waits if wait is not None)
            failed = len(waits) - len(good) + met.failed + alone.failed
            rows.append(Row(what, len(waits), _at(good, 0.5), _at(good, 0.99), met.p99_ms, alone.p99_ms, failed))
    return _outcome(rows, plan)


def videos_of(partitions: int) -> list[str]:
    """Return a video of each partition, in their order."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        found.setdefault(partition_of(f"v-{number}", partitions), f"v-{number}")
        number += 1
    return [found[partition] for partition in range(partitions)]


class _Met(NamedTuple):
    p99_ms: float
    failed: int


class _Load:
    """POSTs to one video, evenly."""

    def __init__(self, gateway: App, video: str, rate: float, room: Path) -> None:
        self._port, self._pid, self._rate = gateway.ports["client"], gateway.pid, rate
        self._workload = room / "requests"
        self._workload.write_bytes(requests([video] * 100))
        self._client = load_client()

    async def run(self, seconds: float) -> _Met:
        """Post for a time."""
        own = [self._client, self._port, _CONNECTIONS, seconds, 10**9, self._workload, self._pid, self._rate]
        posting = await asyncio.create_subprocess_exec(*map(str, own), stdout=asyncio.subprocess.PIPE)
        told = json.loads((await posting.communicate())[0])
        return _Met(told["p99_us"] / 1_000, told["refused"])


async def _fill(log: KafkaLog, partition: int, video: str, records: int) -> None:
    now_ms = int(time.time() * 1_000)
    for start in range(0, records, _AT_ONCE):
        numbers = range(start, min(records, start + _AT_ONCE))
        made = [
            comment_created(video, "what a goal", _AUTHOR, created_at_ms=now_ms, key=f"fill-{number}")
            for number in numbers
        ]
        await asyncio.gather(*(log.append(partition, record) for record in made))


async def _first(ask: Ask, app: App, video: str) -> float | None:
    """Return how long it took to be answered, in milliseconds; None if it was not answered as asked."""
    await asyncio.sleep(_REST_S)
    host, _, port = app.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        request, served = ask(video)
        since = time.perf_counter()
        writer.write(request)
        await reader.readuntil(served)
        return (time.perf_counter() - since) * 1_000
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    finally:
        writer.close()


def _post(video: str) -> tuple[bytes, bytes]:
    request = requests([video])[4:].replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    return request, b'"commentId"'


def _view(video: str) -> tuple[bytes, bytes]:
    return f"GET /comments/{video}/stream?history=1 HTTP/1.1\r\nHost: h\r\n\r\n".encode(), b"event: comment"


def _at(waits: Sequence[float], share: float) -> float:
    return waits[min(len(waits) - 1, int(len(waits) * share))] if waits else 0.0


def _outcome(rows: Sequence[Row], plan: Plan) -> Outcome:
    title = f"The first request for a partition of {plan.records:,} keyed comments, {plan.rate:,.0f} POSTs/s beside"
    shown = table(title, "first", "count", "p50 ms", "p99 ms", "others p99 ms", "without", "ratio", "failed")
    for row in rows:
        waits = [f"{row.asked}", f"{row.p50_ms:,.0f}", f"{row.p99_ms:,.0f}"]
        others = [f"{row.others_p99_ms:,.0f}", f"{row.others_alone_ms:,.0f}"]
        ratio = over(row.others_p99_ms, row.others_alone_ms)
        shown.add_row(row.what, *waits, *others, f"{ratio:.2f}", f"{row.failed}")
    bars = [Bar("first", row.what, row.p50_ms, row.p99_ms, f"{row.p50_ms:.0f} ms") for row in rows]
    return Outcome([shown], {"rows": [row._asdict() for row in rows]}, chart("Until it is answered, ms.", bars))


if __name__ == "__main__":
    command("takes", __doc__, Plan(), measure, pinned=False)
