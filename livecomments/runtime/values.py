"""A setting's value, out of the text that the environment or a file holds."""

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_SECRET_BYTES_MAX: Final = 4_096
_CREDENTIALS: Final = re.compile(r"//\S*@")
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_TRUTH: Final = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


class FileText(str):
    """A secret's text that knows the file it was read from."""

    __slots__ = ("file",)
    file: str


def secret_in(file_name: str) -> FileText:
    """Read a secret from its file, without the end of its line. Raises ValueError: what is wrong with the file."""
    try:
        refuse_pipe(Path(file_name))
        with Path(file_name).open("rb") as file:
            text = file.read(_SECRET_BYTES_MAX + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError("must hold UTF-8") from None
    if not 0 < len(text.encode()) <= _SECRET_BYTES_MAX:
        raise ValueError(f"must hold 1 to {_SECRET_BYTES_MAX} bytes")
    found = FileText(text)
    found.file = file_name
    return found


def refuse_pipe(file: Path) -> None:
    """Refuse what gives its content once, or has whoever opens it wait.

    Raises:
        ValueError: it is a pipe, a socket or a device.
        OSError: nothing can be told of it.
    """
    if not (stat.S_ISREG(mode := file.stat().st_mode) or stat.S_ISDIR(mode)):
        raise ValueError("must be a file, which is read again and again, and no pipe: write it to one first")


def without_credentials(value: object) -> object:
    """Mask what stands before the host of an address, which may be a password, if the value is a text with one."""
    return _CREDENTIALS.sub("//***@", value) if isinstance(value, str) else value


def file_of(secret: str) -> str:
    """Return the name of the file that a secret was read from; empty if it was in no file."""
    return secret.file if isinstance(secret, FileText) else ""


def as_it_is_now(secret: str) -> str:
    """Return a secret as its file has it now, if it was in one. Raises ValueError: what is wrong with the file."""
    return secret_in(secret.file) if isinstance(secret, FileText) else secret


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


def _decimal(text: str) -> float:
    if not _DECIMAL.fullmatch(text):  # float() would also take nan and inf, which no bound is
        raise ValueError("must be a number")
    return float(text)


def _flag(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError("must be true or false")
    return _TRUTH[text.lower()]


def parsed(kind: Any, text: str) -> Any:
    """Parse the text as a value of the type `kind`. Raises ValueError: what it must be."""
    parsers: dict[Any, Callable[[str], Any]] = {int: _whole, float: _decimal, bool: _flag, Path: Path, str: str}
    return parsers[kind](text)
