"""`livecomments compact`: small steps of a feed become few, which say the same.

A delete stays, even of a comment that goes with it: who has read the comment already must hear of it. So whoever has
read some of the steps reads all of them again as one, and it does no harm.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from rich.console import Console

from livecomments_command.records.bars import bar
from livecomments_command.records.changes import ROW_BYTES, Change
from livecomments_command.records.feed import placed
from livecomments_command.records.feed_steps import numbers_of
from livecomments_command.records.parquet import DELETE
from livecomments_command.records.places import Folder, folder_of
from livecomments_command.records.rewriting import (
    KeptStep,
    Rewriting,
    finish_rewriting,
    new_token,
    read_file,
    rewrite,
    steps_of,
)
from livecomments_command.records.step_files import changes_in, facts_in, files_of_changes, files_of_facts
from livecomments_schemas.errors import StartRefused

_PARQUET_TIMES: Final = 4
"""What a Parquet file's rows take in memory, about, of its size."""


class Compacted(NamedTuple):
    """What was done to a feed."""

    before: int
    """Steps that counted."""
    after: int

    def __str__(self) -> str:
        return f"{self.before:,} steps are {self.after:,} now"


async def compact(
    where: str, console: Console, bytes_max: int, *, first: int = 1, last: int | None = None
) -> Compacted:
    """Merge small steps that follow each other, of those from `first` to `last`, to steps of up to `bytes_max`.

    What has half of that is left as it is; without `last`, so is the newest: behind it another command may be writing.

    Raises:
        StartRefused: there is no feed; or a manifest or a file is missing, or is not what it should be.
        FilesInUse: another command writes the feed.
        FilesRefused, FilesFailed: it cannot be written.
    """
    place = folder_of(where)
    if not numbers_of(await placed(place.names)):
        raise StartRefused(f"{place.name} holds no feed of changes.")
    with place.held():
        return await compact_in(place, console, bytes_max, first=first, last=last)


async def compact_in(
    place: Folder, console: Console, bytes_max: int, *, first: int = 1, last: int | None = None
) -> Compacted:
    """Do as `compact`, in a feed that the caller holds."""
    await placed(partial(finish_rewriting, place))
    steps = await placed(partial(steps_of, place))
    end = steps[-1].first - 1 if last is None else last
    runs = list(runs_of([step for step in steps if first <= step.first and step.number <= end], bytes_max))
    with bar(console, "Merging", sum(map(len, runs))) as advance:
        for run in runs:
            await placed(partial(rewrite, place, await placed(partial(_merged, place, run))))
            advance(len(run))
    return Compacted(len(steps), len(steps) - sum(len(run) - 1 for run in runs))


def runs_of(steps: Sequence[KeptStep], bytes_max: int) -> Iterator[list[KeptStep]]:
    """Yield which steps become one: of one epoch, each under half of `bytes_max` in memory, all of them within it."""
    run: list[KeptStep] = []
    whole = 0
    for step in steps:
        size = _size(step)
        if run and (whole + size > bytes_max or step.content["epoch"] != run[0].content["epoch"]):
            yield from [run] if len(run) > 1 else []
            run, whole = [], 0
        if 2 * size < bytes_max:
            run, whole = [*run, step], whole + size
        else:
            yield from [run] if len(run) > 1 else []
            run, whole = [], 0
    yield from [run] if len(run) > 1 else []


def _size(step: KeptStep) -> int:
    """Return what a step takes in memory, about."""
    times = _PARQUET_TIMES if step.content["format"] == "parquet" else 1
    return sum(int(file["bytes"]) * times + int(file["rows"]) * ROW_BYTES for file in step.files)


def _merged(place: Folder, run: Sequence[KeptStep]) -> Rewriting:
    changes: dict[tuple[str, str], Change] = {}
    facts: list[bytes] = []
    for step in run:
        for file in step.content["files"]:
            for row in changes_in(file["path"], read_file(place, file)):
                key = row.video_id, row.comment_id
                if row.op == DELETE or key not in changes:
                    changes[key] = row
        for file in step.content["facts"]:
            facts += facts_in(file["path"], read_file(place, file))
    form, token = run[-1].content["format"], new_token()
    name = f"{run[-1].number:09d}-{{}}-{token}"
    rows = sorted(changes.values(), key=lambda row: (row.video_id, row.position))
    files, of_facts = files_of_changes(form, name, rows), files_of_facts(form, name, facts)
    said, said_of_facts = ([file.said for file in made] for made in (files, of_facts))
    return Rewriting(token, run, said, said_of_facts, [*files, *of_facts])
