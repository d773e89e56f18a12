"""Logs: one JSON object a line on stderr. No token, no text of a comment, no raw IP ever goes in."""

import json
import logging
import math
import signal
import sys
from typing import Any, Final

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_VALUE_CHARS_MAX: Final = 256
"""A field is cut here: what others send must not fill our disks."""
_TRACEBACK_CHARS_MAX: Final = 8_192
"""A traceback keeps its end, where the error is."""
_ITEMS_MAX: Final = 100
"""Of a list or mapping; the settings, logged at start, fit."""
_DEPTH_MAX: Final = 3
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_CHATTY: Final = ("aiokafka", "cassandra", "faust", "mode", "uvicorn")
"""Libraries that tell their whole life at info."""


class JsonFormatter(logging.Formatter):
    """Formats a record, its `extra` fields and its traceback as one line of ASCII JSON.

    ASCII, so that no character of a field can end the line or drive a terminal, and a lone surrogate can be written.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "component": record.name,
            "event": record.getMessage()[:_VALUE_CHARS_MAX],
        }
        for name, value in vars(record).items():
            if name not in _OWN and name not in line:
                line[name] = _plain(value)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-_TRACEBACK_CHARS_MAX:]
        return json.dumps(line, allow_nan=False).replace("\x7f", "\\u007f")


def configure(level: int = logging.INFO) -> None:
    """Send the root logger's records to stderr as JSON lines, and Python's warnings. Called once, by the command."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], force=True)
    logging.captureWarnings(True)
    _use(level)


def use_level(name: str) -> None:
    """Log what is of this level (one of `LEVELS`) or above; from now on SIGUSR1 shows everything, the next one not."""
    level = LEVELS[name]
    _use(level)

    def switch(_number: int, _frame: object) -> None:
        _use(level if logging.getLogger().level == logging.DEBUG else logging.DEBUG)
        logging.getLogger(__name__).warning(
            "log level", extra={"shown": logging.getLevelName(logging.getLogger().level).lower()}
        )

    signal.signal(signal.SIGUSR1, switch)


def _use(level: int) -> None:
    logging.getLogger().setLevel(level)
    for library in _CHATTY:
        logging.getLogger(library).setLevel(max(level, logging.WARNING))


def _plain(value: object, depth: int = 0) -> object:
    """Return `value` as JSON can hold it: bounded in length, number of items and depth."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if depth < _DEPTH_MAX and isinstance(value, dict):
        items = list(value.items())[:_ITEMS_MAX]
        return {str(name)[:_VALUE_CHARS_MAX]: _plain(item, depth + 1) for name, item in items}
    if depth < _DEPTH_MAX and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in list(value)[:_ITEMS_MAX]]
    return str(value)[:_VALUE_CHARS_MAX]
