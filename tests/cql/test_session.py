"""Whoever waits for an answer of the driver hears of its end, whatever the driver does. Without a server."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from cassandra import AuthenticationFailed
from cassandra.connection import ConnectionException, DefaultEndPoint
from cassandra.policies import SimpleConvictionPolicy
from cassandra.pool import Host

from livecomments.cql.session import CqlAccess, CqlSession, _RenewedCluster, libev_connection
from livecomments.runtime.rotation import Rotated

WAIT_S = 10.0
Page = list[tuple[Any, ...]]


class Answering:
    """A driver's session that answers each statement, from a thread of its own, by what that says."""

    def execute_async(self, statement: Any) -> "Answering":
        self.statement = statement
        return self

    @property
    def has_more_pages(self) -> bool:
        if isinstance(self.statement, BaseException):
            raise self.statement
        return False

    def add_callbacks(self, on_page: Callable[[Page | None], None], on_error: Callable[[BaseException], None]) -> None:
        calls = [lambda: on_page([(1,)])]
        if isinstance(self.statement, tuple):
            calls = [lambda: on_error(self.statement[0])]
        thread = threading.Thread(target=calls[0])
        thread.start()
        thread.join()


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(1), MemoryError(), StopIteration()], ids=repr)
@pytest.mark.parametrize("is_told", [True, False], ids=["told", "raised"])
async def test_whatever_the_driver_raises_ends_the_wait_and_leaves_the_others_theirs(
    error: BaseException, is_told: bool
) -> None:
    session = CqlSession(cast(Any, Answering()))
    failing = session._answer((error,) if is_told else error)
    well = session._answer("a statement")
    async with asyncio.timeout(WAIT_S):
        await asyncio.wait([failing])
        assert await well == [(1,)]
    found = failing.exception()
    assert found is error or (isinstance(error, StopIteration) and isinstance(found, RuntimeError))


class RefusedCluster(_RenewedCluster):
    """A cluster whose nodes refuse every password; keeps with what they were called."""

    def __init__(self) -> None:
        super().__init__(contact_points=["127.0.0.1"], protocol_version=4, connection_class=libev_connection())
        self.called_with: list[tuple[str, object]] = []

    def connection_factory(self, endpoint: Any, host_conn: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Refuse."""
        made = self._make_connection_kwargs(endpoint, kwargs)
        self.called_with.append((made["authenticator"].password, made["ssl_context"]))
        raise AuthenticationFailed("another password")


def test_a_node_that_was_away_is_called_by_what_is_configured_by_then_and_never_given_up() -> None:
    cluster, tls = RefusedCluster(), ssl.create_default_context()
    access = Rotated(CqlAccess("u", "before"))
    cluster.renew(access.now)
    access.lend(cluster, _RenewedCluster.renew)
    try:
        again = cluster._make_connection_factory(Host(DefaultEndPoint("127.0.0.1"), SimpleConvictionPolicy, host_id=1))
        for value in (access.now, CqlAccess("u", "after", tls)):
            access.replace(value)
            with pytest.raises(ConnectionException):  # AuthenticationFailed would be the last call
                again()
    finally:
        cluster.shutdown()
    assert cluster.called_with == [("before", None), ("after", tls)]
