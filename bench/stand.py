"""The stand: a real Kafka, a real edge process, comments appended to the log, and a crowd of viewers on the edge.

The edge has one core and all else the other, where there are two: a process that is not measured costs it nothing.
There is no CQL server unless one is given: what is asked for lies in the edge's tail, and the tables say when not.
"""

import asyncio
import json
import os
import random
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Final, NamedTuple

from bench.viewers import Crowd, Saw
from infra.local.apps import App
from infra.local.epochs import OwnEpoch, own_epoch
from infra.local.servers import KafkaServer, running
from livecomments.kafka.log import KafkaLog
from livecomments_loadtest.chat import CHAT
from livecomments_schemas.events import Author, NewRecord, comment_created
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at

PARTITIONS: Final = 64
SETTLED_S: Final = 2.0
"""Seconds waited behind the last comment, or a crowd that came or left: what was on its way has arrived by then."""
NO_CQL: Final = "127.0.0.1:9"
_FEED_STEP_S: Final = 0.002
_SETTLE_TIMEOUT_S: Final = 60.0
_SETTLE_STEP_S: Final = 0.05
_TICK_S: Final = 0.6
"""Longer than the edge takes to publish its counts."""


class Text(NamedTuple):
    """One comment of a chat."""

    author: Author
    message: str


def real_chat() -> Iterator[Text]:
    """Yield real texts, without an end."""
    lines = [json.loads(line) for line in CHAT.read_text().splitlines()]
    names = {line["author"]: f"guest-{random.Random(line['author']).getrandbits(64):016x}" for line in lines}
    return cycle([Text(Author(names[line["author"]], line["author"]), line["message"]) for line in lines])


def sized_chat(size: int) -> Iterator[Text]:
    """Yield real words, cut so that an event on the wire has about `size` bytes."""
    words = " ".join(text.message for text, _ in zip(real_chat(), range(3_000), strict=False) if text.message.isascii())
    around = 245  # names, ids and times
    texts = [words[at : at + size - around] for at in range(0, len(words) - size, size - around)]
    return cycle([Text(Author("guest-0123456789abcdef", "viewer-0001"), text) for text in texts])


class Stand:
    """What `standing` has set up."""

    def __init__(
        self, topics: OwnEpoch, log: KafkaLog, edge: App, crowd: Crowd, zero_ms: int, cpus: frozenset[int]
    ) -> None:
        self.topics = topics
        self.log = log
        self.edge = edge
        self.crowd = crowd
        self.cpus = cpus
        """Cores that the edge may use."""
        self.appended = 0
        """Comments appended so far."""
        self.zero_ms = zero_ms
        """What `videoTimeMs` counts from, Unix time."""

    def comment(self, video_id: str, text: Text) -> NewRecord:
        """Return the record of a comment that is written now."""
        return comment_created(
            video_id,
            text.message,
            text.author,
            created_at_ms=int(time.time() * 1000),
            video_time_ms=self.video_time_ms(),
        )

    def video_time_ms(self) -> int:
        """Return what a comment carries that is written now, by which viewers know its age."""
        return int(time.time() * 1000) - self.zero_ms

    async def feed(self, videos: Sequence[str], rate: float, seconds: float, texts: Iterator[Text]) -> int:
        """Append comments at random moments, `rate` a second over all videos; returns when all are acknowledged."""
        chance, loop = random.Random(1), asyncio.get_running_loop()
        began, due, count = loop.time(), 0.0, 0
        async with asyncio.TaskGroup() as appends:
            while (passed := loop.time() - began) < seconds:
                while due <= passed:
                    appends.create_task(self._append(videos[chance.randrange(len(videos))], next(texts)))
                    due += chance.expovariate(rate)
                    count += 1
                await asyncio.sleep(_FEED_STEP_S)
        return count

    async def settle(self, group: int, video_id: str) -> Saw:
        """Return what the group saw, once all its viewers that are read have the newest comment of their one video."""
        newest = await self.newest(video_id)
        saw = await self.crowd.saw(group)
        async with asyncio.timeout(_SETTLE_TIMEOUT_S):
            while saw.offset_min < newest:
                await asyncio.sleep(_SETTLE_STEP_S)
                saw = saw.and_then(await self.crowd.saw(group))
        return saw

    def environment(self) -> dict[str, str]:
        """Return what another process of the same deployment runs with."""
        return environment(self.topics, {})

    async def newest(self, video_id: str) -> int:
        """Return the offset of the last record of a video that has a partition to itself."""
        partition = partition_of(video_id, self.log.partition_count)
        return (await self.log.bounds([partition]))[partition].end - 1

    async def append(self, video_id: str) -> str:
        """Append one comment, and return its id."""
        partition = partition_of(video_id, self.log.partition_count)
        offset = await self.log.append(partition, self.comment(video_id, next(real_chat())))
        return comment_id(position_at(self.topics.number, offset), partition)

    def cpu_s(self) -> float:
        """Return what the edge has used."""
        return cpu_s(self.edge)

    def rss_bytes(self) -> int:
        """Memory of the edge."""
        return rss_bytes(self.edge)

    async def counts(self) -> dict[str, float]:
        """Return the edge's counters, after a tick, by name and labels as they are exposed."""
        await asyncio.sleep(_TICK_S)
        return await asyncio.to_thread(metrics, self.edge)

    async def _append(self, video_id: str, text: Text) -> None:
        await self.log.append(partition_of(video_id, self.log.partition_count), self.comment(video_id, text))
        self.appended += 1


