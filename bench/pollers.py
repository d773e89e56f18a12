"""Pollers: thousands of clients of a durable stream in one process of C (`pollers.c`), which tells its commands."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.compiled import ask, conversing
from bench.stand import cpu_of
from infra.local.ports import HOST

_SOURCE: Final = Path(__file__).with_suffix(".c")
_ANSWER_TIMEOUT_S: Final = 60.0


class Polled(NamedTuple):
    """What all pollers saw since they were asked last."""

    pollers: int
    live: int
    """Of them, those that have heard that they have all, and wait."""
    answers: int
    silences: int
    """Of the answers, those that nothing came."""
    refused: int
    """Answers that are neither 200 nor 204."""
    closed: int
    """Connections that broke, or were not to be had."""
    comments: int
    deletes: int
    disordered: int
    """Comments that came twice, or too late."""
    holes: int
    """Records that were skipped."""
    offset_min: int
    """Of the last record, of the poller that is furthest behind."""
    offset_max: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    waited_max_s: float
    """The longest wait for an answer."""

    @property
    def faults(self) -> int:
        """Count comments that are missing, doubled or out of order."""
        return self.disordered + self.holes

    def and_then(self, later: "Polled") -> "Polled":
        """Return the sum of what two spans in a row counted; what is not a count is the later span's."""
        counted = ("answers", "silences", "refused", "closed", "comments", "deletes", "disordered", "holes")
        return later._replace(**{name: getattr(self, name) + getattr(later, name) for name in counted})


class Pollers:
    """A running `pollers`; `running` makes one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, port: int, zero_ms: int, away_ms: int = 0) -> AsyncIterator["Pollers"]:
        """Run pollers of what listens there until left.

        Args:
            port: of this machine.
            zero_ms: what `videoTimeMs` counts from, Unix time.
            away_ms: passes from an answer to the next request, as between machines.
        """
        async with conversing(_SOURCE, HOST, str(port), str(zero_ms), str(away_ms)) as process:
            yield cls(process)

    def cpu_s(self) -> float:
        """Return what all of them have used."""
        return cpu_of(self._process.pid)

    async def open(self, count: int, video_id: str, after: Sequence[str], spread_s: float = 0.0) -> None:
        """Begin to follow a video, once, by so many, over a time; each is at one of these comments, in turns."""
        await self._tell(f"open {count} {spread_s * 1_000:.0f} {video_id} {' '.join(after)}")

    async def saw(self) -> Polled:
        """Return what they saw since they were asked last."""
        return Polled(**await self._tell("stats"))

    async def _tell(self, command: str) -> dict[str, Any]:
        return await ask(self._process, command, _ANSWER_TIMEOUT_S)
