"""Where the files of a feed are kept: a local directory, or a bucket by its address (`s3://bucket/folder`).

A file is there whole or not at all, in both. A bucket is spoken to by pyarrow's file systems, which take the account
from where others take it (the environment's `AWS_…`, a profile, the machine's role), and the rest from the address:
`?region=…&endpoint_override=…&scheme=http`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from livecomments_command.records.kept_files import held_directory, on_files, refuse_link, sync_folder, write_atomically
from livecomments_schemas.errors import StartRefused, Unavailable

_ADDRESS: Final = "://"
_ACCOUNT: Final = re.compile(r"://[^/]*@")


class PlaceUnavailable(Unavailable):
    """A bucket does not answer, or refuses. It may pass."""

    code = "place_unavailable"


class Folder(Protocol):
    """A folder of files, each written whole or not at all. Paths are relative, with `/`."""

    name: str

    def names(self) -> list[str]:
        """List the paths of all files, hidden ones too, in no order; none if the folder is not there."""
        ...

    def read(self, path: str) -> bytes | None:
        """Read a small file; None if there is none."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Write a file, in place of any other of its name; durable on return."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        ...

    def refuse_link(self, path: str) -> None:
        """Check that to remove a file is to remove what it holds. Raises FilesRefused: it, or its folder, is a link."""
        ...

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the place for one command at a time, where it can be. Raises FilesInUse."""
        ...


def name_of(text: str) -> str:
    """Return how a place is told: a bucket's address without its account and its options."""
    return _ACCOUNT.sub("://", text.partition("?")[0]) if _ADDRESS in text else text


def folder_of(text: str) -> Folder:
    """Return the place that an option names. Raises StartRefused: no such kind, or pyarrow is not installed."""
    return Bucket(text) if _ADDRESS in text else Directory(Path(text))


class Directory:
    """A local directory. All of it raises FilesRefused or FilesFailed for what the file system refuses."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = root

    def names(self) -> list[str]:
        """List the paths of all files."""
        with on_files(self.name):
            return [path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_file()]

    def read(self, path: str) -> bytes | None:
        """Read a small file; None if there is none."""
        with on_files(f"{self.name}/{path}"), suppress(FileNotFoundError):
            return (self._root / path).read_bytes()
        return None

    def write(self, path: str, content: bytes) -> None:
        """Write a file; its name is durable too."""
        file = self._root / path
        with on_files(f"Exporting to {self.name}"):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, content)
            sync_folder(file.parent)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with on_files(f"{self.name}/{path}"):
            file = self._root / path
            with suppress(FileNotFoundError):
                file.unlink()
                sync_folder(file.parent)

    def refuse_link(self, path: str) -> None:
        """Check that neither the file nor its folder is a link."""
        refuse_link(self._root, path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the directory, which is made if it is not there."""
        with on_files(f"Exporting to {self.name}"):
            self._root.mkdir(parents=True, exist_ok=True)
            with held_directory(self._root):
                yield


class Bucket:
    """A folder of an object store. All of it raises PlaceUnavailable."""

    def __init__(self, address: str) -> None:
        self.name = name_of(address)
        try:
            from pyarrow import fs
        except ImportError as error:
            raise StartRefused("A bucket needs pyarrow: pip install 'livecomments[data]'.") from error
        try:
            self._files, self._root = fs.FileSystem.from_uri(address)
        except (OSError, ValueError) as error:
            raise StartRefused(f"{self.name}: {_first_line(error)}") from error
        if not self._root.strip("/"):
            raise StartRefused(f"{self.name} names no bucket.")
        self._kinds: Any = fs.FileType
        self._selector: Any = fs.FileSelector

    def names(self) -> list[str]:
        """List the keys of all objects below the folder."""
        with self._asked():
            selected = self._selector(self._root, recursive=True, allow_not_found=True)
            found = [one.path for one in self._files.get_file_info(selected) if one.type == self._kinds.File]
        return [path.removeprefix(self._root.rstrip("/") + "/") for path in found]

    def read(self, path: str) -> bytes | None:
        """Read a small object; None if there is none."""
        with self._asked():
            if self._files.get_file_info(self._key(path)).type != self._kinds.File:
                return None
            with self._files.open_input_stream(self._key(path)) as stream:
                return bytes(stream.read())

    def write(self, path: str, content: bytes) -> None:
        """Write an object, in parts if it is large: it is there once all of them are."""
        with self._asked(), self._files.open_output_stream(self._key(path)) as stream:
            stream.write(content)

    def remove(self, path: str) -> None:
        """Remove an object."""
        with self._asked():
            if self._files.get_file_info(self._key(path)).type == self._kinds.File:
                self._files.delete_file(self._key(path))

    def refuse_link(self, path: str) -> None:
        """Do nothing: an object store has no links."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold nothing: an object store has no locks. A second writer is noticed where it commits."""
        yield

    def _key(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PlaceUnavailable(f"{self.name}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
