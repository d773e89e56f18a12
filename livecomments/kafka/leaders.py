"""Whether what is fetched was written under another leader than before: one that may not have had all that was read.

A leader that was out of sync, or lost its disk's last writes, has fewer records than were read from the one before. Who
asks for what is missing is refused; but where it grew beyond that before it was asked, offsets fit, and what stands at
them is other. Each batch says under which leader it was appended, by a number that grows with each election (Kafka's
leader epoch): where it has grown, the last record that was read is read once more, and held against what is remembered.
"""

from struct import Struct
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest

_BATCH: Final = Struct(">12xib")
"""The head of a batch as far as it matters here: the leader's number, and the format."""
_NUMBERED: Final = 2
"""The format since Kafka 0.11; those before had no number."""
_ROW_RECORDS: Final = -1
"""Where a row of an answer, in whatever version, holds the records; the partition comes first."""


class Leaders:
    """What one reader's consumers have seen of them. Partitions are named as aiokafka names them."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int], int] = {}
        self._changed: dict[tuple[str, int], int] = {}
        """Fetched under a new leader: the offset that was asked for."""

    def watch(self, consumer: Any) -> None:
        """Look at what a started aiokafka consumer is answered from now on, before its records are handed out."""
        client = consumer._client
        send = client.send

        async def send_and_look(node: Any, request: Any, **options: Any) -> Any:
            answer = await send(node, request, **options)
            if isinstance(request, FetchRequest):
                self.look(request.topics, answer.topics)
            return answer

        client.send = send_and_look

    def look(self, asked: Any, answered: Any) -> None:
        """Note the leaders of what was answered to a fetch; `asked` has rows of partition, offset and bytes."""
        for topic, rows in answered:
            for row in rows:
                records = row[_ROW_RECORDS]
                if not records or len(records) < _BATCH.size:
                    continue
                number, form = _BATCH.unpack_from(records)
                known = self._numbers.get((topic, row[0]))
                if form < _NUMBERED or number <= (-1 if known is None else known):
                    continue
                self._numbers[topic, row[0]] = number
                if known is not None:
                    self._changed[topic, row[0]] = _offset_asked(asked, topic, row[0])

    def take_change(self, place: tuple[str, int], last: int) -> bool:
        """Tell whether records up to offset `last` are the first ones under a new leader; true once for each."""
        if self._changed.get(place, last + 1) > last:
            return False
        del self._changed[place]
        return True


def _offset_asked(asked: Any, topic: str, partition: int) -> int:
    offsets: dict[int, int] = {number: offset for name, rows in asked if name == topic for number, offset, _ in rows}
    return offsets[partition]
