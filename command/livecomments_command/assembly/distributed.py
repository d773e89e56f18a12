"""The distributed form: gateway, edge and stream job as processes of their own, on Kafka and CQL."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NoReturn

from starlette.types import ASGIApp

from livecomments.cql.session import CqlAccess
from livecomments.cql.store import CqlStore
from livecomments.following.follower import Follower
from livecomments.history.log_end import check_log, claim_log
from livecomments.history.reading import History
from livecomments.kafka.connection import KafkaConnection, security_of
from livecomments.kafka.log import REST_S, KafkaLog
from livecomments.kafka.topics import compare, create_missing
from livecomments.log.interface import CommentLog
from livecomments.log.revocations import Revocations
from livecomments.runtime.settings import Settings
from livecomments.runtime.tls import client_context
from livecomments.store.away import AwayStore
from livecomments.store.interface import CommentStore, Lifetime
from livecomments.web.door import Claim, claim_nothing
from livecomments.web.health import health_routes
from livecomments.web.server import DrainingServer, listening_socket
from livecomments_command.assembly.parts import (
    ClosingAnswers,
    Seams,
    cors_rules,
    hub_settings,
    make_app,
    make_follower,
    make_jwks,
    make_posting,
    make_tokens,
)
from livecomments_consumers.app import stream_claim, stream_route
from livecomments_consumers.hub import Hub
from livecomments_gateway.app import gateway_routes, page_routes
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.faust_runner import FaustRunner
from livecomments_streams.job import Job
from livecomments_topics import DEAD_LETTER_TOPIC, REVOCATIONS_TOPIC, comments_topic, load_topics

NO_CHECKS: Final[Mapping[str, Callable[[], bool]]] = {}
_STORE_WAIT_S: Final = 3.0
"""Before requests are taken, so that a log which is not the store's is refused first. A store that is away is not."""
_EDGE_REST_S: Final = 0.01
"""Comments of a busy video are joined for longer anyway. At 1,000 a second it saves a tenth of a core (measured)."""
OpenStore = AbstractAsyncContextManager[CommentStore]


def kafka_connection(settings: Settings) -> KafkaConnection:
    """The configured Kafka. Raises StartRefused: its CA certificates cannot be read."""
    security = security_of(
        settings.kafka_security,
        mechanism=settings.kafka_mechanism,
        user=settings.kafka_user,
        password=settings.kafka_password,
        ca_file=settings.kafka_ca,
    )
    return KafkaConnection(settings.kafka, security)


def cql_access(settings: Settings) -> CqlAccess:
    """How the configured store is spoken to. Raises StartRefused: its CA certificates cannot be read."""
    tls = None
    if settings.cql_tls:
        tls = client_context("LIVECOMMENTS_CQL_CA", settings.cql_ca, check_hostname=settings.cql_check_hostname)
    return CqlAccess(settings.cql_user, settings.cql_password, tls)


def kafka_log(settings: Settings, topic: str, rest_s: float = REST_S) -> KafkaLog:
    """A topic of the configured Kafka."""
    return KafkaLog(
        settings.kafka,
        topic,
        settings.epoch,
        append_timeout_s=settings.append_timeout_s,
        in_sync_replicas_min=settings.replicas // 2 + 1,
        rest_s=rest_s,
        security=kafka_connection(settings).security,
    )


def cql_store(settings: Settings) -> CqlStore:
    """The configured CQL store."""
    return CqlStore(
        settings.cql,
        keyspace=settings.cql_keyspace,
        datacenter=settings.cql_datacenter,
        lifetime=Lifetime(settings.store_ttl_s),
        access=cql_access(settings),
    )


