"""Fills the log so that every partition holds whole windows of keyed comments, and measures what that costs at a start.

A gateway, an edge and the stream job read a window of each of their partitions before they serve.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from rich.table import Table

from chaos.pulse import stored_of
from infra.local.apps import App
from infra.local.errors import ServerUnavailable
from infra.local.stack import Stack
from livecomments.log.topics import comments_topic
from livecomments_command.settings import ToolSettings
from livecomments_schemas.events import Author, NewRecord, comment_created
from livecomments_schemas.partitions import partition_of

_BATCH_BYTES: Final = 512 * 1024
_READY_TIMEOUT_S: Final = 600.0
_TEXT: Final = "A comment of about the length that comments have, and a few words more."
_AUTHORS: Final = [Author(f"guest-{n:016x}", f"Guest {n}") for n in range(200)]


class Start(NamedTuple):
    """What a start took. `rss_mb`: resident when ready; `cpu_s`: of the process until then."""

    kind: str
    ready_s: float
    cpu_s: float
    rss_mb: float


async def fill(settings: ToolSettings, records: int, say: Callable[[str], None]) -> None:
    """Append so many keyed comments to every partition."""
    from livecomments_command.assembly.kafka import kafka_connection, newest_comments, topic_name

    async with newest_comments(settings) as log:
        topic, partitions = topic_name(settings, comments_topic(log.epoch)), log.partition_count
    producer = AIOKafkaProducer(**kafka_connection(settings).options(), acks="all", max_batch_size=_BATCH_BYTES)
    await producer.start()
    began = time.monotonic()
    try:
        for number in range(partitions):
            await _fill_one(producer, topic, number, partitions, records)
            if number % 16 == 15:
                say(f"{(number + 1) * records:,} records after {time.monotonic() - began:.0f} s")
    finally:
        await producer.stop()


async def until_stored(settings: ToolSettings, say: Callable[[str], None]) -> None:
    """Wait until the store has all that the log has now."""
    from livecomments_command.assembly.cql import cql_store
    from livecomments_command.assembly.kafka import newest_comments

    async with newest_comments(settings) as log, cql_store(settings) as store:
        first = now = await stored_of(log, store)
        said_at = now.at
        while now.stored < first.end:
            await asyncio.sleep(0.2)
            now = await stored_of(log, store)
            if now.at - said_at > 20:
                rate = (now.stored - first.stored) / (now.at - first.at)
                say(f"{now.stored:,} of {now.end:,} records stored, {rate:,.0f} a second")
                said_at = now.at


def measure(stack: Stack) -> Iterator[Start]:
    """Start each process again, alone, and measure it."""
    for app in stack.apps:
        app.stop()
    for app in (stack.gateway, stack.edges[0], stack.stream):
        began = time.monotonic()
        app.start()
        app.wait_ready(_READY_TIMEOUT_S)
        ready_s = time.monotonic() - began
        yield _start_of(app, app.kind, ready_s)
        if app is not stack.stream:
            app.stop()


def table(starts: list[Start], title: str) -> Table:
    """Draw it for people."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("process")
    for name in ("ready after s", "CPU s", "memory MB"):
        shown.add_column(name, justify="right")
    for each in starts:
        shown.add_row(each.kind, f"{each.ready_s:.1f}", f"{each.cpu_s:.1f}", f"{each.rss_mb:.0f}")
    return shown


async def _fill_one(producer: Any, topic: str, number: int, partitions: int, records: int) -> None:
    video_id = next(name for n in count() if partition_of(name := f"fill-{n}", partitions) == number)
    batch = producer.create_batch()
    sent = []
    for n in range(records):
        record = comment_created(
            video_id,
            f"{_TEXT} {n}",
            _AUTHORS[n % len(_AUTHORS)],
            created_at_ms=time.time_ns() // 1_000_000,
            key=f"fill-{time.monotonic_ns():x}-{n}",
        )
        if not _add(batch, record):
            batch.close()
            sent.append(await producer.send_batch(batch, topic, partition=number))
            batch = producer.create_batch()
            _add(batch, record)
    batch.close()
    sent.append(await producer.send_batch(batch, topic, partition=number))
    await asyncio.gather(*sent)


def _add(batch: Any, record: NewRecord) -> bool:
    headers = list(record.headers.items())
    return batch.append(key=record.key, value=record.value, timestamp=None, headers=headers) is not None


def _start_of(app: App, kind: str, ready_s: float) -> Start:
    if app.pid is None:
        raise ServerUnavailable(f"{kind} ended; see {app.log_file}.")
    status = Path(f"/proc/{app.pid}/status").read_text()
    resident_kb = int(status.partition("VmRSS:")[2].split()[0])
    times = Path(f"/proc/{app.pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(times[11]) + int(times[12])
    return Start(kind, ready_s, ticks / 100, resident_kb / 1024)
