"""`python -m bench.replays`: records a second of replay, verify and rebuild, of log and mirror, beside bare loops.

All in one process, from an embedded log to files, topics and a store of the same kind, with comments as chat is, a
third of them with a key. A bare loop reads the same records in the same chunks and writes their values, one a line;
appends them to a topic; writes them as rows; or reads the rows too. Seconds are of the processor, of all threads.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

from bench.command import Outcome, command, over
from bench.loops import Result, beside_loops
from bench.persist import comments
from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.log.interface import CommentLog
from livecomments.log.topics import comments_topic
from livecomments.runtime.console import plain_console
from livecomments.sqlite import DurableFile
from livecomments.store.interface import CommentStore, Row
from livecomments_command.records.mirror import MirroredStore, MirrorLog, MirrorOrigin
from livecomments_command.records.opened import Opened
from livecomments_command.records.rebuild import rebuild
from livecomments_command.records.replay import replay
from livecomments_command.records.replay_plan import ReplayPlan
from livecomments_command.records.replay_sinks import Lines, TopicSink
from livecomments_command.records.verify import stored_rows, verify
from livecomments_schemas.epochs import Contract
from livecomments_schemas.events import NewRecord, Record
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import first_position, position_at

_QUIET: Final = plain_console(quiet=True)
_PARTITIONS: Final = 8
_EPOCH: Final = 1
_TOPIC: Final = comments_topic(_EPOCH)
_TAKE: Final = 5_000
"""As the commands read."""
_APPENDS: Final = 500


class Plan(NamedTuple):
    """How much there is."""

    records: int = 60_000
    videos: int = 100


async def takes(log: CommentLog) -> AsyncIterator[list[Record]]:
    """Read all of a log."""
    for partition, (start, end) in (await log.bounds(range(log.partition_count))).items():
        following = start
        while following < end:
            records, following = await log.read(partition, following, end, _TAKE)
            yield records


async def bare_lines(log: CommentLog, into: Path) -> None:
    """Write the value of each record, one a line."""
    with into.open("wb") as file:
        async for records in takes(log):
            file.writelines((one.value or b"") + b"\n" for one in records)


async def bare_copy(log: CommentLog, topic: CommentLog) -> None:
    """Append each record to another topic."""
    async for records in takes(log):
        new = [(one.partition, NewRecord(one.key or b"", one.value or b"", one.headers)) for one in records]
        for start in range(0, len(new), _APPENDS):
            await asyncio.gather(*(topic.append(*one) for one in new[start : start + _APPENDS]))


async def bare_store(log: CommentLog, store: CommentStore) -> None:
    """Write each record as a row."""
    async for records in takes(log):
        await store.write(
            [
                Row((key or b"").decode(), position_at(_EPOCH, offset), headers["type"], "author", value or b"", at_ms)
                for _, offset, key, value, headers, at_ms in records
            ]
        )


async def bare_compare(log: CommentLog, store: CommentStore, plan: Plan) -> None:
    """Read all records, and all rows."""
    async for _ in takes(log):
        pass
    for number in range(plan.videos):
        async for _ in stored_rows(store, f"video-{number}", first_position(_EPOCH) - 1, first_position(_EPOCH + 1)):
            pass


class _Room:
    """A log that is full, what stands beside it, and new stores and topics."""

    def __init__(self, plan: Plan, directory: Path, stack: AsyncExitStack) -> None:
        self._plan = plan
        self._directory = directory
        self._stack = stack
        self._made = 0

    async def _file(self, tables: str) -> DurableFile:
        self._made += 1
        return await self._stack.enter_async_context(DurableFile(self._directory / f"{self._made}", tables))

    async def topic(self) -> EmbeddedLog:
        """Make an empty topic of a file of its own."""
        made = EmbeddedLog(await self._file(LOG_TABLES), _TOPIC, _EPOCH, _PARTITIONS)
        return await self._stack.enter_async_context(made)

    async def store(self) -> EmbeddedStore:
        """Make an empty store of a file of its own."""
        return await self._stack.enter_async_context(EmbeddedStore(await self._file(STORE_TABLES)))

    async def filled(self) -> EmbeddedLog:
        """Make a log with the comments."""
        log, waiting = await self.topic(), []
        for record in comments(self._plan.videos, self._plan.records):
            waiting.append(log.append(partition_of(record.key.decode(), _PARTITIONS), record))
            if len(waiting) == _APPENDS:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
        return log


async def measured(plan: Plan, directory: Path) -> list[Result]:
    """Go all ways, and before each kind of them the bare loop that stands beside it."""

    async def rate(work: Awaitable[object]) -> float:
        began = time.process_time()
        await work
        return over(plan.records, time.process_time() - began)

    async def mirrored(copies: CommentLog, name: str, do: Callable[[Opened], Awaitable[object]]) -> None:
        mirror = MirrorLog(copies, name, MirrorOrigin(_TOPIC, "", Contract(_EPOCH, _PARTITIONS, "", 1)))
        await mirror.look_through(lambda _: None)
        await do(Opened(_TOPIC, mirror, letters, MirroredStore(store, mirror)))

    async with AsyncExitStack() as stack:
        room = _Room(plan, directory, stack)
        log, letters, store = await room.filled(), await room.topic(), await room.store()
        found = Opened(_TOPIC, log, letters, store)
        await bare_lines(log, directory / "bare")
        loop = await rate(bare_lines(log, directory / "bare"))
        results = []
        for way, is_merged in (("replay, lines", False), ("replay --merged, lines", True)):
            with (directory / way).open("wb") as file:
                told = rate(replay(found, _QUIET, ReplayPlan(), Lines(file, _EPOCH), is_merged=is_merged))
                results.append(Result(way, await told, loop))
        copies, sink = await room.topic(), await room.topic()
        loop = await rate(bare_copy(log, sink))
        told = rate(replay(found, _QUIET, ReplayPlan(), TopicSink(copies, "mirror", _TOPIC)))
        results.append(Result("replay --to-topic", await told, loop))
        loop = await rate(bare_store(log, await room.store()))
        results.append(Result("rebuild", await rate(rebuild(found, _QUIET)), loop))
        compared = await rate(bare_compare(log, store, plan))
        results.append(Result("verify", await rate(verify(found, _QUIET)), compared))
        store = await room.store()
        from_mirror = mirrored(copies, "mirror", lambda one: rebuild(one, _QUIET))
        results.append(Result("rebuild --from-mirror", await rate(from_mirror), loop))
        with_mirror = mirrored(copies, "mirror", lambda one: verify(one, _QUIET))
        results.append(Result("verify --mirror", await rate(with_mirror), compared))
    return results


async def measure(plan: Plan, _: str, directory: Path, __: bool) -> Outcome:
    """Measure, and draw it."""
    title = f"{plan.records:,} records, a second of the processor"
    return beside_loops(title, "records", await measured(plan, directory), "Replays beside bare loops")


if __name__ == "__main__":
    command("replays", __doc__, Plan(), measure, pinned=False, kafka=False)
