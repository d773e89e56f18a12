"""A door that keeps open files free for the process itself: its health checks, Kafka and the store."""

import asyncio
from typing import Any, Final

from livecomments.runtime.machine import OpenFiles
from livecomments.runtime.metrics import Counter
from livecomments.web.door import Door
from livecomments.web.problems import problem
from livecomments.web.raw import last_answer

_RETRY_AFTER_S: Final = 2
_TOO_MANY: Final = "Too many connections are open here. Nothing was done; try again."

_refused = Counter(
    "livecomments_http_connections_refused_total",
    "Connections refused since the open files that are left are kept for the process itself.",
)


class ReservingDoor(Door):
    """Tells a client beyond what `files` leaves for connections to come back, unread; ends those beyond even that."""

    def __init__(self, *args: Any, files: OpenFiles, **options: Any) -> None:
        super().__init__(*args, **options)
        self._files = files

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        # The kernel gives a connection the lowest number that is free, so it tells how many files are open.
        number = -1 if peer is None else peer.fileno()
        if number < self._files.connections_max:
            return
        _refused.inc()
        if number < self._files.refusals_max:
            retry = {"Retry-After": str(_RETRY_AFTER_S)}
            self.write(last_answer(problem("overloaded", _TOO_MANY, retry), ()))
            self._end(is_all_read=False)
        else:
            self._transport.abort()
