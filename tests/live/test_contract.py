"""An epoch's contract on a real Kafka: what an operator does to the live topic, and what becomes of it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from infra.local.epochs import OwnEpoch, own_epoch
from infra.local.ports import HOST, free_port
from livecomments.embedded.store import TABLES, EmbeddedStore
from livecomments.history.log_end import LogWentBack, check_log, claim_log
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.contract import ContractWatch, Endangers
from livecomments.kafka.topics import create_missing
from livecomments.log.topics import EPOCHS_TOPIC, REVOCATIONS_TOPIC
from livecomments.runtime.metrics import REGISTRY
from livecomments.runtime.shared_settings import ServerSettings
from livecomments.sqlite import DurableFile
from livecomments_command.assembly.growing import past_of
from livecomments_command.assembly.kafka import (
    comments_log,
    contract_watch,
    known_epochs,
    newest_comments,
    told_epochs,
    wanted_topics,
)
from livecomments_command.epochs import check_topics
from livecomments_command.next_epoch import open_next
from livecomments_schemas.epochs import Contract, epoch_closed, epoch_ending, epoch_opened
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import epoch_of, first_position, offset_of, parse_comment_id
from tests.live.stream import Worker, delete_topic, delete_topics, process_of, until
from tests.schemas.records import comment

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

PARTITIONS = 2
SECRET = "s" * 32
_METRIC = "livecomments_log_contract_differences"


@pytest.fixture
async def own(kafka_address: str) -> AsyncIterator[OwnEpoch]:
    """The topics of a deployment of its own."""
    topics = await own_epoch(kafka_address, PARTITIONS)
    yield topics
    await delete_topics(topics)


def settings_of(own: OwnEpoch) -> ServerSettings:
    return ServerSettings(kafka=own.kafka, cql="none", replicas=1, topic_prefix=own.prefix)


@asynccontextmanager
async def operator(own: OwnEpoch) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=own.kafka)
    await admin.start()
    yield admin
    await admin.close()


async def alter(own: OwnEpoch, **changed: str) -> None:
    """Set the topic's settings: those of its contract but for these, `_` for `.`."""
    settings = dict(own.wanted(PARTITIONS).settings) | {key.replace("_", "."): value for key, value in changed.items()}
    async with operator(own) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, own.topic, configs=settings)])


async def add_partition(own: OwnEpoch) -> None:
    async with operator(own) as admin:
        await admin.create_partitions({own.topic: NewPartitions(total_count=PARTITIONS + 1)})


async def alter_beside(own: OwnEpoch, name: str, **changed: str) -> None:
    """Set a topic that is of no epoch: what it must be but for these, `_` for `.`."""
    (topic,) = (one for one in wanted_topics(settings_of(own), own.number) if one.name == own.prefix + name)
    settings = dict(topic.settings) | {key.replace("_", "."): value for key, value in changed.items()}
    async with operator(own) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=settings)])


@pytest.mark.parametrize(("name", "stops"), [(EPOCHS_TOPIC, True), (REVOCATIONS_TOPIC, False)])
async def test_what_becomes_of_the_topics_beside_is_seen(own: OwnEpoch, name: str, stops: bool) -> None:
    async with newest_comments(settings_of(own)) as log:
        watch = contract_watch(settings_of(own), log, log.epoch)
        await watch.look()
        assert watch.breach == ""
        await alter_beside(own, name, cleanup_policy="compact")
        await watch.look()
        assert bool(watch.breach) is stops
        assert is_told(f"{name}.cleanup.policy")
        await alter_beside(own, name)
        await watch.look()
        assert watch.breach == ""
        assert not is_told(f"{name}.cleanup.policy")


def is_told(name: str) -> bool:
    values = [REGISTRY.get_sample_value(_METRIC, {"difference": name, "endangers": one.value}) for one in Endangers]
    return any(values)


