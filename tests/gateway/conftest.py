"""A broker for tests that stop and kill it."""

from collections.abc import Iterator

import pytest

from infra.local.servers import KafkaServer, running, why_unavailable


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker to stop and kill."""
    if reason := why_unavailable():
        pytest.skip(reason)
    server = KafkaServer(tmp_path_factory.mktemp("own-kafka"), heap_mb=256)
    with running(server):
        yield server
