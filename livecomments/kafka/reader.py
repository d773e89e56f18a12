"""Reading Kafka without a group: `KafkaReader` follows partitions as they grow."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.fetcher import Fetcher, open_fetcher
from livecomments.kafka.leaders import Leaders
from livecomments.kafka.rest import Rest
from livecomments.log.interface import LogUnavailable, OffsetUnavailable
from livecomments_schemas.events import Record

_POLL_WAIT_S: Final = 0.5
_POLL_RECORDS: Final = 2_000
"""About 10 ms of decoding before the caller's loop gets to breathe."""

_log = logging.getLogger("livecomments.log")


class KafkaReader:
    """See `LogReader`. Connects at its first poll, and again after it could not read.

    The last record of each partition is kept, and read once more where another leader has written the next one. If it
    is another one by then the log lost its end and grew beyond it: the next offset of what was read is not in it.
    """

    def __init__(self, connection: KafkaConnection, topic: str, rest: Rest) -> None:
        self._connection = connection
        self._topic = topic
        self._next: dict[int, int] = {}
        """What follows the last record that was handed out, by partition."""
        self._positions: dict[int, int] = {}
        """What is fetched next: beyond what is no record, and once more the last one where the leader changed."""
        self._leaders = Leaders()
        self._last: dict[int, Record] = {}
        """By partition: the last record that was handed out since it was assigned."""
        self._read_again: set[int] = set()
        """Partitions whose last record comes once more."""
        self._lost: set[int] = set()
        """Partitions whose last record is not in the log any more."""
        self._assigned = asyncio.Event()
        self._was_told = False
        """The last poll raised what was lost."""
        self._rest = rest
        self._fetcher: Fetcher | None = None
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, for good."""
        return self._closed

    def assign(self, offsets: Mapping[int, int]) -> None:
        for number in [one for one, at in self._next.items() if offsets.get(one) != at]:
            self._positions.pop(number, None)
            self._last.pop(number, None)
            self._read_again.discard(number)
            self._lost.discard(number)
        self._positions.update({number: at for number, at in offsets.items() if self._next.get(number) != at})
        if self._fetcher is not None:
            self._fetcher.wake()
        self._next = dict(offsets)
        self._assigned.set()

    async def poll(self) -> list[Record]:
        fetcher = await self._connected()
        self._tell_lost()
        try:
            if not self._next:
                return await self._wait_for_assignment()
            return self._taken(await fetcher.fetch(_POLL_RECORDS, _POLL_WAIT_S))
        except OffsetOutOfRangeError as error:
            return self._out_of_range(error)
        except Exception as error:
            self._check_open()
            _log.exception("records not readable")
            self._fetcher = None  # the next one goes on from what was taken
            await fetcher.aclose()
            raise LogUnavailable(f"Kafka's records cannot be read: {error!r}.") from error

    async def aclose(self) -> None:
        """Close it. May be called twice."""
        self._closed = True
        fetcher, self._fetcher = self._fetcher, None
        if fetcher is not None:
            await fetcher.aclose()

    def _taken(self, found: Mapping[int, list[Record]]) -> list[Record]:
        """Take the records of what is assigned now, from the next offset on; leave those of an earlier assignment."""
        records: list[Record] = []
        for number, of_partition in found.items():
            following = self._next.get(number)
            if following is None or not self._is_of_the_log_read(number, of_partition):
                continue
            taken = of_partition
            if taken[0].offset < following:
                taken = [one for one in of_partition if one.offset >= following]
            if taken:
                self._last[number] = taken[-1]
                self._next[number] = taken[-1].offset + 1
                records += taken
        return records

    def _is_of_the_log_read(self, number: int, found: list[Record]) -> bool:
        """Tell whether what was found may be taken. Under a new leader the last record taken is asked for first."""
        is_new = self._leaders.take_change((self._topic, number), found[-1].offset)
        last = self._last.get(number)
        if number in self._read_again:
            self._read_again.discard(number)
            if found[0] == last:
                return True
            self._lost.add(number)
            del self._positions[number]
            return False
        if last is None or not is_new:
            return True
        self._read_again.add(number)
        self._positions[number] = last.offset
        return False

    def _tell_lost(self) -> None:
        """Raise OffsetUnavailable every other time, as long as there is something to tell: the rest is read between."""
        self._was_told = bool(self._lost) and not self._was_told
        if self._was_told:
            number = min(self._lost)
            sentence = f"Partition {number} has other records before {self._next[number]} than were read."
            raise OffsetUnavailable(sentence, partition=number, offset=self._next[number])

    def _out_of_range(self, error: Any) -> list[Record]:
        for number, offset in error.args[0].items():
            if number in self._read_again and self._last[number].offset == offset:
                self._read_again.discard(number)  # retention took it, or the end was lost: the next offset tells
                self._positions[number] = self._next[number]
                continue
            if self._next.get(number) == offset:
                sentence = f"Partition {number} does not hold {offset}."
                raise OffsetUnavailable(sentence, partition=number, offset=offset) from error
        return []  # of an assignment that has gone

    async def _wait_for_assignment(self) -> list[Record]:
        self._assigned.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._assigned.wait(), _POLL_WAIT_S)
        return []

    def _check_open(self) -> None:
        if self._closed:
            raise LogUnavailable("The log is closed.")

    async def _connected(self) -> Fetcher:
        self._check_open()
        if self._fetcher is None:
            try:
                fetcher = await open_fetcher(
                    self._connection, self._topic, self._positions, self._leaders.look, self._rest
                )
            except (KafkaError, TimeoutError, OSError) as error:
                raise LogUnavailable(f"Kafka does not answer: {error!r}.") from error
            if self.is_closed:  # meanwhile
                await fetcher.aclose()
            self._check_open()
            self._fetcher = fetcher
        return self._fetcher
