"""The topics as data, and comparing a Kafka with them."""

import dataclasses
import re
import uuid

import pytest

from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.topics import FoundTopic, compare, create_missing, differences, find_topics
from livecomments.log.interface import LogUnavailable
from livecomments.log.topics import Topic, comments_topic, load_topics
from livecomments_schemas.limits import RECORD_VALUE_BYTES_MAX


def found_as(topic: Topic) -> FoundTopic:
    return FoundTopic(topic.name, topic.partitions, topic.replication_factor, 0, {**topic.settings, "other": "1"})


def test_the_comments_topic_keeps_what_a_201_promises() -> None:
    comments = load_topics(7)[0]
    assert comments.name == comments_topic(7) == "comments-7"
    assert comments.partitions == 64
    assert comments.settings["message.timestamp.type"] == "LogAppendTime"
    assert comments.settings["unclean.leader.election.enable"] == "false"
    assert int(comments.settings["min.insync.replicas"]) == 2 < comments.replication_factor
    assert comments.settings["cleanup.policy"] == "delete"


@pytest.mark.parametrize("topic", load_topics(1), ids=lambda topic: topic.name)
def test_every_topic_says_who_uses_it_and_takes_the_longest_record(topic: Topic) -> None:
    assert topic.holds
    assert topic.key
    assert topic.written_by
    assert topic.read_by
    assert int(topic.settings["max.message.bytes"]) > 2 * RECORD_VALUE_BYTES_MAX
    assert int(topic.settings["retention.ms"]) >= 72 * 3_600_000 or topic.settings["retention.ms"] == "-1"


def test_a_smaller_cluster_still_needs_a_majority_in_sync() -> None:
    comments = load_topics(1)[0]
    assert comments.with_replicas(1).settings["min.insync.replicas"] == "1"
    assert comments.with_replicas(3) == comments
    assert comments.with_replicas(5).settings["min.insync.replicas"] == "3"


def test_a_topic_as_it_should_be_has_no_differences() -> None:
    comments = load_topics(1)[0]
    assert differences(comments, found_as(comments), "k:1") == []


def test_each_difference_is_a_sentence_with_the_command_that_mends_it() -> None:
    comments = load_topics(1)[0]
    wrong = {**comments.settings, "retention.ms": "1", "message.timestamp.type": "CreateTime"}
    found = dataclasses.replace(found_as(comments), partitions=32, replication_factor=1, settings=wrong)
    partitions, replicas, retention, timestamps = differences(comments, found, "k:1")
    assert partitions.startswith("Topic comments-1 has 32 partitions, not 64")
    assert "kafka-reassign-partitions.sh --bootstrap-server k:1" in replicas
    assert retention == (
        "Topic comments-1 has retention.ms=1, not 259200000. Set it: kafka-configs.sh --bootstrap-server k:1 "
        "--entity-type topics --entity-name comments-1 --alter --add-config retention.ms=259200000"
    )
    assert timestamps.endswith("--add-config message.timestamp.type=LogAppendTime")


async def test_missing_topics_are_created_once_and_existing_ones_compared(kafka_address: str) -> None:
    connection = KafkaConnection(kafka_address)
    suffix = uuid.uuid4().hex
    wanted = [
        dataclasses.replace(topic.with_replicas(1), name=f"{topic.name}-{suffix}", partitions=2)
        for topic in load_topics(1)
    ]
    names = [topic.name for topic in wanted]
    missing = await compare(connection, wanted)
    assert [re.match(r"Topic (\S+) does not exist\.", sentence)[1] for sentence in missing] == names  # type: ignore[index]  # None fails the test
    assert await create_missing(connection, wanted) == names
    assert await create_missing(connection, wanted) == []
    assert await compare(connection, wanted) == []
    found = await find_topics(connection, names)
    assert {(topic.partitions, topic.replication_factor, topic.leaderless) for topic in found.values()} == {(2, 1, 0)}
    changed = dataclasses.replace(wanted[0], settings={**wanted[0].settings, "retention.ms": "86400000"})
    [sentence] = await compare(connection, [changed, wanted[1]])
    assert sentence.endswith(f"--entity-name {names[0]} --alter --add-config retention.ms=86400000")


async def test_a_topic_that_the_cluster_cannot_hold_is_refused_with_kafkas_reason(kafka_address: str) -> None:
    wanted = dataclasses.replace(load_topics(1)[0].with_replicas(9), name=f"test-{uuid.uuid4().hex}")
    with pytest.raises(LogUnavailable, match="replica"):
        await create_missing(KafkaConnection(kafka_address), [wanted])


async def test_a_kafka_that_does_not_answer_is_said_with_its_address() -> None:
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:1 "):
        await compare(KafkaConnection("127.0.0.1:1"), load_topics(1))
