"""The configured Kafka: its connection, logs on its topics, and the epochs that its log tells of."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final

from livecomments.kafka.connection import KafkaConnection, Security, security_of
from livecomments.kafka.contract import Compared, ContractWatch, TopicsBeside
from livecomments.kafka.log import REST, KafkaLog
from livecomments.kafka.rest import Rest
from livecomments.log.epochs import KnownEpochs, read_epochs
from livecomments.log.topics import COUNTS_TOPIC, EPOCHS_TOPIC, Topic, comments_topic, load_topics
from livecomments.runtime.rotation import FromFiles
from livecomments.runtime.shared_settings import ServerSettings
from livecomments.runtime.values import as_it_is_now, file_of
from livecomments_schemas.epochs import Contract, Epochs
from livecomments_schemas.errors import StartRefused

_SETTINGS_MAX: Final = 16
"""Settings whose connections are kept; a process has one, tests have some."""
_EPOCHS_READ_S: Final = 30.0
"""As long as a Kafka may be away at the start."""


@lru_cache(_SETTINGS_MAX)
def kafka_connection(settings: ServerSettings) -> KafkaConnection:
    """Return the configured Kafka, the same whenever a process asks: so all clients hear of what is new.

    Raises:
        StartRefused: its certificates cannot be used, or its password cannot be read.
    """

    def read() -> Security:
        return security_of(
            settings.kafka_security,
            mechanism=settings.kafka_mechanism,
            user=settings.kafka_user,
            password=as_it_is_now(settings.kafka_password),
            ca_file=settings.kafka_ca,
            certificate=settings.kafka_certificate,
            key=settings.kafka_key,
        )

    files = (settings.kafka_ca, settings.kafka_certificate, settings.kafka_key, file_of(settings.kafka_password))
    return KafkaConnection(settings.kafka, FromFiles("kafka", files, read))


def topic_name(settings: ServerSettings, topic: str) -> str:
    """Return what a topic of ours is called in the configured Kafka."""
    return settings.topic_prefix + topic


def wanted_topics(settings: ServerSettings, number: int) -> list[Topic]:
    """Return the topics as they must be, the comments topic of this epoch first; of optional ones those wanted."""
    wanted = {COUNTS_TOPIC} if settings.counts else set()
    return [
        dataclasses.replace(topic.with_replicas(settings.replicas), name=topic_name(settings, topic.name))
        for topic in load_topics(number)
        if not topic.is_optional or topic.name in wanted
    ]


def contract_watch(settings: ServerSettings, log: Compared, epoch: int) -> ContractWatch:
    """Return what holds the comments topic of an epoch against its contract, and what must be known with it."""
    topics = wanted_topics(settings, epoch)
    return ContractWatch(log, TopicsBeside(kafka_connection(settings), topics, settings.topic_prefix))


def kafka_log(settings: ServerSettings, topic: str) -> KafkaLog:
    """Return a topic of ours in the configured Kafka that is of no epoch, not yet opened."""
    return _log(settings, topic_name(settings, topic))


def foreign_log(settings: ServerSettings, topic: str) -> KafkaLog:
    """Return a topic of the configured Kafka that is none of ours, whatever its settings, not yet opened."""
    return _log(settings, topic, is_ours=False)


def comments_log(
    settings: ServerSettings, contract: Contract, rest: Rest = REST, *, fences: Sequence[int] = ()
) -> KafkaLog:
    """Return the comments topic of an epoch, not yet opened; `fences`: where it ended, if it did so by fences."""
    return _log(settings, topic_name(settings, comments_topic(contract.epoch)), contract, rest, fences=fences)


def open_log(settings: ServerSettings, known: KnownEpochs, rest: Rest = REST) -> KafkaLog:
    """Return the comments topic that is served now, not yet opened. Raises StartRefused: no epoch is open."""
    contract = known.open_contract()
    epoch = known.epochs.find(contract.epoch)
    return comments_log(settings, contract, rest, fences=() if epoch is None else epoch.fences)


@asynccontextmanager
async def known_epochs(settings: ServerSettings) -> AsyncIterator[KnownEpochs]:
    """Read all epochs, yield them, and follow their topic until the context is left.

    Raises:
        StartRefused: the topic of epochs is missing, or cannot be read.
    """
    async with kafka_log(settings, EPOCHS_TOPIC) as log:
        known = KnownEpochs(log)
        reading = known.follow()
        try:
            await known.ready(_EPOCHS_READ_S)
            yield known
        except TimeoutError as error:
            if known.is_ready:
                raise
            raise StartRefused(
                f"The topic {topic_name(settings, EPOCHS_TOPIC)} could not be read for {_EPOCHS_READ_S:g} s."
            ) from error
        finally:
            reading.cancel()
            await asyncio.wait([reading])


@asynccontextmanager
async def newest_comments(settings: ServerSettings) -> AsyncIterator[KafkaLog]:
    """Open the comments topic of the newest epoch for the context. Raises StartRefused, LogUnavailable."""
    newest = (await told_epochs(settings)).newest
    if newest is None:
        raise StartRefused("The log tells of no epoch yet. Open the first: livecomments topics --create")
    async with comments_log(settings, newest.contract, fences=newest.fences) as log:
        yield log


async def told_epochs(settings: ServerSettings) -> Epochs:
    """Read the epochs that their topic tells of now, once.

    Raises:
        StartRefused: the topic of epochs is missing.
        LogUnavailable: it cannot be read.
    """
    async with kafka_log(settings, EPOCHS_TOPIC) as log:
        return await read_epochs(log)


def _log(
    settings: ServerSettings,
    name: str,
    contract: Contract | None = None,
    rest: Rest = REST,
    *,
    is_ours: bool = True,
    fences: Sequence[int] = (),
) -> KafkaLog:
    return KafkaLog(
        settings.kafka,
        name,
        0 if contract is None else contract.epoch,
        contract=contract,
        fences=fences,
        append_timeout_s=settings.append_timeout_s,
        in_sync_replicas_min=settings.replicas // 2 + 1,
        rest=rest,
        is_ours=is_ours,
        appends_soon=settings.appends_soon,
        security=kafka_connection(settings).security,
    )
