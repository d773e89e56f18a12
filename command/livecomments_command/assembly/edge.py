"""An edge as a process of its own: streams over Server-Sent Events, on Kafka and CQL."""

import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from livecomments.following.tail import Tail
from livecomments.history.reading import History
from livecomments.kafka.rest import Rest
from livecomments.log.revocations import Revocations
from livecomments.log.topics import REVOCATIONS_TOPIC
from livecomments.runtime.rotation import keep_fresh
from livecomments.store.away import AwayStore
from livecomments_command.assembly.cql import cql_access, cql_store
from livecomments_command.assembly.following import make_follower
from livecomments_command.assembly.growing import Growing
from livecomments_command.assembly.kafka import contract_watch, kafka_connection, kafka_log, known_epochs, open_log
from livecomments_command.assembly.serving import Serving, cors_rules, make_app
from livecomments_command.assembly.tracing import traced
from livecomments_command.settings import EdgeSettings
from livecomments_consumers.app import stream_claim, stream_route
from livecomments_consumers.durable import durable_route
from livecomments_consumers.hub import Hub
from livecomments_consumers.tracing import Deliveries, TracedTail

_EDGE_REST: Final = Rest(0.010, 0.030)
"""Comments of a busy video are joined for as long anyway."""


async def serve_edge(settings: EdgeSettings, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve streams until SIGTERM or SIGINT, then drain. `started` is called once requests are taken.

    Raises:
        StartRefused: no open epoch, a topic that is not what the epoch promises, no schema, or a log that the store was
            not filled from.
        StartAgain: a later epoch is open.
    """
    async with (
        traced(settings, "edge") as tracing,
        known_epochs(settings) as known,
        open_log(settings, known, _EDGE_REST) as log,
        AsyncExitStack() as opened,
        kafka_log(settings, REVOCATIONS_TOPIC) as revocations_log,
        AwayStore(lambda: cql_store(settings)) as store,
    ):
        watch = Deliveries(tracing).watch if tracing else None
        follower = make_follower(log, settings, counts=known.epochs.counts, tail=TracedTail if tracing else Tail)
        history = History(follower, store, middle_records_max=settings.middle_records_max, is_told=known.is_told)
        revocations = Revocations(revocations_log)
        hub = Hub(follower, history, settings, revocations=revocations, watch=watch)

        async def drain() -> None:
            await hub.drain(settings.drain_s)

        growing = Growing(settings, known, follower, opened, rest=_EDGE_REST)
        cors = cors_rules(settings)
        serving = Serving(
            app=make_app([stream_route(hub), durable_route(hub)], cors),
            cors=cors,
            follower=follower,
            store=store,
            over=growing.over(),
            work=[
                follower.run(),
                contract_watch(settings, growing, log.epoch).run(),
                hub.run(),
                revocations.run(),
                keep_fresh(kafka_connection(settings).security, cql_access(settings)),
            ],
            checks={"sessions": lambda: revocations.is_ready},
            drain=drain,
            claim=stream_claim(hub, cors),
        )
        await serving.run(settings, listening, started)
