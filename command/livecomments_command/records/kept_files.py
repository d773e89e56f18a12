"""Files that outlive a command: small ones written whole or not at all; one command at a time at work on them; and what
the file system refuses, as a sentence with an exit code of its own instead of a traceback.
"""

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Final

import orjson

from livecomments_schemas.errors import EXIT_TRY_AGAIN, StartRefused

_CANNOT_BE: Final = frozenset(
    (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENOENT,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTEMPTY,
        errno.EXDEV,
    )
)
"""What no waiting mends. Everything else is a disk that is full or fails."""
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class FilesRefused(StartRefused):
    """Files cannot be made, or read, where the command was told to. Name another place, or mend this one."""

    exit_code: ClassVar[int] = 73
    """EX_CANTCREAT of sysexits.h."""


class FilesFailed(StartRefused):
    """A disk is full, or fails, in the middle of it. What is there is whole; make room, and run it again."""

    exit_code: ClassVar[int] = 74
    """EX_IOERR."""


class FilesInUse(StartRefused):
    """Another command is at work on them. Wait for it."""

    exit_code: ClassVar[int] = EXIT_TRY_AGAIN


@contextmanager
def on_files(what: str) -> Iterator[None]:
    """Do something with files; `what` names them in the sentence that the file system's refusal becomes.

    Raises:
        FilesRefused, FilesFailed: instead of an OSError.
    """
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise  # of a network
    except OSError as error:
        if error.errno is None:
            raise
        reason = f"{what}: {error.strerror}" + (f" ({error.filename})" if error.filename else "")
        if error.errno in _CANNOT_BE:
            raise FilesRefused(f"{reason}. Name another place, or mend this one.") from error
        raise FilesFailed(f"{reason}. What is there is whole; mend it and run this again, it goes on.") from error


@contextmanager
def on_standard_output() -> Iterator[None]:
    """Run a command whose standard output may be full: what it says there is lost, and that is told.

    Raises:
        FilesFailed: instead of an OSError that says so, be it of the last words, which are held back until the end.
    """
    try:
        yield
    except OSError as error:
        _refuse_full(error)
        raise
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read it has enough
            _write_nowhere()
        except OSError as error:
            _refuse_full(error)
            raise


def _refuse_full(error: OSError) -> None:
    """Raise FilesFailed if standard output is full, and let what is left to be written there go nowhere."""
    if error.errno in _FULL and error.filename is None:
        _write_nowhere()
        raise FilesFailed(f"Standard output: {error.strerror}. What is said there is lost; run this again.") from error


def _write_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # at its end the interpreter flushes again


@contextmanager
def held_directory(place: Path) -> Iterator[None]:
    """Hold a directory for one command at a time; a killed one lets go of it. Raises FilesInUse, OSError."""
    with _locked(place, os.open(place, os.O_RDONLY | os.O_DIRECTORY)):
        yield


@contextmanager
def held_file(place: Path) -> Iterator[None]:
    """Do as `held_directory` with a file. Since it is replaced whole, it is `.NAME.lock` beside it that is locked."""
    with _locked(place, os.open(place.with_name(f".{place.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)):
        yield


@contextmanager
def _locked(place: Path, descriptor: int) -> Iterator[None]:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FilesInUse(f"{place}: another command is at work on it. Wait until it has ended.") from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def checkpoint_of_one(option: Path | None) -> Iterator[Path | None]:
    """Hold the checkpoint that `--checkpoint` names, if it does, for one command at a time; links are followed.

    Raises:
        FilesRefused: it can be no file, or is a link to nothing. FilesInUse: another command goes on by it.
    """
    if option is None:
        yield None
        return
    if option.is_symlink() and not option.exists():
        raise FilesRefused(f"--checkpoint {option} is a link to what is not there. Make that, or name another file.")
    file = option.resolve()
    read_checkpoint(file)
    with on_files(f"--checkpoint {option}"), held_file(file):
        yield file


def write_atomically(file: Path, content: bytes) -> None:
    """Write a small file, so that after a crash it is the old one or the new one. Raises FilesRefused, FilesFailed."""
    making = file.with_name(f".{file.name}.new")
    with on_files(str(file)):
        try:
            with making.open("wb") as new:
                new.write(content)
                new.flush()
                os.fsync(new.fileno())
            making.rename(file)
        except OSError:
            with suppress(OSError):
                making.unlink(missing_ok=True)
            raise


def sync_folder(folder: Path) -> None:
    """Make durable which names a folder has. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_link(root: Path, path: str) -> None:
    """Check that a file below `root`, and its folder, are what they seem: to remove a link leaves what it leads to.

    Raises:
        FilesRefused: one is a link.
    """
    for one in (root / path, (root / path).parent):
        if one != root and one.is_symlink():
            raise FilesRefused(f"{one} is a link, and what it leads to would stay. Put there what it leads to.")


def begin_report(file: Path | None) -> None:
    """Make the file that `--json` names, before what it tells of is done. Raises FilesRefused, FilesFailed."""
    if file is not None:
        with on_files(f"--json {file}"), file.open("ab"):
            pass


def write_report(file: Path, content: Mapping[str, object]) -> None:
    """Write a report as JSON, in place of any before. Raises FilesRefused, FilesFailed."""
    with on_files(f"--json {file}"):
        file.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def refuse_no_file(file: Path, option: str) -> None:
    """Check that what stands there, if anything does, is an ordinary file.

    A pipe would be waited for, and a device read or written, without an end.

    Raises:
        FilesRefused: it is something else. OSError: it cannot be looked at.
    """
    with suppress(FileNotFoundError):
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise FilesRefused(f"{option} {file}: a device, pipe or socket is no file. Name another.")


def read_checkpoint(file: Path) -> bytes | None:
    """Read a checkpoint; None if there is none. Raises FilesRefused: it cannot be read, or its folder not written."""
    try:
        refuse_no_file(file, "--checkpoint")
        said: bytes | None = file.read_bytes()
    except FileNotFoundError:
        said = None
        if not file.parent.is_dir():
            raise FilesRefused(
                f"--checkpoint {file}: there is no such folder. Make it, or name another file."
            ) from None
    except OSError as error:
        raise FilesRefused(f"--checkpoint {file}: {error.strerror}. Name another file.") from error
    if not os.access(file.parent, os.W_OK):
        raise FilesRefused(f"--checkpoint {file}: nothing can be written in its folder. Name another file.")
    return said
