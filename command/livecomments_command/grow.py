"""Growing: ending an epoch by fences, and opening the next with more partitions, while people write and watch.

Whatever is done here may be repeated by anybody: whoever runs the command again goes on where another was killed, and
of two at once neither does harm. Before the first fence there may be refusals, and leaving off costs nothing; after it
there is only forward. Decision 16 says why.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from rich.console import Console

from livecomments.kafka.altering import alter_topic
from livecomments.kafka.contract import Endangers
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import FoundTopic, create_missing, find_topics
from livecomments.log.epochs import KnownEpochs
from livecomments.log.interface import AppendUnavailable, AppendUnknown, Bounds, CommentLog, LogUnavailable
from livecomments.log.topics import comments_topic
from livecomments.runtime.retrying import retrying, within
from livecomments.runtime.shared_settings import ServerSettings
from livecomments.store.interface import CommentStore, StoreUnavailable
from livecomments_command.assembly.cql import cql_store
from livecomments_command.assembly.kafka import (
    comments_log,
    foreign_log,
    kafka_connection,
    known_epochs,
    topic_name,
    wanted_topics,
)
from livecomments_command.epochs import contract_of
from livecomments_command.records.bars import bar
from livecomments_schemas.epochs import Contract, Epoch, epoch_closed, epoch_ending, epoch_opened
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import EPOCH_BEGAN, EPOCH_FENCE, NewRecord, Record, epoch_event, is_fence
from livecomments_schemas.positions import EPOCH_MAX, position_at

GREW: Final = "it grew"
_AT_ONCE: Final = 32
"""Partitions that are asked, or written to, at the same time."""
_STORED_S: Final = 60.0
"""For a record that was just appended to come into the store, before the first fence. A stream job that has just
started reads back a window of each partition first."""
_ANSWER_S: Final = 20.0
"""For a Kafka that is busy."""
_LOOK_S: Final = 0.05
"""Between two looks at the watermarks: writes wait for them."""
_QUIET_POLLS: Final = 4
"""Of half a second each, after which what is left may be markers, which no reader sees."""
_KEPT_AS_WAS: Final = ("retention.ms", "retention.bytes")
"""Of the topic before: its operators may have chosen them."""
_NOT_APPENDED: Final = (AppendUnavailable, AppendUnknown)

Say = Callable[[str], None]
T = TypeVar("T")


async def grow(
    settings: ServerSettings, partitions: int, console: Console, *, stored_within_s: float = _STORED_S
) -> None:
    """End the open epoch by fences, and open the next one with so many partitions.

    Args:
        settings: where Kafka and the store are.
        partitions: a multiple of what the open epoch has.
        console: told each step, with progress.
        stored_within_s: for a record that was just appended to be stored, before the first fence.

    Raises:
        StartRefused: it cannot be, with what to do; no fence was written.
        LogUnavailable, StoreUnavailable, AppendUnavailable, AppendUnknown: run it again.
    """
    async with known_epochs(settings) as known:
        newest = _growing(known, partitions)
        if newest is None:
            await _keep_others_out(settings, known)
            console.print(f"the open epoch has {partitions} partitions already")
            return
        async with (
            comments_log(settings, newest.contract, fences=newest.fences) as log,
            cql_store(settings) as store,
        ):
            steps = _Steps(settings, known, log, store, console)
            if not newest.is_closed and not await steps.has_fence(newest):
                await steps.check(newest, stored_within_s)
            contract = await steps.prepare(newest, partitions)
            if not newest.is_closed:
                newest = await steps.end(newest)
            await steps.wait_until_stored(newest)
            opened = (await retrying(lambda: known.say(epoch_opened(contract)), on=_NOT_APPENDED)).newest
            assert opened is not None
            await _keep_others_out(settings, known)
        count = opened.contract.partitions
        console.print(f"epoch {opened.number} is open, with {count} partitions; whatever runs goes on in it by itself")


def _growing(known: KnownEpochs, partitions: int) -> Epoch | None:
    """Return the epoch that grows; None if that is done. Raises StartRefused: it cannot, to so many partitions."""
    newest = known.epochs.newest
    if newest is None:
        raise StartRefused("The log tells of no epoch yet. Open the first: livecomments topics --create")
    count = newest.contract.partitions
    if newest.is_closed and not newest.fences:
        raise StartRefused(f"Epoch {newest.number} was closed ({newest.reason}). Go on: livecomments epochs next")
    if partitions == count and not newest.is_closed:
        return None
    if newest.number >= EPOCH_MAX:
        raise StartRefused(f"Epoch {EPOCH_MAX} was the last that a comment's id has room for.")
    if partitions <= count:
        raise StartRefused(f"Epoch {newest.number} has {count} partitions. It can only grow: {partitions} is not more.")
    if partitions % count:
        raise StartRefused(
            f"Epoch {newest.number} has {count} partitions, and {partitions} is no multiple of that: videos of one "
            f"partition would have to come from several. Say --partitions {partitions // count * count + count}"
        )
    return newest


async def _keep_others_out(settings: ServerSettings, known: KnownEpochs) -> None:
    """Have Kafka refuse whoever would still write to an epoch that ended: a process of a version that knows no fences.

    Not before the next one is open: who knows fences appends again what came behind one, and is to be refused nothing.
    """
    *earlier, _ = known.epochs.known
    if earlier and earlier[-1].fences:
        topic = topic_name(settings, comments_topic(earlier[-1].number))
        connection = kafka_connection(settings)
        await retrying(lambda: alter_topic(connection, topic, "max.message.bytes", "1"), within(_ANSWER_S))


class _Steps:
    """The steps of one growth, each of which may be repeated."""

    def __init__(
        self, settings: ServerSettings, known: KnownEpochs, log: KafkaLog, store: CommentStore, console: Console
    ) -> None:
        self._settings = settings
        self._connection = kafka_connection(settings)
        self._known = known
        self._log = log
        self._store = store
        self._console = console
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def has_fence(self, ending: Epoch) -> bool:
        """Tell whether somebody has written a fence already."""
        return bool(ending.ends) and bool(await self._fences(ending, await self._bounds(self._log)))

    async def check(self, growing: Epoch, stored_within_s: float) -> None:
        """Refuse what would not come to its end. Raises StartRefused, StoreUnavailable, LogUnavailable."""
        number, old = growing.number, range(growing.contract.partitions)
        await self._check_in_sync(comments_topic(number))
        for one in await self._log.differences():
            if one.endangers is Endangers.COMMENTS:
                raise StartRefused(one.sentence)
        said = epoch_event(EPOCH_BEGAN, number)  # says nothing; that it is stored says that the stream job runs
        offsets = await self._each("asking the stream job", old, lambda one: self._appended(self._log, one, said))
        waiting = await self._not_stored(number, offsets)
        deadline = time.monotonic() + stored_within_s
        while waiting and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)
            waiting = await self._not_stored(number, {one: offsets[one] for one in waiting})
        if waiting:
            raise StartRefused(
                f"What was just written to {len(waiting)} of {len(old)} partitions was not stored within "
                f"{stored_within_s:g} s: the stream job is down or behind. Growing would stop all writes until it is "
                "not. Nothing was changed."
            )

    async def prepare(self, growing: Epoch, partitions: int) -> Contract:
        """Make the next epoch's topic, if need be, with a record in each partition; the contract that it can keep.

        Raises:
            StartRefused: it cannot be, or is there and is not as it must be.
        """
        number = growing.number + 1
        wanted = wanted_topics(self._settings, number)[0]
        kept = {key: value for key, value in growing.contract.settings.items() if key in _KEPT_AS_WAS}
        wanted = dataclasses.replace(wanted, partitions=partitions, settings={**wanted.settings, **kept})
        try:
            if await create_missing(self._connection, [wanted]):
                self._console.print(f"created {wanted.name}, with {partitions} partitions")
        except LogUnavailable as error:
            raise StartRefused(f"{error} Nothing was changed.") from error
        contract = await retrying(lambda: contract_of(self._settings, number), within(_ANSWER_S))
        if contract.partitions != partitions:
            raise StartRefused(
                f"Topic {wanted.name} is there with {contract.partitions} partitions: another has begun to grow to "
                f"that. Go on with --partitions {contract.partitions}, or delete it before the first fence is written."
            )
        if growing.is_closed:
            return contract
        await self._check_in_sync(comments_topic(number))
        began = epoch_event(EPOCH_BEGAN, number)
        async with foreign_log(self._settings, wanted.name) as log:
            await self._check_unused(log, number)
            await self._each("first records", range(partitions), lambda one: self._appended(log, one, began))
        return contract

    async def end(self, growing: Epoch) -> Epoch:
        """Write the fences, and say where they are; the epoch, which is closed then."""
        number, old = growing.number, range(growing.contract.partitions)
        if not growing.ends:
            held = await self._bounds(self._log)
            await self._say(epoch_ending(number, [held[one].end for one in old]))
            growing = self._told(number)
        fence = epoch_event(EPOCH_FENCE, number)
        # Writes wait from here on. One fence more in a partition changes nothing: the first counts.
        written = await self._each("fences", old, lambda one: self._appended(self._log, one, fence))
        held = {one: Bounds(0, offset + 1) for one, offset in written.items()}

        fences = await self._fences(growing, held)
        while len(fences) < len(old):  # they are acknowledged, so they are there
            fences = await self._fences(growing, held)
        await self._say(epoch_closed(number, GREW, [fences[one] for one in old]))
        self._console.print(f"epoch {number} has ended; writes wait for the next")
        return self._told(number)

    async def wait_until_stored(self, ended: Epoch) -> None:
        """Wait until the store has everything up to the fences, for as long as that takes."""
        fences = dict(enumerate(ended.fences))
        with bar(self._console, "stored to the fences", len(fences)) as advance:
            while fences:
                try:
                    waiting = await self._not_stored(ended.number, fences)
                except StoreUnavailable as error:
                    self._console.print(f"the store does not answer, waiting: {error}")
                    await asyncio.sleep(1.0)
                    continue
                advance(len(fences) - len(waiting))
                fences = {one: fences[one] for one in waiting}
                if fences:
                    await asyncio.sleep(_LOOK_S)

    async def _say(self, said: NewRecord) -> None:
        await retrying(lambda: self._known.say(said), on=_NOT_APPENDED)

    def _told(self, number: int) -> Epoch:
        epoch = self._known.epochs.find(number)
        assert epoch is not None
        return epoch

    async def _check_in_sync(self, topic: str) -> None:
        found = await self._found(topic)
        if found is None or found.leaderless or found.out_of_sync:
            behind = "all" if found is None else max(found.leaderless, found.out_of_sync)
            raise StartRefused(
                f"Not all replicas of {topic_name(self._settings, topic)} are in sync ({behind} partitions): a broker "
                "is away or behind. Grow when it is back. No fence was written."
            )

    async def _found(self, topic: str) -> FoundTopic | None:
        name = topic_name(self._settings, topic)
        return (await find_topics(self._connection, [name])).get(name)

    async def _check_unused(self, log: CommentLog, number: int) -> None:
        """Refuse a topic that holds anything but first records. Raises StartRefused, LogUnavailable."""

        held = await self._bounds(log)
        starts = {one: where.start for one, where in held.items()}
        foreign = await self._records(log, starts, held, lambda one: one.headers.get("type") != EPOCH_BEGAN)
        if foreign:
            raise StartRefused(
                f"Topic {comments_topic(number)} is there already, and holds records that are of no epoch. Delete it; "
                "run this again. No fence was written."
            )

    async def _fences(self, ending: Epoch, held: Mapping[int, Bounds]) -> dict[int, int]:
        """Find the first fence of each partition that has one before its end."""
        starts = {one: max(held[one].start, end) for one, end in enumerate(ending.ends)}
        fences: dict[int, int] = {}
        for record in await self._records(self._log, starts, held, lambda one: is_fence(one, ending.number)):
            fences.setdefault(record.partition, record.offset)
        return fences

    async def _records(
        self, log: CommentLog, starts: Mapping[int, int], held: Mapping[int, Bounds], kept: Callable[[Record], bool]
    ) -> Sequence[Record]:
        """Read partitions to their ends, all at once: one after the other takes many times as long. What is kept."""

        async def read() -> list[Record]:
            reader, found = log.follow(), list[Record]()
            left, quiet = {one for one, start in starts.items() if start < held[one].end}, 0
            try:
                reader.assign({one: starts[one] for one in left})
                while left and quiet < _QUIET_POLLS:
                    records = await reader.poll()
                    quiet = 0 if records else quiet + 1
                    found += filter(kept, records)
                    left -= {one.partition for one in records if one.offset >= held[one.partition].end - 1}
            finally:
                await reader.aclose()
            return found

        return await retrying(read)

    async def _bounds(self, log: CommentLog) -> dict[int, Bounds]:
        """Tell where the partitions start and end. Kafka is busy while it makes a topic. Raises LogUnavailable."""
        return await retrying(lambda: log.bounds(range(log.partition_count)), within(_ANSWER_S))

    async def _appended(self, log: CommentLog, partition: int, record: NewRecord) -> int:
        return await retrying(lambda: log.append(partition, record), on=_NOT_APPENDED)

    async def _not_stored(self, epoch: int, offsets: Mapping[int, int]) -> list[int]:
        """Return the partitions whose watermark is before these offsets. Raises StoreUnavailable."""

        async def is_stored(one: int) -> bool:
            async with self._turns:
                return await self._store.watermark(epoch, one) >= position_at(epoch, offsets[one])

        stored = await asyncio.gather(*map(is_stored, offsets))
        return [one for one, is_so in zip(offsets, stored, strict=True) if not is_so]

    async def _each(self, what: str, partitions: Sequence[int], act: Callable[[int], Awaitable[T]]) -> dict[int, T]:
        """Act in each partition, several at a time, with progress."""
        with bar(self._console, what, len(partitions)) as advance:

            async def acted(one: int) -> T:
                async with self._turns:
                    done = await act(one)
                advance(1)
                return done

            return dict(zip(partitions, await asyncio.gather(*map(acted, partitions)), strict=True))
