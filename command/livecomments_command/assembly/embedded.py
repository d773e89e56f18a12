"""The embedded form: gateway, stream job and edge in one process, on one durable file."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.types import ASGIApp

from livecomments.embedded.elapsed import Elapsed, elapsed_of, keep_leaps
from livecomments.embedded.epochs import embedded_comments, embedded_epochs
from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.following.growing import GrowingFollower
from livecomments.following.read_back import Judge
from livecomments.following.tail import Tail, TailBounds
from livecomments.history.log_end import claim_log
from livecomments.history.log_time import lifetime_of
from livecomments.history.reading import History
from livecomments.log.counts import RecentCounts
from livecomments.log.revocations import Revocations
from livecomments.log.topics import COUNTS_TOPIC, DEAD_LETTER_TOPIC, REVOCATIONS_TOPIC, comments_topic
from livecomments.runtime.machine import raise_open_files
from livecomments.runtime.rotation import keep_fresh
from livecomments.runtime.vitals import watch_loop
from livecomments.sqlite import DurableFile
from livecomments.web.cors import CorsRules
from livecomments.web.door import Claim
from livecomments.web.health import HEALTH_PATHS, health_routes
from livecomments.web.server import DrainingServer
from livecomments_command.assembly.following import make_follower
from livecomments_command.assembly.serving import Checks, cors_rules, make_app
from livecomments_command.assembly.telling import Life, tell_gone
from livecomments_command.assembly.tracing import traced
from livecomments_command.assembly.writing import make_jwks, make_posting, make_tokens, token_secrets
from livecomments_command.deriving.counts import Counts
from livecomments_command.deriving.embedded import EmbeddedSource
from livecomments_command.deriving.sources import Until
from livecomments_command.settings import RunSettings
from livecomments_consumers.app import stream_claim, stream_route
from livecomments_consumers.durable import durable_route
from livecomments_consumers.hub import Hub
from livecomments_consumers.tracing import Deliveries, TracedTail
from livecomments_consumers.viewer import Viewer
from livecomments_gateway.app import gateway_routes
from livecomments_gateway.posting import Posting
from livecomments_gateway.site import page_routes
from livecomments_schemas.judge import judge
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.finishing import store_to_end
from livecomments_streams.loop import PersistLoop
from livecomments_streams.tracing import PersistTraces


@dataclass(frozen=True)
class Seams:
    """What a test may replace to see that a checker notices."""

    judge: Judge = judge
    tail: Callable[[TailBounds, int], Tail] = Tail
    viewer: Callable[[int, float, float], Viewer] = Viewer


@dataclass(frozen=True)
class Embedded:
    """The running parts of the embedded form."""

    app: ASGIApp
    hub: Hub
    follower: GrowingFollower
    posting: Posting
    life: Life
    claim: Claim
    """For the door: the streams that need no application."""
    cors: CorsRules
    """For the answers that the door makes itself."""


@asynccontextmanager
async def embedded_service(settings: RunSettings, seams: Seams | None = None) -> AsyncIterator[Embedded]:
    """Make the parts of the embedded service and run them, without an HTTP server; end them on exit.

    Raises:
        StartRefused: the data directory cannot be used, or its store is not of its log.
    """
    seams = seams or Seams()
    async with (
        traced(settings, "run") as tracing,
        _opened(settings) as (file, elapsed),
        EmbeddedLog(file, DEAD_LETTER_TOPIC, 0, 1) as dead_letter_log,
        EmbeddedLog(file, REVOCATIONS_TOPIC, 0, 1) as revocations_log,
        _newest_epoch(settings, file) as log,
        _kept_counts(settings, file, log) as kept,
        EmbeddedStore(file, lifetime=await lifetime_of(log, settings.store_ttl_s), elapsed=elapsed) as store,
    ):
        await _begin_storing(settings, file, log, store, dead_letter_log)
        dead_letters = DeadLetters(dead_letter_log, comments_topic(log.epoch))
        tail = TracedTail if tracing and seams.tail is Tail else seams.tail
        follower = make_follower(log, settings, judge=seams.judge, tail=tail)
        history = History(follower, store, middle_records_max=settings.middle_records_max, judge=seams.judge)
        revocations = Revocations(revocations_log, older_than=elapsed.older_than)
        watch = Deliveries(tracing).watch if tracing else None
        hub = Hub(follower, history, settings, revocations=revocations, make_viewer=seams.viewer, watch=watch)
        posting = make_posting(follower, history, settings)
        jwks = make_jwks(settings)
        secrets = token_secrets(settings)
        tokens = make_tokens(settings, secrets, revocations, jwks)
        stored = PersistTraces(tracing).note_stored if tracing else None
        delay_s, every = settings.persist_delay_s, range(log.partition_count)
        job = PersistLoop(log, store, dead_letters, every, delay_s=delay_s, judge=seams.judge, stored=stored)
        cors = cors_rules(settings)
        checks: Checks = {
            "keys": lambda: jwks is None or jwks.is_ready,
            "sessions": lambda: revocations.is_ready,
            "log": lambda: follower.is_ready and follower.silence_s < settings.stale_after_s,
            "storage": lambda: not file.is_full,
            "taking": lambda: not hub.is_draining,
        }
        life = Life(lambda: {name: check() for name, check in checks.items()}, lambda: follower.followed)
        app = make_app(
            [
                *page_routes(),
                stream_route(hub),
                durable_route(hub),
                *gateway_routes(follower, history, posting, tokens, tracing, kept and kept.recent),
                *health_routes(life.checks),
            ],
            cors,
        )
        async with asyncio.TaskGroup() as running:
            services = [follower.run(), hub.run(), job.run(), revocations.run(), *([jwks.run()] if jwks else [])]
            services += [kept.counts.run(), kept.recent.run()] if kept else []
            works = [file.watch(), keep_leaps(file, elapsed), keep_fresh(*secrets), *services]
            tasks = [running.create_task(work) for work in works]
            try:
                yield Embedded(app, hub, follower, posting, life, stream_claim(hub, cors), cors)
            finally:
                for task in tasks:
                    task.cancel()


class _CountsKept(NamedTuple):
    """What counts comments a minute, and what knows the newest counts."""

    counts: Counts
    recent: RecentCounts


@asynccontextmanager
async def _kept_counts(settings: RunSettings, file: DurableFile, log: EmbeddedLog) -> AsyncIterator[_CountsKept | None]:
    """Open the topic of counts and make its parts, where comments are to be counted."""
    if not settings.counts:
        yield None
        return
    async with EmbeddedLog(file, COUNTS_TOPIC, 0, 1) as to:
        yield _CountsKept(Counts(EmbeddedSource(file, log), to, Until()), RecentCounts(to))


@asynccontextmanager
async def _opened(settings: RunSettings) -> AsyncIterator[tuple[DurableFile, Elapsed]]:
    """Open the file; compare the clock with what it holds before a new record is stamped by that clock."""
    async with DurableFile(settings.data_dir, LOG_TABLES + STORE_TABLES) as file:
        yield file, await elapsed_of(file)


@asynccontextmanager
async def _newest_epoch(settings: RunSettings, file: DurableFile) -> AsyncIterator[EmbeddedLog]:
    """Open the log of the newest epoch, and yield it until the context is left."""
    *_, newest = (await embedded_epochs(file, settings.partitions)).known
    async with embedded_comments(file, newest.contract) as log:
        yield log


async def _begin_storing(
    settings: RunSettings, file: DurableFile, log: EmbeddedLog, store: EmbeddedStore, dead_letter_log: EmbeddedLog
) -> None:
    """Note in the store which log fills it, and store what is missing of the epochs before the open one.

    Raises:
        StartRefused: the store is of another log.
    """
    await claim_log(log, store)
    *earlier, _ = (await embedded_epochs(file, settings.partitions)).known
    for one in earlier:
        async with embedded_comments(file, one.contract) as before:
            await store_to_end(before, store, DeadLetters(dead_letter_log, comments_topic(one.number)))


async def serve_embedded(
    settings: RunSettings,
    listening: socket.socket,
    started: Callable[[Embedded], None],
    seams: Seams | None = None,
    *,
    beside: Callable[[Embedded], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: of `livecomments run`.
        listening: bound, as `listening_socket` makes it.
        started: called once requests are taken.
        seams: what a test replaces.
        beside: runs as long as it serves; if it fails, so does this.

    Raises:
        StartRefused: the data directory cannot be used.
    """
    async with embedded_service(settings, seams) as service:

        async def drain() -> None:
            await service.hub.drain(settings.drain_s)

        is_serving = asyncio.Event()

        def begin() -> None:
            is_serving.set()
            started(service)

        async def tell_life() -> None:
            await is_serving.wait()  # who takes no requests and no signals yet is not ready
            await service.life.watch()

        server = DrainingServer(
            service.app,
            begin,
            drain,
            claim=service.claim,
            files=raise_open_files(),
            spared=HEALTH_PATHS,
            cors=service.cors,
        )
        async with asyncio.TaskGroup() as running:
            works = [watch_loop(), tell_life(), *([beside(service)] if beside else [])]
            tasks = [running.create_task(work) for work in works]
            await server.serve([listening])
            for task in tasks:
                task.cancel()
        tell_gone()
