"""Fetching partitions of one topic from their leaders, when it is worth a request, and not ahead.

aiokafka's consumer fetches ahead. Where its owner rests between two polls it holds what came first for as long as
that, and what came next for one rest more: with rests of 30 ms a record was 46 ms old at the median. And for each fetch
it goes twice through all partitions, and waits for each that is paused: half of what a poll costs. Here one request is
under way to each broker, and is sent after a rest; all that came in the meantime comes with its answer.

Positions are the reader's own: it may change them at any time, and what was asked for by others is dropped.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ConsumerStoppedError,
    KafkaConnectionError,
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from livecomments.kafka.connection import REQUEST_TIMEOUT_S, KafkaConnection, pace_metadata, stop
from livecomments.kafka.decoding import Unpacked
from livecomments.kafka.fetching import LeanRequest
from livecomments.kafka.rest import Rest, Resting
from livecomments.kafka.unpacking import bound_unpacking
from livecomments_schemas.events import Record

LONG_POLL_MS: Final = 100
"""How long a partition that is taken on may wait for the request that is under way. Live records end that at once."""
_FETCH_BYTES: Final = 256 * 1_024
"""Of a partition at once: with 64 partitions 16 MiB of memory, and nobody waits long for the others' turn."""
_ANSWER_BYTES: Final = 50 * 1_024 * 1_024
_READ_UNCOMMITTED: Final = 0
_BACKOFF_S: Final = 0.1
"""After a request without an answer."""

_log = logging.getLogger("livecomments.log")

Look = Callable[[Any, Any], None]
"""Told what was asked of each broker and what it answered, before anything of that is handed out: `Leaders.look`."""


