"""What a gateway answers while a real Kafka is stopped, killed, or refuses: acked, rejected or unknown, never wrong.

Each test ends by reading the history: what was answered 201 is in it, once.
"""

import asyncio
import dataclasses
import os
import signal
import uuid
from functools import partial
from pathlib import Path

import pytest

from infra.local.servers import KafkaCluster, KafkaServer, running, why_unavailable
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import create_missing
from livecomments.log.topics import load_topics
from livecomments.runtime.metrics import REGISTRY
from tests.gateway.on_kafka import RECOVERY_S, Gateway, answered, serving
from tests.log.contract import append_all, make_anew, new_topic

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]  # brokers start slowly on a busy machine


def unknowns() -> float:
    """Answers that a comment may be written or not, since the process began."""
    return REGISTRY.get_sample_value("livecomments_gateway_comments_total", {"result": "unknown"}) or 0.0


async def test_a_broker_that_is_stopped_makes_unknowns_that_a_retry_resolves(
    own_broker: KafkaServer, tmp_path: Path
) -> None:
    topic = await new_topic(own_broker.address, 1)
    async with serving(own_broker.address, topic, tmp_path) as gateway:
        assert (await gateway.post("before", "k0"))[0] == 201
        counted = unknowns()
        assert own_broker.pid
        os.kill(own_broker.pid, signal.SIGSTOP)
        try:
            answers = await asyncio.gather(*(gateway.post(f"m{n}", f"k{n}") for n in range(1, 9)))
            assert {status for status, _ in answers} == {503}
            assert "append_unknown" in {problem["code"] for _, problem in answers}
            assert {problem["code"] for _, problem in answers} <= {"append_unknown", "overloaded"}
            assert unknowns() - counted == [problem["code"] for _, problem in answers].count("append_unknown")
            assert await gateway.messages() == ["before"]
        finally:
            os.kill(own_broker.pid, signal.SIGCONT)
        comments = [await answered(partial(gateway.post, f"m{n}", f"k{n}"), 201) for n in range(1, 9)]
        assert len({comment["commentId"] for comment in comments}) == 8
        assert sorted(await gateway.messages()) == sorted(["before", *(f"m{n}" for n in range(1, 9))])


async def test_an_unknown_that_turns_out_written_in_time_is_a_201(own_broker: KafkaServer, tmp_path: Path) -> None:
    topic = await new_topic(own_broker.address, 1)
    async with serving(own_broker.address, topic, tmp_path) as gateway:
        assert (await gateway.post("before"))[0] == 201
        assert own_broker.pid
        os.kill(own_broker.pid, signal.SIGSTOP)
        try:
            late = asyncio.create_task(gateway.post("late"))
            async with asyncio.timeout(RECOVERY_S):
                while not REGISTRY.get_sample_value("livecomments_gateway_appends_in_flight"):
                    assert await gateway.messages() == ["before"]
        finally:
            os.kill(own_broker.pid, signal.SIGCONT)
        assert (await late)[0] == 201
        assert await gateway.messages() == ["before", "late"]


async def test_a_broker_that_is_killed_fails_posts_fast_and_comes_back_alone(
    own_broker: KafkaServer, tmp_path: Path
) -> None:
    topic = await new_topic(own_broker.address, 1)
    async with serving(own_broker.address, topic, tmp_path) as gateway:
        kept = [f"m{n}" for n in range(10)]
        for message in kept:
            assert (await gateway.post(message))[0] == 201
        await asyncio.to_thread(own_broker.kill)
        answers = [await gateway.post("while it is gone", f"gone-{n}") for n in range(3)]
        assert [status for status, _ in answers] == [503] * 3
        assert [problem["code"] for _, problem in answers[1:]] == ["overloaded"] * 2  # once it is known, at once
        assert await gateway.messages() == kept
        await asyncio.to_thread(own_broker.start)
        await asyncio.to_thread(own_broker.wait_ready)
        for n in range(3):
            await answered(partial(gateway.post, "while it is gone", f"gone-{n}"), 201)
        assert await gateway.messages() == [*kept, *["while it is gone"] * 3]