@pytest.mark.parametrize(
    ("changed", "stops"),
    [
        ({"cleanup_policy": "compact"}, True),
        ({"message_timestamp_type": "CreateTime"}, True),
        ({"unclean_leader_election_enable": "true"}, True),
        ({"max_message_bytes": "1000"}, True),
        ({"retention_ms": "60000"}, False),
        ({"retention_bytes": "1000000"}, False),
    ],
    ids=str,
)
async def test_what_is_altered_while_a_process_runs_is_seen_stops_what_it_endangers_and_recovers(
    own: OwnEpoch, changed: dict[str, str], stops: bool
) -> None:
    async with newest_comments(settings_of(own)) as log:
        watch = ContractWatch(log)
        await watch.look()
        assert watch.breach == ""
        await alter(own, **changed)
        (difference,) = await log.differences()
        assert difference.name == next(iter(changed)).replace("_", ".")
        await watch.look()
        assert bool(watch.breach) is stops
        await alter(own)
        await watch.look()
        assert watch.breach == ""
        assert await log.differences() == []
    await alter(own, **changed)
    if not stops:
        async with newest_comments(settings_of(own)):
            return
    with pytest.raises(StartRefused, match="--alter --add-config"):
        async with newest_comments(settings_of(own)):
            pass


@pytest.fixture
async def gateway(own: OwnEpoch, tmp_path: Path) -> AsyncIterator[Callable[[], Worker]]:
    """Starts gateways of this deployment; there is no store."""
    workers: list[Worker] = []

    def start() -> Worker:
        values = {"KAFKA": own.kafka, "CQL": f"{HOST}:{free_port()}", "TOPIC_PREFIX": own.prefix, "REPLICAS": "1"}
        values |= {"PORT": str(free_port()), "INTERNAL_PORT": str(free_port()), "SESSION_SECRET": SECRET}
        workers.append(process_of("gateway", values, tmp_path / f"gateway-{len(workers)}"))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


async def ready(worker: Worker) -> aiohttp.ClientSession:
    """A client of a gateway, once that is ready."""
    await until(worker.is_ready, "a gateway that is ready")
    return aiohttp.ClientSession(worker.url)


