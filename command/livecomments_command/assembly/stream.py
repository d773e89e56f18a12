"""The stream job as a process of its own: from Kafka into CQL, in a consumer group, driven by Faust."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn

from livecomments.history.log_end import claim_log
from livecomments.history.log_time import lifetime_of
from livecomments.log.topics import DEAD_LETTER_TOPIC, comments_topic
from livecomments.runtime.machine import raise_open_files
from livecomments.runtime.rotation import keep_fresh
from livecomments.runtime.vitals import watch_loop
from livecomments.store.away import AwayStore
from livecomments.store.interface import CommentStore, Lifetime
from livecomments.web.server import listening_socket
from livecomments_command.assembly.cql import cql_access, cql_store
from livecomments_command.assembly.kafka import (
    contract_watch,
    kafka_connection,
    kafka_log,
    known_epochs,
    open_log,
    topic_name,
)
from livecomments_command.assembly.serving import OVER, internal_server
from livecomments_command.assembly.telling import Life
from livecomments_command.assembly.tracing import traced
from livecomments_command.records.looking import told_to_stop
from livecomments_command.settings import StreamSettings
from livecomments_schemas.errors import StartAgain
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.faust_runner import FaustRunner
from livecomments_streams.job import Job
from livecomments_streams.tracing import PersistTraces

OpenStore = AbstractAsyncContextManager[CommentStore]


async def run_stream(
    settings: StreamSettings,
    started: Callable[[], None],
    open_store: Callable[[StreamSettings], OpenStore] | None = None,
) -> NoReturn:
    """Persist until SIGTERM or SIGINT, then end the process. `open_store` is a seam for tests that make stores fail.

    Raises:
        StartRefused: no open epoch, a topic that is not what the epoch promises, no schema, or a log that went back.
    """
    raise_open_files()
    async with (
        traced(settings, "stream") as tracing,
        known_epochs(settings) as known,
        open_log(settings, known) as log,
        kafka_log(settings, DEAD_LETTER_TOPIC) as dead_letter_log,
        _store(settings, await lifetime_of(log, settings.store_ttl_s), open_store) as store,
    ):
        listening = listening_socket(settings.host, settings.internal_port)
        topic = topic_name(settings, comments_topic(log.epoch))
        job = Job(
            log,
            store,
            DeadLetters(dead_letter_log, topic),
            delay_s=settings.persist_delay_s,
            stored=PersistTraces(tracing).note_stored if tracing else None,
        )
        life = Life(
            lambda: {"store": store.is_open, "group": job.progress.is_joined, "delivery": job.progress.is_consuming()},
            lambda: job.progress.partitions,
        )
        internal = internal_server(life.checks)
        serving = asyncio.create_task(internal.serve([listening]))  # a store may be away for hours
        await store.run()
        await claim_log(log, store)
        stop = told_to_stop()
        runner = FaustRunner(kafka_connection(settings), settings.group, topic, job, settings.data_dir / "faust")

        async def go_on() -> None:
            await known.over(log.epoch)
            if not known.epochs.is_fenced(log.epoch):
                raise StartAgain(OVER)
            runner.goes_on = True  # all of this epoch is stored, or the next would not be open
            stop.set()

        fresh = keep_fresh(kafka_connection(settings).security, cql_access(settings))
        watching = (contract_watch(settings, log, log.epoch).run(), go_on(), watch_loop(), life.watch(), fresh)
        await runner.run(stop, started, beside=[serving, *watching])


def _store(
    settings: StreamSettings, lifetime: Lifetime, open_store: Callable[[StreamSettings], OpenStore] | None
) -> AwayStore:
    return AwayStore(lambda: open_store(settings) if open_store else cql_store(settings, lifetime))
