"""Fetching when the reader asks, on a real Kafka: nothing waits for a poll more, and no partition for another."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaProducer

from livecomments.kafka.fetcher import Fetcher
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.rest import Rest
from livecomments.log.interface import LogUnavailable
from tests.log.contract import WAIT_S, append_all, new_record, new_topic, poll_until, texts_of

LONG: Final = Rest(2.0, 2.0)
"""Rests as long as these show what they are for, however busy the machine is."""
PARTITIONS: Final = 3


@pytest.fixture
async def log(kafka_address: str) -> AsyncIterator[KafkaLog]:
    topic = await new_topic(kafka_address, PARTITIONS, max_message_bytes="1048576")
    async with KafkaLog(kafka_address, topic, 1, rest=LONG) as opened:
        yield opened


async def test_what_came_during_a_rest_comes_with_the_next_poll_however_late_it_came(log: KafkaLog) -> None:
    reader = log.follow()
    reader.assign(dict.fromkeys(range(PARTITIONS), 0))
    await append_all(log, 0, ["first"])
    assert texts_of(await poll_until(reader, 1)) == ["first"]
    await append_all(log, 0, ["early"])
    await append_all(log, 1, ["late"])
    await append_all(log, 0, ["later"])
    while not (found := await reader.poll()):
        pass
    assert sorted(texts_of(found)) == ["early", "late", "later"]


async def test_a_partition_taken_on_while_a_poll_waits_for_others_comes_with_it(log: KafkaLog) -> None:
    await append_all(log, 2, ["there before"])
    reader = log.follow()
    reader.assign({0: 0})
    assert await reader.poll() == []
    waiting = asyncio.create_task(reader.poll())
    await asyncio.sleep(0)
    reader.assign({0: 0, 2: 0})
    assert texts_of(await waiting) == ["there before"]


async def test_a_batch_larger_than_a_fetch_comes_through_beside_partitions_that_always_have_more(
    log: KafkaLog, kafka_address: str
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka_address, max_request_size=2**20) as foreign:
        for partition in range(PARTITIONS):
            await foreign.send_and_wait(log._topic, bytes(700_000), partition=partition)
    reader = log.follow()
    reader.assign(dict.fromkeys(range(PARTITIONS), 0))
    assert sorted(one.partition for one in await poll_until(reader, PARTITIONS)) == [0, 1, 2]


async def test_each_partition_is_the_first_one_of_a_fetch_in_turn(log: KafkaLog) -> None:
    asked: list[int] = []

    def look(wanted: Any, _: Any) -> None:
        asked.append(wanted[0][1][0][0])

    reader = log.follow()
    reader.assign(dict.fromkeys(range(PARTITIONS), 0))
    await reader.poll()
    fetcher = reader._fetcher
    assert isinstance(fetcher, Fetcher)
    fetcher._look = look
    for _ in range(PARTITIONS):  # each asks several times
        assert await reader.poll() == []
    assert set(asked) == set(range(PARTITIONS))


async def test_what_one_partition_has_more_of_than_a_poll_takes_holds_up_no_other(log: KafkaLog) -> None:
    await asyncio.gather(*(log.append(0, new_record("many")) for _ in range(4_500)))
    await append_all(log, 1, ["one"])
    reader = log.follow()
    reader.assign({0: 0, 1: 0})
    found = await poll_until(reader, 2_001)
    assert len(found) <= 4_000, "two polls"
    assert "one" in texts_of(found)


async def test_a_log_of_more_than_a_poll_takes_is_read_to_its_end_without_a_wait(log: KafkaLog) -> None:
    count = 9_000
    await asyncio.gather(*(log.append(0, new_record("many")) for _ in range(count)))
    reader = log.follow()
    reader.assign({0: 0})
    fetcher, found = await reader._connected(), 0
    async with asyncio.timeout(WAIT_S):
        while found < count:
            found += sum(map(len, (await fetcher.fetch(2_000, 2 * WAIT_S)).values()))


async def test_what_is_no_record_at_the_end_of_a_log_is_asked_for_once(log: KafkaLog, kafka_address: str) -> None:
    """A marker of a transaction: whoever asks for it again is answered at once, again and again."""
    asked: list[int] = []

    def look(wanted: Any, _: Any) -> None:
        asked.append(wanted[0][1][0][1])

    producer = AIOKafkaProducer(bootstrap_servers=kafka_address, transactional_id=log._topic)
    async with producer, producer.transaction():
        await producer.send_and_wait(log._topic, b"committed", partition=0)
    reader = log.follow()
    reader.assign({0: 0})
    assert texts_of(await poll_until(reader, 1)) == ["committed"]
    assert reader._fetcher is not None
    reader._fetcher._look = look
    for _ in range(5):
        assert await reader.poll() == []
    assert len([offset for offset in asked if offset < 2]) <= 1


async def test_an_answer_that_nobody_understands_is_told_and_the_next_poll_goes_on(log: KafkaLog) -> None:
    await append_all(log, 0, ["a"])
    reader = log.follow()
    reader.assign({0: 0})
    assert texts_of(await poll_until(reader, 1)) == ["a"]

    def look(_: Any, __: Any) -> None:
        raise ValueError("not understood")

    assert reader._fetcher is not None
    reader._fetcher._look = look
    await append_all(log, 0, ["b"])
    with pytest.raises(LogUnavailable, match="not understood"):
        await poll_until(reader, 1)
    assert texts_of(await poll_until(reader, 1)) == ["b"]


async def test_who_waits_for_records_hears_that_the_log_is_closed(log: KafkaLog) -> None:
    reader = log.follow()
    reader.assign({0: 0})
    assert await reader.poll() == []
    waiting = asyncio.create_task(reader.poll())
    await asyncio.sleep(0)
    await reader.aclose()
    with pytest.raises(LogUnavailable, match="The log is closed"):
        await waiting
