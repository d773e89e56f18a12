"""What one person wrote, taken out of the steps of a feed: their files are written anew without it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
from rich.console import Console

from livecomments_command.records.bars import bar
from livecomments_command.records.changes import Change
from livecomments_command.records.feed import placed
from livecomments_command.records.places import Folder
from livecomments_command.records.rewriting import (
    KeptStep,
    Rewriting,
    finish_rewriting,
    new_token,
    read_file,
    rewrite,
    steps_of,
)
from livecomments_command.records.step_files import StepFile, changes_in, file_of_changes


async def erase_from_feed(place: Folder, console: Console, author_id: str) -> int:
    """Take an author's comments out of all steps of a feed, one after the other; how many there were.

    Deletes stay: they say no more than which comment. The place is held by the caller.

    Raises:
        StartRefused: a manifest or a file is missing, or is not what it should be.
        FilesInUse: another command writes the feed.
        FilesRefused, FilesFailed: it cannot be written.
    """
    await placed(partial(finish_rewriting, place))
    steps, gone = await placed(partial(steps_of, place)), 0
    with bar(console, "Erasing", len(steps)) as advance:
        for step in steps:
            count, new = await placed(partial(_without, place, step, author_id))
            if new is not None:
                await placed(partial(rewrite, place, new))
                gone += count
            advance(1)
    return gone


def _without(place: Folder, step: KeptStep, author_id: str) -> tuple[int, Rewriting | None]:
    """Return how many comments of an author a step has, and the step without them; None if it has none."""
    token, files, gone = new_token(), list[Mapping[str, Any]](), 0
    made: list[StepFile] = []
    for file in step.content["files"]:
        rows = changes_in(file["path"], read_file(place, file))
        kept = [row for row in rows if not _is_by(row, author_id)]
        if len(kept) == len(rows):
            files.append(file)
            continue
        gone += len(rows) - len(kept)
        if kept:
            folder, _, name = file["path"].rpartition("/")
            made.append(file_of_changes(f"{folder}/{step.number:09d}-changes-{token}.{name.rpartition('.')[2]}", kept))
            files.append(made[-1].said)
    return gone, Rewriting(token, [step], files, step.content["facts"], made) if gone else None


def _is_by(row: Change, author_id: str) -> bool:
    return row.line is not None and bool(orjson.loads(row.line)["author"]["id"] == author_id)
