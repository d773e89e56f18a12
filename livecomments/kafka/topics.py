"""How a Kafka is compared with the topics as data (`livecomments.log.topics`): created when missing, never altered.

Altering is left to Kafka's own tool: aiokafka's `alter_configs` replaces the whole set of a topic, so that changing the
retention alone silently reset `message.timestamp.type`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from livecomments.kafka.connection import KafkaConnection, ask_any
from livecomments.kafka.topic_id import topic_id
from livecomments.log.interface import LogUnavailable
from livecomments.log.topics import Topic

_READY_TIMEOUT_S: Final = 30.0
"""Until every partition of a new topic has a leader."""
_READY_POLL_S: Final = 0.1


@dataclass(frozen=True)
class FoundTopic:
    """What a topic is, as Kafka tells it. `leaderless` counts partitions that no broker leads just now, `out_of_sync`
    those of which a replica is behind, or away."""

    name: str
    partitions: int
    replication_factor: int
    leaderless: int
    settings: Mapping[str, str]
    out_of_sync: int = 0


async def find_topics(connection: KafkaConnection, names: Iterable[str]) -> dict[str, FoundTopic]:
    """Return those of `names` that exist.

    Raises:
        LogUnavailable: Kafka does not answer, or does not let us ask.
    """
    async with _admin(connection) as admin:
        return await _found(admin, names)


async def find_leaders(connection: KafkaConnection, name: str) -> dict[int, int]:
    """Return the node that leads each partition of a topic. Raises LogUnavailable."""
    async with _admin(connection) as admin:
        described = [topic for topic in await admin.describe_topics() if topic["topic"] == name]
        return {part["partition"]: part["leader"] for topic in described for part in topic["partitions"]}


async def create_missing(connection: KafkaConnection, topics: Iterable[Topic]) -> list[str]:
    """Create those that do not exist and wait until they can be used; their names.

    Raises:
        LogUnavailable: Kafka does not answer, or refuses; with its reason.
    """
    wanted = {topic.name: topic for topic in topics}
    async with _admin(connection) as admin:
        missing = [name for name in wanted if name not in await _found(admin, wanted.keys())]
        if not missing:
            return []
        answer = await admin.create_topics([_new_topic(wanted[name]) for name in missing])
        for name, code, reason in answer.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:  # another may create it with us
                raise LogUnavailable(f"Kafka does not create topic {name}: {reason or error.__name__}.")
        async with asyncio.timeout(_READY_TIMEOUT_S):
            while True:
                if _usable(await _found(admin, missing), missing):
                    return missing
                await asyncio.sleep(_READY_POLL_S)


async def compare(connection: KafkaConnection, topics: Iterable[Topic]) -> list[str]:
    """Tell how Kafka differs from `topics`: a sentence each, with the command that mends it. Empty: it does not.

    Raises:
        LogUnavailable: Kafka does not answer, or does not let us ask.
    """
    wanted = list(topics)
    found = await find_topics(connection, [topic.name for topic in wanted])
    sentences = []
    for topic in wanted:
        if topic.name in found:
            sentences += differences(topic, found[topic.name], connection.addresses)
        else:
            sentences.append(f"Topic {topic.name} does not exist. Create it: livecomments topics --create")
    return sentences


def differences(topic: Topic, found: FoundTopic, addresses: str) -> list[str]:
    """Tell how `found` differs from `topic`, a sentence each."""
    sentences = []
    if found.partitions != topic.partitions:
        sentences.append(
            f"Topic {topic.name} has {found.partitions} partitions, not {topic.partitions}. They cannot be taken "
            "back; of a comments topic nobody uses those that were added."
        )
    if found.replication_factor != topic.replication_factor:
        sentences.append(
            f"Topic {topic.name} has {found.replication_factor} replicas, not {topic.replication_factor}. Move it: "
            f"kafka-reassign-partitions.sh --bootstrap-server {addresses} --reassignment-json-file … --execute"
        )
    for key, value in topic.settings.items():
        is_now = found.settings.get(key)
        if is_now != value:
            mend = configs_command(topic.name, addresses, key, value)
            sentences.append(f"Topic {topic.name} has {key}={is_now}, not {value}. {mend}")
    return sentences


def configs_command(topic: str, addresses: str, key: str, value: str) -> str:
    """Return the command, for people, that sets one setting of a topic and leaves the others."""
    return (
        f"Set it: kafka-configs.sh --bootstrap-server {addresses} --entity-type topics --entity-name {topic} "
        f"--alter --add-config {key}={value}"
    )


async def topic_id_of(connection: KafkaConnection, name: str) -> str:
    """Return Kafka's id of a topic; empty with a Kafka older than 2.8.

    Raises:
        LogUnavailable: Kafka does not answer, or has no such topic just now.
    """
    async with _admin(connection) as admin:
        return await topic_id(admin._client, name)


class _Admin(AIOKafkaAdminClient):  # type: ignore[misc]  # aiokafka has no types here
    async def _send_request(self, request: Any, node_id: int | None = None) -> Any:
        return await (ask_any(self._client, request) if node_id is None else super()._send_request(request, node_id))


def _new_topic(topic: Topic) -> Any:
    return NewTopic(topic.name, topic.partitions, topic.replication_factor, topic_configs=dict(topic.settings))


@asynccontextmanager
async def _admin(connection: KafkaConnection) -> AsyncIterator[Any]:
    admin = _Admin(**connection.options())
    try:
        await admin.start()
        yield admin
    except (KafkaError, TimeoutError, OSError) as error:
        raise LogUnavailable(f"Kafka at {connection.addresses} does not answer as it should: {error!r}.") from error
    finally:
        await admin.close()


async def _found(admin: Any, names: Iterable[str]) -> dict[str, FoundTopic]:
    wanted = frozenset(names)
    # Asking for all topics, not for these: asking for one may create it, where the broker allows that.
    described = [topic for topic in await admin.describe_topics() if topic["topic"] in wanted]
    settings = await _settings(admin, [topic["topic"] for topic in described])
    return {
        topic["topic"]: FoundTopic(
            name=topic["topic"],
            partitions=len(topic["partitions"]),
            replication_factor=min((len(part["replicas"]) for part in topic["partitions"]), default=0),
            leaderless=sum(part["leader"] < 0 for part in topic["partitions"]),
            settings=settings[topic["topic"]],
            out_of_sync=sum(len(part["isr"]) < len(part["replicas"]) for part in topic["partitions"]),
        )
        for topic in described
        if topic["topic"] in settings
    }


async def _settings(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    settings: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for code, reason, _, name, entries in response.resources:
            error = for_code(code)
            if code == 0:
                settings[name] = {entry[0]: entry[1] for entry in entries}
            elif error is not UnknownTopicOrPartitionError:  # another broker, which does not know a new topic yet
                raise LogUnavailable(f"Kafka does not tell the settings of {name}: {reason or error.__name__}.")
    return settings


def _usable(found: Mapping[str, FoundTopic], names: Iterable[str]) -> bool:
    return all(name in found and found[name].partitions and not found[name].leaderless for name in names)
