"""A door without a network: bytes in pieces go in, and what is served and answered comes out."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from livecomments.web.bounds import HTTP_LIMITS, HttpLimits
from livecomments.web.door import Door, claim_nothing
from livecomments.web.line import Line
from tests.web.echo import Echo

QUIET_ROUNDS: Final = 5
"""Of the loop in which nothing changes: an application's task takes one, and what it wakes another."""
ROUNDS_MAX: Final = 100_000
"""Until a door is idle; each takes microseconds."""


class Wire(asyncio.Transport):
    """The transport of one connection: keeps what is written, and gives what comes while it may."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_over = False
        self.is_half = False
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_over
        assert not self.is_half
        self.written += data

    def write_eof(self) -> None:
        self.is_half = True

    def close(self) -> None:
        self.is_over = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_over

    def pause_reading(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def resume_reading(self) -> None:
        assert self.is_paused
        self.is_paused = False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


async def driven(
    pieces: Iterable[bytes], limits: HttpLimits = HTTP_LIMITS, app: ASGIApp | None = None
) -> tuple[Echo, Wire]:
    """Send these pieces, each when the door reads, and return when nothing more happens. `app` answers, or the echo."""
    echo, state, wire = Echo(), ServerState(), Wire()
    door = Door(
        claim_nothing,
        Config(echo if app is None else app, log_config=None),
        state,
        {},
        line=Line(rest_s=0),
        exits=Line(rest_s=0),
        limits=limits,
    )
    door.connection_made(wire)
    for piece in pieces:
        await _settled(wire, state)
        if wire.is_over:
            break
        assert not wire.is_paused, "it reads no more, and has nothing left to do"
        door.data_received(piece)
    await _settled(wire, state)
    door.connection_lost(None)
    await _settled(wire, state)
    assert not state.tasks
    assert not state.connections
    return echo, wire


async def _settled(wire: Wire, state: ServerState) -> None:
    """Let the loop run until nothing changes any more: who still waits, waits for bytes."""
    seen, quiet, rounds = (-1, 0), 0, 0
    while quiet < QUIET_ROUNDS:
        await asyncio.sleep(0)
        now = (len(wire.written), len(state.tasks))
        quiet = quiet + 1 if now == seen and not wire.is_paused else 0
        seen, rounds = now, rounds + 1
        assert rounds < ROUNDS_MAX