class Fetcher:
    """What one reader fetches by. `open_fetcher` makes one."""

    def __init__(self, client: Any, topic: str, positions: dict[int, int], look: Look, rest: Rest) -> None:
        self._positions = positions
        self._client = client
        self._topic = topic
        self._look = look
        self._restings: defaultdict[Any, Resting] = defaultdict(lambda: Resting(rest, 0.0))
        """By broker: each answers by itself, and a rest of one is no reason to ask another later."""
        self._at_rest: set[Any] = set()
        self._places: dict[int, TopicPartition] = {}
        self._found: dict[int, Unpacked] = {}
        """What was answered and is not handed out."""
        self._refused: dict[int, int] = {}
        """Offsets that are not in the log, by partition."""
        self._failed: Exception | None = None
        self._under_way: dict[Any, asyncio.Task[None]] = {}
        """By broker."""
        self._unled: set[int] = set()
        """Partitions without a leader as far as we know: the brokers are being asked."""
        self._news: asyncio.Future[None] | None = None
        self._turn = 0
        self._is_due = True
        """There may be something to ask for."""
        self._is_stopped = False

    async def fetch(self, limit: int, wait_s: float) -> dict[int, list[Record]]:
        """Return up to `limit` records, ascending in each partition; none after `wait_s` seconds of silence.

        Raises:
            OffsetOutOfRangeError: its first argument says which offset of which partition; in turn with records.
            KafkaError: records cannot be unpacked, or not be read by us; it was stopped.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        self._ask()
        while not self._is_stopped:
            self._raise_what_failed()
            if found := self._hand_out(limit):
                return found
            self._ask()
            if (left_s := until - loop.time()) <= 0:
                return {}
            await self._wait(left_s)
        raise ConsumerStoppedError

    def wake(self) -> None:
        """Have a `fetch` look again: positions have changed, or something was answered."""
        self._is_due = True
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def stop(self) -> None:
        """Give up what is under way, and close the connections."""
        self._is_stopped = True
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    async def aclose(self) -> None:
        """Close it within a bound."""
        await stop(self, self._client)

    def _is_wanted(self, number: int, offset: int) -> bool:
        return self._positions.get(number) == offset

    def _ask(self) -> None:
        """Send a request to each broker that has none and of which nothing waits to be handed out."""
        if not self._is_due:
            return
        self._is_due = False
        busy = {self._leader(number) for number in self._found} | self._under_way.keys() | self._at_rest
        wanted: dict[Any, list[tuple[int, int, int]]] = defaultdict(list)
        for number, offset in self._positions.items():
            if number in self._unled or self._refused.get(number) == offset:
                continue
            leader = self._leader(number)
            if leader is None or leader == -1:
                self._look_for_leader(number)
            elif leader not in busy:
                wanted[leader].append((number, offset, _FETCH_BYTES))
        for leader, rows in wanted.items():
            self._turn += 1  # only the first that has any is given a batch that is larger than what is asked for
            first = self._turn % len(rows)
            self._under_way[leader] = asyncio.create_task(self._request(leader, rows[first:] + rows[:first]))

    def _drop_what_is_unwanted(self) -> None:
        for number, unpacked in list(self._found.items()):
            if not self._is_wanted(number, unpacked.next_fetch_offset):
                del self._found[number]
                self._is_due = True

    def _leader(self, number: int) -> Any:
        place = self._places.get(number)
        if place is None:
            place = self._places[number] = TopicPartition(self._topic, number)
        return self._client.cluster.leader_for_partition(place)

    async def _request(self, leader: Any, rows: list[tuple[int, int, int]]) -> None:
        try:
            await self._exchange(leader, rows)
        except Exception as error:  # raised to whoever polls, who would wait for ever
            self._failed = error
        finally:
            del self._under_way[leader]
            self.wake()

    async def _exchange(self, leader: Any, rows: list[tuple[int, int, int]]) -> None:
        asked = [(self._topic, rows)]
        try:
            answer = await self._client.send(
                leader, LeanRequest(LONG_POLL_MS, 1, _ANSWER_BYTES, _READ_UNCOMMITTED, asked)
            )
            if getattr(answer, "error_code", 0):
                raise for_code(answer.error_code)
        except KafkaError as error:
            _log.warning("a fetch without an answer", extra={"broker": leader, "error": repr(error)})
            await asyncio.sleep(_BACKOFF_S)
            return
        self._look(asked, answer.topics)
        offsets = {number: offset for number, offset, _ in rows}
        for _, found in answer.topics:
            for row in found:
                self._note(row[0], offsets[row[0]], row[1], row[-1])

    def _note(self, number: int, offset: int, error: int, records: bytes | None) -> None:
        """Keep what was answered of a partition; whether it still is what is wanted is asked when it is handed out."""
        if not error:
            batches = MemoryRecords(records or b"")
            if batches.has_next():
                self._found[number] = Unpacked(batches, TopicPartition(self._topic, number), offset)
        elif (kind := for_code(error)) is OffsetOutOfRangeError:
            self._refused[number] = offset
        elif kind is TopicAuthorizationFailedError:
            self._failed = kind(self._topic)
        else:
            _log.debug("a leader does not answer for a partition", extra={"partition": number, "error": kind.__name__})
            self._look_for_leader(number)

    def _look_for_leader(self, number: int) -> None:
        """Leave a partition alone until the brokers were asked who leads it."""

        def asked(_: Any) -> None:
            self._unled.discard(number)
            self.wake()

        self._unled.add(number)
        self._client.force_metadata_update().add_done_callback(asked)

    def _raise_what_failed(self) -> None:
        failed, self._failed = self._failed, None
        if self._client._sync_task.done():
            failed = KafkaConnectionError("Nobody looks for leaders any more.")
        if failed is not None:
            raise failed
        refused = {number: at for number, at in self._refused.items() if self._is_wanted(number, at)}
        self._refused.clear()
        if refused:  # what others have was answered with it, and comes before it is asked for again
            self._is_due = True
            raise OffsetOutOfRangeError(refused)

    def _hand_out(self, limit: int) -> dict[int, list[Record]]:
        self._drop_what_is_unwanted()  # it was wanted when it was answered
        handed: dict[int, list[Record]] = {}
        counts: defaultdict[Any, int] = defaultdict(int)
        for number, unpacked in list(self._found.items()):
            try:
                records = list(islice(unpacked, limit))
            except KafkaError:
                del self._found[number]  # fetched again, and told when it comes first
                if handed:
                    break
                raise
            self._is_due = True
            self._positions[number] = unpacked.next_fetch_offset
            del self._found[number]
            if len(records) == limit:
                self._found[number] = unpacked  # behind the others, who come first the next time
            if records:
                handed[number] = records
                counts[self._leader(number)] += len(records)
                limit -= len(records)
                if not limit:
                    break
        for leader, count in counts.items():
            self._have_rest(leader, count)
        return handed

    def _have_rest(self, leader: Any, count: int) -> None:
        """Leave a broker alone until what it has next is worth a request."""
        loop = asyncio.get_running_loop()
        until = self._restings[leader].after(count, now := loop.time())

        def rested() -> None:
            self._at_rest.discard(leader)
            self.wake()

        if until > now:
            self._at_rest.add(leader)
            loop.call_at(until, rested)

    async def _wait(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._news = loop.create_future()
        timer = loop.call_later(wait_s, self.wake)
        try:
            await self._news
        finally:
            timer.cancel()
            self._news = None


async def open_fetcher(
    connection: KafkaConnection, topic: str, positions: dict[int, int], look: Look, rest: Rest
) -> Fetcher:
    """Connect, to fetch of each partition what follows from its offset in `positions` on.

    They move on with what is handed out, and are the reader's to change: see `Fetcher.wake`.

    Raises:
        KafkaError, TimeoutError, OSError: no broker answers.
    """
    bound_unpacking()
    client = AIOKafkaClient(**connection.options())
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await client.bootstrap()
            pace_metadata(client)
            await client.set_topics([topic])
    except BaseException:
        await client.close()
        raise
    connection.adopt(client)
    return Fetcher(client, topic, positions, look, rest)
