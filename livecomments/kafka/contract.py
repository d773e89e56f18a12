"""What the live topic of an epoch has become, held against the epoch's contract, and what has become of others.

What endangers comments that were acknowledged, or ids, stops writes until it is mended; what endangers only how long
records are kept, or nothing at all, is told. The topics of epochs and of revocations have no contract: they must be
what the topics as data say.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.topics import FoundTopic, configs_command, find_topics
from livecomments.log.topics import EPOCHS_TOPIC, REVOCATIONS_TOPIC, Topic
from livecomments.runtime.metrics import Gauge, Reading
from livecomments.runtime.retrying import warn
from livecomments_schemas.epochs import Contract
from livecomments_schemas.errors import Unavailable

CONTRACT_INTERVAL_S: Final = 60.0
"""Between two looks at the live topic: two requests to any broker, for a setting that nobody should change."""

_log = logging.getLogger("livecomments.log")
_differences = Gauge(
    "livecomments_log_contract_differences",
    "1 where a live topic is not what it was promised to be, by what differs and what that endangers.",
    ["difference", "endangers"],
)
_unseen = Reading(
    "livecomments_log_contract_unseen_seconds",
    "For how long one of the topics could not be held against what it must be; what differs since is not told.",
    fresh_s=4 * CONTRACT_INTERVAL_S,
)


class Endangers(StrEnum):
    """What a difference may cost."""

    COMMENTS = "comments"
    """Acknowledged comments, their ids, or every answer: nothing is written until it is mended."""
    RETENTION = "retention"
    """How long records can be read again."""
    NOTHING = "nothing"


class Difference(NamedTuple):
    """One way in which the live topic is not what it must be, with what mends it."""

    name: str
    endangers: Endangers
    sentence: str


class Compared(Protocol):
    """A log that can be held against its contract."""

    async def differences(self) -> list[Difference]:
        """Tell how the live topic differs from the contract now. Raises LogUnavailable."""


def differences_of(
    contract: Contract, topic: str, found: FoundTopic | None, topic_id: str, addresses: str
) -> list[Difference]:
    """Tell how a live topic differs from the contract. `topic_id` may be empty (an old Kafka), `found` None."""
    if found is None:
        return [
            Difference(
                "topic_missing",
                Endangers.COMMENTS,
                f"Kafka has no topic {topic}. If it is lost, {_NEXT}",
            )
        ]
    return [
        *_of_topic(contract, topic, found, topic_id),
        *_of_replicas(contract, topic, found, addresses),
        *_of_settings(contract, topic, found.settings, addresses),
    ]


def _of_topic(contract: Contract, topic: str, found: FoundTopic, topic_id: str) -> Iterable[Difference]:
    if "" not in (contract.topic_id, topic_id) and contract.topic_id != topic_id:
        yield Difference(
            "topic_id",
            Endangers.COMMENTS,
            f"Topic {topic} was made anew since epoch {contract.epoch} was opened, and would give ids again "
            f"that were given before; {_NEXT}",
        )
    elif found.partitions < contract.partitions:
        yield Difference(
            "partitions_missing",
            Endangers.COMMENTS,
            f"Topic {topic} has {found.partitions} partitions, not {contract.partitions}: it was made anew; {_NEXT}",
        )
    elif found.partitions > contract.partitions:
        yield Difference(
            "partitions_added",
            Endangers.NOTHING,
            f"Topic {topic} has {found.partitions} partitions; epoch {contract.epoch} goes by {contract.partitions}, "
            "and nobody reads or writes the others.",
        )


def _of_replicas(contract: Contract, topic: str, found: FoundTopic, addresses: str) -> Iterable[Difference]:
    # Kafka waits for no more replicas than there are, whatever min.insync.replicas says.
    promised = _number(contract.settings.get("min.insync.replicas"), 1)
    in_sync = min(_number(found.settings.get("min.insync.replicas"), 1), found.replication_factor)
    move = f"Move it: kafka-reassign-partitions.sh --bootstrap-server {addresses} --reassignment-json-file … --execute"
    if in_sync < promised:
        has_few = found.replication_factor < promised
        mend = move if has_few else configs_command(topic, addresses, "min.insync.replicas", str(promised))
        yield Difference(
            "in_sync",
            Endangers.COMMENTS,
            f"Topic {topic} acknowledges with {in_sync} replicas in sync, less than the {promised} that epoch "
            f"{contract.epoch} promised: an acknowledged comment could be lost with one broker. {mend}",
        )
    elif found.replication_factor < contract.replicas:
        sentence = f"Topic {topic} has {found.replication_factor} replicas, not {contract.replicas}. {move}"
        yield Difference("replicas", Endangers.RETENTION, sentence)


def _of_settings(contract: Contract, topic: str, found: Mapping[str, str], addresses: str) -> Iterable[Difference]:
    for key, (endangers, why) in _WATCHED.items():
        wanted, is_now = contract.settings.get(key), found.get(key)
        if wanted is None or _is_kept(key, wanted, is_now):
            continue
        mend = configs_command(topic, addresses, key, wanted)
        yield Difference(key, endangers, f"Topic {topic} has {key}={is_now}, not {wanted}: {why}. {mend}")


_WATCHED: Final[Mapping[str, tuple[Endangers, str]]] = {
    "cleanup.policy": (Endangers.COMMENTS, "Kafka would keep one comment a video"),
    "unclean.leader.election.enable": (Endangers.COMMENTS, "acknowledged comments could be lost with one broker"),
    "message.timestamp.type": (Endangers.COMMENTS, "no acknowledgement can be told from none"),
    "max.message.bytes": (Endangers.COMMENTS, "what our writers send could be refused"),
    "retention.ms": (Endangers.RETENTION, "the store has less time to catch up than was promised"),
    "retention.bytes": (Endangers.RETENTION, "a hot video would cost the others what is not stored yet"),
}
_NEXT: Final = "open the next epoch: livecomments epochs next --topic-lost"
_WHOLE: Final = re.compile("-?[0-9]{1,19}")
_AT_LEAST: Final = ("max.message.bytes", "min.insync.replicas", "retention.ms", "retention.bytes")
"""A larger number than the contract's is as good; -1 is without a bound."""