async def post(client: aiohttp.ClientSession, token: str, video: str) -> tuple[int, int]:
    """Epoch and offset of a comment that was answered 201."""
    async with client.post(
        f"/comments/{video}", json={"message": "hi"}, headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        said = await answer.json()
        assert answer.status == 201, said
    position, partition = parse_comment_id(said["commentId"])
    assert partition == partition_of(video, PARTITIONS)
    return epoch_of(position), offset_of(position)


async def token_of(client: aiohttp.ClientSession) -> str:
    async with client.post("/sessions", json={"displayName": "Ana"}) as answer:
        return str((await answer.json())["sessionToken"])


async def test_a_gateway_that_starts_after_a_partition_was_added_gives_no_id_again(
    own: OwnEpoch, gateway: Callable[[], Worker]
) -> None:
    moves = next(video for n in range(99) if partition_of(video := f"v{n}", PARTITIONS + 1) == PARTITIONS)
    async with await ready(gateway()) as before:
        token = await token_of(before)
        assert await post(before, token, moves) == (own.number, 0)
        await add_partition(own)
        assert await post(before, token, moves) == (own.number, 1)
        started = gateway()
        async with await ready(started) as after:
            assert await post(after, token, moves) == (own.number, 2)
            assert await post(before, token, moves) == (own.number, 3)
            async with before.get(f"/comments/{moves}?pageSize=10") as answer:
                assert len((await answer.json())["comments"]) == 4
        await until(lambda: started.has_logged("the topic is not what its contract says"), "a line")
        assert '"difference": "partitions_added", "endangers": "nothing"' in started.logged
    assert (await check_topics(settings_of(own), create=False)).differences == []
    assert "nobody reads or writes the others" in (await check_topics(settings_of(own), create=False)).notes[0]


async def test_a_store_knows_the_count_where_the_epochs_were_told_anew_after_a_partition_was_added(
    own: OwnEpoch, tmp_path: Path
) -> None:
    settings = settings_of(own)
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedStore(file) as store:
        async with newest_comments(settings) as log:
            await claim_log(log, store)
            await log.append(PARTITIONS - 1, comment("v"))
            await store.advance_watermark(own.number, PARTITIONS - 1, first_position(own.number))
        await add_partition(own)

        async def told_anew(partitions: int | None) -> None:
            await delete_topic(own.kafka, own.prefix + EPOCHS_TOPIC)
            await check_topics(settings, create=True, partitions=partitions)

        await told_anew(None)
        async with newest_comments(settings) as log:
            assert log.partition_count == PARTITIONS + 1
            for refuse in (check_log, claim_log):
                with pytest.raises(LogWentBack, match=f"from {PARTITIONS} partitions .* --create --partitions COUNT"):
                    await refuse(log, store)
        await told_anew(PARTITIONS)
        async with newest_comments(settings) as log:
            assert log.partition_count == PARTITIONS
            await claim_log(log, store)
    assert (await check_topics(settings, create=False)).differences == []


async def test_of_two_who_open_the_first_epoch_at_once_one_counts_for_both(kafka_address: str) -> None:
    own = OwnEpoch(kafka_address, f"twice-{os.urandom(4).hex()}-", 1)
    await create_missing(KafkaConnection(kafka_address), [own.wanted(PARTITIONS)])
    try:
        both = await asyncio.gather(*(check_topics(settings_of(own), create=True) for _ in range(2)))
        assert all(one.differences == [] for one in both)
        epochs = await told_epochs(settings_of(own))
        assert [(one.number, one.contract.partitions, one.is_closed) for one in epochs.known] == [
            (1, PARTITIONS, False)
        ]
        again = await check_topics(settings_of(own), create=True)
        assert (again.created, again.notes) == ([], [])
    finally:
        await delete_topics(own)


async def test_several_topics_from_before_are_not_guessed_between(kafka_address: str) -> None:
    own = OwnEpoch(kafka_address, f"several-{os.urandom(4).hex()}-", 1)
    later = OwnEpoch(kafka_address, own.prefix, 3)
    await create_missing(KafkaConnection(kafka_address), [one.wanted(PARTITIONS) for one in (own, later)])
    try:
        with pytest.raises(StartRefused, match="--epoch 3"):
            await check_topics(settings_of(own), create=True)
        await check_topics(settings_of(own), create=True, epoch=3)
        assert [one.number for one in (await told_epochs(settings_of(own))).known] == [3]
    finally:
        await delete_topics(own)


async def test_the_next_epoch_opens_after_the_topic_was_lost_and_only_when_that_is_said(
    own: OwnEpoch, gateway: Callable[[], Worker]
) -> None:
    settings, said = settings_of(own), list[str]()
    for words in ({}, {"topic_lost": True}):
        with pytest.raises(StartRefused, match="is the one that epoch"):
            await open_next(settings, **{"topic_lost": False, "end_lost": False, **words}, say=said.append)
    running = gateway()
    async with await ready(running) as client:
        token = await token_of(client)
        await post(client, token, "v")
        await delete_topic(own.kafka, own.topic)
        for words in ({}, {"end_lost": True}):
            with pytest.raises(StartRefused, match="--topic-lost"):
                await open_next(settings, **{"topic_lost": False, "end_lost": False, **words}, say=said.append)
        assert said == []
        refused = gateway()
        assert await refused.ended() == 2
        assert "livecomments epochs next --topic-lost" in refused.said
        await asyncio.gather(
            *(open_next(settings, topic_lost=True, end_lost=False, say=said.append) for _ in range(2)),
            return_exceptions=True,
        )
        assert [one.number for one in (await told_epochs(settings)).known] == [own.number, own.number + 1]
        assert await running.ended() == 75
        assert "A later epoch is open" in running.said
    async with await ready(gateway()) as client:
        assert await post(client, token, "v") == (own.number + 1, 0)
    async with known_epochs(settings) as known, comments_log(settings, known.open_contract()) as log:
        assert (log.epoch, log.partition_count) == (own.number + 1, PARTITIONS)


async def test_that_the_topic_of_the_epoch_before_is_gone_is_said_and_a_kafka_that_is_away_is_not_taken_for_it(
    own: OwnEpoch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it nobody knows which comments were written there, and one that is sent again is written twice."""
    settings = settings_of(own)
    async with known_epochs(settings) as known, AsyncExitStack() as opened:
        await known.say(epoch_ending(own.number, [0] * PARTITIONS))
        await known.say(epoch_closed(own.number, "it grew", [0] * PARTITIONS))
        await known.say(epoch_opened(Contract(own.number + 1, 2 * PARTITIONS, "id", 1)))
        assert await past_of(settings, known, own.number + 1, opened) is not None
        away = replace(settings, kafka=f"{HOST}:{free_port()}")
        with pytest.raises(StartRefused, match="did not answer"):
            await past_of(away, known, own.number + 1, opened)
        await delete_topic(own.kafka, own.topic)
        assert "is gone" not in caplog.text
        assert await past_of(settings, known, own.number + 1, opened) is None
        assert "the topic of the epoch before is gone" in caplog.text
