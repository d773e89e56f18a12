"""How every Kafka client here connects, and how each is stopped for certain."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

from livecomments.runtime.rotation import Rotated
from livecomments.runtime.tls import client_context

REQUEST_TIMEOUT_S: Final = 5.0
"""Until a request without an answer is given up; the default of 40 s is longer than any of our callers waits."""
_METADATA_AGE_S: Final = 20.0
"""A moved leader is noticed by its errors at once; this bounds everything else, e.g. a broker added."""
METADATA_INTERVAL_S: Final = 0.1
"""Between two looks for leaders. What answers nevertheless waits for one that is due, so not longer."""
_STOP_TIMEOUT_S: Final = REQUEST_TIMEOUT_S + 2.0


Security = Mapping[str, Any]
"""What aiokafka's clients take: security_protocol, ssl_context, sasl_…"""


def no_security() -> Rotated[Security]:
    """Return what a listener without TLS and passwords takes."""
    return Rotated({})


@dataclass(frozen=True)
class KafkaConnection:
    """Where Kafka is, and what lets us in there now."""

    addresses: str
    security: Rotated[Security] = field(default_factory=no_security, repr=False)

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments that all of aiokafka's clients take."""
        return {
            "bootstrap_servers": self.addresses,
            "client_id": "livecomments",
            "request_timeout_ms": int(REQUEST_TIMEOUT_S * 1_000),
            "metadata_max_age_ms": int(_METADATA_AGE_S * 1_000),
            **self.security.now,
        }

    def adopt(self, client: Any) -> None:
        """Let a started AIOKafkaClient open its next connections by what is new, whenever that changes."""
        self.security.lend(client, renew)
        renew(client, self.security.now)  # it may have changed while it started


def renew(client: Any, security: Security) -> None:
    """Have an AIOKafkaClient open its next connections by this. Those that are open go on (aiokafka 0.14)."""
    client._ssl_context = security.get("ssl_context")
    client._sasl_plain_password = security.get("sasl_plain_password")


def security_of(
    protocol: str, *, mechanism: str, user: str, password: str, ca_file: str, certificate: str = "", key: str = ""
) -> Security:
    """Return `KafkaConnection.security` for a listener of this `protocol`; what it does not use is left out.

    Raises:
        StartRefused: a file with certificates or a key cannot be used.
    """
    security: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        security["ssl_context"] = client_context("LIVECOMMENTS_KAFKA_CA", ca_file, certificate=certificate, key=key)
    if protocol.startswith("SASL_"):
        security |= {"sasl_mechanism": mechanism, "sasl_plain_username": user, "sasl_plain_password": password}
    return security


def _sending(send: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of aiokafka's connections that writes to the socket: one that has just closed is a lost connection.

    aiokafka 0.14 expects asyncio's OSError; uvloop raises RuntimeError, which no caller of a client expects: it ended
    the gateway whose Kafka was killed in that moment, and would end the client's own task that looks for leaders.
    """

    @wraps(send)
    def told(connection: Any, *args: Any, **options: Any) -> Any:
        try:
            return send(connection, *args, **options)
        except RuntimeError as error:
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"The connection to {connection.host}:{connection.port} is lost.") from error

    return told


AIOKafkaConnection.send = _sending(AIOKafkaConnection.send)
AIOKafkaConnection._send_sasl_token = _sending(AIOKafkaConnection._send_sasl_token)


def pace_metadata(client: Any) -> None:
    """Let a started AIOKafkaClient ask where the leaders are no more often than every METADATA_INTERVAL_S.

    Without it, a consumer with a partition that has no leader, or a producer that has a record for one, asks
    again as soon as it was answered, as long as that lasts: 900 times a second, for 40 % of a core (aiokafka 0.14).
    """
    ask, clock = client._metadata_update, asyncio.get_running_loop().time
    asked_at = clock() - METADATA_INTERVAL_S

    async def ask_in_time(cluster: Any, topics: Any) -> Any:
        nonlocal asked_at
        await asyncio.sleep(asked_at + METADATA_INTERVAL_S - clock())
        try:
            return await ask(cluster, topics)
        finally:
            asked_at = clock()

    client._metadata_update = ask_in_time


async def ask_any(client: Any, request: Any) -> Any:
    """Send a request to a broker that takes a connection, whichever that is: aiokafka's random one may be away.

    Args:
        client: a started AIOKafkaClient.
        request: one that any broker can answer.

    Raises:
        KafkaError: no answer, or no broker is there to ask.
    """
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    for node in random.sample(nodes, len(nodes)):
        if await client.ready(node):
            return await client.send(node, request)
    raise KafkaConnectionError("no broker takes a connection")


async def stop(owner: Any, client: Any) -> None:
    """Stop a producer or consumer within a bound, and close its `client` even where its own stop fails.

    aiokafka's stop awaits tasks that it has just cancelled, and passes their CancelledError on as if we were cancelled.
    """
    stopping = asyncio.ensure_future(owner.stop())
    await asyncio.wait([stopping], timeout=_STOP_TIMEOUT_S)
    failed = not stopping.done() or stopping.cancelled() or stopping.exception() is not None
    if failed:
        stopping.cancel()
        with contextlib.suppress(Exception):
            await client.close()
