"""Every codec that Kafka 4 knows is read, whoever brought it: a producer, the topic, the broker."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

from infra.local.servers import KafkaServer
from livecomments.kafka.log import KafkaLog
from livecomments.log.topics import load_topics
from tests.log.contract import alter_topic, append_all, new_topic, poll_until, read_all, texts_of

CODECS: Final = ("gzip", "snappy", "lz4", "zstd")
TEXTS: Final = [f"comment {number} " + "x" * 100 for number in range(300)]
"""More than a block of snappy's."""
BOMB_BYTES: Final = 8 * 1024 * 1024


async def produce(address: str, topic: str, texts: list[str], codec: str | None) -> None:
    """Append in one batch, as a foreign producer does."""
    async with AIOKafkaProducer(
        bootstrap_servers=address, compression_type=codec, max_request_size=2**24, max_batch_size=2**24
    ) as producer:
        batch = producer.create_batch()
        for text in texts:
            assert batch.append(key=b"video", value=text.encode(), timestamp=None, headers=[("type", b"x")])
        await (await producer.send_batch(batch, topic, partition=0))


@pytest.fixture
async def every_way(kafka_address: str) -> AsyncIterator[tuple[KafkaLog, str]]:
    topic = await new_topic(kafka_address, 1, compression_type="producer")
    async with KafkaLog(kafka_address, topic, 1) as log:
        yield log, topic


async def holds(log: KafkaLog, count: int) -> None:
    """Both kinds of readers find `count` times all texts, from the beginning and from within a batch."""
    reader = log.follow()
    reader.assign({0: 0})
    assert texts_of(await poll_until(reader, count * len(TEXTS))) == TEXTS * count
    assert texts_of(await read_all(log, 0, 0, count * len(TEXTS))) == TEXTS * count
    assert texts_of(await read_all(log, 0, 7, len(TEXTS))) == TEXTS[7:]


async def test_what_producers_compress_is_read_codec_after_codec(
    every_way: tuple[KafkaLog, str], kafka_address: str
) -> None:
    log, topic = every_way
    for codec in (*CODECS, None):
        await produce(kafka_address, topic, TEXTS, codec)
    await holds(log, len(CODECS) + 1)


async def test_what_the_topic_compresses_is_read_and_our_own_appends_are_answered(
    every_way: tuple[KafkaLog, str], kafka_address: str
) -> None:
    log, topic = every_way
    for number, codec in enumerate(CODECS):  # altered under a log that is open
        await alter_topic(kafka_address, topic, compression_type=codec)
        assert await append_all(log, 0, TEXTS) == list(range(number * len(TEXTS), (number + 1) * len(TEXTS)))
    await holds(log, len(CODECS))


async def test_what_the_broker_compresses_is_read(own_broker: KafkaServer) -> None:
    for codec in CODECS:
        await alter_brokers(own_broker.address, {"compression.type": codec})
        topic = await new_topic(own_broker.address, 1, compression_type=None)
        async with KafkaLog(own_broker.address, topic, 1) as log:
            await append_all(log, 0, TEXTS)
            await holds(log, 1)


async def alter_brokers(address: str, settings: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    answer = await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", settings)])
    await admin.close()
    assert [code for one in answer for code, *_ in one.resources] == [0]


async def test_what_is_small_only_until_it_is_unpacked_is_refused_by_the_topic_as_we_make_it(
    kafka_address: str,
) -> None:
    """The broker unpacks what comes, and holds `max.message.bytes` against that. Each reader would hold all."""
    assert load_topics(1)[0].settings["compression.type"] == "uncompressed"
    topic = await new_topic(kafka_address, 1)
    with pytest.raises(MessageSizeTooLargeError):
        await produce(kafka_address, topic, ["x" * BOMB_BYTES], "zstd")
