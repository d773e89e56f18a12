"""Logs: one JSON object a line on stderr. No token, no text of a comment, no raw IP ever goes in."""

import logging
import sys
from typing import Any, Final

import orjson

_VALUE_CHARS_MAX: Final = 256
"""A field is cut here: what others send must not fill our disks."""
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record, its `extra` fields and its traceback as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "component": record.name,
            "event": record.getMessage()[:_VALUE_CHARS_MAX],
        }
        for name, value in vars(record).items():
            if name not in _OWN:
                line[name] = value[:_VALUE_CHARS_MAX] if isinstance(value, str) else value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: int = logging.INFO) -> None:
    """Send the root logger's records to stderr as JSON lines. Called once, by the command."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
