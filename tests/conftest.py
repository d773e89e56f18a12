"""What every test may use: the real servers, started once by each process of the run that needs them, and the rules on
tests that did not run."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings

from tests.ci_rules import pytest_make_collect_report, pytest_runtest_makereport, pytest_terminal_summary

if TYPE_CHECKING:
    from infra.local.servers import KafkaServer, Server

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport", "pytest_terminal_summary"]

# Properties are about values: a slow machine is no counterexample.
settings.register_profile("values", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("values")

_SERVER_FIXTURES: Final = {"kafka_address", "cql_address"}
_LIVE_TEST_TIMEOUT_S: Final = 240
"""Of the test alone. Starting a server, which its own bounds hold, may take longer the first time."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test with a real server is a live test, whether it says so or not."""
    for item in items:
        if _SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.live)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_LIVE_TEST_TIMEOUT_S, func_only=True))


@pytest.fixture(scope="session")
def kafka_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of a real Kafka: `LIVECOMMENTS_KAFKA`, or a broker of this run."""
    if given := os.environ.get("LIVECOMMENTS_KAFKA"):
        yield given
        return
    _skip_without_servers()
    from infra.local.servers import KafkaServer

    yield from _address_of(KafkaServer(tmp_path_factory.mktemp("kafka")))


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[KafkaServer]":
    """A broker of this test alone, to stop and kill."""
    _skip_without_servers()
    from infra.local.servers import KafkaServer, running

    with running(KafkaServer(tmp_path_factory.mktemp("own-kafka"), heap_mb=256)) as server:
        yield server


@pytest.fixture(scope="session")
def cql_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a real CQL server: `LIVECOMMENTS_CQL`, or a Cassandra of this run."""
    if given := os.environ.get("LIVECOMMENTS_CQL"):
        yield given
        return
    _skip_without_servers()
    from infra.local.servers import CassandraServer

    yield from _address_of(CassandraServer(tmp_path_factory.mktemp("cassandra")))


@pytest.fixture(scope="session")
def cql_keyspace(cql_address: str) -> Iterator[str]:
    """A migrated keyspace, for all tests that bring videos and partitions of their own."""
    from livecomments.cql.migrations import migrate
    from tests.store.examples import DATACENTER, drop_keyspace, new_keyspace

    keyspace = new_keyspace()
    migrate(cql_address, keyspace=keyspace, datacenter=DATACENTER, replication_factor=1)
    yield keyspace
    drop_keyspace(cql_address, keyspace)


@pytest.fixture
def empty_keyspace(cql_address: str) -> Iterator[str]:
    """The name of a keyspace that does not exist; it is dropped if the test makes it."""
    from tests.store.examples import drop_keyspace, new_keyspace

    keyspace = new_keyspace()
    yield keyspace
    drop_keyspace(cql_address, keyspace)


def _skip_without_servers() -> None:
    from infra.local.servers import why_unavailable

    if reason := why_unavailable():
        pytest.skip(reason)


def _address_of(server: "Server") -> Iterator[str]:
    """A data directory of this run: pytest keeps those of the last three, with the servers' logs."""
    from infra.local.servers import running

    with running(server):
        yield server.address
