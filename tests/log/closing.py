"""A model of an epoch that closes while gateways write: pure, in virtual time, by seeds.

Gateways hear of the epochs late, or not for minutes; appends hang, and their answers are lost; whoever closes the epoch
is killed at any step, and continued by another, or two do it at once. The fold (`Epochs`) and the permission to write
(`Writing`) are the real ones. `World.wrong` says what must never be.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from livecomments.log.epochs import EPOCHS_AGE_MAX_S, ContractUnavailable, Writing
from livecomments.log.interface import AppendUnknown
from livecomments_schemas.epochs import NO_EPOCHS, Contract, Epochs, epoch_closed, epoch_opened
from livecomments_schemas.events import NewRecord, Record

APPEND_TIMEOUT_S: Final = 5.0
GATEWAYS: Final = 3
CLOSINGS: Final = 3
"""Of one run: so many epochs after the first."""
DURATION_S: Final = 900.0

Steps = Iterator[float]
"""Of something that goes on: before each further step so many seconds pass."""


@dataclass(frozen=True)
class Rules:
    """What everybody keeps to; other values are planted faults."""

    wait_s: float = EPOCHS_AGE_MAX_S
    """From closing an epoch until its end is read."""
    confirms: bool = True
    """A gateway asks once more when a record is acknowledged, before it answers."""
    counts_from_asking: bool = True
    """What is heard is as old as the question, not as the answer."""
    stores_first: bool = True
    """The next epoch opens only when the one before is stored."""
    waits_anew: bool = True
    """Who continues a closing that another began waits as if it had just begun."""


@dataclass
class Heard:
    """What one gateway has read of the epochs."""

    clock: Callable[[], float]
    epochs: Epochs = NO_EPOCHS
    heard_at: float = float("-inf")

    @property
    def age_s(self) -> float:
        """As `KnownEpochs` has it."""
        return self.clock() - self.heard_at


@dataclass
class World:
    """All there is, and what came of it."""

    seed: int
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.now = 0.0
        self.told: list[Epochs] = [NO_EPOCHS]
        """What is known by who has read so many records of the topic of epochs."""
        self.written: Counter[int] = Counter()
        """Records of an epoch's comments."""
        self.stored: Counter[int] = Counter()
        """How many of them, from the first on."""
        self.acknowledged: list[tuple[int, int]] = []
        """Epoch and offset of what was answered 201."""
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._order = itertools.count()
        self._later: list[tuple[float, int, Steps]] = []
        self.tell(epoch_opened(contract(1)))

    @property
    def epochs(self) -> Epochs:
        """What somebody knows who has read all of the topic."""
        return self.told[-1]

    def begin(self, steps: Steps, in_s: float = 0.0) -> None:
        """Let something go on by itself."""
        heapq.heappush(self._later, (self.now + in_s, next(self._order), steps))

    def run(self) -> None:
        """Let it all happen."""
        for _ in range(GATEWAYS):
            self.begin(gateway(self))
        self.begin(stream_job(self))
        self.begin(operator(self), 60.0)
        while self._later and self._later[0][0] <= DURATION_S:
            self.now, _, steps = heapq.heappop(self._later)
            if (after_s := next(steps, None)) is not None:
                self.begin(steps, after_s)
        for epoch, offset in self.acknowledged:
            if self.epochs.is_open(epoch) or offset < self.stored[epoch]:
                continue
            if epoch + 1 in [one.number for one in self.epochs.known]:
                self.wrong.append(f"{offset} of epoch {epoch} was answered 201, and is not stored")

    def tell(self, record: NewRecord) -> None:
        """Append to the topic of epochs."""
        before = self.epochs.newest
        self.told.append(self.epochs.after(Record(0, len(self.told) - 1, *record, int(self.now * 1_000))))
        after = self.epochs.newest
        if before is not None and after is not None and after.number > before.number:
            self.seen["opened"] += 1

    def acknowledge(self, epoch: int, offset: int) -> None:
        """Answer 201."""
        if not any(one.number == epoch for one in self.epochs.known):
            self.wrong.append(f"epoch {epoch} was written to before it was open")
        if self.epochs.newest is not None and self.epochs.newest.number > epoch:
            self.wrong.append(f"{offset} of epoch {epoch} was answered 201 when the next was open")
        self.acknowledged.append((epoch, offset))
        self.seen["created"] += 1