async def test_what_the_broker_refuses_as_too_large_is_never_answered_201(kafka_address: str, tmp_path: Path) -> None:
    topic = await new_topic(kafka_address, 1, max_message_bytes="1000")
    async with serving(kafka_address, topic, tmp_path) as gateway:
        assert (await gateway.post("small", "k"))[0] == 201
        status, problem = await gateway.post("é" * 500, "large")
        assert (status, problem["code"]) == (503, "append_refused")  # its batch was never sent before: for certain
        await answered(partial(gateway.post, "small again", "k2"), 201)
        assert await gateway.messages() == ["small", "small again"]


async def test_a_topic_made_anew_ends_writing_and_no_id_is_given_twice(kafka_address: str, tmp_path: Path) -> None:
    topic = await new_topic(kafka_address, 1)
    given: list[str] = []
    enough, ended = asyncio.Event(), asyncio.Event()

    async def write(gateway: Gateway) -> None:
        while not ended.is_set():
            status, said = await gateway.post("m")
            if status == 201:
                given.append(said["commentId"])
                if len(given) > 50:
                    enough.set()
            else:
                assert status == 503
                if said["code"] == "log_went_back":
                    ended.set()

    async with serving(kafka_address, topic, tmp_path) as gateway, asyncio.timeout(RECOVERY_S):
        async with asyncio.TaskGroup() as writing:
            writers = [writing.create_task(write(gateway)) for _ in range(8)]
            await enough.wait()
            await make_anew(kafka_address, topic, 1)
            await asyncio.wait(writers)
        assert len(given) == len(set(given))
        status, problem = await gateway.post("again", "k")
        assert (status, problem["code"]) == (503, "log_went_back")
        assert "the next epoch" in problem["detail"]


async def test_a_topic_made_anew_that_has_grown_on_is_known_by_its_id(kafka_address: str, tmp_path: Path) -> None:
    topic = await new_topic(kafka_address, 1)
    async with serving(kafka_address, topic, tmp_path) as gateway:
        comment = (await gateway.post("first"))[1]
        await make_anew(kafka_address, topic, 1)
        async with KafkaLog(kafka_address, topic, 1) as another:
            await append_all(another, 0, ["others'"] * 20)
        async with asyncio.timeout(RECOVERY_S):
            while (said := (await gateway.post("next"))[1]).get("code") != "log_went_back":
                if said.get("code") != "append_unknown":  # as one may be that is under way when it is noticed
                    assert said["commentId"] > comment["commentId"]
                await asyncio.sleep(0.05)


async def test_with_too_few_replicas_in_sync_writing_stops_and_reading_goes_on(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    cluster = KafkaCluster(tmp_path_factory.mktemp("cluster"), heap_mb=192)
    with running(cluster):
        wanted = dataclasses.replace(load_topics(1)[0], name=f"test-{uuid.uuid4().hex}", partitions=1)
        await create_missing(KafkaConnection(cluster.address), [wanted])
        async with serving(cluster.address, wanted.name, tmp_path) as gateway:
            kept = [f"m{n}" for n in range(5)]
            for message in kept:
                assert (await gateway.post(message))[0] == 201
            for broker in cluster.brokers[1:]:
                await asyncio.to_thread(broker.kill)
            for n in range(3):
                assert (await gateway.post("with one replica", f"k{n}"))[0] == 503
            assert await gateway.messages() == kept
            await asyncio.to_thread(cluster.start)
            await asyncio.to_thread(cluster.wait_ready)
            for n in range(3):
                await answered(partial(gateway.post, "with one replica", f"k{n}"), 201)
            assert await gateway.messages() == [*kept, *["with one replica"] * 3]
