"""Answers as bytes, where no application stands between: `Date`, and the problems of requests that never become one."""

import re
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from livecomments.web.cors import Headers

STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode("ascii")) for status in HTTPStatus
}
_ORIGIN: Final = re.compile(rb"\r\norigin:[ \t]*([!-~]{1,512})[ \t]*\r\n", re.IGNORECASE)
_dated: tuple[int, bytes] = (0, b"")


def date_line() -> bytes:
    """Return the field that says when an answer was made (RFC 9110, 6.6.1); made anew once a second."""
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        _dated = (now, b"date: %b\r\n" % formatdate(now, usegmt=True).encode("ascii"))
    return _dated[1]


def last_answer(response: Response, more: Headers) -> bytes:
    """Make a whole answer that ends its connection."""
    fields = b"".join(b"%b: %b\r\n" % field for field in (*response.raw_headers, *more))
    head = STATUS_LINES[response.status_code] + date_line() + fields
    return head + b"connection: close\r\n\r\n" + bytes(response.body)


def origin_of(head: bytes) -> bytes | None:
    """Find the `Origin` that seems to be in a head that is none."""
    found = _ORIGIN.search(head)
    return found[1] if found is not None else None
