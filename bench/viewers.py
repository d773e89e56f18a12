"""Viewers: thousands of viewers in one process of C (`viewers.c`), and the bare loop of `send()` beside it.

What its commands are is told at the head of `viewers.c`.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.compiled import answer_of, ask, conversing

_SOURCE: Final = Path(__file__).with_suffix(".c")
_ANSWER_TIMEOUT_S: Final = 120.0


class Saw(NamedTuple):
    """What a group of viewers saw since it was asked last: comments, ids and times of those that are read."""

    open: int
    readers: int
    """Viewers that are read."""
    closed: int
    """Streams that ended, whoever ended them."""
    refused: int
    bytes: int
    """Of all viewers."""
    read_bytes: int
    comments: int
    comments_min: int
    """Comments of the viewer that got fewest."""
    comments_max: int
    offset_min: int
    """Of the last id, of the viewer that is furthest behind."""
    disordered: int
    holes: int
    """Records that were skipped without a word; told with one video only."""
    gaps: int
    heartbeats: int
    others: int
    """Events that are none of a comment, heartbeat, gap, video or a beginning."""
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def faults(self) -> int:
        """Count what breaks the promise to viewers: comments lost, twice or out of order, and streams that ended."""
        return self.disordered + self.holes + self.gaps + self.closed + self.refused

    def and_then(self, later: "Saw") -> "Saw":
        """Return the sum of what two spans in a row counted; what is not a count is the later span's."""
        counted = ("closed", "refused", "bytes", "read_bytes", "comments", "disordered", "holes", "gaps", "heartbeats")
        return later._replace(**{name: getattr(self, name) + getattr(later, name) for name in counted})


class Floor(NamedTuple):
    """What the bare loop took to send what was recorded to everybody."""

    cpu_s: float
    wall_s: float
    sends: int
    bytes: int


class Crowd:
    """A running `crowd load`; `running` makes one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, address: str, zero_ms: int) -> AsyncIterator["Crowd"]:
        """Run viewers of the edge at `address` until left. `zero_ms`: what `videoTimeMs` counts from, Unix time."""
        host, _, port = address.rpartition(":")
        async with conversing(_SOURCE, "load", host, port, str(zero_ms)) as process:
            yield cls(process)

    async def open(
        self, count: int, prefix: str, *, videos: int = 1, every: int = 0, gzip: bool = False, stalled: bool = False
    ) -> int:
        """Open streams, and return the number of their group once all are. One viewer in `every` is read."""
        opened = await self._tell(f"open {count} {videos} {every} {gzip:d} {stalled:d} {prefix}")
        assert opened["opened"] == count, opened
        return int(opened["group"])

    async def away(self, group: int) -> None:
        """Have all of them leave at once."""
        await self._tell(f"away {group}")

    async def back(self, group: int) -> float:
        """Have all of them resume from the last id they had; return the seconds until the last stream is open."""
        return float((await self._tell(f"back {group}"))["seconds"])

    async def saw(self, group: int) -> Saw:
        """Return what the group saw since it was asked last."""
        return Saw(**await self._tell(f"stats {group}"))

    async def record(self, group: int, file: Path) -> None:
        """Begin to record what the first viewer of the group gets, for the floor."""
        await self._tell(f"record {group} {file}")

    async def recorded(self) -> int:
        """End the recording; return how many comments are in it."""
        return int((await self._tell("recorded"))["comments"])

    async def _tell(self, command: str) -> dict[str, Any]:
        return await ask(self._process, command, _ANSWER_TIMEOUT_S)


async def floor(file: Path, count: int, cpus: frozenset[int]) -> Floor:
    """Send what was recorded to `count` sockets, by a bare loop pinned to these CPUs; somebody takes it all."""
    async with conversing(_SOURCE, "floor", str(file), str(count)) as process:
        os.sched_setaffinity(process.pid, cpus)
        port = (await answer_of(process, _ANSWER_TIMEOUT_S))["port"]
        async with Crowd.running(f"127.0.0.1:{port}", 0) as crowd:
            await crowd.open(count, "floor")
            return Floor(**await ask(process, "go", _ANSWER_TIMEOUT_S))
