"""A topic of one partition that a process reads whole at its start and follows from there on: what holds everywhere.

For topics that are small and whose records no reader may miss: which tokens were revoked, which epochs there are.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from livecomments.log.interface import AppendUnknown, CommentLog, LogReader, OffsetUnavailable
from livecomments.runtime.retrying import retrying, told
from livecomments_schemas.events import NewRecord, Record

_READ_RECORDS: Final = 1_000
_PROBE_INTERVAL_S: Final = 1.0
"""Silence of the reader does not tell a quiet topic from a dead one, nor from one that was made anew: it is asked."""

_log = logging.getLogger("livecomments.log")

Take = Callable[[Sequence[Record]], None]
"""Called with what was read, ascending, and with nothing now and then; must not wait and must not raise."""


class WholeTopic:
    """A topic as far as one process has read it. `run` reads; the rest looks, or appends.

    Args:
        log: the topic.
        take: what is done with its records. Some may come twice: a topic that was made anew is read from its start.
        what: its content in a word, for people.
        timeout_s: until an append that is written, but not read back, is AppendUnknown.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        log: CommentLog,
        take: Take,
        what: str,
        *,
        timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._take = take
        self._what = what
        self._tells = told(_log, f"{what} not readable, trying again")
        self._timeout_s = timeout_s
        self._clock = clock
        self._next = 0
        self._ready_at: int | None = None
        self._refused: int | None = None
        """An offset that the topic did not hold, until it is known where it starts."""
        self._identity: str | None = None
        self._heard_at = -math.inf
        self._read = asyncio.Condition()
        self.restarts = 0
        """How often another topic stood in the place of this one, or one that had lost its end."""

    @property
    def is_ready(self) -> bool:
        """All that stood in it at the start is read."""
        return self._ready_at is not None and self._next >= self._ready_at

    @property
    def age_s(self) -> float:
        """What stood in the topic so many seconds ago is read; infinite before it is read whole."""
        return self._clock() - self._heard_at

    async def ready(self, timeout_s: float) -> None:
        """Wait until all that stood in it at the start is read. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._read:
            await self._read.wait_for(lambda: self.is_ready)

    async def append(self, record: NewRecord) -> int:
        """Append; returns its offset once this process has read it.

        Raises:
            AppendUnavailable: not written.
            AppendUnknown: maybe written.
        """
        offset = await self._log.append(0, record)
        try:
            async with asyncio.timeout(self._timeout_s), self._read:
                await self._read.wait_for(lambda: self._next > offset)
        except TimeoutError as error:
            raise AppendUnknown(f"It is written, and will be known in a moment ({self._what}). Try again.") from error
        return offset

    async def run(self) -> None:
        """Read until cancelled."""
        reader = self._log.follow()
        try:
            await retrying(lambda: self._follow(reader), self._note_failure)
        finally:
            await reader.aclose()

    def _note_failure(self, error: Exception) -> bool:
        if isinstance(error, OffsetUnavailable):
            self._refused = error.offset
        return self._tells(error)

    async def _follow(self, reader: LogReader) -> None:
        """Read until the topic cannot be, or is another one."""
        asked_at, end = await self._probe()
        if self._ready_at is None:
            self._ready_at = end
        reader.assign({0: self._next})
        while True:
            records = await reader.poll()
            if not records and self._next < self._ready_at:
                # What is left may be markers, which no reader ever sees.
                records, self._next = await self._log.read(0, self._next, self._ready_at, _READ_RECORDS)
            elif records:
                self._next = records[-1].offset + 1
            self._take(records)
            if self._next >= end:
                self._heard_at = max(self._heard_at, asked_at)
            if self._clock() - asked_at >= _PROBE_INTERVAL_S:
                following = self._next
                asked_at, end = await self._probe()
                if self._next != following:
                    reader.assign({0: self._next})
            async with self._read:
                self._read.notify_all()

    async def _probe(self) -> tuple[float, int]:
        """Ask where the topic ends, and whether it still is the one that was read: when it was asked, and the end."""
        asked_at = self._clock()
        identity = await self._log.identity()
        start, end = (await self._log.bounds([0]))[0]
        is_another = self._identity not in (None, identity)
        # One that lost its end may have grown beyond what was read by now; what was refused then tells.
        has_lost_end = self._next > end or (self._refused is not None and self._refused >= start)
        self._refused = None
        if is_another or has_lost_end or self._next < start:
            if is_another or has_lost_end:
                self.restarts += 1
                _log.critical(f"the topic of {self._what} was made anew or lost its end, it is read whole")
            # What was known before stays so. What is new to us in another topic is read before anything is said of it.
            self._next, self._ready_at = start, None if self._ready_at is None else end
        self._identity = identity
        return asked_at, end