CONTRACT_SETTINGS: Final = (*_WATCHED, "min.insync.replicas")
"""Of a topic's settings, those that a contract names."""


def differences_beside(name: str, topic: Topic, found: FoundTopic | None, addresses: str) -> list[Difference]:
    """Tell how a live topic that is of no epoch differs from what it must be.

    Args:
        name: the topic's, without the deployment's prefix.
        topic: what it must be, as it is called.
        found: the live topic; None: there is none.
        addresses: of the Kafka, for what is said to people.
    """
    if found is None:
        sentence = f"Kafka has no topic {topic.name}. Create it: livecomments topics --create"
        return [Difference(f"{name}.missing", Endangers.RETENTION, sentence)]
    differences = []
    in_sync = min(_number(found.settings.get("min.insync.replicas"), 1), found.replication_factor)
    is_now = {**found.settings, "min.insync.replicas": str(in_sync)}
    for key, (endangers, why) in _BESIDE.items():
        wanted = topic.settings.get(key)
        if not _is_kept(key, wanted, is_now.get(key)):
            least = Endangers.RETENTION if name == REVOCATIONS_TOPIC else endangers
            mend = configs_command(topic.name, addresses, key, str(wanted))
            sentence = f"Topic {topic.name} has {key}={is_now.get(key)}, not {wanted}: {why}. {mend}"
            differences.append(Difference(f"{name}.{key}", least, sentence))
    return differences


