"""The real servers: started, used, killed, and the same again afterwards."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import DCAwareRoundRobinPolicy

from infra.local.servers import (
    CassandraServer,
    KafkaCluster,
    KafkaServer,
    Server,
    ServerUnavailable,
    running,
    why_unavailable,
)

pytestmark = pytest.mark.timeout(300)  # seconds each on a quiet machine; the first test may have to fetch the jars
TOPIC = "shelf"
ROWS = 2_000


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder with a space in its name, as people's home folders have."""
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    return tmp_path / "a server"


@pytest.fixture
def ended() -> Iterator[Callable[[Server], None]]:
    """Servers handed to it are killed after the test, whatever happened."""
    servers: list[Server] = []
    yield servers.append
    for server in servers:
        server.kill()


async def create_topic(address: str, *, replicas: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    created = await admin.create_topics([NewTopic(TOPIC, 1, replicas)])
    await admin.close()
    assert created.topic_errors[0][1] == 0


async def append(address: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await asyncio.gather(*[await producer.send(TOPIC, value, partition=0) for value in values])
    finally:
        await producer.stop()


async def read(address: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(TOPIC, 0)])
    consumer.seek(TopicPartition(TOPIC, 0), 0)
    values = [(await consumer.getone()).value for _ in range(count)]
    await consumer.stop()
    return values


def connect(server: CassandraServer) -> tuple[Cluster, Session]:
    host, port = server.address.split(":")
    profile = ExecutionProfile(load_balancing_policy=DCAwareRoundRobinPolicy("datacenter1"))
    cluster = Cluster([host], port=int(port), protocol_version=4, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    return cluster, cluster.connect()


@pytest.mark.live
def test_kafka_keeps_its_records_and_its_port_over_a_kill(data_dir: Path) -> None:
    values = [str(number).encode() for number in range(ROWS)]
    with running(KafkaServer(data_dir)) as server:
        asyncio.run(create_topic(server.address, replicas=1))
        asyncio.run(append(server.address, values))
        pid, address = server.pid, server.address
        server.start()
        assert server.pid == pid
        server.kill()
        assert not server.is_running()
    with running(KafkaServer(data_dir)) as again:
        assert again.address == address
        assert asyncio.run(read(address, ROWS)) == values
        again.stop()
        assert not again.is_running()


@pytest.mark.live
def test_kafka_takes_settings(data_dir: Path) -> None:
    with running(KafkaServer(data_dir, settings={"message.max.bytes": "1000"})) as server:
        asyncio.run(create_topic(server.address, replicas=1))
        with pytest.raises(MessageSizeTooLargeError):
            asyncio.run(append(server.address, [b"x" * 2_000]))


@pytest.mark.live
def test_cassandra_keeps_every_acknowledged_row_and_its_port_over_a_kill(data_dir: Path) -> None:
    with running(CassandraServer(data_dir)) as server:
        cluster, session = connect(server)
        session.execute(
            "CREATE KEYSPACE k WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
        )
        session.execute("CREATE TABLE k.t (n int PRIMARY KEY, text text)")
        insert = session.prepare("INSERT INTO k.t (n, text) VALUES (?, ?)")
        for number in range(ROWS):
            session.execute(insert, (number, "x" * 300))
        server.kill()  # at once: with a periodic commit log, the last rows would be lost
        address = server.address
        cluster.shutdown()
    with running(CassandraServer(data_dir)) as again:
        assert again.address == address
        cluster, session = connect(again)
        assert sorted(row.n for row in session.execute("SELECT n FROM k.t")) == list(range(ROWS))
        cluster.shutdown()


@pytest.mark.live
def test_a_cluster_takes_appends_with_one_broker_killed_and_takes_it_back(data_dir: Path) -> None:
    with running(KafkaCluster(data_dir)) as cluster:
        asyncio.run(create_topic(cluster.address, replicas=3))
        asyncio.run(append(cluster.address, [b"with three"]))
        cluster.brokers[0].kill()
        asyncio.run(append(cluster.brokers[1].address, [b"with two"]))
        cluster.brokers[0].start()
        cluster.brokers[0].wait_ready()
        cluster.brokers[1].kill()
        assert asyncio.run(read(cluster.brokers[0].address, 2)) == [b"with three", b"with two"]


@pytest.mark.live
def test_running_leaves_alone_what_ran_before(data_dir: Path, ended: Callable[[Server], None]) -> None:
    server = KafkaServer(data_dir)
    ended(server)
    server.start()
    with running(KafkaServer(data_dir)) as found:
        assert found.pid == server.pid
    assert server.is_running()


@pytest.mark.live
def test_a_taken_port_and_a_server_that_ends_are_said_in_words(data_dir: Path) -> None:
    server = KafkaServer(data_dir, settings={"node.id": "none"})
    port = server.ports["client"]
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ServerUnavailable, match=f"Port {port} of kafka"):
        server.start()
    with pytest.raises(ServerUnavailable, match=r"broker\.id"):
        server.start()
    with pytest.raises(ServerUnavailable, match="kafka is not running"):
        server.wait_ready()
