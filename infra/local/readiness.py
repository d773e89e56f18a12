"""Whether a server really works: one record appended and read; one query answered; one 200.

The clients are imported inside the functions, so that the rest of the room is usable without them.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Final

from infra.local.ports import HOST

READINESS_TOPIC: Final = "livecomments-local-readiness"
_PROBE_TIMEOUT_S: Final = 10.0
"""One attempt. The first append of a new cluster waits for its leader; longer than this, a fresh attempt is better."""
_TOPIC_EXISTS: Final = 36
"""Kafka's error code, as `create_topics` returns it."""


class NotReady(Exception):
    """Not yet, and why."""


def probe_kafka(address: str, *, node_id: int, replicas: int) -> None:
    """Check that the cluster counts the broker as alive, and that a record went in at `address` and came out.

    Raises:
        NotReady: not yet.
    """
    # A thread of its own, since the caller's may be running an event loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _append_and_read(address, node_id, replicas)).result()


def probe_cassandra(port: int) -> None:
    """Check that a query is answered.

    Raises:
        NotReady: not yet.
    """
    from cassandra import DriverException
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
    from cassandra.policies import DCAwareRoundRobinPolicy

    profile = ExecutionProfile(load_balancing_policy=DCAwareRoundRobinPolicy("datacenter1"))
    cluster = Cluster([HOST], port=port, protocol_version=4, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    try:
        cluster.connect().execute("SELECT release_version FROM system.local", timeout=_PROBE_TIMEOUT_S)
    except (DriverException, NoHostAvailable, OSError) as error:
        raise NotReady(str(error)) from error
    finally:
        cluster.shutdown()


def probe_http(address: str, path: str) -> None:
    """Check that a GET of `path` at `address` ('host:port') answers with 200.

    Raises:
        NotReady: another answer, or none.
    """
    connection = HTTPConnection(address, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != HTTPStatus.OK:
            raise NotReady(f"GET {path} answers {answer.status} {answer.read(200).decode(errors='replace')}")
    except (HTTPException, OSError) as error:
        raise NotReady(f"GET {path} does not answer: {error!r}") from error
    finally:
        connection.close()


async def _append_and_read(address: str, node_id: int, replicas: int) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all")
    consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            await admin.start()
            alive = [broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]]
            if node_id not in alive:
                raise NotReady(f"broker {node_id} is not among those alive: {alive}")
            created = await admin.create_topics([NewTopic(READINESS_TOPIC, 1, replicas)])
            _, code, reason = created.topic_errors[0]
            if code not in (0, _TOPIC_EXISTS):
                raise NotReady(f"creating a topic failed: {reason} ({code})")
            await producer.start()
            appended = await producer.send_and_wait(READINESS_TOPIC, b"ready", partition=0)
            await consumer.start()
            consumer.assign([TopicPartition(READINESS_TOPIC, 0)])
            consumer.seek(TopicPartition(READINESS_TOPIC, 0), appended.offset)
            await consumer.getone()
    except (KafkaError, TimeoutError, OSError) as error:
        raise NotReady(f"{type(error).__name__}: {error}") from error
    finally:
        await consumer.stop()
        await producer.stop()
        await admin.close()
