"""The users of infra/operators/users.yaml on a broker with an authorizer: each can do its job, and nothing else."""

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import CreateAclsRequest

from infra.local.ports import HOST, free_port
from infra.local.servers import KafkaServer, running, why_unavailable
from livecomments_command.epochs import check_topics
from livecomments_command.settings import StreamSettings, ToolSettings
from tests.live.stream import START_S, process_of, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
USERS = {
    one["metadata"]["name"].removeprefix("livecomments-"): one
    for one in yaml.safe_load_all((ROOT / "infra/operators/users.yaml").read_text())
}
TOPICS = [
    (one["name"].replace("{epoch}", "1"), [who.partition(" (")[0] for who in one["written_by"]])
    for one in tomllib.loads((ROOT / "infra/kafka/livecomments_topics/topics.toml").read_text())["topic"]
]
"""Each topic, and who writes it."""
REFUSED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
OPTIONAL = ("comments-clean-1", "comment-counts")
PROCESSES = ("gateway", "edge")
NO_STORE = "127.0.0.1:1"
"""Both are ready without."""
ROOM_OF = {"gateway": "gateway", "edge": "consumers", "stream": "streams", "tools": "operators"}
"""What the contract of the topics calls each; jobs it calls by their command."""
RESOURCES = {"topic": 2, "group": 3, "cluster": 4}
PATTERNS = {"literal": 3, "prefix": 4}
OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Alter": 7,
    "Describe": 8,
    "ClusterAction": 9,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
    "IdempotentWrite": 12,
}
PERMISSIONS = {"deny": 2, "allow": 3}
"""As Kafka's protocol numbers them."""


def password(user: str) -> str:
    return f"password-of-{user}"


def login(address: str, user: str) -> dict[str, Any]:
    """For a client of aiokafka."""
    return {
        "bootstrap_servers": address,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": f"livecomments-{user}",
        "sasl_plain_password": password(user),
    }


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KafkaServer, str]]:
    """A broker that knows the users, and their rights; its own address is the administrator's."""
    if reason := why_unavailable():
        pytest.skip(reason)
    plain, secured, controller = free_port(), free_port(), free_port()
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    users = " ".join(f'user_livecomments-{user}="{password(user)}"' for user in USERS)
    settings = {
        "listeners": f"PLAINTEXT://{HOST}:{plain},SASL_PLAINTEXT://{HOST}:{secured},CONTROLLER://{HOST}:{controller}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{module} required {users};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
    }
    directory = tmp_path_factory.mktemp("rights") / "kafka"
    server = KafkaServer(directory, port=plain, voters={1: controller}, settings=settings, heap_mb=256)
    with running(server):
        asyncio.run(give_rights(server.address))
        yield server, f"{HOST}:{secured}"


async def give_rights(address: str) -> None:
    """As the User Operator does."""
    creations = [
        (
            RESOURCES[acl["resource"]["type"]],
            acl["resource"]["name"],
            PATTERNS[acl["resource"]["patternType"]],
            f"User:livecomments-{user}",
            "*",
            OPERATIONS[operation],
            PERMISSIONS[acl.get("type", "allow")],
        )
        for user, one in USERS.items()
        for acl in one["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    ]
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        client = admin._client  # it has no method for rights
        for creation in creations:
            answer = await client.send(client.get_random_node(), CreateAclsRequest(*creation))
            assert [code for code, _ in answer.creation_responses] == [0], answer
        await admin.create_topics([NewTopic(name, 1, 1) for name in OPTIONAL])  # of jobs that do not run here
    finally:
        await admin.close()


@pytest.fixture(scope="module")
def tools(broker: tuple[KafkaServer, str]) -> ToolSettings:
    """What the jobs and commands have; the topics are made with it."""
    settings = ToolSettings(
        kafka=broker[1],
        cql=NO_STORE,
        replicas=1,
        kafka_security="SASL_PLAINTEXT",
        kafka_mechanism="PLAIN",
        kafka_user="livecomments-tools",
        kafka_password=password("tools"),
    )
    assert asyncio.run(check_topics(settings, create=True, partitions=1)).differences == []
    return settings


async def test_gateway_and_edge_do_their_jobs(tools: ToolSettings, tmp_path: Path) -> None:
    """A comment is written by the one, seen at the other, and a session is ended, each as its own user."""
    processes = {kind: process_of(kind, _environment(kind, tools, tmp_path), tmp_path / kind) for kind in PROCESSES}
    try:
        for process in processes.values():
            await until(process.is_ready, "ready", START_S)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=START_S)) as client:
            token = await _write(client, processes["gateway"].url)
            await _see(client, processes["edge"].url)
            headers = {"Authorization": f"Bearer {token}"}
            async with client.delete(f"{processes['gateway'].url}/sessions/current", headers=headers) as answer:
                assert answer.status == 204, await answer.text()  # which writes session-revocations
    finally:
        for process in processes.values():
            process.kill()