@asynccontextmanager
async def standing(
    directory: Path, kafka: str, *, partitions: int = PARTITIONS, pinned: bool = False, **settings: str
) -> AsyncIterator[Stand]:
    """Run an edge on a new topic of this Kafka, with these settings, and viewers for it."""
    topics = await own_epoch(kafka, partitions)
    zero_ms = int(time.time() * 1000)
    edge = App("edge", "edge", directory / f"edge-{topics.number}", lambda: environment(topics, settings))
    here = os.sched_getaffinity(0)
    cpus = frozenset([min(set(range(os.cpu_count() or 1)) - here)]) if pinned else frozenset(here)
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, running(edge))
        pin(edge, cpus)
        log = await stack.enter_async_context(KafkaLog(kafka, topics.topic, topics.number))
        crowd = await stack.enter_async_context(Crowd.running(edge.address, zero_ms))
        yield Stand(topics, log, edge, crowd, zero_ms, cpus)


def environment(topics: OwnEpoch, settings: Mapping[str, str]) -> dict[str, str]:
    """Return a process's environment: ours without settings of livecomments, and with these."""
    ours = {"KAFKA": topics.kafka, "CQL": NO_CQL, "REPLICAS": "1", "TOPIC_PREFIX": topics.prefix, **settings}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIVECOMMENTS_")}
    return inherited | {f"LIVECOMMENTS_{name}": value for name, value in ours.items()}


@asynccontextmanager
async def broker(directory: Path, kafka: str | None) -> AsyncIterator[str]:
    """Give the address of the Kafka given, or of one started for the run."""
    if kafka is not None:
        yield kafka
        return
    async with AsyncExitStack() as stack:
        server = await asyncio.to_thread(stack.enter_context, running(KafkaServer(directory / "kafka")))
        yield server.address


def stay_off_one_core() -> bool:
    """Keep this process and what it starts off the core of the edge; return whether there is another."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        os.sched_setaffinity(0, cpus[1:])
    return len(cpus) > 1


def pin(app: App, cpus: frozenset[int]) -> None:
    """Hold all threads of a process to these CPUs."""
    for thread in Path(f"/proc/{app.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cpus)


def cpu_s(app: App) -> float:
    """Return what a process has used, all threads and the kernel's work for it included."""
    assert app.pid is not None
    return cpu_of(app.pid)


def cpu_of(pid: int) -> float:
    """Return what the process with this id has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(app: App) -> int:
    """Read the resident memory of a process."""
    return int(Path(f"/proc/{app.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def metrics(app: App) -> dict[str, float]:
    """Return a process's metrics, by name and labels as they are exposed."""
    with urllib.request.urlopen(f"http://{app.internal_address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}
