"""A uvicorn server with a graceful shutdown: it drains before it closes connections. It says when it serves.

uvicorn ends the lifespan only after connections have closed, so a stream would keep the process alive: the drain runs
at the head of `shutdown` instead.
"""

import signal
import socket
from collections.abc import Awaitable, Callable, Container, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from livecomments.runtime.machine import OpenFiles
from livecomments.web.bounds import HTTP_LIMITS, HttpLimits, bound_connections
from livecomments.web.cors import NO_CORS, CorsRules
from livecomments.web.door import Claim, Door, claim_nothing
from livecomments.web.line import EXIT_REST_S, WORK_REST_S, Line
from livecomments.web.reserving import ReservingDoor
from livecomments_schemas.errors import StartRefused

_BACKLOG = 4_096
"""Connections that wait to be accepted: a crowd that comes back at once."""
_ACCEPTS_A_ROUND = 16
"""uvloop accepts one connection of each listener in a round of its loop, and a round lasts milliseconds while thousands
are written to: a crowd that comes back would take seconds to get in. So it listens as often, on the same socket."""
_GRACE_S = 2
"""After the drain, for requests still under way."""


_CALLED: Final = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1" if socket.has_dualstack_ipv6() else "::1"}  # noqa: S104 - by what to call what listens on all
"""Nobody can call the addresses that mean all of them."""


class DrainingServer(uvicorn.Server):
    """Serves `app`; on SIGTERM and SIGINT awaits `drain` before it closes connections, and returns.

    uvicorn raises the signal again after that, which would skip whatever its caller still has to close. A server that
    does not take signals is ended by `should_exit`. Connections beyond what `files` leaves room for are refused,
    but for one request each of the paths `spared`.
    """

    def __init__(
        self,
        app: ASGIApp,
        started: Callable[[], None],
        drain: Callable[[], Awaitable[None]],
        *,
        claim: Claim = claim_nothing,
        takes_signals: bool = True,
        files: OpenFiles | None = None,
        spared: Container[str] = (),
        limits: HttpLimits = HTTP_LIMITS,
        cors: CorsRules = NO_CORS,
    ) -> None:
        line, exits = Line(WORK_REST_S), Line(EXIT_REST_S)
        door = Door if files is None else partial(ReservingDoor, files=files, spared=spared)
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(door, claim, line=line, exits=exits, limits=limits, cors=cors),  # type: ignore[arg-type]  # uvicorn only calls it
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,  # the door says it, in every lane
                proxy_headers=False,  # nothing here asks who the peer is
                backlog=_BACKLOG,
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
    """Bind a socket to host and port; port 0 takes a free one, and the host `::` both IPv6 and IPv4.

    Raises:
        StartRefused: in use, not permitted, or no such address.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        both = host == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        reason = error.strerror or str(error)
        where = _authority(host, port)
        raise StartRefused(f"Cannot listen on {where}: {reason}. Choose another --host or --port.") from error
    # Connections inherit it. asyncio sets it only on sockets that name their protocol, which these do not: Nagle's
    # algorithm and delayed acknowledgements would cost 40 ms an answer.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound_connections(listening)
    return listening


def url_of(listening: socket.socket) -> str:
    """Return an address by which a socket that listens can be called from this machine, without a slash at its end."""
    host, port = listening.getsockname()[:2]
    return f"http://{_authority(_CALLED.get(host, host), port)}"


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
