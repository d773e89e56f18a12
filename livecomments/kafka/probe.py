"""Which partitions of a topic answer: asks their leaders, each for all of its partitions at once.

aiokafka's own `end_offsets` tells nothing of any partition as long as one of them has no leader, or one broker hangs.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest

_ANSWER_TIMEOUT_S: Final = 2.0
_ANY_REPLICA: Final = -1
_UNCOMMITTED: Final = 0
_END: Final = -1
NO_LEADER: Final = (None, -1)
"""What aiokafka says where it knows of none."""


class KafkaProbe:
    """Has one question under way to each broker, so that one that hangs is not waited for again and again.

    A question is not cancelled when it is late: only its own timeout lets aiokafka give up the connection, which may be
    dead without a word. The next one is asked over a new connection.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._questions: dict[int, asyncio.Task[set[int]]] = {}

    async def answering(self, client: Any, partitions: Iterable[int]) -> set[int]:
        """See `CommentLog.answering`; `client` is a started AIOKafkaClient."""
        by_leader: defaultdict[Any, list[int]] = defaultdict(list)
        for number in partitions:
            by_leader[client.cluster.leader_for_partition(TopicPartition(self._topic, number))].append(number)
        started = [
            self._start_question(client, leader, numbers)
            for leader, numbers in by_leader.items()
            if leader not in NO_LEADER and leader not in self._questions
        ]
        if not by_leader.keys().isdisjoint(NO_LEADER):
            client.force_metadata_update()
        done, _ = await asyncio.wait(started, timeout=_ANSWER_TIMEOUT_S) if started else ((), ())
        return set[int]().union(*(one.result() for one in done if not one.cancelled()))

    async def aclose(self) -> None:
        """Close it. May be called twice."""
        for one in list(self._questions.values()):
            one.cancel()
            await asyncio.wait([one])

    def _start_question(self, client: Any, leader: int, numbers: list[int]) -> asyncio.Task[set[int]]:
        task = self._questions[leader] = asyncio.create_task(self._send_question(client, leader, numbers))
        task.add_done_callback(lambda _: self._questions.pop(leader))
        return task

    async def _send_question(self, client: Any, leader: int, numbers: list[int]) -> set[int]:
        ends = [(number, _END) for number in numbers]
        try:
            answer = await client.send(leader, OffsetRequest(_ANY_REPLICA, _UNCOMMITTED, [(self._topic, ends)]))
            ((_, of_partitions),) = answer.topics
        except KafkaError:
            of_partitions = []
        heard = {number for number, error_code, *_ in of_partitions if not error_code}
        if len(heard) < len(numbers):
            client.force_metadata_update()  # they may have another leader by now
        return heard
