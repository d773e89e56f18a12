"""A stranger in the group of the stream job that speaks its protocol, and has all partitions: nobody stores, and nobody
says that all is stored."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata

from livecomments.following.follower import Follower
from livecomments.following.tail import TailBounds
from livecomments.history.store_lag import StoreLag
from livecomments.runtime.metrics import REGISTRY
from tests.live.stream import WAIT_S, Deployment, Worker, comments, deployment, until, videos_of

PARTITIONS = 2
COUNT = 40

pytestmark = pytest.mark.timeout(240, func_only=True)


class Greedy(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Leads a group of Faust's protocol, and gives all to whoever is no worker of Faust's."""

    name = "faust"

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        return ConsumerProtocolMemberMetadata(4, list(topics), b"")

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        given = {}
        for member, said in members.items():
            topics = said.subscription
            if said.user_data:
                url = ClientMetadata.loads(said.user_data).url
                nothing = ClientAssignment(actives={}, standbys={})
                told = ClientMetadata(
                    assignment=nothing,
                    url=url,
                    changelog_distribution={},
                    external_topic_distribution={},
                    topic_groups={},
                )
                given[member] = ConsumerProtocolMemberAssignment(4, [], zlib.compress(told.dumps()))
            else:
                all_ = [(topic, sorted(cluster.partitions_for_topic(topic))) for topic in topics]
                given[member] = ConsumerProtocolMemberAssignment(4, all_, b"")
        return given

    @classmethod
    def on_assignment(cls, assignment: Any) -> None:
        """Nothing to remember."""


@asynccontextmanager
async def stranger(deployed: Deployment) -> AsyncIterator[None]:
    """Is there, and has all partitions, until it is left."""
    async with AIOKafkaConsumer(
        deployed.topic,
        bootstrap_servers=deployed.kafka,
        group_id=deployed.group,
        partition_assignment_strategy=(Greedy,),
        enable_auto_commit=False,
    ) as consumer:
        await until(lambda: len(consumer.assignment()) == PARTITIONS, "a stranger that has all partitions")
        yield
        assert len(consumer.assignment()) == PARTITIONS


@pytest.fixture
async def deployed(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path, PARTITIONS) as made:
        yield made


async def metrics(worker: Worker) -> str:
    async with aiohttp.ClientSession(worker.internal_url) as client, client.get("/metrics") as answer:
        return await answer.text()


def told(name: str) -> float | None:
    return REGISTRY.get_sample_value(f"livecomments_history_store_{name}")


async def test_where_a_stranger_holds_all_partitions_no_lag_is_told_by_the_job_and_all_of_it_by_a_gateway(
    deployed: Deployment,
) -> None:
    async with stranger(deployed):
        worker = await deployed.start().started()
        await until(lambda: worker.has_logged("joining"), "a worker that joins")
        await deployed.append(comments(videos_of(PARTITIONS), COUNT))

        async def has_joined() -> bool:
            return "livecomments_stream_joining_seconds 0.0" in await metrics(worker)

        await until(has_joined, "a group that has given the worker nothing")
        text = await metrics(worker)
        assert "livecomments_stream_partitions 0.0" in text
        assert "\nlivecomments_stream_lag_records " not in text
        assert "\nlivecomments_stream_lag_seconds " not in text
        assert "\nlivecomments_stream_watermark_age_seconds " not in text
        follower = Follower(deployed.log, range(PARTITIONS), TailBounds(1_000, 1 << 20, 600.0))
        following = asyncio.create_task(follower.run())
        try:
            for number in range(PARTITIONS):
                await follower.ready_partition(number, WAIT_S)
            await StoreLag(follower, deployed.store).look()
            assert (told("behind_records"), told("unobserved_partitions")) == (COUNT, 0)
        finally:
            following.cancel()
            await asyncio.wait([following])
        assert await deployed.watermarks() == dict.fromkeys(range(PARTITIONS), 0)
    await deployed.complete()