_BESIDE: Final[Mapping[str, tuple[Endangers, str]]] = {
    "cleanup.policy": (Endangers.COMMENTS, "Kafka would keep the last record of a key, where the first one counts"),
    "unclean.leader.election.enable": (Endangers.COMMENTS, "what was acknowledged could be lost with one broker"),
    "min.insync.replicas": (Endangers.COMMENTS, "what was acknowledged could be lost with one broker"),
    "retention.ms": (Endangers.RETENTION, "what is said there is forgotten while it still counts"),
    "retention.bytes": (Endangers.RETENTION, "what is said there is forgotten while it still counts"),
}
"""Of the topic of epochs, in which one that was closed could be open again. Of revocations nothing stops writes."""


class TopicsBeside:
    """The topics of epochs and of revocations in one Kafka, as they must be."""

    def __init__(self, connection: KafkaConnection, topics: Iterable[Topic], prefix: str) -> None:
        named = {topic.name.removeprefix(prefix): topic for topic in topics}
        self._connection = connection
        self._topics = {name: named[name] for name in (EPOCHS_TOPIC, REVOCATIONS_TOPIC)}

    async def differences(self) -> list[Difference]:
        """See `Compared`."""
        found = await find_topics(self._connection, [topic.name for topic in self._topics.values()])
        addresses = self._connection.addresses
        return [
            one
            for name, topic in self._topics.items()
            for one in differences_beside(name, topic, found.get(topic.name), addresses)
        ]


def _is_kept(key: str, wanted: str | None, is_now: str | None) -> bool:
    if wanted is None or is_now is None:
        return True  # not promised, or not told
    if key == "cleanup.policy":
        return "compact" not in is_now or "compact" in wanted  # an empty one keeps everything
    if key not in _AT_LEAST:
        return wanted == is_now
    least, held = _number(wanted, 0), _number(is_now, 0)
    return held < 0 or 0 <= least <= held


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and _WHOLE.fullmatch(text) else default


class ContractWatch:
    """Looks at live topics again and again. `run` looks; `breach` is what stops writes, "" if nothing does."""

    def __init__(
        self,
        *logs: Compared,
        interval_s: float = CONTRACT_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.breach = ""
        self._logs = logs
        self._interval_s = interval_s
        self._clock = clock
        self._seen_at = clock()
        self._told: list[dict[str, Difference]] = [{} for _ in logs]
        """By log: what it was seen to differ in when it was seen last."""

    async def run(self) -> None:
        """Look until cancelled, at once and then every `interval_s`."""
        while True:
            await self.look()
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """Look once, and tell what has changed since. What cannot be seen stays as it was, and hides no other."""
        is_all_seen = True
        for number, log in enumerate(self._logs):
            try:
                found = {one.name: one for one in await log.differences()}
            except Unavailable as error:
                warn(_log, "the topic cannot be held against its contract", error)
                is_all_seen = False
            else:
                _tell(self._told[number], found)
                self._told[number] = found
        now = self._clock()
        if is_all_seen:
            self._seen_at = now
        _unseen.set(now - self._seen_at)
        endangered = {one.endangers for told in self._told for one in told.values()}
        self.breach = _STOPPED if Endangers.COMMENTS in endangered else ""


_STOPPED: Final = "The log is not what it must be to keep comments; its operators have to mend it. Try again later."


def _tell(before: Mapping[str, Difference], found: Mapping[str, Difference]) -> None:
    """Log what has changed since, and measure what differs."""
    for name, one in found.items():
        if before.get(name) != one:
            level = logging.CRITICAL if one.endangers is Endangers.COMMENTS else logging.ERROR
            _log.log(level, "the topic is not what its contract says", extra=_said(one))
        _differences.labels(name, one.endangers.value).set(1)
    for name in before.keys() - found.keys():
        _log.info("the topic is again what its contract says", extra=_said(before[name]))
        _differences.labels(name, before[name].endangers.value).set(0)


def _said(one: Difference) -> dict[str, str]:
    return {"difference": one.name, "endangers": one.endangers.value, "reason": one.sentence}
