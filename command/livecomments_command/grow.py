"""Growing: ending an epoch by fences, and opening the next with more partitions, while people write and watch.

Whatever is done here may be repeated by anybody: whoever runs the command again goes on where another was killed, and
of two at once neither does harm. Before the first fence there may be refusals, and leaving off costs nothing; after it
there is only forward. Decision 16 says why.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, TypeVar

from rich.console import Console

from livecomments.kafka.altering import alter_topic
from livecomments.kafka.contract import Endangers
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import FoundTopic, configs_command, create_missing, find_topics
from livecomments.log.epochs import KnownEpochs
from livecomments.log.interface import AppendRefused, AppendUnavailable, AppendUnknown, CommentLog, LogUnavailable
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
from livecomments_command.fences import ANSWER_S, all_fences, bounds_of, has_fence, records_of, write_fences
from livecomments_command.pause import Pause
from livecomments_command.records.bars import bar
from livecomments_schemas.epochs import Contract, Epoch, Epochs, epoch_closed, epoch_ending, epoch_opened
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import EPOCH_BEGAN, NewRecord, epoch_event
from livecomments_schemas.positions import EPOCH_MAX, position_at

GREW: Final = "it grew"
_AT_ONCE: Final = 32
"""Partitions that are asked, or written to before there are fences, at the same time."""
_STORED_S: Final = 60.0
"""For a record that was just appended to come into the store, before the first fence. A stream job that has just
started reads back a window of each partition first."""
_LOOK_S: Final = 0.05
"""Between two looks at the watermarks before the first fence. Behind it, writes wait: a pause takes as long as a look
did, and this at most."""
_AHEAD_S: Final = 2.0
"""For gateways and edges to open the next topic, of which they have just heard, while writes go on in this one. Who
needs longer goes on longer."""
_KEPT_AS_WAS: Final = ("retention.ms", "retention.bytes")
"""Of the topic before: its operators may have chosen them."""
_NOTHING: Final = "No fence was written: all goes on as before."
_WAITING: Final = "There are fences, and writes wait: mend it, and run this again."
_NOT_APPENDED: Final = (AppendUnavailable, AppendUnknown)

Say = Callable[[str], None]
T = TypeVar("T")


async def grow(
    settings: ServerSettings,
    partitions: int,
    console: Console,
    *,
    stored_within_s: float = _STORED_S,
    late_s: float | None = None,
) -> None:
    """End the open epoch by fences, and open the next one with so many partitions.

    Args:
        settings: where Kafka and the store are.
        partitions: a multiple of what the open epoch has.
        console: told each step, with progress.
        stored_within_s: for a record that was just appended to be stored, before the first fence.
        late_s: from the opening until Kafka is to refuse what still comes to the old topic: an append that was under
            way may take as long as `append_timeout_s`, which it is if None, to come behind the fence and be seen there.

    Raises:
        StartRefused: it cannot be, with what to do, and whether writes wait.
        LogUnavailable, StoreUnavailable, AppendUnavailable, AppendUnknown: run it again.
    """
    async with known_epochs(settings) as known:
        newest = _growing(known, partitions)
        if newest is None:
            await _keep_others_out(settings, known)
            console.print(f"the open epoch has {partitions} partitions already")
            return
        async with comments_log(settings, newest.contract, fences=newest.fences) as log, AsyncExitStack() as opened:
            writes_wait = newest.is_closed or await has_fence(log, newest)
            store = await _open_store(settings, opened, console, waits=writes_wait)
            steps = _Steps(settings, known, log, store, console)
            if not writes_wait:
                await steps.check(newest, stored_within_s)
            contract = await steps.prepare(newest, partitions, writes_wait=writes_wait)
            if not newest.is_closed:
                newest = await steps.end(newest, contract, ahead_s=0.0 if writes_wait else _AHEAD_S)
            await steps.wait_until_stored(newest)
            following = (await steps.say(epoch_opened(contract))).newest
            assert following is not None
            steps.pause.note("until the next one was open")
            count = following.contract.partitions
            console.print(
                f"epoch {following.number} is open, with {count} partitions; whatever runs goes on in it by itself"
            )
            console.print(steps.pause.sentence())
            late_s = settings.append_timeout_s if late_s is None else late_s
            console.print(
                f"in {late_s:g} s, when no append of before is under way, Kafka takes nothing more to the old topic"
            )
            await asyncio.sleep(late_s)
            await _keep_others_out(settings, known)


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

    Not before the next one is open, and what was under way has come: who knows fences appends again what came behind
    one. It would take a refusal for that as well, but refusals are counted and alerted.
    """
    *earlier, _ = known.epochs.known
    if earlier and earlier[-1].fences:
        topic = topic_name(settings, comments_topic(earlier[-1].number))
        connection = kafka_connection(settings)
        try:
            await retrying(lambda: alter_topic(connection, topic, "max.message.bytes", "1"), within(ANSWER_S))
        except LogUnavailable as error:
            raise LogUnavailable(
                f"The epoch has grown, but a process of a version that knows no fences could still write to {topic}, "
                f"where nobody would read it. {error} "
                f"{configs_command(topic, connection.addresses, 'max.message.bytes', '1')}, or run this again."
            ) from error


