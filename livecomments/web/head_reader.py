"""Takes the heads of requests from the front of what a connection has brought, one after the other. Pure."""

import re
from typing import Final

from livecomments.web.bounds import EMPTY_BYTES_MAX, HttpLimits
from livecomments.web.heads import (
    HeadTooLargeRejected,
    RequestHead,
    RequestRejected,
    TargetTooLongRejected,
    check_beginning,
    parse_head,
)

_END: Final = b"\r\n\r\n"
_EMPTY_LINES: Final = re.compile(rb"(?:\r?\n)*")
_TOO_LARGE: Final = "Send fewer or shorter headers."


class HeadReader:
    """Reads the heads of one connection's requests, each within `limits`."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self.empty_bytes = 0
        """Bytes of empty lines dropped since the last head."""

    def take(self, buffer: bytearray, *, has_ended: bool) -> RequestHead | None:
        """Take the next head from the front of `buffer`, if it has come whole; nothing more comes if it `has_ended`.

        Raises:
            RequestRejected, HeadTooLargeRejected, TargetTooLongRejected, and what `parse_head` raises
        """
        if buffer.startswith((b"\r", b"\n")):
            self._skip_empty_lines(buffer)
        bytes_max = self._limits.head_bytes_max
        end = buffer.find(_END, 0, bytes_max + len(_END))
        if end < 0:
            if buffer and buffer != b"\r":
                check_beginning(bytes(buffer[:bytes_max]))
            if len(buffer) > bytes_max:
                if buffer.find(b"\n", 0, bytes_max) < 0:
                    raise TargetTooLongRejected("Send a shorter address.")
                raise HeadTooLargeRejected(_TOO_LARGE)
            if buffer and has_ended:
                raise RequestRejected("Send the whole head.")
            return None
        if buffer.count(b"\n", 0, end) > self._limits.headers_max:
            raise HeadTooLargeRejected(_TOO_LARGE)
        head = parse_head(bytes(buffer[: end + len(_END)]))
        del buffer[: end + len(_END)]
        self.empty_bytes = 0
        return head

    def _skip_empty_lines(self, buffer: bytearray) -> None:
        empty = _EMPTY_LINES.match(bytes(buffer[: EMPTY_BYTES_MAX + 2]))
        assert empty is not None
        self.empty_bytes += empty.end()
        if self.empty_bytes > EMPTY_BYTES_MAX:
            raise RequestRejected("Send a request.")
        del buffer[: empty.end()]
