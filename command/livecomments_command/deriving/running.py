"""The jobs as processes, on Kafka."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from livecomments.kafka.topics import create_missing
from livecomments.log.epochs import KnownEpochs
from livecomments.log.interface import CommentLog
from livecomments.log.topics import COUNTS_TOPIC, Topic, clean_topic, comments_topic, load_topics
from livecomments.runtime.machine import raise_open_files
from livecomments.runtime.rotation import keep_fresh
from livecomments.runtime.vitals import watch_loop
from livecomments.web.server import listening_socket
from livecomments_command.assembly.kafka import kafka_connection, kafka_log, known_epochs, topic_name
from livecomments_command.assembly.serving import internal_server
from livecomments_command.assembly.telling import Life
from livecomments_command.deriving.clean import Clean
from livecomments_command.deriving.comparing import verify_clean
from livecomments_command.deriving.counts import Counts
from livecomments_command.deriving.sources import Until
from livecomments_command.records.looking import told_to_stop
from livecomments_command.records.opened import opened
from livecomments_command.records.verify import Findings
from livecomments_command.settings import DerivingSettings, ToolSettings
from livecomments_schemas.epochs import Contract, Epochs
from livecomments_schemas.errors import StartRefused


@dataclass(frozen=True)
class KafkaSource:
    """The epochs of a Kafka; each log is one and the same as long as it is read."""

    settings: DerivingSettings
    known: KnownEpochs

    async def epochs(self) -> Epochs:
        return self.known.epochs

    @asynccontextmanager
    async def log(self, number: int) -> AsyncIterator[CommentLog]:
        async with opened(self.settings, needs_store=False, epoch=number) as found:
            yield found.log


async def make_topic(settings: DerivingSettings | ToolSettings, topic: Topic) -> str:
    """Make a topic of these jobs if it is missing; its name in Kafka. Raises LogUnavailable."""
    name = topic_name(settings, topic.name)
    await create_missing(kafka_connection(settings), [replace(topic.with_replicas(settings.replicas), name=name)])
    return name


async def run_counts(settings: DerivingSettings, started: Callable[[], None]) -> None:
    """Count until SIGTERM or SIGINT. Raises as `Counts.run` does, and StartRefused: Kafka is not as it must be."""
    (topic,) = (one for one in load_topics(1) if one.name == COUNTS_TOPIC)
    async with known_epochs(settings) as known:
        await make_topic(settings, topic)
        async with kafka_log(settings, COUNTS_TOPIC) as to:
            until = Until(told_to_stop())
            counts = Counts(KafkaSource(settings, known), to, until)
            await run_beside(settings, counts.run(), lambda: {"counts": counts.is_current}, started)


@dataclass(frozen=True)
class KafkaCleanTopics:
    """The clean topics of a Kafka, made when they are first opened."""

    settings: DerivingSettings | ToolSettings

    def log_topic(self, epoch: int) -> str:
        return topic_name(self.settings, comments_topic(epoch))

    @asynccontextmanager
    async def clean(self, contract: Contract) -> AsyncIterator[CommentLog]:
        (topic,) = (one for one in load_topics(contract.epoch) if one.name == clean_topic(contract.epoch))
        await make_topic(self.settings, replace(topic, partitions=contract.partitions))
        async with kafka_log(self.settings, topic.name) as log:
            if log.partition_count < contract.partitions:
                raise StartRefused(
                    f"Topic {topic.name} has {log.partition_count} partitions, and its epoch {contract.partitions}. "
                    "Somebody else made it: remove it, and it is made as it must be."
                )
            yield log


async def run_clean(settings: DerivingSettings, started: Callable[[], None]) -> None:
    """Clean until SIGTERM or SIGINT. Raises as `Clean.run` does, and StartRefused: Kafka is not as it must be."""
    async with known_epochs(settings) as known:
        source = KafkaSource(settings, known)
        clean = Clean(source, KafkaCleanTopics(settings), Until(told_to_stop()))
        await run_beside(settings, clean.run(), lambda: {"clean": clean.is_current}, started)


async def compare_clean(settings: ToolSettings, console: Console, epoch: int | None) -> Findings:
    """Compare the clean topic of an epoch with its log. Raises StartRefused: there is none."""
    if not settings.kafka:
        raise StartRefused("The embedded form has no clean topic. Leave out --clean.")
    async with (
        opened(settings, needs_store=False, epoch=epoch) as found,
        kafka_log(settings, clean_topic(found.log.epoch)) as clean,
    ):
        return await verify_clean(found, console, clean)


async def run_beside(
    settings: DerivingSettings,
    job: Coroutine[Any, Any, None],
    checks: Callable[[], dict[str, bool]],
    started: Callable[[], None],
) -> None:
    """Run a job to its end, with health and metrics beside it."""
    raise_open_files()
    listening = listening_socket(settings.host, settings.internal_port)
    life = Life(checks, lambda: ())
    beside = [internal_server(life.checks).serve([listening]), life.watch(), watch_loop()]
    async with asyncio.TaskGroup() as running:
        works = [*beside, keep_fresh(kafka_connection(settings).security)]
        tasks = [running.create_task(work) for work in works]
        started()
        await job
        for task in tasks:
            task.cancel()
