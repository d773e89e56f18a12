"""The configured Kafka: its connection, a log on one of its topics, and the check of them all."""

from livecomments.kafka.connection import KafkaConnection, security_of
from livecomments.kafka.log import REST_S, KafkaLog
from livecomments.kafka.topics import compare, create_missing
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_topics import load_topics


def kafka_connection(settings: ServerSettings) -> KafkaConnection:
    """Return the configured Kafka. Raises StartRefused: its CA certificates cannot be read."""
    security = security_of(
        settings.kafka_security,
        mechanism=settings.kafka_mechanism,
        user=settings.kafka_user,
        password=settings.kafka_password,
        ca_file=settings.kafka_ca,
    )
    return KafkaConnection(settings.kafka, security)


def kafka_log(settings: ServerSettings, topic: str, rest_s: float = REST_S, *, is_ours: bool = True) -> KafkaLog:
    """Return a topic of the configured Kafka, not yet opened; any topic, whatever its settings, if it is not ours."""
    return KafkaLog(
        settings.kafka,
        topic,
        settings.epoch,
        append_timeout_s=settings.append_timeout_s,
        in_sync_replicas_min=settings.replicas // 2 + 1,
        rest_s=rest_s,
        is_ours=is_ours,
        security=kafka_connection(settings).security,
    )


async def check_topics(settings: ServerSettings, *, create: bool) -> tuple[list[str], list[str]]:
    """Return `(created, differences)` of the topics. Raises LogUnavailable."""
    connection = kafka_connection(settings)
    topics = [topic.with_replicas(settings.replicas) for topic in load_topics(settings.epoch)]
    created = await create_missing(connection, topics) if create else []
    return created, await compare(connection, topics)
