"""A leader that was out of sync, on three brokers: nobody writes on, everybody says it, and what is left is stored."""

import asyncio
import contextlib
import dataclasses
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.local.jars import LIB_DIR, java
from infra.local.ports import HOST, free_port
from infra.local.servers import KafkaServer, why_unavailable
from livecomments.cql.migrations import migrate
from livecomments.log.topics import comments_topic, load_topics
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_command.epochs import check_topics
from livecomments_command.next_epoch import open_next
from livecomments_schemas.positions import epoch_of, offset_of, parse_comment_id
from tests.consumers.streams import Stream
from tests.live.stream import Worker, process_of, until
from tests.store.examples import DATACENTER, drop_keyspace, new_keyspace

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]  # four JVMs, three of them twice, on a busy machine

VIDEO: Final = "v"
TOPIC: Final = comments_topic(1)
REPLICAS: Final = (2, 3, 4)
"""Of the comments; node 1 decides who leads, and is never killed."""
OUT_OF_SYNC: Final = 4
KEPT: Final = 10
LOST: Final = 5
UNSURE: Final = ("with nobody there", "after the loss")


class Cluster:
    """A controller, and three brokers that hold the comments."""

    def __init__(self, directory: Path) -> None:
        shared = {
            "default.replication.factor": "3",
            "min.insync.replicas": "2",
            "offsets.topic.replication.factor": "3",
        }
        self.nodes = {1: KafkaServer(directory / "1", settings=shared, heap_mb=192)}
        quorum = {
            "controller.quorum.voters": f"1@{HOST}:{self.nodes[1].ports['controller']}",
            "process.roles": "broker",
        }
        for node in REPLICAS:
            port = free_port()
            own = {"listeners": f"PLAINTEXT://{HOST}:{port}", **shared, **quorum}
            self.nodes[node] = KafkaServer(directory / f"{node}", port=port, settings=own, node_id=node, heap_mb=192)
        self.address = ",".join(node.address for node in self.nodes.values())

    async def start(self, *numbers: int) -> None:
        for number in numbers:
            await asyncio.to_thread(self.nodes[number].start)
        for number in numbers:
            await until(lambda: self.is_registered(number), f"broker {number}")  # noqa: B023 (awaited)

    async def kill(self, *numbers: int) -> None:
        for number in numbers:
            await asyncio.to_thread(self.nodes[number].kill)

    async def is_registered(self, number: int) -> bool:
        with contextlib.suppress(Exception):  # not up yet
            async with self.operator() as admin:
                return number in {node["node_id"] for node in (await admin.describe_cluster())["brokers"]}
        return False

    @contextlib.asynccontextmanager
    async def operator(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.nodes[1].address)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def make_comments(self) -> None:
        """Make the comments topic, its replicas where they are to be."""
        settings = load_topics(1)[0].settings
        async with self.operator() as admin:
            await admin.create_topics(
                [NewTopic(TOPIC, -1, -1, replica_assignments={0: list(REPLICAS)}, topic_configs=dict(settings))]
            )
        await until(lambda: self.in_sync(*REPLICAS), "a topic in sync")

    async def in_sync(self, *numbers: int) -> bool:
        async with self.operator() as admin:
            (found,) = await admin.describe_topics([TOPIC])
        parts = found["partitions"]
        return bool(parts) and set(parts[0]["isr"]) == set(numbers) and parts[0]["leader"] > 0

    async def elect(self) -> None:
        """Make who is left the leader, as an operator may who wants the topic back more than its end."""
        command = [java(), "-cp", f"{LIB_DIR / 'kafka'}/*", "org.apache.kafka.tools.LeaderElectionCommand"]
        options = ["--election-type", "unclean", "--topic", TOPIC, "--partition", "0"]
        ran = await asyncio.to_thread(
            subprocess.run,
            [*command, "--bootstrap-server", self.nodes[1].address, *options],
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    if reason := why_unavailable():
        pytest.skip(reason)
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        await made.start(*made.nodes)
        yield made
    finally:
        await made.kill(*made.nodes)


@pytest.fixture
def keyspaces(cql_address: str) -> Iterator[list[str]]:
    """Two: of the deployment, and of a stream job that goes on."""
    made = [new_keyspace(), new_keyspace()]
    for one in made:
        migrate(cql_address, keyspace=one, datacenter=DATACENTER, replication_factor=1)
    yield made
    for one in made:
        drop_keyspace(cql_address, one)


@pytest.fixture
def start(cluster: Cluster, cql_address: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts processes."""
    workers: list[Worker] = []

    def begin(kind: str, keyspace: str) -> Worker:
        values = {"KAFKA": cluster.address, "CQL": cql_address, "CQL_KEYSPACE": keyspace, "GROUP": keyspace}
        values |= {"INTERNAL_PORT": str(free_port()), "DATA_DIR": str(tmp_path / f"data-{len(workers)}")}
        if kind != "stream":
            values["PORT"] = str(free_port())
        if kind == "gateway":
            values["SESSION_SECRET"] = "s" * 32
        workers.append(process_of(kind, values, tmp_path / f"{kind}-{len(workers)}"))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.kill()


async def until_ready(worker: Worker) -> str:
    """Its address, once it is ready."""
    await until(worker.is_ready, "a process that is ready", 120.0)
    return worker.url


@dataclasses.dataclass
class Writer:
    """Somebody who writes through a gateway."""

    client: aiohttp.ClientSession
    token: str = ""

    async def post(self, text: str) -> tuple[int, dict[str, Any]]:
        if not self.token:
            async with self.client.post("/sessions", json={"displayName": "Ana"}) as answer:
                self.token = (await answer.json())["sessionToken"]
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": text.replace(" ", "-")}
        async with self.client.post(f"/comments/{VIDEO}", json={"message": text}, headers=headers) as answer:
            return answer.status, await answer.json()

    async def must_post(self, text: str) -> None:
        async def posted() -> bool:
            status, said = await self.post(text)
            assert status in (201, 503), said
            return status == 201

        await until(posted, f"201 for {text}")

    async def page(self) -> list[str]:
        async with self.client.get(f"/comments/{VIDEO}?pageSize=100&sort=asc") as answer:
            return [one["message"] for one in (await answer.json())["comments"]]


async def test_after_an_unclean_election_nobody_writes_and_the_next_epoch_has_what_is_left(
    cluster: Cluster, keyspaces: list[str], start: Callable[..., Worker], cql_address: str
) -> None:
    settings = ServerSettings(
        kafka=cluster.address, cql=cql_address, cql_keyspace=keyspaces[0], cql_datacenter=DATACENTER
    )
    await cluster.make_comments()
    await check_topics(settings, create=True, epoch=1)
    gateway, edge, job = start("gateway", keyspaces[0]), start("edge", keyspaces[0]), start("stream", keyspaces[1])
    kept, lost = [f"kept {n}" for n in range(KEPT)], [f"lost {n}" for n in range(LOST)]
    async with aiohttp.ClientSession(await until_ready(gateway)) as to_gateway:
        writer = Writer(to_gateway)
        async with (
            aiohttp.ClientSession(await until_ready(edge)) as to_edge,
            to_edge.get(f"/comments/{VIDEO}/stream") as answer,
        ):
            viewer = Stream(answer)
            for text in kept:
                await writer.must_post(text)
            await cluster.kill(OUT_OF_SYNC)
            for text in lost:
                await writer.must_post(text)
            shown = await viewer.ids(KEPT + LOST)
            assert [offset_of(parse_comment_id(one)[0]) for one in shown] == list(range(KEPT + LOST))
            await until(lambda: has_stored(job, KEPT + LOST), "a job that has stored all of it")
            in_sync = [one for one in REPLICAS if one != OUT_OF_SYNC]
            await cluster.kill(*in_sync)
            assert (await writer.post(UNSURE[0]))[0] == 503
            await cluster.start(OUT_OF_SYNC)
            await cluster.elect()
            await cluster.start(*in_sync)
            await until(lambda: cluster.in_sync(*REPLICAS), "three replicas in sync", 120.0)

            async def is_refused() -> bool:
                status, said = await writer.post(UNSURE[1])
                assert status == 503, said
                return bool(said["code"] == "log_went_back")

            await until(is_refused, "a gateway that has seen the loss")
            assert (await gateway.readiness())[1]["epoch"] is False
            assert (await viewer.next(b"gap")).data is not None
            assert (await edge.readiness())[0] == 200
        assert await job.ended() == 2
        assert f"but the store has it up to {KEPT + LOST}" in job.said
        assert "livecomments epochs next" in job.said
        said: list[str] = []
        await open_next(settings, topic_lost=False, end_lost=True, say=said.append)
        assert any(f"records of {TOPIC} were not stored yet, and are now" in one for one in said), said
        assert (await gateway.ended(), await edge.ended()) == (75, 75)
    async with aiohttp.ClientSession(await until_ready(start("gateway", keyspaces[0]))) as to_gateway:
        after = Writer(to_gateway, writer.token)
        status, comment = await after.post("in the next epoch")
        assert status == 201
        position, _ = parse_comment_id(comment["commentId"])
        assert (epoch_of(position), offset_of(position)) == (2, 0)
        # Who was answered 503 may have written, as they were told.
        assert [text for text in await after.page() if text not in UNSURE] == [*kept, "in the next epoch"]


async def has_stored(job: Worker, count: int) -> bool:
    """Whether a job has stored so many records and said so by its watermark."""
    with contextlib.suppress(aiohttp.ClientError, AssertionError):  # not started, or nothing given yet
        return await job.metric(r'records_total\{verdict="accepted"\}') >= count
    return False
