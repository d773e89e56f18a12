"""Which records are the first ones under another leader."""

import struct
from typing import Final

from aiokafka.structs import TopicPartition

from livecomments.kafka.leaders import Leaders

PLACE: Final = TopicPartition("comments-1", 3)


def batch(leader: int, form: int = 2) -> bytes:
    return struct.pack(">qiib", 0, 49, leader, form) + bytes(44)


def fetch(leaders: Leaders, offset: int, records: bytes, partition: int = PLACE.partition) -> None:
    asked = [("other", [(partition, 99, 1)]), (PLACE.topic, [(0, 77, 1), (partition, offset, 1)])]
    leaders.look(asked, [(PLACE.topic, [(partition, 0, 9, 9, 0, None, -1, records)])])


def test_the_first_leader_is_no_change() -> None:
    leaders = Leaders()
    fetch(leaders, 0, batch(5))
    fetch(leaders, 1, batch(5))
    assert not leaders.take_change(PLACE, 1)


def test_a_change_is_told_once_and_with_the_records_that_were_asked_for_then() -> None:
    leaders = Leaders()
    fetch(leaders, 0, batch(5))
    fetch(leaders, 10, batch(6))
    assert not leaders.take_change(PLACE, 9), "of the fetch before"
    assert leaders.take_change(PLACE, 10)
    assert not leaders.take_change(PLACE, 11)
    fetch(leaders, 20, batch(8))
    assert leaders.take_change(PLACE, 25)


def test_what_is_read_again_of_a_leader_before_is_no_change_nor_is_the_way_back() -> None:
    leaders = Leaders()
    fetch(leaders, 0, batch(5))
    fetch(leaders, 10, batch(6))
    assert leaders.take_change(PLACE, 10)
    fetch(leaders, 9, batch(5))
    fetch(leaders, 10, batch(6))
    assert not leaders.take_change(PLACE, 10)


def test_a_partition_is_told_from_others() -> None:
    leaders = Leaders()
    fetch(leaders, 0, batch(5))
    fetch(leaders, 0, batch(6), partition=4)
    assert not leaders.take_change(PLACE, 0)
    fetch(leaders, 1, batch(7), partition=4)
    assert not leaders.take_change(PLACE, 1)
    assert leaders.take_change(TopicPartition(PLACE.topic, 4), 1)


def test_what_has_no_number_says_nothing() -> None:
    leaders = Leaders()
    for number, records in enumerate((batch(5), b"", batch(9)[:16], batch(9, form=1), batch(-1), batch(5))):
        fetch(leaders, number, records)
        assert not leaders.take_change(PLACE, number)


def test_a_leader_may_be_number_0() -> None:
    leaders = Leaders()
    fetch(leaders, 0, batch(0))
    fetch(leaders, 1, batch(1))
    assert leaders.take_change(PLACE, 1)
