"""`python -m bench.persist`: rows a second of one worker on a real Kafka and a real CQL store.

Three ways through the same records, one after the other in the same run: the worker as it is (Faust), the same job fed
by a bare consumer (what Faust costs), and a bare loop of consumer and the same writer (what judging, windows and
watermarks cost). One hot video, then a thousand. The bare loop comes before and after the worker, since the servers get
faster all the while; what counts are the ratios to the better of the two. The load average stands beside them.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from bench.persist_stack import DATACENTER, load_average, new_keyspace, servers
from infra.local.epochs import OwnEpoch, own_epoch
from infra.local.ports import claim_ports
from livecomments.cql.store import CqlStore
from livecomments.kafka.log import KafkaLog
from livecomments.runtime.console import plain_console
from livecomments.store.interface import Row
from livecomments_schemas.events import Author, NewRecord, Record, comment_created
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import position_at
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.job import Job

PARTITIONS: Final = 16
TAKE: Final = 1_000
TAKES_MEASURED: Final = (500, 5_000)
"""Of the bare loop over many videos: the lever is how many rows one write joins."""
_MESSAGE: Final = "what a goal, unbelievable! " * 4
_TAKEN: Final = "livecomments_stream_records_total"
_POLL_S: Final = 0.1
_TIMEOUT_S: Final = 600.0
_AT_ONCE: Final = 2_000
_FETCH_WAIT_MS: Final = 100
"""As the worker's: aiokafka's default of 500 leaves a loop over one hot video waiting for the quiet partitions."""


class Result(NamedTuple):
    """One way through the records."""

    way: str
    take: float
    """Records a take."""
    rows_per_s: float
    cpu_us_per_row: float
    """Of the worker's process."""
    in_writes: float
    """Share of the wall time in which a write was awaited; more than 1 when several were."""


def comments(videos: int, count: int) -> Iterator[NewRecord]:
    """Make comments as chat is: some 300 bytes, a third with an idempotency key."""
    for number in range(count):
        author = Author(f"user-{number % 500}", "Ana Lyst")
        key = f"key-{number}" if number % 3 == 0 else None
        yield comment_created(f"video-{number % videos}", _MESSAGE, author, created_at_ms=1_700_000_000_000, key=key)


async def fill(log: KafkaLog, videos: int, count: int) -> None:
    """Append the comments."""
    waiting: list[Awaitable[int]] = []
    for record in comments(videos, count):
        waiting.append(log.append(partition_of(record.key.decode(), PARTITIONS), record))
        if len(waiting) == _AT_ONCE:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)


class TimedStore(CqlStore):
    """Knows how long its writes took."""

    write_s = 0.0

    async def write(self, rows: Any) -> None:
        since = time.perf_counter()
        await super().write(rows)
        self.write_s += time.perf_counter() - since


async def bare(kafka: str, topic: str, count: int, take: int, then: Callable[[list[Record]], Awaitable[None]]) -> int:
    """Consume `count` records of all partitions with nothing around it; return how many fetches brought them."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        await consumer.seek_to_beginning()
        takes = taken = 0
        while taken < count:
            found = await consumer.getmany(timeout_ms=1_000, max_records=take)
            records = [_record(one) for of_partition in found.values() for one in of_partition]
            if records:
                await then(records)
                takes, taken = takes + 1, taken + len(records)
        return takes
    finally:
        await consumer.stop()


def _record(found: Any) -> Record:
    return Record(found.partition, found.offset, found.key, found.value, dict(found.headers), found.timestamp)


async def measure_bare(topics: OwnEpoch, cql: str, count: int, take: int, *, as_job: bool) -> Result:
    """Run the bare loop; with `as_job` through the stream job's persisters, else straight into the writer."""
    keyspace, topic, epoch = await asyncio.to_thread(new_keyspace, cql), topics.topic, topics.number
    store = TimedStore(cql, keyspace=keyspace, datacenter=DATACENTER)
    async with KafkaLog(topics.kafka, topic, epoch) as log, store:
        job = Job(log, store, DeadLetters(log, topic))

        async def write(records: list[Record]) -> None:
            await store.write(
                [
                    Row(key.decode(), position_at(epoch, offset), headers["type"], "author", value, at_ms)
                    for _, offset, key, value, headers, at_ms in records
                    if key is not None and value is not None
                ]
            )

        since, cpu = time.perf_counter(), time.process_time()
        takes = await bare(topics.kafka, topic, count, take, job.take if as_job else write)
        wall, cpu = time.perf_counter() - since, time.process_time() - cpu
    way = "job without Faust" if as_job else "bare loop"
    return Result(way, count / takes, count / wall, cpu / count * 1e6, store.write_s / wall)


