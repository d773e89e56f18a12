"""Small files that outlive a command: written whole or not at all, and read back when it goes on."""

import os
from pathlib import Path

from livecomments_schemas.errors import StartRefused


def write_atomically(file: Path, content: bytes) -> None:
    """Write a small file, so that after a crash it is the old one or the new one."""
    making = file.with_name(f".{file.name}.new")
    with making.open("wb") as new:
        new.write(content)
        new.flush()
        os.fsync(new.fileno())
    making.rename(file)


def read_checkpoint(file: Path) -> bytes | None:
    """What was written there, if anything. Raises StartRefused: it cannot be read, or none could be written."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        if file.parent.is_dir():
            return None
        raise StartRefused(f"--checkpoint {file}: there is no such folder. Make it, or name another file.") from None
    except OSError as error:
        raise StartRefused(f"--checkpoint {file}: {error.strerror}. Name another file.") from error
