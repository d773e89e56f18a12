"""The distributed form: gateway, edge and stream job as processes of their own, on Kafka and CQL."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from starlette.routing import BaseRoute

from consumers.app import stream_route
from consumers.hub import Hub
from gateway.app import gateway_routes, page_routes
from gateway.posting import Posting
from livecomments.cli.parts import (
    DEAD_LETTER_TOPIC,
    Seams,
    hub_settings,
    kept_secret,
    make_app,
    make_follower,
    make_tokens,
)
from livecomments.history.reading import History
from livecomments.log.follower import Follower
from livecomments.log.kafka import KafkaLog
from livecomments.log.kafka_connection import KafkaConnection
from livecomments.log.topics import comments_topic, compare, create_missing, load_topics
from livecomments.runtime.health import health_routes
from livecomments.runtime.lifecycle import DrainingServer, listening_socket
from livecomments.runtime.settings import Settings
from livecomments.store.away import AwayStore
from livecomments.store.cql import CqlStore
from streams.dead_letters import DeadLetters
from streams.faust_runner import make_faust_app
from streams.job import Job

_STOP_TIMEOUT_S: Final = 8.0
"""For Faust to end by itself; it may hang, and dying is as safe."""


def kafka_log(settings: Settings, topic: str) -> KafkaLog:
    """A topic of the configured Kafka."""
    return KafkaLog(
        settings.kafka,
        topic,
        settings.epoch,
        append_timeout_s=settings.append_timeout_s,
        in_sync_replicas_min=settings.replicas // 2 + 1,
    )


def cql_store(settings: Settings) -> CqlStore:
    """The configured CQL store."""
    return CqlStore(settings.cql, keyspace=settings.cql_keyspace, datacenter=settings.cql_datacenter)


async def serve_gateway(settings: Settings, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve the write path and history until SIGTERM."""
    async with (
        kafka_log(settings, comments_topic(settings.epoch)) as log,
        AwayStore(lambda: cql_store(settings)) as store,
    ):
        seams = Seams()
        follower = make_follower(log, settings, seams)
        history = History(follower, store, middle_records_max=settings.middle_records_max)
        posting = Posting(history, timeout_s=settings.append_timeout_s, in_flight_max=settings.appends_in_flight_max)
        tokens = make_tokens(settings, _session_secret(settings))
        routes = [*page_routes(), *gateway_routes(history, posting, tokens)]
        await _serve(settings, listening, started, routes, follower, _nothing, [follower.run(), store.run()])


async def serve_edge(settings: Settings, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve streams until SIGTERM, then drain."""
    async with (
        kafka_log(settings, comments_topic(settings.epoch)) as log,
        AwayStore(lambda: cql_store(settings)) as store,
    ):
        seams = Seams()
        follower = make_follower(log, settings, seams)
        history = History(follower, store, middle_records_max=settings.middle_records_max)
        hub = Hub(history, hub_settings(settings))

        async def drain() -> None:
            hub.begin_drain()
            await hub.drained(settings.drain_s)

        work = [follower.run(), hub.run(), store.run()]
        await _serve(settings, listening, started, [stream_route(hub)], follower, drain, work)


async def run_stream(settings: Settings, started: Callable[[], None]) -> None:
    """Persist until SIGTERM or SIGINT.

    Raises:
        StartRefused: no topic, no schema, or a log that went back.
    """
    topic = comments_topic(settings.epoch)
    async with (
        kafka_log(settings, topic) as log,
        kafka_log(settings, DEAD_LETTER_TOPIC) as dead_letter_log,
        AwayStore(lambda: cql_store(settings)) as store,
    ):
        await store.run()
        job = Job(log, store, DeadLetters(dead_letter_log, topic), delay_s=settings.persist_delay_s)
        await job.check()
        loop = asyncio.get_running_loop()
        told_to_stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told_to_stop.set)
        worker = make_faust_app(settings.kafka, settings.group, topic, job, settings.data_dir / "faust", loop)
        internal = _internal_server(lambda: {"store": store.is_open})
        async with asyncio.TaskGroup() as running:
            watermarks = running.create_task(job.run_watermarks())
            serving = running.create_task(internal.serve([listening_socket(settings.host, settings.internal_port)]))
            await worker.start()
            started()
            await told_to_stop.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(worker.stop(), _STOP_TIMEOUT_S)
            watermarks.cancel()
            internal.should_exit = True
            await serving
    os._exit(0)  # Faust's threads may outlive its stop; everything that counts is stored


async def check_topics(settings: Settings, *, create: bool) -> tuple[list[str], list[str]]:
    """`(created, differences)` of the topics. Raises LogUnavailable."""
    connection = KafkaConnection(settings.kafka, {})
    topics = [topic.with_replicas(settings.replicas) for topic in load_topics(settings.epoch)]
    created = await create_missing(connection, topics) if create else []
    return created, await compare(connection, topics)


def _session_secret(settings: Settings) -> bytes:
    """All gateways must sign alike, so that one's token is good at the other."""
    return settings.session_secret.encode() or kept_secret(settings.data_dir)


async def _serve(
    settings: Settings,
    listening: socket.socket,
    started: Callable[[], None],
    routes: Sequence[BaseRoute],
    follower: Follower,
    drain: Callable[[], Awaitable[None]],
    work: list[Coroutine[Any, Any, None]],
) -> None:
    """Serve `routes` publicly, and health and metrics on the internal port, while `work` goes on."""
    server = DrainingServer(make_app(routes), started, drain)
    internal = _internal_server(
        lambda: {
            "log": follower.is_ready and follower.silence_s < settings.stale_after_s,
            "taking": server.started and not server.should_exit,
        }
    )
    async with asyncio.TaskGroup() as running:
        tasks = [running.create_task(one) for one in work]
        beside = running.create_task(internal.serve([listening_socket(settings.host, settings.internal_port)]))
        await server.serve([listening])
        internal.should_exit = True
        await beside
        for task in tasks:
            task.cancel()


def _internal_server(checks: Callable[[], Mapping[str, bool]]) -> DrainingServer:
    return DrainingServer(make_app([*health_routes(checks)]), lambda: None, _nothing, takes_signals=False)


async def _nothing() -> None:
    """Nothing to drain."""
