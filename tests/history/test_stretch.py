"""Reads are counted by where their answer came from, under the names that dashboards know."""

import pytest

from livecomments.history.stretch import Source, count_read
from livecomments.runtime.metrics import REGISTRY


@pytest.mark.parametrize(("source", "name"), [(Source.TAIL, "tail"), (Source.LOG, "log"), (Source.STORE, "store")])
def test_a_read_is_counted_under_the_name_of_its_source(source: Source, name: str) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("livecomments_history_reads_total", {"source": name}) or 0.0

    before = counted()
    count_read(source)
    assert counted() == before + 1
