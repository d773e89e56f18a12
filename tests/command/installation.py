"""A small embedded installation for the tests of commands: records that were appended and persisted, then closed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from livecomments.embedded.store import EmbeddedStore
from livecomments.runtime.settings import PREFIX
from livecomments.sqlite import DurableFile
from livecomments_command.records.opened import Opened, opened
from livecomments_command.settings import ToolSettings
from livecomments_schemas.events import Author, NewRecord, comment_created, comment_deleted
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.persister import Persister

EPOCH: Final = 1
PARTITIONS: Final = 8
CREATED_AT_MS: Final = 1_700_000_000_000
TABLES: Final = ""


def installation(directory: Path, **settings: object) -> ToolSettings:
    """ToolSettings of an embedded installation in `directory`, whose file is made."""
    environ = {PREFIX + name.upper(): str(value) for name, value in settings.items()}
    return ToolSettings.load(environ | {PREFIX + "DATA_DIR": str(directory), PREFIX + "PARTITIONS": str(PARTITIONS)})


async def make_file(settings: ToolSettings) -> None:
    """The empty file: a service that has run and ended."""
    async with DurableFile(settings.data_dir, TABLES):
        pass


def comment(video_id: str, number: int, *, key: str | None = None, author: str = "ana") -> NewRecord:
    """A comment, distinct by its number."""
    spoken = Author(author, author.title())
    text = f'number {number}, "quoted", größer 🎉'
    return comment_created(video_id, text, spoken, created_at_ms=CREATED_AT_MS + number, key=key)


def deletion(video_id: str, offset: int) -> NewRecord:
    """The delete of the comment at `offset`."""
    return comment_deleted(video_id, id_of(video_id, offset), "mod")


def id_of(video_id: str, offset: int) -> str:
    """The id of what stands at `offset` of the video's partition."""
    return comment_id(position_at(EPOCH, offset), partition_of(video_id, PARTITIONS))


async def append(found: Opened, records: Iterable[NewRecord]) -> list[int]:
    """Append each to the partition of its video; their offsets."""
    return [
        await found.log.append(partition_of(record.key.decode(), found.log.partition_count), record)
        for record in records
    ]


async def persist(found: Opened, store: EmbeddedStore | None = None) -> None:
    """Store everything that the log holds, as the stream job does."""
    for partition, held in (await found.log.bounds(range(found.log.partition_count))).items():
        letters = DeadLetters(found.dead_letter_log, found.topic)
        persister = await Persister.open(found.log, store or found.store, letters, partition)
        following = persister.next_offset
        while following < held.end:
            records, following = await found.log.read(partition, following, held.end, 1_000)
            await persister.persist(records)
        await persister.advance_watermark()


def run(settings: ToolSettings, arguments: Sequence[str], code: int = 0) -> str:
    """Run the command in a process of its own; what it wrote to stdout."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environ |= {PREFIX + "DATA_DIR": str(settings.data_dir), PREFIX + "PARTITIONS": str(settings.partitions)}
    done = subprocess.run(
        [sys.executable, "-m", "livecomments_command", *arguments],
        env=environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.decode()


def lines_of(path: Path) -> list[dict[str, object]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


__all__ = ["opened"]
