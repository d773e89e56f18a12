"""How a process of the distributed form serves: its application, and health and metrics on a port of their own."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from livecomments.following.follower import Follower
from livecomments.history.log_end import check_log
from livecomments.log.interface import CommentLog
from livecomments.runtime.machine import raise_open_files
from livecomments.runtime.shared_settings import PublicSettings
from livecomments.runtime.vitals import watch_loop
from livecomments.store.away import AwayStore
from livecomments.web.application import Application
from livecomments.web.cors import NO_CORS, CorsAnswers, CorsRules, origins_of
from livecomments.web.door import Claim, claim_nothing
from livecomments.web.health import health_routes, routing_route
from livecomments.web.server import DrainingServer, listening_socket
from livecomments_command.assembly.telling import Life, tell_gone
from livecomments_command.settings import ServingSettings
from livecomments_schemas.errors import StartAgain

Checks = Mapping[str, Callable[[], bool]]
"""Conditions of a process being ready, by the names that `/healthz/ready` answers with."""

_STORE_WAIT_S: Final = 3.0
"""How long a start waits for the store, to refuse a log that it was not filled from. A store that is away is not waited
for."""


async def drain_nothing() -> None:
    """Return at once: nothing is open beyond its answer."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What a process of the distributed form serves, and the tasks that run beside it."""

    app: ASGIApp
    follower: Follower
    store: AwayStore
    over: Coroutine[Any, Any, None]
    """Ends when a later epoch is open: the process then drains, and is to be started again."""
    work: Sequence[Coroutine[Any, Any, None]]
    """Runs beside the server, and ends it if it fails."""
    checks: Checks = field(default_factory=dict)
    """Beside those of every process: that the log is read, and requests are taken."""
    drain: Callable[[], Awaitable[None]] = drain_nothing
    claim: Claim = claim_nothing
    cors: CorsRules = NO_CORS

    async def run(self, settings: ServingSettings, listening: socket.socket, started: Callable[[], None]) -> None:
        """Serve the application publicly, and health and metrics on the internal port, until SIGTERM or SIGINT.

        Raises:
            StartAgain: the epoch is over.
        """
        files = raise_open_files()
        server = DrainingServer(self.app, started, self.drain, claim=self.claim, files=files, cors=self.cors)
        life = Life(
            lambda: {
                "log": self.follower.is_ready and self.follower.silence_s < settings.stale_after_s,
                "taking": server.started and not server.should_exit,
                **{name: check() for name, check in self.checks.items()},
            },
            lambda: self.follower.followed,
        )
        internal = internal_server(
            life.checks,
            [routing_route(lambda: self.follower.log)],
        )
        async with asyncio.TaskGroup() as running:
            tasks = [running.create_task(one) for one in (*self.work, watch_loop(), life.watch())]
            tasks.append(known := running.create_task(_check_store(self.follower.log, self.store)))
            beside = running.create_task(internal.serve([listening_socket(settings.host, settings.internal_port)]))
            await asyncio.wait([known], timeout=_STORE_WAIT_S)
            over = running.create_task(_end(server, self.over))
            await server.serve([listening])
            internal.should_exit = True
            await beside
            for task in (*tasks, over):
                task.cancel()
        tell_gone()
        if not over.cancelled():
            raise StartAgain(OVER)


async def _end(server: DrainingServer, over: Coroutine[Any, Any, None]) -> None:
    await over
    server.should_exit = True


OVER: Final = "A later epoch is open; start this process again."


def internal_server(checks: Callable[[], Mapping[str, bool]], beside: Sequence[BaseRoute] = ()) -> DrainingServer:
    """Return the server of health and metrics, and what else is `beside` them; whoever runs it takes the signals."""
    app = make_app([*health_routes(checks), *beside])
    return DrainingServer(app, lambda: None, drain_nothing, takes_signals=False)


def cors_rules(settings: PublicSettings) -> CorsRules:
    """Return which other sites' pages may call."""
    return CorsRules(origins_of(settings.cors_origins))


def make_app(routes: Sequence[BaseRoute], cors: CorsRules = NO_CORS) -> ASGIApp:
    """Return an application of these routes that answers errors as problems, to the pages of allowed origins too."""
    app = Application(routes)
    return CorsAnswers(app, cors) if cors.is_open else app


async def _check_store(log: CommentLog, store: AwayStore) -> None:
    """Open the store, and refuse a log that is not the one it was filled from."""
    await store.run()
    await check_log(log, store)