def contract(number: int) -> Contract:
    """Return what an epoch is: twice as many partitions as the one before, so that growth can go by this model."""
    return Contract(number, 1 << (number - 1), f"topic-{number}", 1)


def gateway(world: World) -> Steps:
    """Hear of epochs, now and then late or not at all; write to the open one; start again when a later one is open."""
    heard = Heard(lambda: world.now)
    serving: tuple[int, Writing] | None = None
    while True:
        asked_at, epochs = world.now, world.epochs
        yield world.dice.choice((0.01, 0.5, 2.0, 25.0))
        heard.epochs = epochs
        heard.heard_at = asked_at if world.rules.counts_from_asking else world.now
        newest = heard.epochs.newest
        if newest is not None and not newest.is_closed and (serving is None or serving[0] < newest.number):
            serving = newest.number, Writing(heard, newest.number, lambda: "")
        until = world.now + (world.dice.uniform(25, 60) if world.dice.random() < 0.2 else 1.0)
        while world.now < until:
            if serving is not None:
                world.begin(post(world, *serving))
            yield world.dice.expovariate(0.5)


def post(world: World, epoch: int, writing: Writing) -> Steps:
    """Write one comment: refused, unknown, or answered 201."""
    asked_at = world.now
    try:
        writing.check()
    except ContractUnavailable:
        world.seen["contract_broken"] += 1
        return
    yield _network(world)
    offset = world.written[epoch]
    world.written[epoch] += 1
    yield _network(world)
    if world.now - asked_at > APPEND_TIMEOUT_S:
        world.seen["no answer"] += 1
        return
    try:
        if world.rules.confirms:
            writing.confirm()
    except AppendUnknown:
        world.seen["append_unknown"] += 1
        return
    world.acknowledge(epoch, offset)


def stream_job(world: World) -> Steps:
    """Store what there is, with pauses."""
    while True:
        yield world.dice.choice((1.0, 5.0, 90.0))
        for epoch, written in world.written.items():
            world.stored[epoch] = max(world.stored[epoch], world.dice.randint(0, written))


def operator(world: World) -> Steps:
    """Want the next epoch again and again: begin a closing, and another where one was killed, or beside it."""
    for number in range(1, CLOSINGS + 1):
        while (newest := world.epochs.newest) is not None and newest.number <= number:
            world.begin(closing(world, number))
            yield world.dice.choice((0.0, 1.0, 10.0, 45.0))
        yield world.dice.uniform(60, 200)


def closing(world: World, number: int) -> Steps:
    """Close an epoch, wait, store it to its end, open the next; killed at any step, one time in four."""
    newest, began_here = world.epochs.newest, False
    assert newest is not None
    if newest.number == number and not newest.is_closed:
        began_here = True
        yield _network(world)
        if _is_killed(world, "before it closed"):
            return
        world.tell(epoch_closed(number, "grows"))
        yield _network(world)
        if _is_killed(world, "after it closed"):
            return
    if began_here or world.rules.waits_anew:
        yield world.rules.wait_s
    end = world.written[number]
    yield _network(world)
    if _is_killed(world, "before it stored"):
        world.stored[number] = max(world.stored[number], world.dice.randint(0, end))
        return
    if world.rules.stores_first:
        world.stored[number] = max(world.stored[number], end)
        yield _network(world)
    if _is_killed(world, "before it opened"):
        return
    world.tell(epoch_opened(contract(number + 1)))


def _network(world: World) -> float:
    """How long a message takes: mostly milliseconds, sometimes as long as a broker hangs."""
    return world.dice.uniform(0, 2 * APPEND_TIMEOUT_S) if world.dice.random() < 0.2 else world.dice.uniform(0.001, 0.1)


def _is_killed(world: World, where: str) -> bool:
    killed = world.dice.random() < 0.25
    world.seen[f"killed {where}"] += killed
    return killed
