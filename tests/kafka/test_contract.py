"""What a live topic has become, against its epoch's contract: what it endangers, and what is done."""

import dataclasses
from collections.abc import Mapping

import pytest

from livecomments.kafka.contract import (
    CONTRACT_SETTINGS,
    ContractWatch,
    Difference,
    Endangers,
    differences_beside,
    differences_of,
)
from livecomments.kafka.topics import FoundTopic
from livecomments.log.interface import LogUnavailable
from livecomments.log.topics import EPOCHS_TOPIC, REVOCATIONS_TOPIC, load_topics
from livecomments.runtime.metrics import REGISTRY
from livecomments_schemas.epochs import Contract

TOPIC = load_topics(1)[0]
CONTRACT = Contract(1, 64, "one", 3, {key: TOPIC.settings[key] for key in CONTRACT_SETTINGS})
FOUND = FoundTopic(TOPIC.name, 64, 3, 0, {**TOPIC.settings, "other": "1"})


def altered(settings: Mapping[str, str]) -> list[tuple[str, str]]:
    return told(dataclasses.replace(FOUND, settings={**FOUND.settings, **settings}))


def told(found: FoundTopic | None = FOUND, topic_id: str = "one") -> list[tuple[str, str]]:
    differences = differences_of(CONTRACT, TOPIC.name, found, topic_id, "k:1")
    assert all(one.sentence.startswith(("Topic comments-1 ", "Kafka has no topic comments-1")) for one in differences)
    return [(one.name, one.endangers.value) for one in differences]


def test_a_topic_as_it_was_opened_has_no_differences() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("settings", "endangers"),
    [
        ({"cleanup.policy": "compact"}, "comments"),
        ({"cleanup.policy": "compact,delete"}, "comments"),
        ({"unclean.leader.election.enable": "true"}, "comments"),
        ({"message.timestamp.type": "CreateTime"}, "comments"),
        ({"max.message.bytes": "1048587"}, "comments"),
        ({"retention.ms": "259199999"}, "retention"),
        ({"retention.ms": "0"}, "retention"),
        ({"retention.bytes": "1000000"}, "retention"),
    ],
    ids=str,
)
def test_a_setting_that_was_altered_endangers_what_it_kept(settings: Mapping[str, str], endangers: str) -> None:
    assert altered(settings) == [(*settings, endangers)]


@pytest.mark.parametrize(
    "settings",
    [
        {"max.message.bytes": "2000000"},
        {"retention.ms": "259200001"},
        {"retention.ms": "-1"},
        {"min.insync.replicas": "3"},
        {"segment.ms": "1"},
        {"cleanup.policy": ""},
        {"compression.type": "zstd"},
    ],
    ids=str,
)
def test_a_setting_that_keeps_more_is_as_good(settings: Mapping[str, str]) -> None:
    assert altered(settings) == []


def test_fewer_in_sync_than_promised_endanger_comments_whichever_number_was_lowered() -> None:
    lowered = [("in_sync", "comments")]
    assert altered({"min.insync.replicas": "1"}) == lowered
    assert told(dataclasses.replace(FOUND, replication_factor=1)) == lowered, "Kafka waits for no more than there are"
    assert told(dataclasses.replace(FOUND, replication_factor=2)) == [("replicas", "retention")]
    assert told(dataclasses.replace(FOUND, replication_factor=4)) == []


def test_a_topic_that_is_gone_or_another_one_endangers_comments_and_ids() -> None:
    assert told(None) == [("topic_missing", "comments")]
    assert told(topic_id="other") == [("topic_id", "comments")]
    assert told(dataclasses.replace(FOUND, partitions=63)) == [("partitions_missing", "comments")]


def test_added_partitions_endanger_nothing() -> None:
    assert told(dataclasses.replace(FOUND, partitions=65)) == [("partitions_added", "nothing")]


def test_where_kafka_has_no_ids_of_topics_none_is_compared() -> None:
    assert told(topic_id="") == []
    contract = dataclasses.replace(CONTRACT, topic_id="")
    assert differences_of(contract, TOPIC.name, FOUND, "other", "k:1") == []


def test_each_sentence_has_the_way_out() -> None:
    found = dataclasses.replace(FOUND, settings={**FOUND.settings, "cleanup.policy": "compact"})
    (compacted,) = differences_of(CONTRACT, TOPIC.name, found, "one", "k:1")
    assert compacted.sentence == (
        "Topic comments-1 has cleanup.policy=compact, not delete: Kafka would keep one comment a video. Set it: "
        "kafka-configs.sh --bootstrap-server k:1 --entity-type topics --entity-name comments-1 --alter --add-config "
        "cleanup.policy=delete"
    )
    (gone,) = differences_of(CONTRACT, TOPIC.name, None, "", "k:1")
    (anew,) = differences_of(CONTRACT, TOPIC.name, FOUND, "other", "k:1")
    assert gone.sentence.endswith("livecomments epochs next --topic-lost")
    assert anew.sentence.endswith("livecomments epochs next --topic-lost")


BESIDE = {topic.name: topic for topic in load_topics(1) if topic.name in (EPOCHS_TOPIC, REVOCATIONS_TOPIC)}


