"""What one person wrote, taken out of a full export: its files are written anew without it, and its manifest with them.

A file is replaced by one of another name, which the manifest names from then on; then the old one is removed. Killed
anywhere, the export is whole by its manifest, and the next run goes on and removes what no manifest names.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from livecomments_command.records.export import MANIFEST, Manifest, rows_of
from livecomments_command.records.export_files import Exported, PartFile, read_lines
from livecomments_command.records.kept_files import held_directory, on_files
from livecomments_command.records.parquet import timed_lines
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.positions import parse_comment_id

_AT_ONCE: Final = 2_000
"""Comments in memory, beside those of a Parquet file, which are sorted whole."""
_AGAIN: Final = re.compile(r"-erased(\d+)$")


def erase_from_export(directory: Path, author_id: str) -> int:
    """Take an author's comments out of a full export; how many there were.

    Raises:
        StartRefused: it is no whole export, or one as CSV.
        FilesInUse: another command is at work in it. FilesRefused, FilesFailed: it cannot be written.
    """
    with on_files(f"Erasing from {directory}"):
        if not directory.is_dir():
            raise StartRefused(f"--export {directory}: there is no such directory.")
        with held_directory(directory):
            manifest = Manifest.load(directory)
            if manifest is None:
                raise StartRefused(
                    f"--export {directory}: no {MANIFEST} is there. Of a feed of changes begin a new one, and remove "
                    "this; what it told a lake is told anew as deletes."
                )
            if not manifest.is_finished:
                raise StartRefused(f"--export {directory}: that export is not finished. Run it again, it goes on.")
            if manifest.content["format"] == "csv":
                raise StartRefused(f"--export {directory}: CSV does not hold whole comments. Remove it; export anew.")
            _remove_leftovers(manifest)
            return sum(_rewrite(manifest, file, author_id) for file in list(manifest.content["files"]))


def _rewrite(manifest: Manifest, file: dict[str, Any], author_id: str) -> int:
    """Write a file anew without the author's comments, if it has any; how many it had."""
    old = manifest.directory / file["path"]
    if not any(_is_by(line, author_id) for line in read_lines(old)):
        return 0
    positions: list[int] = []
    part = PartFile(_next_name(old), manifest.content["format"])
    try:
        for kept in _chunks(_timed(old), lambda one: not _is_by(one.line, author_id)):
            part.write(kept)
            ids = [orjson.loads(one.line)["commentId"] for one in kept]
            positions += [parse_comment_id(each)[0] for each in ids]
        gone = file["rows"] - part.comments
        at = manifest.content["files"].index(file)
        if positions:
            part.finish()
            manifest.content["files"][at] = {
                **file,
                "path": part.path.relative_to(manifest.directory).as_posix(),
                **rows_of(part.comments, "files"),
                "firstPosition": min(positions),
                "lastPosition": max(positions),
                "digest": str(part.digest),
                **part.checks(),
            }
        else:
            del manifest.content["files"][at]
        manifest.save()
    finally:
        part.abandon()
    old.unlink()
    return int(gone)


def _remove_leftovers(manifest: Manifest) -> None:
    """Remove files of ours that the manifest does not name: a run that was cut short left them."""
    named = {manifest.directory / file["path"] for file in manifest.content["files"]}
    own = f"{manifest.content['topic']}-*"
    for path in [*manifest.directory.glob(f"day=*/{own}"), *manifest.directory.glob(f"day=*/.{own}.new")]:
        if path not in named:
            path.unlink()


def _next_name(path: Path) -> Path:
    found = _AGAIN.search(path.stem)
    stem = path.stem[: found.start()] if found else path.stem
    return path.with_name(f"{stem}-erased{int(found[1]) + 1 if found else 1}{path.suffix}")


def _timed(path: Path) -> Iterator[Exported]:
    """Yield a file's comments with when they were appended; of JSON lines that is not said, and nobody asks."""
    if path.suffix == ".parquet":
        yield from (Exported(*one) for one in timed_lines(path, _AT_ONCE))
    else:
        yield from (Exported(line, 0) for line in read_lines(path))


def _is_by(line: bytes, author_id: str) -> bool:
    return bool(orjson.loads(line)["author"]["id"] == author_id)


def _chunks(lines: Iterator[Exported], is_kept: Callable[[Exported], bool]) -> Iterator[list[Exported]]:
    kept: list[Exported] = []
    for one in lines:
        if is_kept(one):
            kept.append(one)
        if len(kept) == _AT_ONCE:
            yield kept
            kept = []
    if kept:
        yield kept
