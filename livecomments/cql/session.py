"""The only door to scylla-driver: connecting, and awaiting its answers on the event loop.

The driver answers on a thread of its own. Waking the event loop for every answer costs more than the answer, so answers
queue and one wake-up fetches all that wait. What means "away for now" becomes `StoreUnavailable`; everything else that
the driver raises is our bug.
"""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import cassandra
from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DependencyException,
    OperationTimedOut,
    RequestExecutionException,
    protocol,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    FallthroughRetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import (
    UNSET_VALUE,
    BatchStatement,
    BatchType,
    PreparedStatement,
    named_tuple_factory,
    tuple_factory,
)

from livecomments.runtime.rotation import Rotated
from livecomments.store.interface import StoreUnavailable
from livecomments_schemas.errors import StartRefused

REQUEST_TIMEOUT_S: Final = 6.0
"""More than the servers' own 2 s for a write and 5 s for a read, so that their answer is the one that counts."""
_CONNECT_TIMEOUT_S: Final = 5.0
_HEARTBEAT_S: Final = 5.0
"""A node that vanished without a word is noticed within two of these; until then requests to it run into timeouts."""
_RECONNECT_MAX_S: Final = 5.0
"""Between attempts to reach a lost node, after any outage; the driver's default grows to ten minutes."""
_PROTOCOL_VERSION: Final = 4
"""The newest that ScyllaDB and Cassandra 5 both speak: one path on both."""
_PORT: Final = 9042

UNSET: Final[Any] = UNSET_VALUE
"""A column left as it is; None would write a tombstone."""

Parameters = Sequence[Any]
_AWAY: Final = (
    OperationTimedOut,
    RequestExecutionException,
    NoHostAvailable,
    cassandra.UnresolvableContactPoints,
    ConnectionException,
    ConnectionBusy,
    protocol.RequestExecutionException,
    protocol.ServerError,
    OSError,
)
"""`cassandra.protocol` has exceptions of its own: an overloaded node's answer, unlike its timeouts, is one of those."""
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_LABEL: Final = r"[^\[\]:\s.]{1,63}"
_ADDRESS: Final = re.compile(rf"(\[[0-9a-fA-F:.]+\]|{_LABEL}(?:\.{_LABEL})*\.?)(?::(\d{{1,5}}))?")
_PORT_MAX: Final = 65_535


class CqlAccess(NamedTuple):
    """How a cluster is spoken to: without a `user` to one that asks nobody, without `tls` in clear text."""

    user: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return "CqlAccess(…)"  # the password is in no log


OPEN: Final = Rotated(CqlAccess())


class _RenewedCluster(Cluster):  # type: ignore[misc]  # the driver has no types
    """A cluster that opens each connection by what it is given by then, and never gives a node up.

    The driver's own keeps, for a node that is away, the password and the certificate of the moment it went, and gives
    it up for good at the first password that is refused: a node that was away while they changed stayed lost (3.29).
    """

    def renew(self, access: CqlAccess) -> None:
        """Open the next connections by this. Those that are open go on."""
        self.auth_provider = PlainTextAuthProvider(access.user, access.password) if access.user else None
        self.ssl_context = access.tls

    def _make_connection_factory(self, host: Any, *args: Any, **kwargs: Any) -> Callable[[], Any]:
        def connect_again() -> Any:
            try:
                return self.connection_factory(host.endpoint, None, *args, **kwargs)
            except AuthenticationFailed as error:
                raise ConnectionException(str(error), host.endpoint) from error

        return connect_again


class Bound(NamedTuple):
    """A prepared statement and its values, of which the large one has `value_bytes`."""

    statement: PreparedStatement
    parameters: Parameters
    value_bytes: int = 0