@pytest.mark.parametrize(
    ("settings", "of_epochs"),
    [
        ({"cleanup.policy": "compact"}, "comments"),
        ({"unclean.leader.election.enable": "true"}, "comments"),
        ({"min.insync.replicas": "1"}, "comments"),
        ({"retention.ms": "60000"}, "retention"),
        ({"retention.bytes": "1000"}, "retention"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", BESIDE)
def test_what_the_topics_beside_keep_is_told_and_stops_writes_only_where_an_epoch_could_open_again(
    name: str, settings: Mapping[str, str], of_epochs: str
) -> None:
    topic = dataclasses.replace(BESIDE[name], name="ours." + name)
    found = FoundTopic(topic.name, 1, 3, 0, {**topic.settings, **settings})
    (one,) = differences_beside(name, topic, found, "k:1")
    (key,) = settings
    endangers = of_epochs if name == EPOCHS_TOPIC else "retention"
    assert (one.name, one.endangers.value) == (f"{name}.{key}", endangers)
    assert f"--entity-name ours.{name} --alter --add-config {key}={topic.settings[key]}" in one.sentence
    assert differences_beside(name, topic, dataclasses.replace(found, settings=topic.settings), "k:1") == []


@pytest.mark.parametrize("name", BESIDE)
def test_a_topic_beside_on_one_broker_or_gone_is_told(name: str) -> None:
    topic = BESIDE[name]
    moved = FoundTopic(name, 1, 1, 0, topic.settings)
    assert [one.name for one in differences_beside(name, topic, moved, "k:1")] == [f"{name}.min.insync.replicas"]
    assert [one.name for one in differences_beside(name, topic, None, "k:1")] == [f"{name}.missing"]


class Live:
    """A log whose differences a test sets; None: it does not answer."""

    def __init__(self) -> None:
        self.now: list[Difference] | None = []

    async def differences(self) -> list[Difference]:
        if self.now is None:
            raise LogUnavailable("away")
        return self.now


def measured(name: str, endangers: str) -> float | None:
    labels = {"difference": name, "endangers": endangers}
    return REGISTRY.get_sample_value("livecomments_log_contract_differences", labels)


def unseen_s() -> float | None:
    return REGISTRY.get_sample_value("livecomments_log_contract_unseen_seconds")


async def test_what_endangers_comments_stops_writes_until_it_is_mended(caplog: pytest.LogCaptureFixture) -> None:
    live = Live()
    watch = ContractWatch(live)
    caplog.set_level("INFO")
    await watch.look()
    assert watch.breach == ""
    live.now = [Difference("cleanup.policy", Endangers.COMMENTS, "It is compacted.")]
    await watch.look()
    await watch.look()
    assert watch.breach
    assert measured("cleanup.policy", "comments") == 1
    live.now = None
    await watch.look()
    assert watch.breach, "what cannot be seen is not mended"
    live.now = []
    await watch.look()
    assert watch.breach == ""
    assert measured("cleanup.policy", "comments") == 0
    lines = [(record.levelname, record.message, getattr(record, "reason", None)) for record in caplog.records]
    assert lines == [
        ("CRITICAL", "the topic is not what its contract says", "It is compacted."),
        ("WARNING", "the topic cannot be held against its contract", "away"),
        ("INFO", "the topic is again what its contract says", "It is compacted."),
    ]


@pytest.mark.parametrize("endangers", [Endangers.RETENTION, Endangers.NOTHING])
async def test_what_endangers_no_comment_is_told_and_stops_nothing(
    endangers: Endangers, caplog: pytest.LogCaptureFixture
) -> None:
    live = Live()
    live.now = [Difference("retention.ms", endangers, "Shorter.")]
    watch = ContractWatch(live)
    await watch.look()
    assert watch.breach == ""
    assert measured("retention.ms", endangers.value) == 1
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    live.now = [Difference("retention.ms", endangers, "Shorter still.")]
    await watch.look()
    assert [getattr(record, "reason", "") for record in caplog.records] == ["Shorter.", "Shorter still."]


async def test_a_topic_that_cannot_be_seen_hides_no_other_and_is_counted_for_how_long() -> None:
    time_s, live, beside = [1_000.0], Live(), Live()
    watch = ContractWatch(live, beside, clock=lambda: time_s[0])
    for live_one, other in ((live, beside), (beside, live)):
        live_one.now, other.now = [Difference("in_sync", Endangers.COMMENTS, "Few.")], None
        time_s[0] += 300
        await watch.look()
        assert watch.breach, "the one that answers is endangered"
        live_one.now = other.now = []
        await watch.look()
        assert (watch.breach, unseen_s()) == ("", 0)
    live.now, beside.now = [], None
    for since_s in (60, 120):
        time_s[0] += 60
        await watch.look()
        assert unseen_s() == since_s


async def test_what_stops_writes_may_be_of_any_topic_that_is_watched() -> None:
    live, beside = Live(), Live()
    watch = ContractWatch(live, beside)
    beside.now = [Difference("livecomments-epochs.cleanup.policy", Endangers.COMMENTS, "It is compacted.")]
    await watch.look()
    assert watch.breach
    beside.now = []
    await watch.look()
    assert watch.breach == ""
