"""The topics as data: which there are, and which of them a deployment may be without."""

from livecomments.log.topics import (
    COUNTS_TOPIC,
    DEAD_LETTER_TOPIC,
    EPOCHS_TOPIC,
    REVOCATIONS_TOPIC,
    clean_topic,
    comments_topic,
    is_ours,
    load_topics,
)


def test_only_what_is_derived_may_be_missing_and_nothing_acknowledged_is_ever_compacted() -> None:
    topics = {one.name: one for one in load_topics(3)}
    assert {name for name, one in topics.items() if one.is_optional} == {COUNTS_TOPIC, clean_topic(3)}
    assert topics.keys() >= {comments_topic(3), REVOCATIONS_TOPIC, EPOCHS_TOPIC, DEAD_LETTER_TOPIC}
    for name, one in topics.items():
        assert (one.settings["cleanup.policy"] == "delete") is not one.is_optional, name
        assert one.settings["unclean.leader.election.enable"] == "false" or one.is_optional, name


def test_topics_of_any_epoch_are_known_by_their_names_and_those_of_others_are_not() -> None:
    assert all(is_ours(one.name) for epoch in (1, 99) for one in load_topics(epoch))
    assert not any(map(is_ours, ("__consumer_offsets", "orders", "my-comments-1")))
