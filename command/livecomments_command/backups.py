"""`livecomments backup` and `livecomments restore`: the embedded form, whole, in a directory.

A back-up holds the file, the secret that signs sessions, and `backup.json`, which says what they must be. It is made
under another name and renamed once it is whole and on disk; a data directory is restored the same way. So whatever is
found under its name is whole.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from livecomments.embedded.backup import CopyRefused, begin_next_epoch, check_copy, copy_file
from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.runtime.console import plain_console
from livecomments.runtime.vitals import own_version
from livecomments.sqlite import FILE_NAME, DurableFile
from livecomments_command.records.kept_files import FilesRefused, held_directory, on_files
from livecomments_command.settings import KEPT_SECRET, ToolSettings, load
from livecomments_schemas.epochs import Epoch
from livecomments_schemas.errors import StartRefused

MANIFEST: Final = "backup.json"
_PRIVATE: Final = 0o600
"""Who can read the secret can speak for everybody."""

DataDirOption = Annotated[Path | None, typer.Option(help="Where comments are kept.", show_default="./data")]


def backup(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="A new directory for it.")],
    data_dir: DataDirOption = None,
) -> None:
    """Back up what `livecomments run` keeps, while it runs or not, and check the copy."""
    told = back_up(_settings(context, data_dir).data_dir, directory)
    console = plain_console()
    console.print(f"backed up to {directory}: {told[FILE_NAME]['bytes']} bytes, checked")
    if KEPT_SECRET not in told:
        console.print("without a session secret: it is in LIVECOMMENTS_SESSION_SECRET, keep that as well")


def restore(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="What `livecomments backup` made.")],
    data_dir: DataDirOption = None,
) -> None:
    """Make a data directory of a back-up. It goes on in the next epoch, so that no id is given twice."""
    settings = _settings(context, data_dir)
    opened = asyncio.run(restore_to(directory, settings.data_dir, settings.partitions))
    plain_console().print(f"restored to {settings.data_dir}, which goes on in epoch {opened.number}")


def back_up(data_dir: Path, target: Path) -> Mapping[str, Any]:
    """Back up a data directory to a new one; what it holds, by the names of its files.

    Raises:
        StartRefused: there is nothing to back up, something is in the way, or the copy is not whole.
    """
    if not (data_dir / FILE_NAME).exists():
        raise StartRefused(f"Nothing is kept in {data_dir}. Name what livecomments run was given: --data-dir")
    with on_files(f"back-up {target}"):
        if target.exists():
            raise FilesRefused(f"{target} is there already. Name a new directory.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _made_beside(target.parent, f".{target.name}.") as making:
            copy_file(data_dir / FILE_NAME, making / FILE_NAME)
            if (data_dir / KEPT_SECRET).exists():
                shutil.copyfile(data_dir / KEPT_SECRET, making / KEPT_SECRET)
            told = {path.name: _facts_of(path) for path in making.iterdir()}
            said = {"version": own_version(), "madeAt": datetime.now(UTC).isoformat(), "files": told}
            (making / MANIFEST).write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2))
            for path in making.iterdir():
                path.chmod(_PRIVATE)
                _sync(path)
            _sync(making)
            making.rename(target)
        _sync(target.parent)
    return told


async def restore_to(source: Path, data_dir: Path, partitions: int, *, clock: Callable[[], float] = time.time) -> Epoch:
    """Make a data directory of a back-up, and open the next epoch in it; that epoch.

    Args:
        source: as `back_up` made it.
        data_dir: holds nothing of livecomments, or is not there.
        partitions: where the back-up tells of none.
        clock: Unix seconds.

    Raises:
        StartRefused: the back-up is not whole, something is in the way, or another is restored there just now. Nothing
            is there that was not before, but for an empty directory.
    """
    with on_files(f"restoring {source} to {data_dir}"):
        names = _checked(source)
        with _held(data_dir), _made_beside(data_dir, ".restoring.") as making:
            _check_free(data_dir)
            for name in names:
                shutil.copyfile(source / name, making / name)
                (making / name).chmod(_PRIVATE)
            async with DurableFile(making, LOG_TABLES + STORE_TABLES) as file:
                opened = await begin_next_epoch(file, partitions, clock)
            _check_free(data_dir)  # a service may have begun there meanwhile
            for name in sorted(names, key=FILE_NAME.__eq__):  # the file last: without it there is nothing yet
                _sync(making / name)
                (making / name).rename(data_dir / name)
        _sync(data_dir)
    return opened


def _settings(context: typer.Context, data_dir: Path | None) -> ToolSettings:
    settings = load(ToolSettings, context.obj, data_dir=data_dir)
    if settings.kafka:
        raise StartRefused("Only the embedded form is backed up so. Kafka and the store are each other's copy.")
    return settings


def _checked(source: Path) -> list[str]:
    """Return the files of a back-up, which are what they were when it was made. Raises CopyRefused, OSError."""
    try:
        files = orjson.loads((source / MANIFEST).read_bytes())["files"]
        told = {name: files[name] for name in (FILE_NAME, KEPT_SECRET) if name in files}
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise CopyRefused(f"{source} is no whole back-up: {MANIFEST} is missing or damaged.") from error
    if FILE_NAME not in told:
        raise CopyRefused(f"{source} is no whole back-up: {MANIFEST} tells of no {FILE_NAME}.")
    for name, facts in told.items():
        if not (source / name).exists() or _facts_of(source / name) != facts:
            raise CopyRefused(f"{source / name} is not what was backed up: take another back-up.")
    check_copy(source / FILE_NAME)
    return [*told]


@contextmanager
def _held(data_dir: Path) -> Iterator[None]:
    """Make a data directory unless it is there, and hold it. Raises FilesInUse."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with held_directory(data_dir):
        yield


def _check_free(data_dir: Path) -> None:
    """Check that nobody's data are in a data directory. Raises FilesRefused."""
    for name in (FILE_NAME, KEPT_SECRET):
        if (data_dir / name).exists():
            raise FilesRefused(f"{data_dir / name} is there already. Move it away, or name another --data-dir.")


def _facts_of(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


@contextmanager
def _made_beside(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a private directory on the same file system, and remove what is left of it."""
    making = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield making
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
