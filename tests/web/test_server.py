"""How many connections a server takes in a round of its loop, and what it leaves behind."""

import asyncio
import socket
from typing import Final

import uvloop
from starlette.types import Receive, Scope, Send

from livecomments.web.server import DrainingServer, listening_socket

CROWD: Final = 160
ROUNDS_MAX: Final = 40


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Nobody asks for anything."""


async def nothing() -> None:
    """Nothing to drain."""


async def accept_a_crowd() -> None:
    listening, started = listening_socket("127.0.0.1", 0), asyncio.Event()
    address = listening.getsockname()
    server = DrainingServer(app, started.set, nothing, takes_signals=False)
    serving = asyncio.create_task(server.serve([listening]))
    await started.wait()
    crowd = [socket.create_connection(address) for _ in range(CROWD)]
    rounds = 0
    while len(server.server_state.connections) < CROWD and rounds < CROWD * 2:
        await asyncio.sleep(0)
        rounds += 1
    for one in crowd:
        one.close()
    server.should_exit = True
    await serving
    assert rounds <= ROUNDS_MAX, "it lets a crowd in one by one, and each round may last milliseconds"
    socket.create_server(address).close()  # its address is free


def test_a_crowd_is_let_in_many_at_once() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(accept_a_crowd())
