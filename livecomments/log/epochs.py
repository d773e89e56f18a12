"""What one process knows of the epochs, and whether it may write to the one that it serves.

The topic `livecomments-epochs` says which epochs there are (`livecomments_schemas.epochs`); it is read whole before
anything else of the log is, and followed. Whoever closes an epoch waits until no process can still be writing there:
one that has not heard of the topic for EPOCHS_AGE_MAX_S writes nothing, and asks again once a record is acknowledged,
so that nothing is answered that the end of the epoch does not hold. No two clocks are compared.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from livecomments.log.interface import AppendUnknown, CommentLog
from livecomments.log.whole import WholeTopic
from livecomments.runtime.metrics import HOLDS, Reading
from livecomments.runtime.single_flight import FreshFlight
from livecomments_schemas.epochs import NO_EPOCHS, Contract, Epochs
from livecomments_schemas.errors import StartRefused, Unavailable
from livecomments_schemas.events import NewRecord, Record

_READ_RECORDS: Final = 1_000
EPOCHS_AGE_MAX_S: Final = 30.0
"""Longer than an election of leaders takes; so long whoever closes an epoch waits for the last writers."""


_newest = Reading("livecomments_log_epoch", "The newest epoch that this process knows of.", fresh_s=HOLDS)


class ContractUnavailable(Unavailable):
    """The log is not what this epoch's contract says, or the epoch is over: nothing is written."""

    code = "contract_broken"
    retry_after_s = 30


class KnownEpochs:
    """The epochs, as far as they are read. The task of `follow` reads."""

    def __init__(self, log: CommentLog, *, timeout_s: float = 5.0) -> None:
        self.epochs: Epochs = NO_EPOCHS
        self._topic = WholeTopic(log, self._take, "epochs", timeout_s=timeout_s)
        self._log = log
        self._asked = FreshFlight[None, Epochs]()
        self._changed = asyncio.Event()
        self.ready = self._topic.ready
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """All that was said of epochs before the start is known."""
        return self._topic.is_ready

    @property
    def age_s(self) -> float:
        """What was said of epochs so many seconds ago is known."""
        return self._topic.age_s

    def open_contract(self) -> Contract:
        """Return the contract of the epoch that is written to, or will be no more once the next is open.

        Raises:
            StartRefused: there is none.
        """
        newest = self.epochs.newest
        if newest is None:
            raise StartRefused("The log tells of no epoch yet. Open the first: livecomments topics --create")
        if newest.is_closed and not newest.fences:  # one that ended by fences is read until the next is open
            raise StartRefused(
                f"Epoch {newest.number} was closed ({newest.reason}) and the next is not open. "
                "Open it: livecomments epochs next"
            )
        return newest.contract

    def follow(self) -> asyncio.Task[None]:
        """Read from now on, until the task that is returned is cancelled."""
        self._reading = asyncio.create_task(self._topic.run())
        return self._reading

    async def is_told(self, number: int) -> bool:
        """Ask whether the topic tells of this epoch by now, or of a later one. Raises LogUnavailable."""
        known = self.epochs
        if known.newest is None or known.newest.number < number:
            known = await self._asked.join(None, lambda: read_epochs(self._log))
        return known.newest is not None and known.newest.number >= number

    async def say(self, record: NewRecord) -> Epochs:
        """Append a record; what is known once it is read, be it that another had said so before.

        Raises:
            AppendUnavailable: not written. AppendUnknown: maybe; saying it again does no harm.
        """
        await self._topic.append(record)
        return self.epochs

    async def over(self, number: int) -> None:
        """Wait until a later epoch than this one is open. Raises what ended the reading: our bug."""
        await self._until(lambda: self.epochs.newest is not None and self.epochs.newest.number > number)

    async def following(self, number: int) -> Contract:
        """Wait until it is told ahead what comes after this epoch, and return that. Raises as `over` does."""
        await self._until(lambda: self._ahead(number) is not None)
        contract = self._ahead(number)
        assert contract is not None
        return contract

    def _ahead(self, number: int) -> Contract | None:
        epoch = self.epochs.find(number)
        return None if epoch is None else epoch.following

    async def _until(self, holds: Callable[[], bool]) -> None:
        assert self._reading is not None
        while not holds():
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait([self._reading, changed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if self._reading.done():
                self._reading.result()

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            self.epochs = self.epochs.after(record)
        if records:
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
            if (newest := self.epochs.newest) is not None:
                _newest.set(newest.number)


async def read_epochs(log: CommentLog) -> Epochs:
    """Read what the topic says now, once. Raises LogUnavailable."""
    epochs = NO_EPOCHS
    start, end = (await log.bounds([0]))[0]
    while start < end:
        records, start = await log.read(0, start, end, _READ_RECORDS)
        for record in records:
            epochs = epochs.after(record)
    return epochs


class Permission(Protocol):
    """Whether something may be written to the log."""

    def check(self) -> None:
        """Ask before a write. Raises ContractUnavailable: nothing may be written."""

    def confirm(self) -> None:
        """Ask after a write was acknowledged. Raises AppendUnknown: it may not last."""


class AlwaysAllowed:
    """For a log that nobody else has a hand in."""

    def check(self) -> None:
        """Allow it."""

    def confirm(self) -> None:
        """Do nothing: what was acknowledged lasts."""


class Heard(Protocol):
    """What a process has read of the epochs, and how old that is."""

    @property
    def epochs(self) -> Epochs: ...

    @property
    def age_s(self) -> float: ...


class Writing:
    """Whether this process may write to its epoch. `breach` tells what the live topic breaks, in a sentence.

    An epoch that ends by fences ends by itself for whoever writes there: what is late is void, and seen to be.
    """

    def __init__(self, known: Heard, number: int, breach: Callable[[], str]) -> None:
        self.number = number
        """The epoch that is written to; moves on with whoever writes."""
        self._known = known
        self._breach = breach

    def go_on(self, number: int) -> None:
        """Write to this epoch from now on."""
        self.number = number

    @property
    def is_allowed(self) -> bool:
        """Whether a write would be taken now."""
        return not self._refusal()

    def check(self) -> None:
        """See `Permission`."""
        if refusal := self._refusal():
            raise ContractUnavailable(refusal)

    def confirm(self) -> None:
        """See `Permission`."""
        if refusal := self._refusal():
            raise AppendUnknown(f"The comment may be written or not. {refusal}")

    def _refusal(self) -> str:
        epochs = self._known.epochs
        if not epochs.is_open(self.number):
            if epochs.is_fenced(self.number):
                return ""
            return "The log goes on in another epoch, and this node does not write there yet. Try again in a moment."
        if self._known.age_s > EPOCHS_AGE_MAX_S:
            return "This node does not hear which epoch is open. Try again in a moment."
        return self._breach()
