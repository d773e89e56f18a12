"""Where the stream job must not go on it ends with exit code 2 and one sentence; and what it goes on from."""

import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from infra.local.ports import free_port
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.topics import create_missing
from livecomments.runtime.settings import PREFIX
from livecomments_schemas.positions import position_at
from tests.live.stream import (
    Deployment,
    Worker,
    comments,
    delete_topic,
    deployment,
    until,
    videos_of,
)
from tests.store.examples import run_cql


@pytest.fixture
async def deployed(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path) as made:
        yield made


async def test_a_missing_topic_is_refused(deployed: Deployment) -> None:
    worker = deployed.start(topic_prefix="nobodys-")
    assert await worker.ended() == 2
    assert worker.said == (
        f"livecomments: Kafka at {deployed.kafka} has no topic nobodys-livecomments-epochs; "
        "run: livecomments topics --create."
    )
    assert "Traceback" not in worker.said


async def test_a_missing_schema_is_refused(deployed: Deployment) -> None:
    worker = deployed.start(cql_keyspace="nowhere")
    assert await worker.ended() == 2
    assert worker.said == (
        "livecomments: The keyspace nowhere lacks tables of this livecomments: run `livecomments migrate`."
    )


async def test_a_group_whose_name_another_program_uses_is_refused_at_once(deployed: Deployment) -> None:
    """Joined by a way to share that is not ours, it takes nobody with ours, for as long as the other stays."""
    async with AIOKafkaConsumer(
        deployed.topic,
        bootstrap_servers=deployed.kafka,
        group_id=deployed.group,
        partition_assignment_strategy=(RangePartitionAssignor,),
    ):
        worker = deployed.start()
        assert await worker.ended() == 2, worker.logged
        assert f"The group {deployed.group} refuses this process" in worker.said
        assert "LIVECOMMENTS_GROUP" in worker.said


async def test_a_taken_internal_port_is_refused(deployed: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = deployed.start(internal_port=str(taken.getsockname()[1]))
        assert await worker.ended() == 2
    assert worker.said.startswith("livecomments: Cannot listen on 127.0.0.1:")


async def test_a_topic_made_anew_is_refused_at_the_start(deployed: Deployment) -> None:
    await _store_and_stop(deployed, 100)
    await _make_anew(deployed)
    await deployed.append(comments(videos_of(2), 10))
    worker = deployed.start()
    assert await worker.ended() == 2
    assert worker.said == _MADE_ANEW.format(deployed.topic, deployed.epoch)
    assert await deployed.watermarks() == {0: 50, 1: 50}


async def test_a_topic_made_anew_that_has_grown_beyond_the_store_is_refused_by_all(deployed: Deployment) -> None:
    await _store_and_stop(deployed, 100)
    before = await deployed.stored()
    await _make_anew(deployed)
    await deployed.append(comments(videos_of(2), 300, "other"))
    refused = [deployed.start(), _start(deployed, "gateway"), _start(deployed, "edge")]
    for worker in refused:
        assert await worker.ended() == 2, worker.logged
        assert worker.said == _MADE_ANEW.format(deployed.topic, deployed.epoch)
    assert await deployed.stored() == before


_MADE_ANEW: Final = (
    "livecomments: Topic {} was made anew since epoch {} was opened, and would give ids again that were given before; "
    "open the next epoch: livecomments epochs next --topic-lost"
)


@pytest.mark.parametrize("process", ["gateway", "edge"])
async def test_a_log_that_ends_before_the_store_is_refused_by_the_others_too(
    deployed: Deployment, process: str
) -> None:
    await deployed.store.advance_watermark(deployed.epoch, 1, position_at(deployed.epoch, 49))
    started = _start(deployed, process)
    assert await started.ended() == 2, started.logged
    assert started.said.startswith("livecomments: Partition 1 of the log ends at 0, but the store has it up to 50")
    assert "Traceback" not in started.said


async def test_a_topic_made_anew_under_a_running_worker_ends_it(deployed: Deployment) -> None:
    await deployed.append(comments(videos_of(2), 100))
    worker = await deployed.start().started()
    await deployed.complete()
    await _make_anew(deployed)
    assert await worker.ended() == 2, worker.logged
    assert "but the store has it up to 50: the topic was made anew" in worker.said
    assert "Traceback" not in worker.said


async def test_a_watermark_beyond_the_end_ends_a_worker_with_a_sentence_also_inside_fausts_body(
    deployed: Deployment,
) -> None:
    worker = await deployed.start().started()
    await deployed.append(comments(videos_of(2)[:1], 10))
    await until(deployed.is_complete, "the first partition stored")
    quiet = next(number for number, end in (await deployed.ends()).items() if not end)
    await deployed.store.advance_watermark(deployed.epoch, quiet, position_at(deployed.epoch, 99))
    await deployed.append(comments(videos_of(2)[1:2], 1))
    assert await worker.ended() == 2, worker.logged
    assert worker.said.startswith(
        f"livecomments: Partition {quiet} of the log ends at 1, but the store has it up to 100"
    )
    assert "Traceback" not in worker.said
    assert quiet not in await deployed.committed()


async def test_a_new_store_is_filled_from_the_log_though_the_group_has_committed_everything(
    deployed: Deployment,
) -> None:
    await _store_and_stop(deployed, 2_500)
    assert await deployed.committed() == await deployed.ends()
    tables = ("records_by_video", "buckets_by_video", "watermarks")
    run_cql(deployed.cql, *(f"TRUNCATE {deployed.keyspace}.{table}" for table in tables))
    worker = await deployed.start().started()
    await deployed.complete()
    assert await worker.metric("undelivered_total") == 2_500
    assert (await worker.readiness())[0] == 200
    await deployed.append(comments(videos_of(2), 10))
    await deployed.complete()
    assert await worker.metric("undelivered_total") == 2_500


def _start(deployed: Deployment, process: str) -> Worker:
    """A gateway or an edge."""
    own = {"PORT": str(free_port()), "INTERNAL_PORT": str(free_port()), "SESSION_SECRET": "s" * 32}
    environ = deployed.environ | {PREFIX + name: value for name, value in own.items()}
    started = Worker([sys.executable, "-m", "livecomments_command", process], environ, deployed.directory / process)
    deployed.workers.append(started)
    return started


async def _store_and_stop(deployed: Deployment, count: int) -> None:
    await deployed.append(comments(videos_of(2), count))
    worker = await deployed.start().started()
    await deployed.complete()
    assert await worker.stop() == 0, worker.logged


async def _make_anew(deployed: Deployment) -> None:
    await delete_topic(deployed.kafka, deployed.topic)
    await create_missing(KafkaConnection(deployed.kafka), [deployed.own.wanted(deployed.partition_count)])
