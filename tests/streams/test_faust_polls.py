"""What of a poll Faust is told, and what is committed of it: the last record of each partition, whatever it holds."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
from faust.types import TP

from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.leaders import Leaders
from livecomments_schemas.events import Record
from livecomments_streams.faust_polls import ImpatientThread, Poll, PollConsumer, WholePolls
from livecomments_streams.faust_runner import make_faust_app
from tests.kafka.test_leaders import batch, fetch

FIRST, SECOND = TP("comments-1", 3), TP("comments-1", 5)


def records(partition: int, *offsets: int) -> list[Record]:
    return [Record(partition, offset, b"v", b"", {}, 0) for offset in offsets]


FETCHED: Mapping[TP, Sequence[Record]] = {FIRST: records(3, 7, 8, 9), SECOND: records(5, 20, 22, 31)}


@pytest.fixture
async def consumer(tmp_path: Path) -> AsyncIterator[PollConsumer]:
    app = make_faust_app(KafkaConnection("nowhere:1"), "group", tmp_path)
    made = app.transport.create_consumer(
        callback=print, on_partitions_revoked=print, on_partitions_assigned=print, beacon=app.beacon
    )
    assert isinstance(made, PollConsumer)
    assert isinstance(made._thread, ImpatientThread)
    made._thread.leaders = Leaders()
    yield made
    made._thread.thread_loop.close()


def test_a_poll_is_all_that_was_fetched_and_stands_where_its_first_partition_ends() -> None:
    poll = Poll(FETCHED, 4, Leaders())
    assert poll.records == [*FETCHED[FIRST], *FETCHED[SECOND]]
    assert poll.lasts == {FIRST: 9, SECOND: 31}
    assert (poll.tp, poll.topic, poll.partition, poll.offset) == (FIRST, *FIRST, 9)
    assert poll.generation_id == 4
    assert (poll.timestamp, poll.headers, poll.key, poll.value, poll.led_anew) == (0.0, None, None, None, set())


def test_partitions_under_another_leader_are_told_with_the_first_records_that_came_of_it() -> None:
    leaders = Leaders()
    for number, partition in enumerate((FIRST.partition, SECOND.partition)):
        fetch(leaders, 7, batch(1 + number), partition)
    fetch(leaders, 31, batch(6), SECOND.partition)
    assert Poll(FETCHED, 1, leaders).led_anew == {SECOND.partition}
    assert Poll(FETCHED, 1, leaders).led_anew == set(), "once"


def test_all_that_was_fetched_is_handed_on_at_once_and_nothing_where_nothing_was() -> None:
    third = TP("comments-1", 1)
    assert list(WholePolls().iterate({third: [], **FETCHED})) == [(FIRST, FETCHED)]
    assert list(WholePolls().iterate({third: []})) == []


async def test_what_is_committed_is_behind_the_last_record_that_was_acked_and_nothing_of_what_was_not(
    consumer: PollConsumer,
) -> None:
    poll = consumer._to_message(FIRST, FETCHED)
    assert consumer._new_offset(FIRST) is None
    consumer._unacked_messages.add(poll)
    assert consumer.ack(poll)
    assert not consumer.ack(poll), "once"
    assert poll.acked
    assert poll not in consumer._unacked_messages
    assert [consumer._new_offset(one) for one in (FIRST, SECOND, FIRST)] == [10, 32, None]
    later = consumer._to_message(FIRST, {FIRST: records(3, 10)})
    assert consumer.ack(later)
    assert consumer._new_offset(FIRST) == 11


async def test_after_a_poll_that_was_hardly_worth_it_the_next_one_waits_for_more(consumer: PollConsumer) -> None:
    assert consumer._pause_s == 0.0
    consumer._to_message(FIRST, FETCHED)
    assert 0.0 < consumer._pause_s < 1.0
    consumer._to_message(FIRST, {FIRST: records(3, *range(200))})
    assert consumer._pause_s == 0.0