class CqlSession:
    """An open connection to the cluster. Made by `open_session`; used and closed on one event loop."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._answers: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._woken = False
        self._closed = False

    async def prepare(self, text: str) -> PreparedStatement:
        """Prepare a statement that may be executed twice without harm. Raises StoreUnavailable."""
        with translated():
            statement = await self._loop.run_in_executor(None, self._session.prepare, text)
        statement.is_idempotent = True
        return statement

    async def execute(self, statement: PreparedStatement, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Return all rows of the answer. ScyllaDB cuts pages by size, so even a small LIMIT may come in several.

        Raises:
            StoreUnavailable
        """
        with translated():
            return await self._answer(statement.bind(parameters))

    async def execute_batch(self, batch: Sequence[Bound]) -> None:
        """Write statements of one partition together: one mutation, so the servers' limits on batches do not apply.

        Raises:
            StoreUnavailable: all or none of it is written, sooner or later.
        """
        if len(batch) == 1:
            await self.execute(batch[0].statement, batch[0].parameters)
            return
        together = BatchStatement(BatchType.UNLOGGED)
        together.is_idempotent = True
        for statement, parameters, _ in batch:
            together.add(statement, parameters)
        with translated():
            await self._answer(together)

    async def aclose(self) -> None:
        """Close all connections; requests under way fail. May be called twice."""
        if not self._closed:
            self._closed = True
            await self._loop.run_in_executor(None, self._session.cluster.shutdown)

    def _answer(self, statement: Any) -> asyncio.Future[list[tuple[Any, ...]]]:
        answer: asyncio.Future[list[tuple[Any, ...]]] = self._loop.create_future()
        rows: list[tuple[Any, ...]] = []
        response = self._session.execute_async(statement)

        def on_page(page: list[tuple[Any, ...]] | None) -> None:
            # The driver swallows what a callback raises: the waiter would wait for ever.
            try:
                rows.extend(page or ())
                if response.has_more_pages:
                    response.start_fetching_next_page()
                else:
                    self._push(answer, rows, None)
            except BaseException as error:
                self._push(answer, None, error)

        response.add_callbacks(on_page, lambda error: self._push(answer, None, error))
        return answer

    def _push(self, answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._answers.append((answer, result, error))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._woken = False  # before popping: an answer pushed after the last pop must wake the loop again
        while self._answers:
            answer, result, error = self._answers.popleft()
            if answer.done():
                continue  # its caller was cancelled
            if error is None:
                answer.set_result(result)
            elif isinstance(error, StopIteration):  # no future takes it, and those after it would wait
                answer.set_exception(RuntimeError("StopIteration in the driver"))
            else:
                answer.set_exception(error)


async def open_session(
    contact_points: str, datacenter: str, *, request_timeout_s: float, access: Rotated[CqlAccess] = OPEN
) -> CqlSession:
    """Connect, in a thread. For the rest see `connect`.

    Raises:
        StoreUnavailable, StartRefused
    """
    loop = asyncio.get_running_loop()
    connecting = partial(connect, contact_points, datacenter, request_timeout_s, access=access)
    return CqlSession(await loop.run_in_executor(None, connecting))


def connect(
    contact_points: str,
    datacenter: str,
    request_timeout_s: float,
    *,
    to_migrate: bool = False,
    access: Rotated[CqlAccess] = OPEN,
) -> Session:
    """Connect, blocking. The session's `cluster.shutdown()` closes it.

    Args:
        contact_points: `host:port`, comma-separated; the port is 9042 where it is not said.
        datacenter: whose nodes are asked; others only replicate.
        request_timeout_s: of each request.
        to_migrate: wait for all nodes, and not only for the first that answers; rows are named tuples, without which
            the driver's `wait_for_schema_agreement` never sees agreement (3.29).
        access: how it is spoken to; what is new of it counts for connections from then on.

    Raises:
        StoreUnavailable: no contact point answered, or none has an address by now.
        StartRefused: malformed contact points, no such data centre, or a driver without libev.
    """
    policy = TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=datacenter))
    profile = ExecutionProfile(
        load_balancing_policy=policy,
        retry_policy=FallthroughRetryPolicy(),  # our callers retry, where it is seen and bounded
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=request_timeout_s,
        row_factory=named_tuple_factory if to_migrate else tuple_factory,
    )
    hosts, port = parse_contact_points(contact_points)
    with translated():  # it looks the hosts' names up
        cluster = _RenewedCluster(
            contact_points=hosts,
            port=port,
            connection_class=libev_connection(),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            protocol_version=_PROTOCOL_VERSION,
            reconnection_policy=ExponentialReconnectionPolicy(0.5, _RECONNECT_MAX_S),
            connect_timeout=_CONNECT_TIMEOUT_S,
            control_connection_timeout=_CONNECT_TIMEOUT_S,
            idle_heartbeat_interval=_HEARTBEAT_S,
            idle_heartbeat_timeout=_HEARTBEAT_S,
        )
    cluster.renew(access.now)
    access.lend(cluster, _RenewedCluster.renew)
    try:
        with translated():
            return cluster.connect(wait_for_all_pools=to_migrate)
    except StoreUnavailable:
        found = {host.datacenter for host in cluster.metadata.all_hosts()} - {None}
        cluster.shutdown()
        if found and datacenter not in found:
            raise StartRefused(
                f"The CQL cluster has no data centre {datacenter!r}, only {', '.join(sorted(found))}. "
                "Set LIVECOMMENTS_CQL_DATACENTER."
            ) from None
        raise


def libev_connection() -> type[Any]:
    """Return the driver's libev reactor. Others are several times slower, and silently chosen where libev is missing.

    Raises:
        StartRefused: the driver was built without it.
    """
    try:
        from cassandra.io.libevreactor import LibevConnection
    except (ImportError, DependencyException) as error:
        raise StartRefused(
            "scylla-driver was built without libev. Install its wheel, or libev and rebuild it."
        ) from error
    return LibevConnection  # type: ignore[no-any-return]  # the driver has no types


def parse_contact_points(text: str) -> tuple[list[str], int]:
    """Return the hosts of `host:port,[::1]:port`, and the one port: nodes tell each other's addresses without it.

    Raises:
        StartRefused: something else, or several ports.
    """
    found = [_ADDRESS.fullmatch(part.strip()) for part in text.split(",")]
    points = [(match[1].strip("[]"), int(match[2] or _PORT)) for match in found if match]
    if len(points) < len(found) or not all(1 <= port <= _PORT_MAX for _, port in points):
        raise StartRefused(f"LIVECOMMENTS_CQL={text!r}: must be host:port, comma-separated.")
    if len({port for _, port in points}) > 1:
        raise StartRefused(f"LIVECOMMENTS_CQL={text!r}: all nodes must listen on the same port.")
    return [host for host, _ in points], points[0][1]


def checked_keyspace(name: str) -> str:
    """Return `name`, if it needs no quotes and can hold no CQL of its own.

    Raises:
        StartRefused: anything else.
    """
    if not _KEYSPACE.fullmatch(name):
        raise StartRefused(
            f"LIVECOMMENTS_CQL_KEYSPACE={name!r}: use at most 48 lower-case letters, digits and _, with a letter first."
        )
    return name


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises when the store is away, or may not have done as asked, into StoreUnavailable."""
    try:
        yield
    except _AWAY as error:
        by_node = error.errors if isinstance(error, NoHostAvailable) else {}  # or the nodes' names, if none was tried
        of_nodes = by_node.values() if isinstance(by_node, dict) else ()
        reasons = sorted({type(one).__name__ for one in of_nodes or (error,)})
        raise StoreUnavailable(f"The store did not answer ({', '.join(reasons)}). Try again.") from error