def measure_worker(topics: OwnEpoch, cql: str, count: int, directory: Path) -> Result:
    """Measure `livecomments stream`, from its first take to its last; blocking. A take counts when it is judged."""
    keyspace = new_keyspace(cql)
    room = directory / keyspace
    port = claim_ports(room, {"internal": None})["internal"]
    own = {
        "KAFKA": topics.kafka,
        "CQL": cql,
        "CQL_KEYSPACE": keyspace,
        "REPLICAS": "1",
        "TOPIC_PREFIX": topics.prefix,
        "GROUP": keyspace,
        "INTERNAL_PORT": str(port),
        "DATA_DIR": str(room),
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LIVECOMMENTS_")}
    environ |= {f"LIVECOMMENTS_{name}": value for name, value in own.items()}
    said = room / "log"
    with said.open("wb") as log:
        command = [sys.executable, "-m", "livecomments_command", "stream"]
        worker = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        first: tuple[float, dict[str, float]] | None = None
        deadline = time.perf_counter() + _TIMEOUT_S
        while time.perf_counter() < deadline and worker.poll() is None:
            time.sleep(_POLL_S)
            found = _metrics(port)
            taken = found.get(_TAKEN, 0.0)
            if first is None and taken:
                first = time.perf_counter(), found
            if first is not None and taken >= count:
                return _result(first[1], found, time.perf_counter() - first[0])
        raise RuntimeError(said.read_text()[-2_000:])
    finally:
        worker.kill()
        worker.wait()


def _result(first: dict[str, float], last: dict[str, float], wall: float) -> Result:
    def grown(name: str) -> float:
        return last.get(name, 0.0) - first.get(name, 0.0)

    rows = grown(_TAKEN)
    takes = grown("livecomments_stream_take_records_count") or 1.0
    cpu = grown("process_cpu_seconds_total")
    writes = grown("livecomments_stream_write_seconds_sum")
    return Result("worker (Faust)", rows / takes, rows / wall, cpu / rows * 1e6, writes / wall)


def _metrics(port: int) -> dict[str, float]:
    """Return the process's metrics, summed over their labels."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found: dict[str, float] = {}
    for name, value in re.findall(r"^([a-z_]+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0.0) + float(value)
    return found


async def run(kafka: str, cql: str, directory: Path, count: int, console: Console) -> dict[str, Any]:
    """Run both workloads, all ways."""
    report: dict[str, Any] = {"records": count, "partitions": PARTITIONS, "loadAverage": [load_average()]}
    for workload, videos in (("one hot video", 1), ("1,000 videos", 1_000)):
        topics = await own_epoch(kafka, PARTITIONS)
        async with KafkaLog(kafka, topics.topic, topics.number) as log:
            await fill(log, videos, count)
        await measure_bare(topics, cql, count, TAKE, as_job=False)  # warms up both servers
        results = [await measure_bare(topics, cql, count, TAKE, as_job=False)]
        results.append(await measure_bare(topics, cql, count, TAKE, as_job=True))
        results.append(await asyncio.to_thread(measure_worker, topics, cql, count, directory))
        results.append(await measure_bare(topics, cql, count, TAKE, as_job=False))
        if videos > 1:
            results += [await measure_bare(topics, cql, count, take, as_job=False) for take in TAKES_MEASURED]
        report[workload] = [result._asdict() for result in results]
        report["loadAverage"].append(load_average())
        console.print(_table(workload, results), f"load average {load_average()} on {os.cpu_count()} cores\n")
    return report


def _table(workload: str, results: list[Result]) -> Table:
    table = Table(title=workload, title_justify="left")
    for head in ("way", "records a take", "rows/s", "× bare loop", "CPU µs a row", "awaiting writes"):
        table.add_column(head, justify="left" if head == "way" else "right")
    best = max(results[0].rows_per_s, results[3].rows_per_s)
    for one in results:
        ratio = one.rows_per_s / best
        shown = (f"{one.take:,.0f}", f"{one.rows_per_s:,.0f}", f"{ratio:.2f}", f"{one.cpu_us_per_row:,.0f}")
        table.add_row(one.way, *shown, f"{one.in_writes:.0%}")
    return table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.persist", description=__doc__)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--kafka", help="bootstrap servers; one is started by default")
    parser.add_argument("--cql", help="contact points; one is started by default")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    given = parser.parse_args()
    console = plain_console(width=120)
    with servers(given.kafka, given.cql) as (kafka, cql, directory):
        report = asyncio.run(run(kafka, cql, directory, given.records, console))
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
