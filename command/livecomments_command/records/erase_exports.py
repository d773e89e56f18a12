"""What one person wrote, taken out of exports: files are written anew without it, and the manifests with them.

A file is replaced by one of another name, which the manifest names from then on; then the old one is removed. Killed
anywhere, the export is whole by its manifest, and the next command that writes there removes what no manifest names.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console

from livecomments_command.records.erase_feeds import erase_from_feed
from livecomments_command.records.export import MANIFEST, Manifest, rows_of
from livecomments_command.records.export_files import Exported, PartFile, read_lines
from livecomments_command.records.feed import placed
from livecomments_command.records.feed_steps import numbers_of
from livecomments_command.records.kept_files import held_directory, on_files, refuse_link, sync_folder
from livecomments_command.records.parquet import timed_lines
from livecomments_command.records.places import Directory, folder_of
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.positions import parse_comment_id

_AT_ONCE: Final = 2_000
"""Comments in memory, beside those of a Parquet file, which are sorted whole."""
_AGAIN: Final = re.compile(r"-erased(\d+)$")
_PATH: Final = re.compile(r"day=[\d-]{10}/[^/]+")


async def is_full(where: str) -> bool:
    """Look whether there is a full export; or else a feed of changes, of which somebody's comments are to be taken.

    Raises:
        StartRefused: there is neither, or an export that is not whole, or as CSV, or of a later version.
        FilesFailed: a bucket is away for more than a minute.
    """
    place = folder_of(where)
    if isinstance(place, Directory) and _manifest(Path(where)) is not None:
        return True
    if not numbers_of(await placed(place.names)):
        raise StartRefused(f"--export {where}: there is no {MANIFEST} of a full export, and no feed of changes.")
    return False


async def erase_from(where: str, console: Console, author_id: str) -> int:
    """Take an author's comments out of a full export, or out of a feed of changes; how many there were.

    Raises:
        StartRefused: as `is_full`, or a file is not what its manifest says, or a link.
        FilesInUse: another command is at work in it. FilesRefused, FilesFailed: it cannot be written.
    """
    if await is_full(where):
        return erase_from_export(Path(where), author_id)
    place = folder_of(where)
    with place.held():
        return await erase_from_feed(place, console, author_id)


def erase_from_export(directory: Path, author_id: str) -> int:
    """Take an author's comments out of a full export; how many there were. Raises as `erase_from`."""
    with on_files(f"Erasing from {directory}"), held_directory(directory):
        manifest = _manifest(directory)
        if manifest is None:
            raise StartRefused(f"--export {directory}: no {MANIFEST} is there.")
        for file in manifest.content["files"]:
            if not _PATH.fullmatch(file["path"]):
                raise StartRefused(f"{directory}: {MANIFEST} names {file['path']}, which can be no file of an export.")
            refuse_link(directory, file["path"])
        manifest.remove_leftovers()
        return sum(_rewrite(manifest, file, author_id) for file in list(manifest.content["files"]))


def _manifest(directory: Path) -> Manifest | None:
    manifest = Manifest.load(directory)
    if manifest is not None and not manifest.is_finished:
        raise StartRefused(f"--export {directory}: that export is not finished. Run it again, it goes on.")
    if manifest is not None and manifest.content["format"] == "csv":
        raise StartRefused(f"--export {directory}: CSV does not hold whole comments. Remove it; export anew.")
    return manifest


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
    sync_folder(old.parent)
    return int(gone)


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
