"""What only the Kafka log promises: which topics it refuses, what it answers when Kafka fails, and that it recovers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka.errors import RequestTimedOutError

from infra.local.ports import free_port
from infra.local.servers import KafkaServer, running
from livecomments.kafka.log import KafkaLog
from livecomments.log.interface import (
    AppendRefused,
    AppendUnavailable,
    AppendUnknown,
    LogReader,
    LogUnavailable,
    OffsetUnavailable,
)
from livecomments.runtime.metrics import REGISTRY
from livecomments_command.records.one_log import OneLog
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import NewRecord, Record
from tests.log.contract import (
    WAIT_S,
    alter_topic,
    append_all,
    append_undecodable,
    delete_topic,
    make_anew,
    new_record,
    new_topic,
    poll_until,
    read_all,
    texts_of,
)

_RESTART_S = 60.0
"""A killed broker reads its log again; on a busy machine 20 s were seen."""


@pytest.fixture
async def log(kafka_address: str) -> AsyncIterator[KafkaLog]:
    async with KafkaLog(kafka_address, await new_topic(kafka_address, 2), 1) as opened:
        yield opened


async def test_a_missing_topic_is_refused_with_the_command_that_creates_it(kafka_address: str) -> None:
    with pytest.raises(StartRefused, match=r"no topic no-such-topic; run: livecomments topics --create"):
        await KafkaLog(kafka_address, "no-such-topic", 1).__aenter__()


async def test_a_topic_that_takes_the_writers_clock_is_refused(kafka_address: str) -> None:
    topic = await new_topic(kafka_address, 1, message_timestamp_type="CreateTime")
    with pytest.raises(StartRefused, match=r"message\.timestamp\.type=CreateTime"):
        await KafkaLog(kafka_address, topic, 1).__aenter__()


async def test_a_topic_with_too_few_replicas_in_sync_is_refused(kafka_address: str) -> None:
    topic = await new_topic(kafka_address, 1)
    with pytest.raises(StartRefused, match=r"min\.insync\.replicas=1, less than 2"):
        await KafkaLog(kafka_address, topic, 1, in_sync_replicas_min=2).__aenter__()


async def test_a_kafka_that_stays_away_at_the_start_is_refused_after_the_bound() -> None:
    started = time.monotonic()
    with pytest.raises(StartRefused, match=r"127\.0\.0\.1:1 did not answer for 1 s"):
        await KafkaLog("127.0.0.1:1", "comments-1", 1, connect_timeout_s=1.0).__aenter__()
    assert time.monotonic() - started < 5


async def test_a_topic_made_anew_has_another_identity_and_no_tool_reads_on(kafka_address: str) -> None:
    topic = await new_topic(kafka_address, 2)
    async with KafkaLog(kafka_address, topic, 1) as log:
        before = await log.identity()
        assert before == await log.identity()
        read_by_a_tool = OneLog(log, topic)
        await read_by_a_tool.begin()
        await read_by_a_tool.check()
        await make_anew(kafka_address, topic, 2)

        async def is_another() -> bool:
            return await log.identity() != before

        async with asyncio.timeout(WAIT_S):
            while not await is_another():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.02)
        with pytest.raises(StartRefused, match="made anew while it was read"):
            await read_by_a_tool.check()
    async with KafkaLog(kafka_address, await new_topic(kafka_address, 2), 1) as other:
        assert await other.identity() != before


async def test_what_is_refused_while_the_topic_is_away_is_not_written_when_it_is_back(kafka_address: str) -> None:
    topic = await new_topic(kafka_address, 2)
    async with KafkaLog(kafka_address, topic, 1, append_timeout_s=1.0) as log:
        assert await append_all(log, 1, ["a"]) == [0]
        await delete_topic(kafka_address, topic)
        with pytest.raises(AppendUnknown):
            await log.append(0, new_record("b"))
        with pytest.raises((AppendUnknown, AppendUnavailable)) as told:  # aiokafka waits for the topic by now
            await log.append(1, new_record("c"))
        await new_topic(kafka_address, 2, topic)
        last = await append_when_it_is_back(log, "d", 1, other=AppendUnknown)
        texts = texts_of(await read_all(log, 1, 0, last + 1))
        assert texts[-1] == "d"
        assert told.type is AppendUnknown or "c" not in texts


async def test_a_record_too_large_is_refused_and_the_next_one_is_not(log: KafkaLog) -> None:
    assert await append_all(log, 0, ["a"]) == [0]
    with pytest.raises(AppendRefused):
        await log.append(0, NewRecord(b"video", b"x" * 200_000, {}))
    assert await append_all(log, 0, ["b", "c"]) == [1, 2]
    assert texts_of(await read_all(log, 0, 0, 3)) == ["a", "b", "c"]


async def test_a_record_too_large_for_the_topic_is_refused_for_good_and_holds_nothing_up(kafka_address: str) -> None:
    topic = await new_topic(kafka_address, 2, max_message_bytes="5000")
    async with KafkaLog(kafka_address, topic, 1) as log:
        assert await append_all(log, 0, ["a"]) == [0]
        large = NewRecord(b"video", b"x" * 20_000, {})
        told = await asyncio.gather(
            *(log.append(0, one) for one in (new_record("b"), large, new_record("c"))), return_exceptions=True
        )
        assert [one if isinstance(one, int) else type(one) for one in told] == [1, AppendRefused, 2]
        assert await append_all(log, 0, ["d"]) == [3]  # at once, by the same producer
        assert await append_all(log, 1, ["e"]) == [0]
        assert texts_of(await read_all(log, 0, 0, 4)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("soon", [False, True])
async def test_a_producer_is_made_once_with_the_first_append_or_before_it(kafka_address: str, soon: bool) -> None:
    async with KafkaLog(kafka_address, await new_topic(kafka_address, 1), 1, appends_soon=soon) as log:
        made = log._writer._producer
        assert (made is not None) is soon
        assert await append_all(log, 0, ["a", "b", "c"]) == [0, 1, 2]
        assert log._writer._producer is made or made is None
    with pytest.raises(AppendUnavailable):
        await log.append(0, new_record("closed"))


async def test_a_limit_lowered_below_a_batch_of_many_refuses_none_that_fits(kafka_address: str) -> None:
    topic = await new_topic(kafka_address, 1)
    texts = [f"{number} " + "x" * 300 for number in range(500)]
    async with KafkaLog(kafka_address, topic, 1, append_timeout_s=WAIT_S) as log:
        assert await append_all(log, 0, ["first"]) == [0]
        await alter_topic(kafka_address, topic, max_message_bytes="1000")
        producer = log._writer._producer
        assert producer is not None
        create, batches = producer.client.create_batch, 0

        def create_and_count() -> Any:
            nonlocal batches
            batches += 1
            return create()

        producer.client.create_batch = create_and_count
        assert await asyncio.gather(*(log.append(0, new_record(text)) for text in texts)) == list(range(1, 501))
        assert batches < 300, "two fit into a batch, and more are tried seldom"
        with pytest.raises(AppendRefused):
            await log.append(0, new_record("x" * 1_000))
        await alter_topic(kafka_address, topic, max_message_bytes="1048588")
        assert await append_all(log, 0, ["x" * 1_000]) == [501]
        assert texts_of(await read_all(log, 0, 1, 501)) == texts


async def test_what_was_written_is_not_called_refused_when_its_answer_was_lost_and_its_retry_is_refused(
    kafka_address: str,
) -> None:
    topic = await new_topic(kafka_address, 1)
    text = "x" * 2_000
    async with KafkaLog(kafka_address, topic, 1) as log:
        assert await append_all(log, 0, ["a"]) == [0]
        producer = log._writer._producer
        assert producer is not None
        send = producer.client.client.send

        async def send_and_lose_the_answer(node: int, request: Any) -> Any:
            producer.client.client.send = send
            await send(node, request)
            await alter_topic(kafka_address, topic, max_message_bytes="1000")
            raise RequestTimedOutError

        producer.client.client.send = send_and_lose_the_answer
        with pytest.raises(AppendUnknown):
            await log.append(0, new_record(text))
        assert texts_of(await read_all(log, 0, 1, 2)) == [text]
        assert await append_when_it_is_back(log, "b") == 2


async def test_a_record_that_breaks_a_rule_of_the_topic_is_refused_for_good(kafka_address: str) -> None:
    topic = await new_topic(kafka_address, 1, cleanup_policy="compact")
    async with KafkaLog(kafka_address, topic, 1) as log:
        without_key = NewRecord(cast(bytes, None), b"{}", {})
        told = await asyncio.gather(
            *(log.append(0, one) for one in (new_record("a"), without_key, new_record("b"))), return_exceptions=True
        )
        assert [one if isinstance(one, int) else type(one) for one in told] == [0, AppendRefused, 1]


async def test_a_clock_of_the_writers_set_under_us_makes_no_confirmed_append_unknown(kafka_address: str) -> None:
    topic = await new_topic(kafka_address, 1)
    async with KafkaLog(kafka_address, topic, 1) as log:
        assert await append_all(log, 0, ["a"]) == [0]
        await alter_topic(kafka_address, topic, message_timestamp_type="CreateTime")
        texts = [str(number) for number in range(50)]
        assert await asyncio.gather(*(log.append(0, new_record(text)) for text in texts)) == list(range(1, 51))
        assert texts_of(await read_all(log, 0, 1, 51)) == texts


async def test_a_reader_whose_client_broke_connects_again_and_misses_nothing(log: KafkaLog) -> None:
    reader = log.follow()
    reader.assign({0: 0})
    await append_all(log, 0, ["a"])
    assert texts_of(await poll_until(reader, 1)) == ["a"]
    assert reader._fetcher is not None
    reader._fetcher._client._sync_task.cancel()  # whoever looks for leaders
    await append_all(log, 0, ["b"])
    with pytest.raises(LogUnavailable):
        await poll_until(reader, 1)
    assert texts_of(await poll_until(reader, 1)) == ["b"]


async def test_a_header_name_that_is_no_utf8_ends_its_batch_and_stops_nobody(log: KafkaLog, kafka_address: str) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("livecomments_log_undecodable_batches_total") or 0.0

    await append_all(log, 0, ["a"])
    before, reader = counted(), log.follow()
    reader.assign({0: 0, 1: 0})
    await append_undecodable(kafka_address, log._topic, 0, [new_record(text) for text in ("b", "bad", "behind bad")], 1)
    await append_all(log, 0, ["c"])
    await append_all(log, 1, ["d"])
    followed = await poll_until(reader, 4)
    assert [(r.offset, r.value) for r in followed if r.partition == 0] == [(0, b"a"), (1, b"b"), (4, b"c")]
    assert texts_of([record for record in followed if record.partition == 1]) == ["d"]
    assert counted() == before + 1
    for start, texts in ((0, ["a", "b", "c"]), (2, ["c"]), (3, ["c"])):
        assert texts_of(await read_all(log, 0, start, 5)) == texts


async def test_closing_waits_for_appends_under_way(kafka_address: str) -> None:
    log = await KafkaLog(kafka_address, await new_topic(kafka_address, 1), 1, appends_soon=True).__aenter__()
    appends = [asyncio.create_task(log.append(0, new_record(str(number)))) for number in range(100)]
    await asyncio.sleep(0)
    await log.aclose()
    assert sorted(await asyncio.gather(*appends)) == list(range(100))
    with pytest.raises(AppendUnavailable):
        await log.append(0, new_record("late"))


class Load:
    """Appends all the time, and remembers what was answered and how long that took."""

    def __init__(self, log: KafkaLog) -> None:
        self.log = log
        self.is_over = False
        self.acked: dict[tuple[int, int], str] = {}
        self.answers: list[tuple[str, float]] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            number = 0
            while not self.is_over:
                group.create_task(self._append(number))
                number += 1
                await asyncio.sleep(0.005)

    async def _append(self, number: int) -> None:
        started = time.monotonic()
        try:
            offset = await self.log.append(number % 2, new_record(str(number)))
        except (AppendUnavailable, AppendUnknown) as error:
            answer = type(error).__name__
        else:
            self.acked[number % 2, offset] = str(number)
            answer = "acked"
        self.answers.append((answer, time.monotonic() - started))


@pytest.mark.timeout(240)
async def test_a_killed_broker_loses_nothing_acknowledged_and_the_log_recovers_alone(own_broker: KafkaServer) -> None:
    topic = await new_topic(own_broker.address, 2)
    async with KafkaLog(own_broker.address, topic, 1, append_timeout_s=2.0) as log:
        load = Load(log)
        reader = log.follow()
        reader.assign({0: 0, 1: 0})
        appending = asyncio.create_task(load.run())
        followed = await poll_until(reader, 100)
        await asyncio.to_thread(own_broker.kill)

        await until(lambda: all(answer == "AppendUnavailable" and took < 0.2 for answer, took in load.answers[-50:]))
        assert "AppendUnknown" in {answer for answer, _ in load.answers}
        assert max(took for _, took in load.answers) < 2.0 + 1.0, "no answer comes after its deadline"
        with pytest.raises(LogUnavailable):
            await log.bounds([0, 1])

        before = len(load.acked)
        await asyncio.to_thread(own_broker.start)
        await until(lambda: len(load.acked) > before + 100, _RESTART_S)
        load.is_over = True
        await appending
        ends = {partition: held.end for partition, held in (await log.bounds([0, 1])).items()}
        followed += await poll_until(reader, sum(ends.values()) - len(followed))
        for partition, end in ends.items():
            stored = await read_all(log, partition, 0, end)
            assert [record.offset for record in stored] == list(range(end))
            assert [record for record in followed if record.partition == partition] == stored
            texts = texts_of(stored)
            acked = {offset: text for (of, offset), text in load.acked.items() if of == partition}
            assert {offset: texts[offset] for offset in acked} == acked


@pytest.mark.timeout(300)
async def test_a_log_that_lost_its_end_and_grew_beyond_it_before_it_was_asked_is_known_by_its_last_record(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("regrown")
    server = KafkaServer(directory, port=free_port(), heap_mb=192)
    elsewhere = KafkaServer(directory, port=free_port(), heap_mb=192)  # where the reader does not see it
    with running(server):
        topic = await new_topic(server.address, 2)
        async with KafkaLog(server.address, topic, 1) as log:
            reader = log.follow()
            reader.assign({0: 0, 1: 0})
            await append_all(log, 0, [f"{number}" for number in range(10)])
            await append_all(log, 1, ["a", "b", "c"])
            await poll_until(reader, 13)
            await asyncio.to_thread(server.kill)
            lose_end(directory / "data" / f"{topic}-0", kept=6)
            with running(elsewhere):
                async with KafkaLog(elsewhere.address, topic, 1) as of_others:
                    await append_all(of_others, 0, [f"n{number}" for number in range(8)])
                    await append_all(of_others, 1, ["d", "e"])
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(server.wait_ready)
            found, errors = await poll_with_errors(reader)
            assert [(record.partition, record.offset) for record in found] == [(1, 3), (1, 4)]
            assert {(error.partition, error.offset) for error in errors} == {(0, 10)}
            reader.assign({0: 12, 1: 5})
            assert texts_of(await poll_until(reader, 2)) == ["n6", "n7"]


def lose_end(directory: Path, kept: int) -> None:
    """Cut a partition's only segment behind its first batches, as a machine that lost power does."""
    segment = directory / f"{0:020}.log"
    data, at = segment.read_bytes(), 0
    for _ in range(kept):
        at += 12 + int.from_bytes(data[at + 8 : at + 12])
    assert at < len(data)
    segment.write_bytes(data[:at])
    for other in directory.glob("*index"):
        other.unlink()


async def poll_with_errors(reader: LogReader) -> tuple[list[Record], list[OffsetUnavailable]]:
    """Poll until two records came and it was told twice that an offset is not held."""
    found: list[Record] = []
    errors: list[OffsetUnavailable] = []
    async with asyncio.timeout(_RESTART_S):
        while len(found) < 2 or len(errors) < 2:
            try:
                found += await reader.poll()
            except OffsetUnavailable as error:
                errors.append(error)
            except LogUnavailable:
                await asyncio.sleep(0.1)
    return found, errors


async def append_when_it_is_back(
    log: KafkaLog, text: str, partition: int = 0, *, other: type[Exception] = AppendUnavailable
) -> int:
    """The offset, after any number of refusals and `other` errors."""
    offset: int | None = None

    async def is_appended() -> bool:
        nonlocal offset
        with contextlib.suppress(AppendUnavailable, other):
            offset = await log.append(partition, new_record(text))
        return offset is not None

    async with asyncio.timeout(WAIT_S):
        while not await is_appended():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)
    assert offset is not None
    return offset


async def until(holds: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)
