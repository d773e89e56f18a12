"""Reads are counted by where their answer came from, under the names that dashboards know; rows keep what they say."""

import pytest

from livecomments.history.stretch import Source, count_read, entry_of_row
from livecomments.runtime.metrics import REGISTRY
from livecomments.store.interface import Row
from livecomments_schemas.events import COMMENT_DELETED


@pytest.mark.parametrize(("source", "name"), [(Source.TAIL, "tail"), (Source.LOG, "log"), (Source.STORE, "store")])
def test_a_read_is_counted_under_the_name_of_its_source(source: Source, name: str) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("livecomments_history_reads_total", {"source": name}) or 0.0

    before = counted()
    count_read(source)
    assert counted() == before + 1


def test_a_stored_delete_says_what_it_deletes() -> None:
    entry = entry_of_row(Row("v", 9, COMMENT_DELETED, "mod", b"{}", 5, 7), 3)
    assert (entry.position, entry.partition, entry.kind, entry.target) == (9, 3, COMMENT_DELETED, 7)
    assert (entry.video_id, entry.author_id, entry.value, entry.appended_at_ms) == ("v", "mod", b"{}", 5)
