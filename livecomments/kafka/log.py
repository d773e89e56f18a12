"""The log in Kafka: `KafkaLog` checks the topic, and joins the writer and the readers."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final

from aiokafka.errors import KafkaError

from livecomments.kafka.connection import KafkaConnection, Security, no_security
from livecomments.kafka.contract import Difference, Endangers, differences_of
from livecomments.kafka.ranges import KafkaRanges
from livecomments.kafka.reader import KafkaReader
from livecomments.kafka.rest import Rest
from livecomments.kafka.topics import FoundTopic, find_topics
from livecomments.kafka.writer import KafkaWriter
from livecomments.log.interface import Bounds, LogUnavailable, Slice
from livecomments.runtime.retrying import retrying, within
from livecomments.runtime.rotation import Rotated
from livecomments_schemas.epochs import Contract
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import NewRecord

_AWAY: Final = (LogUnavailable, KafkaError, TimeoutError, OSError)
"""What a Kafka that is away, or not up yet, raises."""
REST: Final = Rest(0.002, 0.008)
"""With 1,000 records a second over all partitions 2 ms save a fifth of a core (measured); who waits for a POST waits
for it, so the most is little."""
_MISSING_S: Final = 2.0
"""A topic just created is not known to every broker at once; after this long it is missing."""
_COMPARE: Final = "run: livecomments topics"


class TopicMissing(StartRefused):
    """Kafka answers, and has no such topic."""


class KafkaLog:
    """One topic of a Kafka. An async context manager: open it inside a running event loop.

    Args:
        addresses: bootstrap servers, comma-separated.
        topic: its name; `topics.comments_topic(epoch)` outside of tests.
        epoch: the generation the topic is.
        append_timeout_s: until an append without an answer is AppendUnknown.
        contract: what the topic must be, if it is an epoch's; its count of partitions is the one that we go by.
        fences: where each partition ends, if it is of an epoch that ended by fences: its topic may be as it likes.
        in_sync_replicas_min: without a contract, the least `min.insync.replicas` of the topic that is good enough.
        rest: a follower's, after a poll of few records.
        is_ours: one of `livecomments.log.topics`; any other may be set up in whatever way.
        appends_soon: the producer is made when the log is opened, or the first append would wait for it.
        connect_timeout_s: how long Kafka may be away at the start.
        security: see `KafkaConnection`.
    """

    def __init__(
        self,
        addresses: str,
        topic: str,
        epoch: int,
        *,
        contract: Contract | None = None,
        fences: Sequence[int] = (),
        append_timeout_s: float = 5.0,
        in_sync_replicas_min: int = 1,
        rest: Rest = REST,
        is_ours: bool = True,
        appends_soon: bool = False,
        connect_timeout_s: float = 30.0,
        security: Rotated[Security] | None = None,
    ) -> None:
        self.epoch: Final = epoch
        self.partition_count = 0
        self._connection = KafkaConnection(addresses, security or no_security())
        self._topic = topic
        self._contract = contract
        self._fences = fences
        self._in_sync_replicas_min = in_sync_replicas_min
        self._rest = rest
        self._is_ours = is_ours
        self._appends_soon = appends_soon
        self._connect_timeout_s = connect_timeout_s
        self._writer = KafkaWriter(self._connection, topic, append_timeout_s)
        self._ranges = KafkaRanges(self._connection, topic)
        self._readers: list[KafkaReader] = []

    async def __aenter__(self) -> "KafkaLog":
        """Connect, and check the topic if it is one of ours.

        Raises:
            StartRefused: no Kafka, no such topic, or one that does not keep what a 201 promises.
        """
        try:
            found = await self._connect_in_time()
            if self._is_ours:
                await self._check(found)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def append(self, partition: int, record: NewRecord) -> int:
        assert 0 <= partition < self.partition_count
        return await self._writer.append(partition, record)

    async def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        return await self._ranges.bounds(partitions)

    async def answering(self, partitions: Iterable[int]) -> set[int]:
        return await self._ranges.answering(partitions)

    async def identity(self) -> str:
        return await self._ranges.identity()

    async def read(self, partition: int, start: int, end: int, limit: int) -> Slice:
        return await self._ranges.read(partition, start, end, limit)

    def follow(self) -> KafkaReader:
        reader = KafkaReader(self._connection, self._topic, self._rest)
        self._readers = [*(one for one in self._readers if not one.is_closed), reader]
        return reader

    async def differences(self) -> list[Difference]:
        """Tell how the live topic differs from the contract now; one that ended may. Raises LogUnavailable."""
        if self._fences:
            return []
        assert self._contract is not None
        found = (await find_topics(self._connection, [self._topic])).get(self._topic)
        return await self._differences(found, self._contract)

    async def aclose(self) -> None:
        """Let the appends under way finish, for at most their deadline. May be called twice."""
        await self._writer.aclose()
        await self._ranges.aclose()
        for reader in self._readers:
            await reader.aclose()
        self._readers.clear()

    async def _differences(self, found: FoundTopic | None, contract: Contract) -> list[Difference]:
        topic_id = await self.identity() if found is not None else ""
        return differences_of(contract, self._topic, found, topic_id, self._connection.addresses)

    async def _connect_in_time(self) -> FoundTopic:
        """Connect; return the topic. Raises StartRefused: no answer for `connect_timeout_s`."""
        try:
            return await retrying(self._connect, within(self._connect_timeout_s), on=_AWAY)
        except _AWAY as error:
            reason = f"Kafka at {self._connection.addresses} did not answer for {self._connect_timeout_s:g} s"
            raise StartRefused(f"{reason}: {error}") from error

    async def _connect(self) -> FoundTopic:
        """Connect, or leave nothing open. Raises what `_AWAY` names; TopicMissing: there is no such topic."""
        try:
            found = await retrying(self._find, within(_MISSING_S), on=TopicMissing)
            if self._appends_soon:
                await self._writer.start()
            self.partition_count = found.partitions if self._contract is None else self._contract.partitions
            await self._ranges.start(self.partition_count)
        except _AWAY:
            if self._appends_soon:
                await self._writer.aclose()
            await self._ranges.aclose()
            raise
        return found

    async def _find(self) -> FoundTopic:
        found = (await find_topics(self._connection, [self._topic])).get(self._topic)
        if found is None:
            raise TopicMissing(f"Kafka at {self._connection.addresses} has no topic {self._topic}; {self._make()}")
        return found

    def _make(self) -> str:
        if not self._is_ours:
            return (
                f"create it: kafka-topics.sh --bootstrap-server {self._connection.addresses} --create --topic "
                f"{self._topic} --partitions 64"
            )
        lost = "" if self._contract is None else "; if it is lost: livecomments epochs next --topic-lost"
        return f"{_COMPARE} --create{lost}."

    async def _check(self, found: FoundTopic) -> None:
        if self._contract is not None:
            for one in await self._differences(found, self._contract):
                if one.endangers is Endangers.COMMENTS and not self._fences:
                    raise StartRefused(one.sentence)
            return
        timestamps = found.settings.get("message.timestamp.type")
        if timestamps != "LogAppendTime":
            raise StartRefused(
                f"Topic {self._topic} has message.timestamp.type={timestamps}; acknowledgements can only be told apart "
                f"with LogAppendTime; {_COMPARE}, which prints the command that sets it."
            )
        in_sync = int(found.settings.get("min.insync.replicas", "1"))
        if in_sync < self._in_sync_replicas_min:
            raise StartRefused(
                f"Topic {self._topic} has min.insync.replicas={in_sync}, less than {self._in_sync_replicas_min}: "
                f"an acknowledged comment could be lost with one broker; {_COMPARE}, which prints what sets it."
            )
