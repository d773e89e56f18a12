"""Two stream jobs that both believe a partition to be theirs, over a store that fails, writes half and writes late: no
row is missing below a watermark, none is wrong, and no watermark goes back. By seeds."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final

import pytest

from livecomments.sqlite import DurableFile
from livecomments.store.interface import Row, StoreUnavailable
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.job import Job
from tests.history.faults import WatchedStore
from tests.history.world import Event, Sizes, World, open_world
from tests.log.contract import WAIT_S
from tests.streams.faults import wrong

SEEDS: Final = range(20)
RECORDS: Final = 60
STEPS: Final = 40
KINDS: Final = ("comment", "comment", "retry", "retry", "delete", "stray", "ended", "started", "nonsense")


class HostileStore(WatchedStore):
    """A store in which a write may fail, fail half way, or be said to fail and come later: as the dice say."""

    def __init__(self, world: World, dice: random.Random) -> None:
        super().__init__(world.store.inner)
        self.dice: random.Random | None = dice
        self.late: list[Sequence[Row]] = []
        self.met: set[str] = set()

    async def write(self, rows: Sequence[Row]) -> None:
        outcome = self.dice.random() if self.dice else 1.0
        if outcome < 0.3:
            kind = "nothing" if outcome < 0.1 else "half" if outcome < 0.2 else "late"
            self.met.add(kind)
            if kind == "half":
                await self.inner.write(rows[len(rows) // 2 :])
            if kind == "late":
                self.late.append(rows)
            raise StoreUnavailable(kind)
        await self.inner.write(rows)

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        if self.dice and self.dice.random() < 0.2:
            raise StoreUnavailable("away")
        await self.inner.advance_watermark(epoch, partition, position)


class Pair:
    """Two jobs, and what happens to them."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.dice = random.Random(seed)
        self.store = HostileStore(world, self.dice)
        self.jobs = [self.job(), self.job()]
        self.taking: dict[asyncio.Task[None], Job] = {}
        self.watermark = 0

    def job(self) -> Job:
        return Job(self.world.log, self.store, DeadLetters(self.world.dead_letter_log, "comments-1"))

    async def step(self) -> None:
        dice, at = self.dice, self.dice.randrange(2)
        what = dice.random()
        if what < 0.5:  # a delivery of some place, with holes and repeats
            start = dice.randrange(RECORDS)
            records = (await self.world.log.read(0, start, start + dice.randrange(1, 20), 99)).records
            chosen = [record for record in records if dice.random() < 0.9]
            if chosen:
                self.taking[asyncio.create_task(self.jobs[at].take(chosen))] = self.jobs[at]
        elif what < 0.65:
            await self.jobs[at].advance_watermarks()
        elif what < 0.75:
            self.jobs[at].revoke()
            self.jobs[at].give([0])
        elif what < 0.8:  # one is killed, and its writes may still come; or it is only believed to be dead
            if dice.random() < 0.5:
                for task, job in self.taking.items():
                    if job is self.jobs[at]:
                        task.cancel()
            self.jobs[at] = self.job()
        elif self.store.late:
            await self.store.inner.write(self.store.late.pop(dice.randrange(len(self.store.late))))
        if self.taking and dice.random() < 0.5:
            await asyncio.wait([*self.taking], timeout=0.02)
        for task in [task for task in self.taking if task.done()]:
            del self.taking[task]
            if not task.cancelled():
                task.result()

    async def check(self) -> None:
        assert await wrong(self.world) == []
        watermark = await self.store.inner.watermark(self.world.log.epoch, 0)
        assert watermark >= self.watermark
        self.watermark = watermark

    async def end(self) -> None:
        """All that was begun ends, what is late comes, and one job stores the rest."""
        self.store.dice = None
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*(task for task in self.taking if not task.cancelling()))
        for rows in self.store.late:
            await self.store.inner.write(rows)
        await self.check()
        job = self.job()
        await job.take((await self.world.log.read(0, RECORDS - 1, RECORDS, 1)).records)
        await job.advance_watermarks()
        await self.check()
        assert self.watermark == self.world.position(RECORDS - 1)


async def run(file: DurableFile, seed: int) -> set[str]:
    """Let it all happen, checked at each step; the kinds of failure that were met."""
    async with open_world(file, sizes=Sizes(window=DEDUPE_WINDOW_RECORDS)) as world:
        pair = Pair(world, seed)
        dice = random.Random(seed)
        await world.append(*[Event(dice.choice(KINDS), dice.randrange(3), dice.randrange(4)) for _ in range(RECORDS)])
        for _ in range(STEPS):
            await pair.step()
            await pair.check()
        await pair.end()
        return pair.store.met


@pytest.mark.parametrize("seed", SEEDS)
async def test_two_jobs_on_one_partition_do_no_harm(file: DurableFile, seed: int) -> None:
    await run(file, seed)


async def test_the_model_meets_every_kind_of_failure(file: DurableFile) -> None:
    met: set[str] = set()
    for seed in SEEDS[:6]:
        met |= await run(file, seed)
    assert met == {"nothing", "half", "late"}
