"""The topics, pure: their names, and what each must be.

What each must be is data, `infra/kafka/livecomments_topics/topics.toml`, where one looks for it; the wheel installs the
file as a package of its own. Every process knows a topic by the names of this module; nothing else spells one out.
Asking a Kafka about its topics, or making one, is `livecomments.kafka.topics`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Final

DEAD_LETTER_TOPIC: Final = "comments-dead-letter"
REVOCATIONS_TOPIC: Final = "session-revocations"
EPOCHS_TOPIC: Final = "livecomments-epochs"
COUNTS_TOPIC: Final = "comment-counts"
_COMMENTS: Final = "comments-"
_CLEAN: Final = "comments-clean-"


@dataclass(frozen=True)
class Topic:
    """What a topic is to be."""

    name: str
    holds: str
    key: str
    partitions: int
    replication_factor: int
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    settings: Mapping[str, str]
    is_optional: bool = False
    """Made only where somebody wants it."""

    def with_replicas(self, count: int) -> "Topic":
        """Return the topic on `count` replicas, a majority in sync: for clusters of fewer than three brokers."""
        settings = {**self.settings, "min.insync.replicas": str(count // 2 + 1)}
        return replace(self, replication_factor=count, settings=settings)


def comments_topic(epoch: int) -> str:
    """Name the comments topic of an epoch."""
    return f"{_COMMENTS}{epoch}"


def clean_topic(epoch: int) -> str:
    """Name the clean topic of an epoch."""
    return f"{_CLEAN}{epoch}"


def is_comments(name: str) -> bool:
    """Tell whether this is the name of the comments topic of some epoch."""
    return name.removeprefix(_COMMENTS).isdecimal() and name.startswith(_COMMENTS)


def is_ours(name: str) -> bool:
    """Tell whether a topic of this name, without the deployment's prefix, is one that livecomments reads."""
    return name.startswith((_COMMENTS, REVOCATIONS_TOPIC, EPOCHS_TOPIC, COUNTS_TOPIC))


def load_topics(epoch: int) -> list[Topic]:
    """Load the topics of `topics.toml`, for this epoch."""
    text = resources.files("livecomments_topics").joinpath("topics.toml").read_text("utf-8")
    return [_topic(table, epoch) for table in tomllib.loads(text)["topic"]]


def _topic(table: Mapping[str, Any], epoch: int) -> Topic:
    return Topic(
        name=table["name"].format(epoch=epoch),
        holds=table["holds"],
        key=table["key"],
        partitions=table["partitions"],
        replication_factor=table["replication_factor"],
        written_by=tuple(table["written_by"]),
        read_by=tuple(table["read_by"]),
        settings={key: str(value) for key, value in table["settings"].items()},
        is_optional=table.get("optional", False),
    )
