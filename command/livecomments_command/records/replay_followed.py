"""The topic as it grows: each partition's records in their order, as soon as they are there."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from livecomments.log.interface import Bounds, CommentLog
from livecomments_command.records.looking import Looking, told_to_stop
from livecomments_command.records.scan import CHUNK_RECORDS, Judged, JudgedReader, patiently
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused

_POLL_S: Final = 0.2
"""Between two looks at where the log ends, once all of it was read; a look asks each broker once."""


def stop_of(settings: ToolSettings) -> asyncio.Event:
    """Return what SIGTERM and SIGINT set from now on. Raises StartRefused: nothing can come that is followed."""
    if not settings.kafka:
        raise StartRefused("--follow needs Kafka: the embedded file is one process's, so nothing comes meanwhile.")
    return told_to_stop()


@dataclass(frozen=True)
class Followed(Looking):
    """Says how a log is followed, and until when: until `stop` is set."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    poll_s: float = _POLL_S

    async def chunks(self, log: CommentLog, ranges: Mapping[int, Bounds]) -> AsyncIterator[list[Judged]]:
        """Yield what `ranges` hold, and then what comes, in chunks of one partition; to the end of the epoch at most.

        Raises:
            OffsetUnavailable: the log lets go of records faster than they are read.
            StartRefused: the log lost its end.
            LogUnavailable: for more than a minute.
        """
        readers: dict[int, JudgedReader] = {}
        following = {partition: held.start for partition, held in ranges.items()}
        ends = {partition: held.end for partition, held in ranges.items()}
        while not self.is_stopped:
            for partition, end in ends.items():
                while following[partition] < end and not self.is_stopped:
                    if partition not in readers:
                        readers[partition] = await JudgedReader.open(log, partition, following[partition])
                    chunk = await readers[partition].read(end, CHUNK_RECORDS)
                    following[partition] = readers[partition].following
                    if chunk:
                        yield chunk
            if len(readers) == len(following) and all(one.is_fenced for one in readers.values()):
                return
            await self.pause()
            held = await patiently(lambda: log.bounds(list(following)))
            ends = {partition: one.end for partition, one in held.items()}
            for partition, end in ends.items():
                if end < following[partition]:
                    raise StartRefused(
                        f"Partition {partition} ends at {end}, and was read up to {following[partition]}: it lost its "
                        "end. What was written behind that is not in it any more; begin anew."
                    )
