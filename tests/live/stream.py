"""The stream job as processes on a real Kafka and a real CQL store, each test on a topic and a keyspace of its own.

The checker is `differences`: it judges the whole log from its beginning and compares, row for row, with the store.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import GroupCoordinatorNotAvailableError

from infra.local.epochs import OwnEpoch, own_epoch
from infra.local.ports import HOST, free_port
from livecomments.cql.migrations import migrate
from livecomments.cql.store import CqlStore
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import find_topics
from livecomments.log.topics import DEAD_LETTER_TOPIC
from livecomments.runtime.settings import PREFIX
from livecomments.store.interface import Row
from livecomments.store.rows import rows_of
from livecomments_command.settings import StreamSettings, load
from livecomments_schemas.events import Author, NewRecord, Record, comment_created
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position, offset_of
from livecomments_schemas.window import Window
from tests.store.examples import DATACENTER, drop_keyspace, new_keyspace, run_cql

START_S = 60.0
"""Of a worker, until it says that it runs; two cores may be busy with other tests."""
WAIT_S = 60.0
_POLL_S = 0.05
_RUNNER = Path(__file__).with_name("faulty_worker.py")
_CREATED_AT_MS = 1_700_000_000_000


async def until(holds: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str, within_s: float = WAIT_S) -> None:
    """Wait for a condition. Raises TimeoutError that says `what` did not come."""
    deadline = time.monotonic() + within_s
    while not await _held(holds):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(_POLL_S)


async def _held(holds: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> bool:
    found = holds()
    return found if isinstance(found, bool) else await found


def environment_of(values: Mapping[str, str]) -> dict[str, str]:
    """An environment that sets of ours these values alone, by their names without the prefix."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return others | {PREFIX + name: value for name, value in values.items()} | {"PYTHONUNBUFFERED": "1"}


def sentences(stderr: str) -> str:
    """What a process wrote beside its log, and why it did not go on, as people are told it."""
    said = []
    for line in stderr.splitlines():
        if not line.startswith("{"):
            said.append(line)
        elif (told := json.loads(line))["event"] == "does not go on":
            said.append(f"livecomments: {' '.join(told['why'])}")
    return "\n".join(said)