async def _open_store(
    settings: ServerSettings, opened: AsyncExitStack, console: Console, *, waits: bool
) -> CommentStore:
    """Open the store; where writes wait already, for as long as that takes. Raises StartRefused: no answer."""

    def gives_up(error: Exception) -> bool:
        if waits:
            console.print(f"the store does not answer, waiting: {error}")
        return not waits

    try:
        return await retrying(lambda: opened.enter_async_context(cql_store(settings)), gives_up, on=StoreUnavailable)
    except StoreUnavailable as error:
        raise StartRefused(f"{error} Growing would stop all writes until it does. {_NOTHING}") from error


async def append_or_refuse(log: CommentLog, partition: int, record: NewRecord, topic: str) -> int:
    """Append before the first fence, where leaving off costs nothing; returns the offset.

    Raises:
        StartRefused: `topic` does not take it, or not in time.
    """
    is_tired = within(ANSWER_S)
    try:
        return await retrying(
            lambda: log.append(partition, record),
            lambda error: isinstance(error, AppendRefused) or is_tired(error),
            on=_NOT_APPENDED,
        )
    except _NOT_APPENDED as error:
        raise StartRefused(f"Partition {partition} of {topic} takes no records. {error} {_NOTHING}") from error


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
        self.pause = Pause()

    async def check(self, growing: Epoch, stored_within_s: float) -> None:
        """Refuse what would not come to its end. Raises StartRefused, StoreUnavailable, LogUnavailable."""
        number, old = growing.number, range(growing.contract.partitions)
        await self._check_in_sync(comments_topic(number))
        for one in await self._log.differences():
            if one.endangers is Endangers.COMMENTS:
                raise StartRefused(one.sentence)
        said = epoch_event(EPOCH_BEGAN, number)  # says nothing; that it is stored says that the stream job runs
        topic = topic_name(self._settings, comments_topic(number))
        offsets = await self._each(
            "asking the stream job", old, lambda one: append_or_refuse(self._log, one, said, topic)
        )
        deadline = time.monotonic() + stored_within_s
        try:
            waiting = await self._not_stored(number, offsets)
            while waiting and time.monotonic() < deadline:
                await asyncio.sleep(_LOOK_S)
                waiting = await self._not_stored(number, {one: offsets[one] for one in waiting})
        except StoreUnavailable as error:
            raise StartRefused(f"{error} Growing would stop all writes until it does. {_NOTHING}") from error
        if waiting:
            raise StartRefused(
                f"What was just written to {len(waiting)} of {len(old)} partitions was not stored within "
                f"{stored_within_s:g} s: the stream job is down or behind. Growing would stop all writes until it is "
                f"not. {_NOTHING}"
            )

    async def prepare(self, growing: Epoch, partitions: int, *, writes_wait: bool) -> Contract:
        """Make the next epoch's topic, if need be, with a record in each partition; the contract that it can keep.

        Where writes wait already, whoever wrote the first fence had made it, and there is only forward.

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
            raise StartRefused(f"{error} {_WAITING if writes_wait else _NOTHING}") from error
        contract = await retrying(lambda: contract_of(self._settings, number), within(ANSWER_S))
        if contract.partitions != partitions:
            raise StartRefused(
                f"Topic {wanted.name} is there with {contract.partitions} partitions: another has begun to grow to "
                f"that. Go on with --partitions {contract.partitions}, or delete it before the first fence is written."
            )
        if writes_wait:
            return contract
        await self._check_in_sync(comments_topic(number))
        began = epoch_event(EPOCH_BEGAN, number)
        async with foreign_log(self._settings, wanted.name) as log:
            await self._check_unused(log, number)
            await self._each(
                "first records", range(partitions), lambda one: append_or_refuse(log, one, began, wanted.name)
            )
        return contract

    async def end(self, growing: Epoch, following: Contract, *, ahead_s: float) -> Epoch:
        """Write the fences, this long after it was told, and say where they are; the epoch, which is closed then."""
        number, old = growing.number, range(growing.contract.partitions)
        if not growing.ends:
            held = await bounds_of(self._log)
            began_at = time.monotonic()
            await self.say(epoch_ending(number, [held[one].end for one in old], following))
            self.pause.said_s = time.monotonic() - began_at
            growing = self._told(number)
        # Read from before the first is written: a reader that connects only then is waited for by all who write.
        reading = asyncio.create_task(all_fences(self._log, growing))
        try:
            await asyncio.sleep(ahead_s)
            self._console.print(f"writing the fences of epoch {number}; writes wait")
            self.pause.begin()
            with bar(self._console, "fences", len(old)) as advance:
                await write_fences(self._log, growing, advance)
            self.pause.note("for the fences")
            fences = await reading
        finally:
            reading.cancel()
        self.pause.note("until they were read")
        await self.say(epoch_closed(number, GREW, [fences[one] for one in old]))
        self.pause.note("until that was said")
        self._console.print(f"epoch {number} has ended; writes wait for the next")
        return self._told(number)

    async def wait_until_stored(self, ended: Epoch) -> None:
        """Wait until the store has everything up to the fences, for as long as that takes."""
        fences = dict(enumerate(ended.fences))
        with bar(self._console, "stored to the fences", len(fences)) as advance:
            while fences:
                looked_at = time.monotonic()
                try:
                    waiting = await self._not_stored(ended.number, fences)
                except StoreUnavailable as error:
                    self._console.print(f"the store does not answer, waiting: {error}")
                    await asyncio.sleep(1.0)
                    continue
                advance(len(fences) - len(waiting))
                fences = {one: fences[one] for one in waiting}
                if fences:
                    await asyncio.sleep(min(_LOOK_S, time.monotonic() - looked_at))
        self.pause.note("for the stream job to store what stands before them")

    async def say(self, said: NewRecord) -> Epochs:
        """Have the topic of epochs say it; what is known once that is read."""
        return await retrying(lambda: self._known.say(said), on=_NOT_APPENDED)

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
                f"is away or behind. Grow when it is back. {_NOTHING}"
            )

    async def _found(self, topic: str) -> FoundTopic | None:
        name = topic_name(self._settings, topic)
        return (await find_topics(self._connection, [name])).get(name)

    async def _check_unused(self, log: CommentLog, number: int) -> None:
        """Refuse a topic that holds anything but first records. Raises StartRefused, LogUnavailable."""

        held = await bounds_of(log)
        starts = {one: where.start for one, where in held.items()}
        foreign = await records_of(log, starts, held, lambda one: one.headers.get("type") != EPOCH_BEGAN)
        if foreign:
            raise StartRefused(
                f"Topic {comments_topic(number)} is there already, and holds records that are of no epoch. Delete it; "
                f"run this again. {_NOTHING}"
            )

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
