"""A gateway as a process of its own: the write path and history, on Kafka and CQL."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from livecomments.history.reading import History
from livecomments.history.store_lag import StoreLag
from livecomments.log.counts import RecentCounts
from livecomments.log.epochs import Writing
from livecomments.log.revocations import Revocations
from livecomments.log.topics import COUNTS_TOPIC, REVOCATIONS_TOPIC
from livecomments.runtime.rotation import keep_fresh
from livecomments.store.away import AwayStore
from livecomments_command.assembly.cql import cql_access, cql_store
from livecomments_command.assembly.following import make_follower
from livecomments_command.assembly.growing import Growing, past_of
from livecomments_command.assembly.kafka import contract_watch, kafka_connection, kafka_log, known_epochs, open_log
from livecomments_command.assembly.serving import Serving, cors_rules, make_app
from livecomments_command.assembly.tracing import traced
from livecomments_command.assembly.writing import make_jwks, make_posting, make_tokens, token_secrets
from livecomments_command.settings import GatewaySettings
from livecomments_gateway.app import gateway_routes
from livecomments_gateway.site import page_routes


async def serve_gateway(settings: GatewaySettings, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve the write path and history until SIGTERM or SIGINT. `started` is called once requests are taken.

    Raises:
        StartRefused: no open epoch, a topic that is not what the epoch promises, no schema, or a log that the store was
            not filled from.
        StartAgain: a later epoch is open.
    """
    async with (
        traced(settings, "gateway") as tracing,
        known_epochs(settings) as known,
        open_log(settings, known) as log,
        AsyncExitStack() as opened,
        kafka_log(settings, REVOCATIONS_TOPIC) as revocations_log,
        _counts(settings) as counts,
        AwayStore(lambda: cql_store(settings)) as store,
    ):
        revocations = Revocations(revocations_log)
        past = await past_of(settings, known, log.epoch, opened)
        follower = make_follower(log, settings, counts=known.epochs.counts, past=past)
        history = History(follower, store, middle_records_max=settings.middle_records_max, is_told=known.is_told)
        writing = Writing(known, log.epoch, lambda: watch.breach)
        growing = Growing(settings, known, follower, opened, moved=writing.go_on)
        watch = contract_watch(settings, growing, log.epoch)
        posting = make_posting(follower, history, settings, writing)
        jwks = make_jwks(settings)
        secrets = token_secrets(settings)
        tokens = make_tokens(settings, secrets, revocations, jwks)
        routes = [
            *gateway_routes(follower, history, posting, tokens, tracing, counts),
            *page_routes(),
        ]  # the busiest first
        cors = cors_rules(settings)
        serving = Serving(
            app=make_app(routes, cors),
            cors=cors,
            follower=follower,
            store=store,
            over=growing.over(),
            work=[
                follower.run(),
                watch.run(),
                revocations.run(),
                revocations.restore(),
                StoreLag(follower, store).run(),
                keep_fresh(kafka_connection(settings).security, cql_access(settings), *secrets),
                *([jwks.run()] if jwks else []),
                *([counts.run()] if counts else []),
            ],
            checks={
                "sessions": lambda: revocations.is_ready,
                "keys": lambda: jwks is None or jwks.is_ready,
                "epoch": lambda: not follower.continuity.resets,
                "contract": lambda: writing.is_allowed,
            },
        )
        await serving.run(settings, listening, started)


@asynccontextmanager
async def _counts(settings: GatewaySettings) -> AsyncIterator[RecentCounts | None]:
    """Open the topic of counts, where there is to be one. Raises StartRefused: it does not exist."""
    if not settings.counts:
        yield None
        return
    async with kafka_log(settings, COUNTS_TOPIC) as log:
        yield RecentCounts(log)