class Worker:
    """A process of the distributed form. Its output goes to files, so that it never waits for a reader."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], directory: Path) -> None:
        directory.mkdir(parents=True)
        self.url = f"http://{HOST}:{environ.get(PREFIX + 'PORT')}"
        """Of a process that has a public port."""
        self.internal_url = f"http://{HOST}:{environ[PREFIX + 'INTERNAL_PORT']}"
        self._out, self._err = directory / "out", directory / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(list(command), env=dict(environ), stdout=out, stderr=err)

    @property
    def said(self) -> str:
        """What it wrote to stderr, as `sentences` says."""
        return sentences(self._err.read_text(errors="replace"))

    @property
    def logged(self) -> str:
        """What it wrote to stderr, the log included."""
        return self._err.read_text(errors="replace")

    def has_logged(self, event: str) -> bool:
        """Whether a line of its log is this event."""
        return f'"event": "{event}"' in self.logged

    async def started(self) -> "Worker":
        """Itself, once it runs in its group."""
        await until(
            lambda: "stream job runs" in self._out.read_text() or self.process.poll() is not None, "start", START_S
        )
        assert self.process.poll() is None, self.logged
        return self

    async def ended(self, within_s: float = WAIT_S) -> int:
        """Its exit code, once it has ended by itself."""
        await until(lambda: self.process.poll() is not None, f"the end of a worker:\n{self.logged[-4_000:]}", within_s)
        assert self.process.returncode is not None
        return self.process.returncode

    async def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        async with aiohttp.ClientSession(self.internal_url) as client, client.get("/metrics") as answer:
            found = re.search(rf"^livecomments_stream_{name} (.+)$", await answer.text(), re.MULTILINE)
        assert found is not None
        return float(found[1])

    async def readiness(self) -> tuple[int, dict[str, bool]]:
        """Status and checks of /healthz/ready."""
        async with aiohttp.ClientSession(self.internal_url) as client, client.get("/healthz/ready") as answer:
            checks: dict[str, bool] = await answer.json()
            return answer.status, checks

    async def is_ready(self) -> bool:
        """Whether it says so; its end fails the test, with its log."""
        assert self.process.poll() is None, self.logged
        try:
            status, _ = await self.readiness()
        except aiohttp.ClientError:
            return False
        return status == 200

    async def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(within_s)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


def process_of(kind: str, values: Mapping[str, str], directory: Path) -> Worker:
    """Start a process of this kind with these settings; its ports must be among them."""
    return Worker([sys.executable, "-m", "livecomments_command", kind], environment_of(values), directory)


@dataclasses.dataclass
class Deployment:
    """A topic, a keyspace and a group, and the workers on them."""

    kafka: str
    cql: str
    own: OwnEpoch
    keyspace: str
    partition_count: int
    directory: Path
    log: KafkaLog
    store: CqlStore
    environ: dict[str, str]
    workers: list[Worker] = dataclasses.field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Its number."""
        return self.own.number

    @property
    def topic(self) -> str:
        """The comments topic."""
        return self.own.topic

    @property
    def group(self) -> str:
        """The consumer group."""
        return self.environ[PREFIX + "GROUP"]

    def start(self, *faults: str, **settings: str) -> Worker:
        """A worker: `livecomments stream`, or with `faults` the same with a store that fails as they say."""
        command = [str(_RUNNER), *faults] if faults else ["-m", "livecomments_command", "stream"]
        environ = {**self.environ, PREFIX + "INTERNAL_PORT": str(free_port())}
        environ |= {PREFIX + name.upper(): value for name, value in settings.items()}
        worker = Worker([sys.executable, *command], environ, self.directory / f"worker-{len(self.workers)}")
        self.workers.append(worker)
        return worker

    async def append(self, records: Iterable[NewRecord]) -> None:
        """Append, each to the partition of its video, in order within each."""
        by_partition: dict[int, list[NewRecord]] = {}
        for record in records:
            by_partition.setdefault(partition_of(record.key.decode(), self.partition_count), []).append(record)
        await asyncio.gather(
            *(self.log.append(number, record) for number, batch in by_partition.items() for record in batch)
        )

    async def append_foreign(
        self,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Mapping[str, bytes],
        *,
        timestamp_ms: int | None = None,
    ) -> int:
        """Append what our own producers never would; returns the offset."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.kafka, max_request_size=2**21, max_batch_size=2**21
        ) as producer:
            batch = producer.create_batch()  # unlike `send`, it takes a record with neither key nor value
            assert batch.append(key=key, value=value, timestamp=timestamp_ms, headers=list(headers.items()))
            placed = await (await producer.send_batch(batch, self.topic, partition=partition))
        return int(placed.offset)

    async def forget_before(self, offsets: Mapping[int, int]) -> None:
        """Let Kafka delete what lies before these offsets, as retention does."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            before = {TopicPartition(self.topic, number): RecordsToDelete(at) for number, at in offsets.items()}
            await admin.delete_records(before)
        finally:
            await admin.close()

    async def committed(self) -> dict[int, int]:
        """What the group has committed, by partition."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(self.group)
        finally:
            await admin.close()
        return {one.partition: at.offset for one, at in found.items() if one.topic == self.topic and at.offset >= 0}

    async def group_state(self) -> str:
        """What Kafka says of the group: Stable, PreparingRebalance, …"""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            async with asyncio.timeout(WAIT_S):
                state = ""
                while not state:  # asked for its first group, a broker has no answer yet
                    with contextlib.suppress(GroupCoordinatorNotAvailableError):
                        state = (await admin.describe_consumer_groups([self.group]))[0].groups[0][2]
                    await asyncio.sleep(_POLL_S)
                return state
        finally:
            await admin.close()

    async def watermarks(self) -> dict[int, int]:
        """The first offset behind each partition's watermark; 0 where none is set."""
        return {number: await self._behind_watermark(number) for number in range(self.partition_count)}

    async def ends(self) -> dict[int, int]:
        """Where each partition ends."""
        return {number: held.end for number, held in (await self.log.bounds(range(self.partition_count))).items()}

    async def is_complete(self) -> bool:
        """Whether every watermark has reached the end of its partition."""
        return await self.watermarks() == await self.ends()

    async def complete(self, within_s: float = WAIT_S) -> None:
        """Wait until every watermark has reached the end of its partition, and compare log and store."""
        try:
            await until(self.is_complete, "the store complete", within_s)
        except TimeoutError as error:
            logs = "\n".join(worker.logged[-3_000:] for worker in self.workers)
            raise AssertionError(f"{await self.watermarks()} of {await self.ends()}\n{logs}") from error
        assert await self.differences() == []

    async def expected(self) -> dict[tuple[str, int], Row]:
        """The rows that the log says, by video and position: judged from its beginning in one go."""
        rows: dict[tuple[str, int], Row] = {}
        for number, (start, end) in (await self.log.bounds(range(self.partition_count))).items():
            window = Window(self.epoch, number, self.partition_count, since=start, whole=True)
            while start < end:
                records, start = await self.log.read(number, start, end, 1_000)
                for record in records:
                    self._expect(record, window, rows)
        return rows

    async def stored(self, keyspace: str | None = None) -> dict[tuple[str, int], Row]:
        """Every row, by video and position; of another keyspace if it is given."""
        rows = await asyncio.to_thread(
            run_cql,
            self.cql,
            "SELECT video_id, position, kind, author_id, value, appended_at_ms, target, deleted "
            f"FROM {keyspace or self.keyspace}.records_by_video",
        )
        return {
            (video_id, position): Row(
                video_id, position, kind.encode(), author, value, at_ms, target or 0, bool(deleted)
            )
            for video_id, position, kind, author, value, at_ms, target, deleted in rows
            if kind is not None
        }

    async def differences(self) -> list[str]:
        """How log and store differ, in either direction, a sentence each; no more than a handful."""
        stored, expected = await self.stored(), await self.expected()
        sentences = [f"{at}: not stored" for at in expected.keys() - stored.keys()]
        sentences += [f"{at}: stored, and nothing says it" for at in stored.keys() - expected.keys()]
        sentences += [
            f"{at}: stored as {stored[at]}, not {expected[at]}"
            for at in stored.keys() & expected.keys()
            if stored[at] != expected[at]
        ]
        return sentences[:5]

    async def ahead(self) -> list[str]:
        """Where a watermark says more than the store holds, a sentence each. Exact only while no worker runs."""
        stored, expected, behind = await self.stored(), await self.expected(), await self.watermarks()
        return [
            f"{video_id}, offset {offset_of(position)}: not stored, and the watermark is at {behind[home] - 1}"
            for video_id, position in sorted(expected.keys() - stored.keys())
            if offset_of(position) < behind[home := partition_of(video_id, self.partition_count)]
        ]

    async def dead_letters(self) -> dict[tuple[int, int], tuple[str, bytes | None, bytes | None]]:
        """(reason, key, value) of every dead letter of this topic, by partition and offset of its origin."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka)
        await consumer.start()
        try:
            letters: dict[tuple[int, int], tuple[str, bytes | None, bytes | None]] = {}
            of_letters = TopicPartition(self.own.prefix + DEAD_LETTER_TOPIC, 0)
            consumer.assign([of_letters])
            at = (await consumer.beginning_offsets([of_letters]))[of_letters]
            end = (await consumer.end_offsets([of_letters]))[of_letters]
            consumer.seek(of_letters, at)
            while at < end:
                found = await consumer.getone()
                at = found.offset + 1
                headers = dict(found.headers)
                topic, partition, offset = headers["origin"].decode().split("/")
                if topic == self.topic:
                    letters[int(partition), int(offset)] = (headers["reason"].decode(), found.key, found.value)
            return letters
        finally:
            await consumer.stop()

    async def _behind_watermark(self, partition: int) -> int:
        position = await self.store.watermark(self.epoch, partition)
        return 0 if position in (BEFORE_EVERYTHING, first_position(self.epoch) - 1) else offset_of(position) + 1

    def _expect(self, record: Record, window: Window, rows: dict[tuple[str, int], Row]) -> None:
        verdict = judge(record, window)
        if verdict.kind is not Kind.ACCEPTED:
            return
        for row in rows_of(record, verdict, self.epoch):
            rows[row.video_id, row.position] = row
            target = rows.get((row.video_id, row.target))
            if target is not None:
                rows[row.video_id, row.target] = target._replace(value=b"", deleted=True)


class Watermarks:
    """Watches the watermarks, and notes where one went back."""

    def __init__(self) -> None:
        self.went_back: list[str] = []
        self._highest: dict[int, int] = {}

    def note(self, watermarks: Mapping[int, int]) -> None:
        """Look at them once."""
        for partition, at in watermarks.items():
            highest = self._highest.get(partition, 0)
            if at < highest:
                self.went_back.append(f"partition {partition}: from {highest} to {at}")
            self._highest[partition] = max(at, highest)


class Load:
    """Appends comments at a steady rate, and watches the watermarks, until it is left."""

    def __init__(self, deployed: Deployment, rate: int) -> None:
        self.appended = 0
        self.watermarks = Watermarks()
        self._deployed = deployed
        self._burst = rate // 10
        self._videos = videos_of(deployed.partition_count, 32)
        self._left = asyncio.Event()

    async def __aenter__(self) -> "Load":
        self._work = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left.set()
        await self._work

    async def goes_on(self, count: int, within_s: float = WAIT_S) -> None:
        """Wait until `count` more comments are appended and everything up to now is stored."""
        enough = self.appended + count
        await until(lambda: self.appended >= enough, "the load", within_s)
        ends = await self._deployed.ends()

        async def stored() -> bool:
            watermarks = await self._deployed.watermarks()
            return all(watermarks[number] >= end for number, end in ends.items())

        await until(stored, f"stored up to {ends}", within_s)

    async def _run(self) -> None:
        while not self._left.is_set():
            await self._deployed.append(comments(self._videos, self._burst, f"{self.appended}"))
            self.appended += self._burst
            self.watermarks.note(await self._deployed.watermarks())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), 0.1)


@contextlib.asynccontextmanager
async def deployment(kafka: str, cql: str, directory: Path, partition_count: int = 2) -> AsyncIterator[Deployment]:
    """A topic, a keyspace and a group of their own; workers still running are killed when it is left."""
    own_topics = await own_epoch(kafka, partition_count)
    keyspace = new_keyspace()
    await asyncio.to_thread(migrate, cql, keyspace=keyspace, datacenter=DATACENTER, replication_factor=1)
    own = {
        "KAFKA": kafka,
        "CQL": cql,
        "CQL_KEYSPACE": keyspace,
        "REPLICAS": "1",
        "TOPIC_PREFIX": own_topics.prefix,
        "GROUP": f"test-{secrets.token_hex(6)}",
        "PARTITIONS": str(partition_count),
        "DATA_DIR": str(directory / "data"),
    }
    environ = environment_of(own)
    load(StreamSettings, environ)
    try:
        async with (
            KafkaLog(kafka, own_topics.topic, own_topics.number) as log,
            CqlStore(cql, keyspace=keyspace, datacenter=DATACENTER) as store,
        ):
            made = Deployment(kafka, cql, own_topics, keyspace, partition_count, directory, log, store, environ)
            try:
                yield made
            finally:
                for worker in made.workers:
                    worker.kill()
    finally:
        await delete_topics(own_topics)
        await asyncio.to_thread(drop_keyspace, cql, keyspace)


async def delete_topics(own: OwnEpoch) -> None:
    """Delete all topics of a deployment."""
    admin = AIOKafkaAdminClient(bootstrap_servers=own.kafka)
    await admin.start()
    await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(own.prefix)])
    await admin.close()


async def delete_topic(kafka: str, topic: str) -> None:
    """Delete a topic, and wait until it is gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.delete_topics([topic])
    await admin.close()

    async def gone() -> bool:
        return topic not in await find_topics(KafkaConnection(kafka), [topic])

    await until(gone, f"the end of {topic}")


def comments(videos: Sequence[str], count: int, of: str = "") -> list[NewRecord]:
    """`count` comments over these videos, by turns; a third of them with an Idempotency-Key."""
    author = Author("u1", "Ana")
    return [
        comment_created(video_id, f"{of} {number}", author, created_at_ms=_CREATED_AT_MS + number, key=_key(of, number))
        for number, video_id in zip(range(count), itertools.cycle(videos), strict=False)
    ]


def videos_of(partition_count: int, count: int = 8) -> list[str]:
    """Videos such that every partition has some."""
    found: list[str] = []
    homes: set[int] = set()
    for number in itertools.count():
        home = partition_of(f"video-{number}", partition_count)
        if len(homes) == partition_count or home not in homes:
            homes.add(home)
            found.append(f"video-{number}")
        if len(found) == count:
            return found
    raise AssertionError


def _key(of: str, number: int) -> str | None:
    return f"{of}-{number}" if number % 3 == 0 else None
