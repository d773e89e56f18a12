"""`livecomments erase`: takes what one person wrote out of store, tail and exports, by deletes in the log.

There is no index by author: the store is scanned, part by part, and of the log what is not stored yet. A delete is
appended for each comment that is found, and stored here as well, beside the stream job. All of it may be done again, by
anybody, at once: what is deleted is not found any more, and a second delete changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from rich.console import Console

from livecomments.log.interface import Bounds, CommentLog
from livecomments.store.interface import AuthorScan
from livecomments_command.records.bars import Advance, bar
from livecomments_command.records.kept_files import read_checkpoint, write_atomically
from livecomments_command.records.opened import Opened, opened_epochs
from livecomments_command.records.rebuild import rebuild
from livecomments_command.records.scan import offset_behind, patiently, scan
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import COMMENT_CREATED, comment_deleted
from livecomments_schemas.judge import Kind
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, epoch_of, offset_of, position_at

ERASER: Final = "livecomments-erase"
"""The author of the deletes."""
_AT_ONCE: Final = 500
"""Appends under way."""

Comment = tuple[str, int]
"""A video and the position of a comment of it."""


class Erased(NamedTuple):
    """What was found and done."""

    found: int
    in_log: int
    """Of those found, how many the log of the open epoch still holds."""
    left: int
    """Found after all of it."""
    stayed: int = 0
    """Of those left, how many had been there before; the others were written meanwhile."""

    def sentences(self, author_id: str, topic: str, *, has_retention: bool, is_trial: bool) -> list[str]:
        """Return what the operator should know."""
        until = "until its retention passes, earlier epochs' topics too" if has_retention else "for good"
        said = [f"{self.found:,} comments of {author_id} found."]
        if is_trial:
            return [*said, "Nothing was changed."]
        if self.left > self.stayed:
            said.append(f"{self.left - self.stayed:,} more came meanwhile. Ban {author_id}, and run this again.")
        if self.stayed:
            said.append(
                f"{self.stayed:,} are still stored that were there before: run this again; if they stay, "
                "`livecomments rebuild --from-start` stores their deletes anew."
            )
        if not self.left:
            said.append("They are deleted, and looked for again none is stored.")
        return [
            *said,
            f"{topic} keeps the text of {self.in_log:,} of them {until}.",
            "Of each comment its place and the id of its author stay, as of any deleted one.",
        ]


async def erase(
    opened: Opened,
    console: Console,
    author_id: str,
    *,
    counts: Mapping[int, int],
    checkpoint: Path | None = None,
    is_trial: bool = False,
) -> Erased:
    """Delete all comments of an author, and store the deletes; then look for what is left.

    Args:
        opened: the newest epoch, with its store.
        console: where progress is shown.
        author_id: whose.
        counts: partitions of each epoch, by its number.
        checkpoint: remembers which parts of the store were scanned, to go on after a stop.
        is_trial: only count.

    Raises:
        StartRefused: the checkpoint is of another erasure.
        LogUnavailable, StoreUnavailable, AppendUnavailable, AppendUnknown: run it again.
    """
    run = _Erasure(opened, author_id, counts, checkpoint, is_trial=is_trial)
    found, in_log = await run.sweep(console, "Scanning")
    if is_trial:
        return Erased(found, in_log, 0)
    await rebuild(opened, console)
    run.begin_anew()
    left, _ = await run.sweep(console, "Looking again", is_trial=True)
    return Erased(found, in_log, left, run.stayed)


async def counts_of(settings: ToolSettings) -> Mapping[int, int]:
    """Return the partitions of each epoch. Raises as `opened` does."""
    return (await opened_epochs(settings)).counts


class _Erasure:
    def __init__(
        self, opened: Opened, author_id: str, counts: Mapping[int, int], checkpoint: Path | None, *, is_trial: bool
    ) -> None:
        if not isinstance(opened.store, AuthorScan):
            raise StartRefused("This store cannot be scanned.")
        self._opened = opened
        self._store: AuthorScan = opened.store
        self._author_id = author_id
        self._counts = counts
        self._is_trial = is_trial
        self._file = None if is_trial else checkpoint
        self._part = self._found = self._in_log = 0
        self._seen: set[Comment] = set()
        """What this run found: what is behind the watermark may be stored already."""
        self._ends: dict[int, int] | None = None
        """Where the log ended when this run began."""
        self.stayed = 0
        """Of those found in the last sweep, how many lie before that."""
        if checkpoint is not None and (said := read_checkpoint(checkpoint)) is not None:
            self._take(said, checkpoint)

    async def sweep(self, console: Console, what: str, *, is_trial: bool = False) -> tuple[int, int]:
        """Find all comments, and delete them but for a trial; how many there are, and how many the log holds."""
        log, parts = self._opened.log, self._store.scan_parts
        bounds = await patiently(self._bounds)
        starts, ends = ({number: one[at] for number, one in bounds.items()} for at in (0, 1))
        self._ends = self._ends or ends
        with bar(console, what, parts) as advance:
            async for part, comments in self._parts(advance):
                if not (self._is_trial or is_trial):
                    await _delete(log, comments, self._counts)
                self._found += len(comments)
                self._seen.update(comments)
                self._in_log += sum(_is_behind(log, starts, one) for one in comments)
                self.stayed += sum(not _is_behind(log, self._ends, one) for one in comments)
                self._part = part + 1
                self._save()
        return self._found, self._in_log

    def begin_anew(self) -> None:
        """Scan all of the store again."""
        self._part = self._found = self._in_log = self.stayed = 0
        self._seen.clear()
        if self._file is not None:
            self._file.unlink(missing_ok=True)
        self._file = None

    async def _parts(self, advance: Advance) -> AsyncIterator[tuple[int, list[Comment]]]:
        """Yield what each part of the store holds, and last what of the log is not stored yet."""
        advance(self._part)
        for part in range(self._part, self._store.scan_parts):
            yield part, await patiently(lambda: self._store.written_by(self._author_id, part))  # noqa: B023 (awaited)
            advance(1)
        yield self._store.scan_parts, [one for one in await self._behind() if one not in self._seen]

    async def _behind(self) -> list[Comment]:
        log, author = self._opened.log, self._author_id.encode()
        found: list[Comment] = []
        for number, held in (await patiently(self._bounds)).items():
            watermark = await patiently(lambda: self._opened.store.watermark(log.epoch, number))  # noqa: B023 (awaited)
            start = max(held.start, offset_behind(watermark, log.epoch))
            gone: set[Comment] = set()
            if start >= held.end:
                continue
            async for chunk in scan(log, number, start, held.end):
                for record, verdict in chunk:
                    if verdict.kind is not Kind.ACCEPTED:
                        continue
                    if verdict.target:
                        gone.add((verdict.video_id, verdict.target))
                    elif record.headers["type"] == COMMENT_CREATED and record.headers["author"] == author:
                        found.append((verdict.video_id, position_at(log.epoch, record.offset)))
            found = [one for one in found if one not in gone]
        return found

    async def _bounds(self) -> dict[int, Bounds]:
        return await self._opened.log.bounds(range(self._opened.log.partition_count))

    def _save(self) -> None:
        if self._file is not None:
            said = {"author": self._author_id, "topic": self._opened.topic, "part": self._part}
            said |= {"found": self._found, "inLog": self._in_log}
            write_atomically(self._file, orjson.dumps(said))

    def _take(self, said: bytes, file: Path) -> None:
        try:
            content = orjson.loads(said)
            whose, self._part = content["author"], min(int(content["part"]), self._store.scan_parts)
            self._found, self._in_log = int(content["found"]), int(content["inLog"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise StartRefused(f"{file} is no checkpoint of an erasure; remove it or name another.") from error
        if (whose, content["topic"]) != (self._author_id, self._opened.topic):
            raise StartRefused(
                f"{file} is the checkpoint of the erasure of {whose} in {content['topic']}. Name another."
            )


def _is_behind(log: CommentLog, places: dict[int, int], one: Comment) -> bool:
    """Tell whether a comment lies in the log at or behind these offsets of its partitions."""
    video_id, position = one
    home = partition_of(video_id, log.partition_count)
    return epoch_of(position) == log.epoch and offset_of(position) >= places[home]


async def _delete(log: CommentLog, comments: Sequence[Comment], counts: Mapping[int, int]) -> None:
    """Append a delete for each; those of a failed call are found again by the next run."""
    deletes = []
    for video_id, position in comments:
        home = partition_of(video_id, counts.get(epoch_of(position), log.partition_count))
        deletes.append((video_id, comment_deleted(video_id, comment_id(position, home), ERASER)))
    for start in range(0, len(deletes), _AT_ONCE):
        await asyncio.gather(
            *(
                patiently(partial(log.append, partition_of(video_id, log.partition_count), delete))
                for video_id, delete in deletes[start : start + _AT_ONCE]
            )
        )
