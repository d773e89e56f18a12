"""The log as these jobs read it: the epochs one after the other, each judged to its end and followed as it grows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from livecomments.log.interface import CommentLog
from livecomments_command.records.looking import Looking
from livecomments_command.records.scan import CHUNK_RECORDS, Judged, JudgedReader, patiently
from livecomments_schemas.epochs import Epoch, Epochs
from livecomments_schemas.errors import StartRefused

POLL_S: Final = 5.0
"""Between two looks at where the log ends, once all of it was read: how old what is written may be."""


class EpochSource(Protocol):
    """Where the epochs are, of either form."""

    async def epochs(self) -> Epochs:
        """Tell which epochs there are now. Raises StartRefused, LogUnavailable."""

    def log(self, number: int) -> AbstractAsyncContextManager[CommentLog]:
        """Open the log of an epoch for the context. Raises StartRefused: it cannot be read."""


@dataclass(frozen=True)
class Until(Looking):
    """Until when a log is followed, and how often it is looked at: `stop` None: to where it ends now."""

    stop: asyncio.Event | None = field(default_factory=asyncio.Event)
    poll_s: float = POLL_S


class Chunk(NamedTuple):
    """The next records of one partition. `following` is the offset behind them; `lag` is what is known to lie there."""

    partition: int
    judged: list[Judged]
    following: int
    lag: int


async def chunks(
    log: CommentLog, first: Mapping[int, int], until: Until, is_over: Callable[[], bool]
) -> AsyncIterator[Chunk | None]:
    """Yield what an epoch holds from `first` on, and what comes, to its end; None whenever all of it was read.

    Args:
        log: one epoch.
        first: the offset to begin at, of each partition.
        until: when to end before that.
        is_over: whether nothing will be appended any more. Asked before the log is looked at.

    Raises:
        OffsetUnavailable: the log lets go of records faster than they are read.
        StartRefused: the log lost its end.
        LogUnavailable: for more than a minute.
    """
    readers: dict[int, JudgedReader] = {}
    following = dict(first)
    while not until.is_stopped:
        was_over = is_over()
        held = await patiently(lambda: log.bounds(list(following)))
        lag = sum(max(0, one.end - following[number]) for number, one in held.items())
        for number, one in held.items():
            if one.end < following[number]:
                raise StartRefused(
                    f"Partition {number} ends at {one.end}, and was read up to {following[number]}: it is another "
                    "log, or lost its end."
                )
            while following[number] < one.end and not until.is_stopped:
                if number not in readers:
                    readers[number] = await JudgedReader.open(log, number, following[number])
                judged = await readers[number].read(one.end, CHUNK_RECORDS)
                lag -= readers[number].following - following[number]
                following[number] = readers[number].following
                yield Chunk(number, judged, following[number], lag)
        yield None
        is_fenced = len(readers) == len(following) and all(each.is_fenced for each in readers.values())
        if was_over or is_fenced or until.stop is None:
            return
        await until.pause()


class EpochWalk:
    """The epochs of a source, one after the other, the next one once it is open."""

    def __init__(self, source: EpochSource, until: Until) -> None:
        self._source = source
        self._until = until
        self.epochs = Epochs()
        """As they were when they were looked at last."""

    async def look(self) -> Epochs:
        """Look which epochs there are. Raises StartRefused: none, yet. LogUnavailable: for more than a minute."""
        self.epochs = await patiently(self._source.epochs)
        if not self.epochs.known:
            raise StartRefused("The log tells of no epoch yet. Open the first: livecomments topics --create")
        return self.epochs

    async def numbers(self, first: int) -> AsyncIterator[Epoch]:
        """Yield the epochs from `first` on, or from the oldest known; nothing more once told to stop. Raises as `look`.

        Whoever takes one reads it to its end before the next.
        """
        number = max(first, (await self.look()).known[0].number)
        while not self._until.is_stopped:
            found = (await self.look()).find(number)
            if found is not None:
                yield found
                number += 1
            elif self._until.stop is None:
                return
            else:
                await self._until.pause()

    def is_over(self, number: int) -> bool:
        """Tell whether nothing that counts is appended to this epoch any more."""
        found = self.epochs.find(number)
        return found is not None and found.is_closed

    def is_newest(self, number: int) -> bool:
        """Tell whether no later epoch is known."""
        return number >= self.epochs.known[-1].number