async def serve_gateway(settings: Settings, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve the write path and history until SIGTERM."""
    async with (
        kafka_log(settings, comments_topic(settings.epoch)) as log,
        kafka_log(settings, REVOCATIONS_TOPIC) as revocations_log,
        AwayStore(lambda: cql_store(settings)) as store,
    ):
        seams = Seams()
        revocations = Revocations(revocations_log)
        follower = make_follower(log, settings, seams)
        history = History(follower, store, middle_records_max=settings.middle_records_max)
        posting = make_posting(history, settings)
        jwks = make_jwks(settings)
        tokens = make_tokens(settings, revocations, jwks)
        routes = [*gateway_routes(history, posting, tokens), *page_routes()]  # the busiest first
        app = make_app(routes, cors_rules(settings))
        work = [follower.run(), revocations.run(), *([jwks.run()] if jwks else [])]
        checks = {
            "sessions": lambda: revocations.is_ready,
            "keys": lambda: jwks is None or jwks.is_ready,
            "epoch": lambda: not follower.continuity.resets,
        }
        await _serve(settings, listening, started, app, follower, store, work, checks=checks)


async def serve_edge(settings: Settings, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve streams until SIGTERM, then drain."""
    async with (
        kafka_log(settings, comments_topic(settings.epoch), _EDGE_REST_S) as log,
        kafka_log(settings, REVOCATIONS_TOPIC) as revocations_log,
        AwayStore(lambda: cql_store(settings)) as store,
    ):
        seams = Seams()
        follower = make_follower(log, settings, seams)
        history = History(follower, store, middle_records_max=settings.middle_records_max)
        revocations = Revocations(revocations_log)
        hub = Hub(history, hub_settings(settings), revocations=revocations)

        async def drain() -> None:
            await hub.drain(settings.drain_s)

        work = [follower.run(), hub.run(), revocations.run()]
        cors = cors_rules(settings)
        app = ClosingAnswers(make_app([stream_route(hub)], cors))
        claim, checks = stream_claim(hub, cors), {"sessions": lambda: revocations.is_ready}
        await _serve(settings, listening, started, app, follower, store, work, drain=drain, claim=claim, checks=checks)


async def run_stream(
    settings: Settings, started: Callable[[], None], open_store: Callable[[Settings], OpenStore] = cql_store
) -> NoReturn:
    """Persist until SIGTERM or SIGINT, then end the process. `open_store` is a seam for tests that make stores fail.

    Raises:
        StartRefused: no topic, no schema, or a log that went back.
    """
    topic = comments_topic(settings.epoch)
    async with (
        kafka_log(settings, topic) as log,
        kafka_log(settings, DEAD_LETTER_TOPIC) as dead_letter_log,
        AwayStore(lambda: open_store(settings)) as store,
    ):
        listening = listening_socket(settings.host, settings.internal_port)
        job = Job(log, store, DeadLetters(dead_letter_log, topic), delay_s=settings.persist_delay_s)
        internal = _internal_server(
            lambda: {"store": store.is_open, "group": job.progress.is_joined, "delivery": job.progress.is_consuming()}
        )
        serving = asyncio.create_task(internal.serve([listening]))  # a store may be away for hours
        await store.run()
        await claim_log(log, store)
        told_to_stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
        runner = FaustRunner(kafka_connection(settings), settings.group, topic, job, settings.data_dir / "faust")
        await runner.run(told_to_stop, started, beside=[serving])


async def check_topics(settings: Settings, *, create: bool) -> tuple[list[str], list[str]]:
    """`(created, differences)` of the topics. Raises LogUnavailable."""
    connection = kafka_connection(settings)
    topics = [topic.with_replicas(settings.replicas) for topic in load_topics(settings.epoch)]
    created = await create_missing(connection, topics) if create else []
    return created, await compare(connection, topics)


async def _check_store(log: CommentLog, store: AwayStore) -> None:
    """Open the store, and refuse a log that is not the one it was filled from."""
    await store.run()
    await check_log(log, store)


async def _nothing() -> None:
    """Nothing to drain."""


async def _serve(
    settings: Settings,
    listening: socket.socket,
    started: Callable[[], None],
    app: ASGIApp,
    follower: Follower,
    store: AwayStore,
    work: list[Coroutine[Any, Any, None]],
    *,
    drain: Callable[[], Awaitable[None]] = _nothing,
    claim: Claim = claim_nothing,
    checks: Mapping[str, Callable[[], bool]] = NO_CHECKS,
) -> None:
    """Serve `app` publicly, and health and metrics on the internal port, while `work` goes on."""
    server = DrainingServer(app, started, drain, claim=claim)
    internal = _internal_server(
        lambda: {
            "log": follower.is_ready and follower.silence_s < settings.stale_after_s,
            "taking": server.started and not server.should_exit,
            **{name: check() for name, check in checks.items()},
        }
    )
    async with asyncio.TaskGroup() as running:
        tasks = [running.create_task(one) for one in work]
        tasks.append(known := running.create_task(_check_store(follower.log, store)))
        beside = running.create_task(internal.serve([listening_socket(settings.host, settings.internal_port)]))
        await asyncio.wait([known], timeout=_STORE_WAIT_S)
        await server.serve([listening])
        internal.should_exit = True
        await beside
        for task in tasks:
            task.cancel()


def _internal_server(checks: Callable[[], Mapping[str, bool]]) -> DrainingServer:
    return DrainingServer(make_app([*health_routes(checks)]), lambda: None, _nothing, takes_signals=False)
