"""Runs seeds, and counts what they met."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, NamedTuple

from tests.consumers.sim.edge import Parts
from tests.consumers.sim.loop import VirtualLoop
from tests.consumers.sim.world import World

_TRACE_LINES: Final = 400
_CHUNK: Final = 20
"""Seeds of one errand of a worker."""


class Failure(NamedTuple):
    """A seed that went wrong."""

    seed: int
    what: str
    trace: str

    @property
    def replay(self) -> str:
        """The command that shows it again."""
        return f'make sim ARGS="--seeds 1 --start {self.seed}"'


RIGHT: Final = Parts()


def run_seed(
    seed: int, seen: Counter[str], parts: Parts = RIGHT, watch: Callable[[World], None] = lambda _: None
) -> Failure | None:
    """Run one seed; `watch` is given the world when all has gone right."""
    world: World | None = None

    async def run() -> None:
        nonlocal world
        world = World(seed, parts, seen)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: errors.append(f"{context['message']}: {context.get('exception')!r}")
        )
        await world.run()
        if errors:
            raise AssertionError(errors[0])
        watch(world)

    errors: list[str] = []
    random.seed(seed)  # by which pauses between tries are jittered
    logging.disable()
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(run())
    except Exception as error:
        lines = world.all_traces() if world is not None else []
        return Failure(seed, f"{type(error).__name__}: {error}", "\n".join(lines[-_TRACE_LINES:]))
    finally:
        logging.disable(logging.NOTSET)
    return None


def run_seeds(seeds: Iterable[int], seen: Counter[str], parts: Parts = RIGHT) -> Failure | None:
    """Run seeds until one goes wrong."""
    for seed in seeds:
        failure = run_seed(seed, seen, parts)
        seen["seeds"] += 1
        if failure is not None:
            return failure
    return None


def run_many(seeds: range, seen: Counter[str], tell: Callable[[Failure], None]) -> int:
    """Run all seeds on all cores, telling of each that goes wrong; returns how many did."""
    failed = 0
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for failures, met in pool.map(_run_some, [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]):
            seen += met
            failed += len(failures)
            for failure in failures:
                tell(failure)
    return failed


def _run_some(seeds: range) -> tuple[list[Failure], Counter[str]]:
    seen: Counter[str] = Counter()
    failures = [failure for seed in seeds if (failure := run_seed(seed, seen)) is not None]
    seen["seeds"] = len(seeds)
    return failures, seen
