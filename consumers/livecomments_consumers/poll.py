"""A poller: a viewer who comes back. While it waits it is one of its video's viewers; between two answers it is nobody.

It is told of new blocks like any lane, and takes none: it waits until a window is over, and reads from the log's tail.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from starlette.types import Send

from livecomments.following.tail import Entry
from livecomments_consumers.block import Block
from livecomments_consumers.channel import Channel
from livecomments_consumers.hub import Hub
from livecomments_consumers.messages import is_told
from livecomments_consumers.protocol import OffsetRejected, chunk, closes_at, open_from
from livecomments_consumers.slices import Seen, Slices


class Portion(NamedTuple):
    """What one answer gives."""

    entries: Sequence[Entry]
    through: int
    """Where to go on from."""
    is_end: bool
    """Nothing more is there to be given now."""


class Poller:
    """A `Lane` that reads slices until it is asked no more."""

    kind = "poll"

    def __init__(self, hub: Hub, channel: Channel, slices: Slices, *, session: bytes, address: str) -> None:
        self.viewer = hub.make_viewer(channel)
        self.session = session
        self.address = address
        self.ended = "answered"
        """Why it ended, a fixed word."""
        self.work: asyncio.Task[None] | None = None
        """What is cancelled to end it at once."""
        self._writing_since: float | None = None
        self._hub = hub
        self._channel = channel
        self._slices = slices
        self._woken = asyncio.Event()
        self._looked_at = self._state()

    def take(self, block: Block, now: float) -> None:
        self._woken.set()

    def advance(self, now: float) -> None:
        """Look again if there is something to see: whoever waits is looked after twice a second."""
        if self.viewer.is_leaving or self._state() != self._looked_at:
            self._woken.set()

    def abort_if_stuck(self, before: float) -> None:
        if self._writing_since is not None and self._writing_since < before:
            self.abort("stuck")

    def abort(self, reason: str) -> None:
        self.ended = reason
        if self.work is not None:
            self.work.cancel()

    async def read(self, after: int) -> Portion:
        """Return what is there after a position, up to an end that a later request would find as well.

        What is known when it is called is in it, or follows it: for that it waits until the newest window is over.
        Raises as `wait` does.
        """
        seen = await self._slices.after(self._channel.video_id, after)
        through = seen.entries[-1].position if seen.entries else after
        return await self._next(seen, after, through, until=None)

    async def wait(self, after: int, until: float) -> Portion:
        """Return what comes after a position as soon as a window with something is over; nothing at the time `until`.

        Raises:
            OffsetRejected: the log went back meanwhile.
            PartitionUnavailable, LogUnavailable, StoreUnavailable, HistoryBehind: try again.
        """
        return await self._next(await self._slices.after(self._channel.video_id, after), after, 0, until)

    async def write(self, send: Send, data: bytes, *, more: bool) -> None:
        """Write more of a response, and wait until the client takes it."""
        self._writing_since = self._hub.now()
        await send({"type": "http.response.body", "body": data, "more_body": more})
        self._writing_since = None

    async def _next(self, seen: Seen, after: int, through: int, until: float | None) -> Portion:
        """Return the next slice. `through` has to be in it, or before; `until`: None not to wait for what comes."""
        while True:
            if self._channel.resets != self.viewer.resets:
                raise OffsetRejected("The log lost its end. Begin anew: offset=-1 for all of it, offset=now without.")
            self._woken.clear()
            self._looked_at = self._state()
            entries, closes = self._closed(seen, through)
            if entries:
                part = chunk(entries, is_all=seen.is_all)
                if until is None or is_told(part):
                    return Portion(part, part[-1].position, seen.is_all and len(part) == len(entries))
                after = part[-1].position
            elif closes is not None:
                await self._sleep(closes)
            elif not seen.is_all:
                after = seen.through
            elif until is None or self.viewer.is_leaving or self._hub.now() >= until:
                return Portion((), seen.through, is_end=True)
            else:
                await self._sleep(until)
            seen = await self._slices.after(self._channel.video_id, after)

    def _closed(self, seen: Seen, through: int) -> tuple[Sequence[Entry], float | None]:
        """Return the entries of windows that are over, or when to look again."""
        entries = seen.entries
        if not entries or not seen.is_all or self.viewer.is_leaving:
            return entries, None
        begin = open_from(entries)
        closes = closes_at(entries[begin])
        if closes <= self._hub.now():
            return entries, None
        if begin and entries[begin - 1].position >= through:
            return entries[:begin], None
        return (), closes

    def _state(self) -> tuple[int, int]:
        return self._channel.newest, self._channel.resets

    async def _sleep(self, until: float) -> None:
        """Wait until the video has something new, or for the time `until`."""
        try:
            async with asyncio.timeout(until - self._hub.now()):
                await self._woken.wait()
        except TimeoutError:
            pass
