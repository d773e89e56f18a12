"""What the contract suite needs of an implementation, and the helpers its tests share."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol, cast

from livecomments.log.embedded import TABLES, EmbeddedLog
from livecomments.log.interface import CommentLog, LogReader
from livecomments.runtime.durable import DurableFile
from schemas.events import NewRecord, Record

WAIT_S = 20.0
"""Bound of every wait in these tests."""


class LogMaker(Protocol):
    """Makes logs of one implementation. Each log has a topic of its own."""

    async def open(self, partition_count: int) -> CommentLog:
        """An empty log; it is closed after the test."""

    async def append_foreign(
        self, log: CommentLog, partition: int, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]
    ) -> int:
        """Append what our own producers never would; returns the offset."""

    async def forget_before(self, log: CommentLog, partition: int, offset: int) -> CommentLog:
        """As retention would; returns the log to go on with."""


class EmbeddedMaker:
    """Embedded logs, each in a directory of its own."""

    def __init__(self, directory: Path, stack: contextlib.AsyncExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._names = (str(number) for number in itertools.count())
        self._files: dict[int, DurableFile] = {}

    async def open(self, partition_count: int) -> EmbeddedLog:
        file = await self._stack.enter_async_context(DurableFile(self._directory / next(self._names), TABLES))
        return await self._open(file, partition_count)

    async def append_foreign(
        self, log: CommentLog, partition: int, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]
    ) -> int:
        return await log.append(partition, NewRecord(cast(bytes, key), cast(bytes, value), headers))

    async def forget_before(self, log: CommentLog, partition: int, offset: int) -> EmbeddedLog:
        file = self._files[id(log)]
        place = ((1 << 12) + partition) << 40
        await file.write(
            lambda connection: connection.execute(
                "DELETE FROM log_records WHERE place >= ? AND place < ?", (place, place + offset)
            )
        )
        return await self._open(file, log.partition_count)

    async def _open(self, file: DurableFile, partition_count: int) -> EmbeddedLog:
        log = await self._stack.enter_async_context(EmbeddedLog(file, "comments-3", 3, partition_count))
        self._files[id(log)] = file
        return log


@contextlib.asynccontextmanager
async def embedded_maker(directory: Path) -> AsyncIterator[EmbeddedMaker]:
    async with contextlib.AsyncExitStack() as stack:
        yield EmbeddedMaker(directory, stack)


def new_record(text: str, **headers: bytes) -> NewRecord:
    return NewRecord(b"video", text.encode(), headers or {"type": b"comment.created"})


async def append_all(log: CommentLog, partition: int, texts: list[str]) -> list[int]:
    """Append one after the other; the offsets."""
    return [await log.append(partition, new_record(text)) for text in texts]


async def read_all(log: CommentLog, partition: int, start: int, end: int) -> list[Record]:
    """Everything from `start` to `end`, however small the slices come."""
    found: list[Record] = []
    while start < end:
        records, following = await log.read(partition, start, end, 10_000)
        assert following > start
        found += records
        start = following
    return found


async def poll_until(reader: LogReader, count: int) -> list[Record]:
    """Poll until `count` records came."""
    found: list[Record] = []
    async with asyncio.timeout(WAIT_S):
        while len(found) < count:
            found += await reader.poll()
    return found


def texts_of(records: list[Record]) -> list[str]:
    return [record.value.decode() for record in records if record.value is not None]
