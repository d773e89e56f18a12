"""`python -m bench.exports`: rows a second of exports, feeds, their merging and erasing, each beside a bare loop.

All in one process, from the embedded log to local files, with the real chat's texts. A bare loop reads the same records
from the same log and writes their values, one a line; of merging, it reads the same small files and writes their rows
into one, for Parquet by Arrow's own reading, sorting and writing. Seconds are of the processor, all threads together.
"""

import asyncio
import itertools
import shutil
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import orjson
import pyarrow as arrow
import pyarrow.parquet as parquet

from bench.codecs import records
from bench.command import Outcome, command, over
from bench.loops import Result, beside_loops
from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.topics import comments_topic
from livecomments.runtime.console import plain_console
from livecomments.sqlite import DurableFile
from livecomments_command.records.compacting import compact
from livecomments_command.records.erase_exports import erase_from
from livecomments_command.records.export import ExportPlan, export
from livecomments_command.records.feed import Rhythm, beginning, feed
from livecomments_command.records.feed_steps import FeedPlan
from livecomments_command.records.opened import Opened, opened
from livecomments_command.records.places import Directory
from livecomments_command.settings import ToolSettings, load
from livecomments_schemas.events import NewRecord
from livecomments_schemas.partitions import partition_of

_QUIET: Final = plain_console(quiet=True)
_PARTITIONS: Final = 8
_TAKE: Final = 500
"""As the data commands read."""
_LINE_BYTES: Final = 900
"""Of a row in memory, about: a step ends by it."""
_STEP_BYTES_MAX: Final = 64 << 20


class Plan(NamedTuple):
    """How much is written."""

    rows: int = 60_000
    videos: int = 100
    steps: int = 120
    """Of the feed that is merged."""


async def filled(directory: Path, plan: Plan) -> ToolSettings:
    """Make an installation whose log has the chat, again and again, under so many videos."""
    environ = {"LIVECOMMENTS_DATA_DIR": str(directory), "LIVECOMMENTS_PARTITIONS": str(_PARTITIONS)}
    videos = [f"video-{number}" for number in range(plan.videos)]
    chat = itertools.islice(itertools.cycle(records()), plan.rows)
    async with DurableFile(directory, TABLES) as file, EmbeddedLog(file, comments_topic(1), 1, _PARTITIONS) as log:
        for start in range(0, plan.rows, _TAKE):
            taken = [
                (partition_of(video, _PARTITIONS), _under(video, record))
                for at, record in enumerate(itertools.islice(chat, _TAKE), start)
                for video in [videos[at % plan.videos]]
            ]
            await asyncio.gather(*(log.append(partition, record) for partition, record in taken))
    return load(ToolSettings, environ)


async def rows_per_s(rows: int, work: Callable[[], Awaitable[object]]) -> float:
    """Do it once; rows a second of the processor."""
    began = time.process_time()
    await work()
    return over(rows, time.process_time() - began)


def _under(video: str, record: NewRecord) -> NewRecord:
    value = orjson.dumps(orjson.loads(record.value or b"") | {"videoId": video})
    headers = {name: said for name, said in record.headers.items() if name != "key"}
    return record._replace(key=video.encode(), value=value, headers=headers)


async def bare(found: Opened, into: Path) -> None:
    """Write the value of every record, one a line."""
    with into.open("wb") as file:
        for partition, held in (await found.log.bounds(range(_PARTITIONS))).items():
            following = held.start
            while following < held.end:
                taken, following = await found.log.read(partition, following, held.end, _TAKE)
                file.writelines((record.value or b"") + b"\n" for record in taken)


async def bare_merge(feed_of: Path, form: str, into: Path) -> None:
    """Write the rows of all files into one, in their order for Parquet."""
    _merge(feed_of, form, into)


def _merge(feed_of: Path, form: str, into: Path) -> None:
    files = sorted(feed_of.glob(f"day=*/*.{form}"))
    if form == "parquet":
        whole = arrow.concat_tables([parquet.read_table(file, partitioning=None) for file in files])
        order = [("video_id", "ascending"), ("position", "ascending")]
        parquet.write_table(whole.sort_by(order), into, compression="zstd")
        return
    with into.open("wb") as one:
        for file in files:
            one.writelines(file.read_bytes().splitlines(keepends=True))


async def feed_in(found: Opened, into: Path, form: str, bytes_max: int) -> None:
    """Write a feed from the beginning."""
    plan = FeedPlan(form)
    begun = await beginning(found, plan, None)
    await feed(found, _QUIET, Directory(into), plan, begun, Rhythm(bytes_max=bytes_max))


async def measured(plan: Plan, directory: Path) -> list[Result]:
    """Go all ways, one after the other, and before each the bare loop that stands beside it."""
    results = []
    timed = partial(rows_per_s, plan.rows)
    async with opened(await filled(directory / "data", plan), needs_store=False) as found:
        await bare(found, directory / "bare")
        for form in ("jsonl", "csv", "parquet"):
            loop = await timed(lambda: bare(found, directory / "bare"))
            exported = ExportPlan(directory / f"full-{form}", form)
            results.append(Result(f"export, {form}", await timed(lambda: export(found, _QUIET, exported)), loop))  # noqa: B023 (awaited)
        for form in ("jsonl", "parquet"):
            small, copied = directory / f"feed-{form}", directory / f"copied-{form}"
            loop = await timed(lambda: bare(found, directory / "bare"))
            step = plan.rows * _LINE_BYTES // plan.steps
            results.append(Result(f"changes, {form}", await timed(lambda: feed_in(found, small, form, step)), loop))  # noqa: B023 (awaited)
            shutil.copytree(small, copied)
            loop = await timed(lambda: bare_merge(small, form, directory / "merged"))  # noqa: B023 (awaited)
            merging = await timed(lambda: compact(str(small), _QUIET, _STEP_BYTES_MAX, last=1 << 30))  # noqa: B023 (awaited)
            results.append(Result(f"compact, {form}", merging, loop))
            erasing = await timed(lambda: erase_from(str(copied), _QUIET, "user-00000000"))  # noqa: B023 (awaited)
            results.append(Result(f"erase, {form}", erasing, loop))
    return results


async def measure(plan: Plan, _: str, directory: Path, __: bool) -> Outcome:
    """Measure, and draw it."""
    title = f"{plan.rows:,} rows, rows a second of the processor"
    return beside_loops(title, "rows", await measured(plan, directory), "Exports beside bare loops")


if __name__ == "__main__":
    command("exports", __doc__, Plan(), measure, pinned=False, kafka=False)
