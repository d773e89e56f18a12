"""A door that keeps open files free for the process itself: its health checks, Kafka and the store."""

import asyncio
from collections.abc import Container
from typing import Any, Final

from livecomments.runtime.machine import OpenFiles
from livecomments.runtime.metrics import Counter
from livecomments.web.door import Door
from livecomments.web.heads import RequestHead
from livecomments.web.problems import problem
from livecomments.web.raw import last_answer

_RETRY_AFTER_S: Final = 2
_TOO_MANY: Final = "Too many connections are open here. Nothing was done; try again."

_refused = Counter(
    "livecomments_http_connections_refused_total",
    "Connections refused since the open files that are left are kept for the process itself.",
)


class ReservingDoor(Door):
    """Tells a client beyond what `files` leaves for connections to come back, unread; ends those beyond even that.

    One request for any of the paths `spared` is answered there all the same, and the connection ended: a process that
    has no internal port is asked for its health by its public one.
    """

    def __init__(self, *args: Any, files: OpenFiles, spared: Container[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self._files = files
        self._spared = spared
        self._is_beyond = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        # The kernel gives a connection the lowest number that is free, so it tells how many files are open.
        number = -1 if peer is None else peer.fileno()
        if number < self._files.connections_max:
            return
        if number >= self._files.refusals_max:
            _refused.inc()
            self._transport.abort()
        elif self._spared:
            self._is_beyond = self._is_last = True
        else:
            self._turn_away(is_read=False)

    def _is_claimed(self, head: RequestHead) -> bool:
        if self._is_beyond and head.path not in self._spared:
            self._turn_away(is_read=not head.length)  # who is read is let go of at once
            return True
        return super()._is_claimed(head)

    def _turn_away(self, *, is_read: bool) -> None:
        _refused.inc()
        retry = {"Retry-After": str(_RETRY_AFTER_S)}
        self.write(last_answer(problem("overloaded", _TOO_MANY, retry), ()))
        self._end(is_all_read=is_read and not self._buffer)
