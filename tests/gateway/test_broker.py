"""What a gateway answers while a real Kafka is stopped, killed, or refuses: acked, rejected or unknown, never wrong.

Each test ends by reading the history: what was answered 201 is in it, once.
"""

import asyncio
import dataclasses
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from gateway.app import gateway_routes
from infra.local.servers import KafkaCluster, KafkaServer, running, why_unavailable
from livecomments.cli.parts import Seams, make_app, make_follower, make_posting, make_tokens
from livecomments.history.reading import History
from livecomments.log.embedded import TABLES as LOG_TABLES
from livecomments.log.embedded import EmbeddedLog
from livecomments.log.kafka import KafkaLog
from livecomments.log.kafka_connection import KafkaConnection
from livecomments.log.revocations import REVOCATIONS_TOPIC, Revocations
from livecomments.log.topics import create_missing, load_topics
from livecomments.runtime.durable import DurableFile
from livecomments.runtime.lifecycle import DrainingServer, listening_socket
from livecomments.runtime.settings import Settings
from livecomments.store.embedded import TABLES as STORE_TABLES
from livecomments.store.embedded import EmbeddedStore
from tests.gateway.test_answers import signed
from tests.log.contract import append_all, make_anew, new_topic

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]  # brokers start slowly on a busy machine

DEADLINE_S: Final = 2.0
"""Of an append here; the default is 5 s."""
ANSWER_S: Final = DEADLINE_S + 1.0
"""Any answer comes within this, whatever Kafka does."""
RECOVERY_S: Final = 60.0
TOKEN: Final = signed()
Answer = tuple[int, dict[str, Any]]


class Gateway:
    """A gateway over HTTP, its log a real Kafka."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def post(self, message: str, key: str | None = None) -> Answer:
        """Status and body; how long it took is held to the bound."""
        headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Idempotency-Key": key} if key else {})
        began_at = time.monotonic()
        async with self._client.post("/comments/v", json={"message": message}, headers=headers) as answer:
            said = answer.status, await answer.json()
        assert time.monotonic() - began_at < ANSWER_S
        return said

    async def messages(self) -> list[str]:
        """All of the history."""
        async with self._client.get("/comments/v?pageSize=100&sort=asc") as answer:
            assert answer.status == 200, await answer.text()
            return [comment["message"] for comment in (await answer.json())["comments"]]


@asynccontextmanager
async def serving(address: str, topic: str, directory: Path) -> AsyncIterator[Gateway]:
    """One gateway on this topic; its store is its own and stays empty, so that all is read from the log."""
    settings = Settings(
        data_dir=directory,
        append_timeout_s=DEADLINE_S,
        jwt_secret="s" * 64,
        jwt_issuer="https://issuer.example",
        jwt_audience="livecomments",
    )
    async with AsyncExitStack() as stack:
        file = await stack.enter_async_context(DurableFile(directory, LOG_TABLES + STORE_TABLES))
        revoked = await stack.enter_async_context(EmbeddedLog(file, REVOCATIONS_TOPIC, 1, 1))
        store = await stack.enter_async_context(EmbeddedStore(file))
        log = await stack.enter_async_context(KafkaLog(address, topic, 1, append_timeout_s=DEADLINE_S))
        follower = make_follower(log, settings, Seams())
        history, revocations = History(follower, store), Revocations(revoked)
        routes = gateway_routes(history, make_posting(history, settings), make_tokens(settings, revocations, None))
        listening, started = listening_socket("127.0.0.1", 0), asyncio.Event()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = DrainingServer(make_app(routes), started.set, _nothing, takes_signals=False)
        async with asyncio.TaskGroup() as tasks:
            works = [tasks.create_task(work) for work in (follower.run(), revocations.run())]
            serving = tasks.create_task(server.serve([listening]))
            async with asyncio.timeout(RECOVERY_S):
                await started.wait()
                await follower.ready_partition(0, RECOVERY_S)
                await revocations.ready(RECOVERY_S)
            try:
                async with aiohttp.ClientSession(url) as client:
                    yield Gateway(client)
            finally:
                server.should_exit = True
                await serving
                for work in works:
                    work.cancel()


async def _nothing() -> None:
    """Nothing to drain."""


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker to stop and kill."""
    if reason := why_unavailable():
        pytest.skip(reason)
    server = KafkaServer(tmp_path_factory.mktemp("own-kafka"), heap_mb=256)
    with running(server):
        yield server


