"""An epoch of its own on a Kafka that others use too: under a prefix that nobody else has, with as few partitions as a
test or a benchmark wants."""

import secrets
from dataclasses import dataclass, replace
from typing import Any

from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.topics import create_missing
from livecomments.log.topics import Topic, comments_topic, load_topics
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_schemas.positions import EPOCH_MAX


@dataclass(frozen=True)
class OwnEpoch:
    """A deployment's topics on a shared Kafka, and its one epoch, whose number differs from most others'."""

    kafka: str
    prefix: str
    number: int

    @property
    def topic(self) -> str:
        """The comments topic, as Kafka calls it."""
        return self.prefix + comments_topic(self.number)

    def wanted(self, partitions: int) -> Topic:
        """Return the comments topic as it must be made: with this many partitions, on one replica."""
        (topic,) = (one for one in load_topics(self.number) if one.name == comments_topic(self.number))
        return replace(topic.with_replicas(1), name=self.topic, partitions=partitions)


async def own_epoch(kafka: str, partitions: int, **security: Any) -> OwnEpoch:
    """Make the topics of a new deployment and open its epoch; `security` is settings beyond the address."""
    from livecomments_command.epochs import check_topics

    own = OwnEpoch(kafka, f"own-{secrets.token_hex(6)}-", 2 + secrets.randbelow(EPOCH_MAX - 2))
    await create_missing(KafkaConnection(kafka), [own.wanted(partitions)])
    settings = ServerSettings(kafka=kafka, cql="none", replicas=1, topic_prefix=own.prefix, **security)
    await check_topics(settings, create=True, epoch=own.number)
    return own
