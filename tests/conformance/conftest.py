"""Edges and load balancers, started once for the room."""

from collections.abc import Iterator

import pytest

from tests.conformance.deployment import Deployment, deployed


@pytest.fixture(scope="package")
def deployment(kafka_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """See there. Whoever ends an edge starts it again."""
    with deployed(tmp_path_factory.mktemp("conformance"), kafka_address) as running:
        yield running