async def answered(post: Callable[[], Awaitable[Answer]], status: int) -> dict[str, Any]:
    """Post again until it is answered so, as a client would; anything but 503 on the way is a fault."""
    async with asyncio.timeout(RECOVERY_S):
        while (said := await post())[0] != status:
            assert said[0] == 503, said
            await asyncio.sleep(0.05)
    return said[1]


async def test_eight_posts_of_one_key_over_two_gateways_are_one_comment(kafka_address: str, tmp_path: Path) -> None:
    topic = await new_topic(kafka_address, 1)
    async with (
        serving(kafka_address, topic, tmp_path / "1") as one,
        serving(kafka_address, topic, tmp_path / "2") as other,
    ):
        for n in range(20):
            answers = await asyncio.gather(*(one_of.post(f"m{n}", f"k{n}") for one_of in (one, other) * 4))
            assert {status for status, _ in answers} == {201}
            assert len({comment["commentId"] for _, comment in answers}) == 1
        status, problem = await other.post("another", "k0")
        assert (status, problem["code"]) == (409, "idempotency_conflict")
        assert await one.messages() == await other.messages() == [f"m{n}" for n in range(20)]
        _, first = await one.post("m0", "k0")
    async with serving(kafka_address, topic, tmp_path / "3") as later:
        assert await later.post("m0", "k0") == (201, first)
        assert (await later.post("another", "k0"))[0] == 409
        assert len(await later.messages()) == 20


async def test_a_broker_that_is_stopped_makes_unknowns_that_a_retry_resolves(
    own_broker: KafkaServer, tmp_path: Path
) -> None:
    topic = await new_topic(own_broker.address, 1)
    async with serving(own_broker.address, topic, tmp_path) as gateway:
        assert (await gateway.post("before", "k0"))[0] == 201
        assert own_broker.pid
        os.kill(own_broker.pid, signal.SIGSTOP)
        try:
            answers = await asyncio.gather(*(gateway.post(f"m{n}", f"k{n}") for n in range(1, 9)))
            assert {status for status, _ in answers} == {503}
            assert "append_unknown" in {problem["code"] for _, problem in answers}
            assert {problem["code"] for _, problem in answers} <= {"append_unknown", "overloaded"}
            assert await gateway.messages() == ["before"]
        finally:
            os.kill(own_broker.pid, signal.SIGCONT)
        comments = [await answered(partial(gateway.post, f"m{n}", f"k{n}"), 201) for n in range(1, 9)]
        assert len({comment["commentId"] for comment in comments}) == 8
        assert sorted(await gateway.messages()) == sorted(["before", *(f"m{n}" for n in range(1, 9))])


async def test_a_broker_that_is_killed_fails_posts_fast_and_comes_back_alone(
    own_broker: KafkaServer, tmp_path: Path
) -> None:
    topic = await new_topic(own_broker.address, 1)
    async with serving(own_broker.address, topic, tmp_path) as gateway:
        kept = [f"m{n}" for n in range(10)]
        for message in kept:
            assert (await gateway.post(message))[0] == 201
        await asyncio.to_thread(own_broker.kill)
        for n in range(3):
            status, problem = await gateway.post("while it is gone", f"gone-{n}")
            assert (status, problem["code"]) in {(503, "append_unknown"), (503, "overloaded")}
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
        assert (status, problem["code"]) in {(503, "append_unknown"), (503, "overloaded")}
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
        assert "LIVECOMMENTS_EPOCH=2" in problem["detail"]


async def test_a_topic_made_anew_that_has_grown_on_is_known_by_its_id(kafka_address: str, tmp_path: Path) -> None:
    topic = await new_topic(kafka_address, 1)
    async with serving(kafka_address, topic, tmp_path) as gateway:
        comment = (await gateway.post("first"))[1]
        await make_anew(kafka_address, topic, 1)
        async with KafkaLog(kafka_address, topic, 1) as another:
            await append_all(another, 0, ["others'"] * 20)
        async with asyncio.timeout(RECOVERY_S):
            while (said := await gateway.post("next"))[0] == 201:
                assert said[1]["commentId"] > comment["commentId"]
                await asyncio.sleep(0.05)
        assert said[1]["code"] == "log_went_back"


async def test_with_too_few_replicas_in_sync_writing_stops_and_reading_goes_on(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    cluster = KafkaCluster(tmp_path_factory.mktemp("cluster"), heap_mb=192)
    with running(cluster):
        wanted = dataclasses.replace(load_topics(1)[0], name=f"test-{uuid.uuid4().hex}", partitions=1)
        await create_missing(KafkaConnection(cluster.address, {}), [wanted])
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
