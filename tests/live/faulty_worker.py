"""`livecomments stream` with a store that fails as its arguments say, for the tests of the stream job.

Arguments are `fault=file`: the fault lasts while the file exists, and `<file>.met` says that it was met. `stock-body`
runs Faust's stock pattern instead of our runner: a bug that the checkers must see.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import uvloop
from faust.agents import current_agent

from livecomments.cql.store import CqlStore
from livecomments.kafka.connection import KafkaConnection
from livecomments.log.topics import DEAD_LETTER_TOPIC, comments_topic
from livecomments.runtime import logs
from livecomments.store.interface import KeptLog, Row, StoredSlice, StoreUnavailable
from livecomments_command.assembly.cql import cql_store
from livecomments_command.assembly.kafka import kafka_log, newest_comments, topic_name
from livecomments_command.assembly.stream import run_stream
from livecomments_command.settings import StreamSettings, ToolSettings, load
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import epoch_of
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.faust_runner import make_faust_app, raw_topic
from livecomments_streams.job import Job

_POLL_S = 0.02


class FaultyStore:
    """A `CommentStore` in front of the real one."""

    def __init__(self, inner: CqlStore, faults: dict[str, Path], partition_count: int) -> None:
        self._inner = inner
        self._faults = faults
        self._partition_count = partition_count

    async def __aenter__(self) -> "FaultyStore":
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.aclose()

    async def write(self, rows: Sequence[Row]) -> None:
        """Half of the rows are written before the store is away or raises. Two faults are Faust's own."""
        if self._is_on("ahead"):
            await self._advance_too_early(rows)
        while self._is_on("block"):  # noqa: ASYNC110 - the test that ends it is another process
            await asyncio.sleep(_POLL_S)
        agent = current_agent()  # None where the job reads the log itself
        if agent and self._is_on("crash"):
            await agent.app.crash(ValueError("a commit that failed for good"))
        if agent and self._is_on("deaf"):
            agent.app.flow_control.suspend()
        if self._is_on("away"):
            await self._inner.write(rows[: len(rows) // 2])
            raise StoreUnavailable("away, in the middle of a batch")
        if self._is_on("raise"):
            await self._inner.write(rows[: len(rows) // 2])
            raise ValueError("a bug, in the middle of a batch")
        await self._inner.write(rows)

    async def watermark(self, epoch: int, partition: int) -> int:
        return await self._inner.watermark(epoch, partition)

    async def advance_watermark(self, epoch: int, partition: int, position: int) -> None:
        await self._inner.advance_watermark(epoch, partition, position)

    async def kept_log(self, epoch: int) -> KeptLog:
        return await self._inner.kept_log(epoch)

    async def keep_log(self, epoch: int, kept: KeptLog) -> None:
        await self._inner.keep_log(epoch, kept)

    async def read(self, video_id: str, after: int, through: int, limit: int, *, descending: bool) -> StoredSlice:
        return await self._inner.read(video_id, after, through, limit, descending=descending)

    async def read_one(self, video_id: str, position: int) -> Row | None:
        return await self._inner.read_one(video_id, position)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _is_on(self, fault: str) -> bool:
        file = self._faults.get(fault)
        if file is None or not file.exists():
            return False
        Path(f"{file}.met").touch()
        return True

    async def _advance_too_early(self, rows: Sequence[Row]) -> None:
        """The planted bug: the watermark first, the rows behind it."""
        newest = max(rows, key=lambda row: row.position)
        partition = partition_of(newest.video_id, self._partition_count)
        await self._inner.advance_watermark(epoch_of(newest.position), partition, newest.position)


async def run_stock_body(settings: StreamSettings, store: FaultyStore) -> None:
    """The planted bug: what Faust's own pages show, where an exception leaves the body."""
    async with newest_comments(settings) as log, kafka_log(settings, DEAD_LETTER_TOPIC) as letters, store:
        topic = topic_name(settings, comments_topic(log.epoch))
        job = Job(log, store, DeadLetters(letters, topic))
        app = make_faust_app(KafkaConnection(settings.kafka), settings.group, settings.data_dir / "faust")

        async def persist(stream: Any) -> None:
            async for events in stream.take_events(100, within=0.05):
                await job.take([record for event in events for record in event.message.records])

        app.agent(raw_topic(app, topic), name="persist")(persist)
        await app.start()
        say_started()
        await asyncio.Event().wait()


def say_started() -> None:
    """As the command says it."""
    print("stream job runs", flush=True)


def main() -> None:
    """Run until told to stop."""
    logs.configure()
    settings = load(StreamSettings, os.environ)
    faults = {name: Path(file) for name, _, file in (argument.partition("=") for argument in sys.argv[1:])}

    def open_store(settings: StreamSettings) -> FaultyStore:
        return FaultyStore(cql_store(settings), faults, load(ToolSettings, os.environ).partitions)

    if "stock-body" in faults:
        uvloop.run(run_stock_body(settings, open_store(settings)))
    uvloop.run(run_stream(settings, say_started, open_store))


if __name__ == "__main__":
    main()
