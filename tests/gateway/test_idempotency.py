"""One Idempotency-Key is one comment: over gateways that race, after restarts, when nobody knew. On a real Kafka."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from infra.local.servers import KafkaServer
from tests.gateway.on_kafka import answered, serving
from tests.log.contract import new_topic

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


async def test_eight_posts_of_one_key_over_two_gateways_are_one_comment(kafka_address: str, tmp_path: Path) -> None:
    topic = await new_topic(kafka_address, 1)
    async with (
        serving(kafka_address, topic, tmp_path / "1") as one,
        serving(kafka_address, topic, tmp_path / "2") as other,
    ):
        comments = []
        for n in range(20):
            answers = await asyncio.gather(*(one_of.post(f"m{n}", f"k{n}") for one_of in (one, other) * 4))
            assert {status for status, _ in answers} == {201}
            assert len({comment["commentId"] for _, comment in answers}) == 1
            comments.append(answers[0][1])
        status, problem = await other.post("another", "k0")
        assert (status, problem["code"]) == (409, "idempotency_conflict")
        comments.append((await one.post("the last"))[1])
        for gateway in (one, other):
            assert await gateway.live(21) == comments
            assert await gateway.messages() == [comment["message"] for comment in comments]
    async with serving(kafka_address, topic, tmp_path / "3") as later:
        assert await later.post("m0", "k0") == (201, comments[0])
        assert (await later.post("another", "k0"))[0] == 409
        assert await later.live(21) == comments
        assert len(await later.messages()) == 21


async def test_what_two_gateways_did_not_know_is_one_comment_in_the_end(
    own_broker: KafkaServer, tmp_path: Path
) -> None:
    topic = await new_topic(own_broker.address, 1)
    async with serving(own_broker.address, topic, tmp_path / "1") as one:
        async with serving(own_broker.address, topic, tmp_path / "2") as other:
            for gateway in (one, other):
                assert (await gateway.post("before", "k0"))[0] == 201
            assert own_broker.pid
            os.kill(own_broker.pid, signal.SIGSTOP)
            try:
                answers = await asyncio.gather(*(gateway.post("m", "k") for gateway in (one, other) * 4))
            finally:
                os.kill(own_broker.pid, signal.SIGCONT)
            assert {problem["code"] for _, problem in answers} <= {"append_unknown", "overloaded"}
            assert [problem["code"] for _, problem in answers].count("append_unknown") >= 2  # of each gateway
            first = await answered(partial(other.post, "m", "k"), 201)
        async with serving(own_broker.address, topic, tmp_path / "2") as restarted:
            for gateway in (one, restarted):
                assert await answered(partial(gateway.post, "m", "k"), 201) == first
                assert (await gateway.post("n", "k"))[0] == 409
            last = (await restarted.post("the last"))[1]
            for gateway in (one, restarted):
                assert [each["message"] for each in await gateway.live(3)] == ["before", "m", "the last"]
                assert (await gateway.live(3))[2] == last
