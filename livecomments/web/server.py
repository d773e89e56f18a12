"""A uvicorn server that drains before it closes connections, and says when it serves.

uvicorn ends the lifespan only after connections have closed, so a stream would keep the process alive: the drain runs
at the head of `shutdown` instead.
"""

import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from livecomments.web.bounded_http import HTTP_LIMITS, HttpLimits
from livecomments.web.door import Claim, Door, claim_nothing
from livecomments_schemas.errors import StartRefused

_BACKLOG = 4_096
"""Connections that wait to be accepted: a crowd that comes back at once."""
_ACCEPTS_A_ROUND = 16
"""uvloop accepts one connection of each listener in a round of its loop, and a round lasts milliseconds while thousands
are written to: a crowd that comes back would take seconds to get in. So it listens as often, on the same socket."""
_KEEP_ALIVE_S = 30
_GRACE_S = 2
"""After the drain, for requests still under way."""


class DrainingServer(uvicorn.Server):
    """Serves `app`; on SIGTERM and SIGINT awaits `drain` before it closes connections, and returns.

    uvicorn raises the signal again after that, which would skip whatever its caller still has to close. A server that
    does not take signals is ended by `should_exit`.
    """

    def __init__(
        self,
        app: ASGIApp,
        started: Callable[[], None],
        drain: Callable[[], Awaitable[None]],
        *,
        claim: Claim = claim_nothing,
        takes_signals: bool = True,
        limits: HttpLimits = HTTP_LIMITS,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(Door, claim, limits=limits),  # type: ignore[arg-type]  # uvicorn only calls it
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nothing here asks who the peer is
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._started_callback = started
        self._drain = drain
        self._takes_signals = takes_signals
        self._listeners: list[socket.socket] = []

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        taken = (signal.SIGTERM, signal.SIGINT) if self._takes_signals else ()
        before = {number: signal.signal(number, self.handle_exit) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in sockets or ():
            self._listeners += [listening, *(listening.dup() for _ in range(_ACCEPTS_A_ROUND - 1))]
        await super().startup(self._listeners or None)
        self._started_callback()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._drain()
        await super().shutdown(self._listeners)  # closes them


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket bound to host and port; port 0 takes a free one.

    Raises:
        StartRefused: in use, not permitted, or no such address.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartRefused(f"Cannot listen on {host}:{port}: {reason}. Choose another --host or --port.") from error
    # Connections inherit it. asyncio sets it only on sockets that name their protocol, which these do not: Nagle's
    # algorithm and delayed acknowledgements would cost 40 ms an answer.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