async def test_the_stream_job_reads_and_commits_in_its_group(tools: ToolSettings) -> None:
    """By a client that does what it does, as it waits for a store."""
    group = login(tools.kafka, "stream") | {"group_id": StreamSettings.group, "auto_offset_reset": "earliest"}
    consumer = AIOKafkaConsumer("comments-1", **group)
    await consumer.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), START_S)
        assert b"allowed" in record.value
        await consumer.commit()
    finally:
        await consumer.stop()


@pytest.mark.parametrize("user", USERS)
async def test_none_writes_what_is_another_s(tools: ToolSettings, user: str) -> None:
    producer = AIOKafkaProducer(**login(tools.kafka, user))
    await producer.start()
    try:
        for topic, writers in TOPICS:
            may = ROOM_OF.get(user, f"livecomments {user}") in writers
            # Tools write fences when it grows, by the prefix of comments.
            if not may and not (user == "tools" and topic.startswith("comments-")):
                with pytest.raises((*REFUSED, UnknownTopicOrPartitionError)):  # hidden from who may not describe it
                    await producer.send_and_wait(topic, b"x")
    finally:
        await producer.stop()


@pytest.mark.parametrize("user", ["gateway", "edge", "stream"])
async def test_none_makes_or_deletes_topics(tools: ToolSettings, user: str) -> None:
    admin = AIOKafkaAdminClient(**login(tools.kafka, user))
    await admin.start()
    try:
        for name in ("comments-9", "another"):
            made = await admin.create_topics([NewTopic(name, 1, 1)])
            assert issubclass(for_code(made.topic_errors[0][1]), REFUSED)
        deleted = await admin.delete_topics(["comments-1"])
        assert issubclass(for_code(deleted.topic_error_codes[0][1]), REFUSED)
    finally:
        await admin.close()


@pytest.mark.parametrize("user", ["gateway", "edge", "tools"])
async def test_none_but_the_stream_job_is_in_its_group(tools: ToolSettings, user: str) -> None:
    consumer = AIOKafkaConsumer("comments-1", group_id=StreamSettings.group, **login(tools.kafka, user))
    with pytest.raises(REFUSED):
        await _first_record(consumer)


async def _write(client: aiohttp.ClientSession, gateway: str) -> str:
    async with client.post(f"{gateway}/sessions", json={"displayName": "Ana"}) as answer:
        token = str((await answer.json())["sessionToken"])
    headers = {"Authorization": f"Bearer {token}"}
    async with client.post(f"{gateway}/comments/rights", json={"message": "allowed"}, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
    return token


async def _see(client: aiohttp.ClientSession, edge: str) -> None:
    async with client.get(f"{edge}/comments/rights/stream?history=1") as stream:
        async for line in stream.content:
            if b"allowed" in line:
                return


async def _first_record(consumer: AIOKafkaConsumer) -> None:
    try:
        await consumer.start()
        await asyncio.wait_for(consumer.getone(), START_S)
    finally:
        await consumer.stop()


def _environment(kind: str, tools: ToolSettings, directory: Path) -> dict[str, str]:
    values = {
        "KAFKA": tools.kafka,
        "KAFKA_SECURITY": tools.kafka_security,
        "KAFKA_MECHANISM": tools.kafka_mechanism,
        "KAFKA_USER": f"livecomments-{kind}",
        "KAFKA_PASSWORD": password(kind),
        "CQL": tools.cql,
        "REPLICAS": "1",
        "DATA_DIR": str(directory),
        "PORT": str(free_port()),
        "INTERNAL_PORT": str(free_port()),
    }
    return values | ({"SESSION_SECRET": "s" * 32} if kind == "gateway" else {})
