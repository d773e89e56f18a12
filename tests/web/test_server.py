"""How many connections a server takes in a round of its loop, and what it leaves behind."""

import asyncio
import socket
from typing import Final

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from livecomments.web.server import DrainingServer, listening_socket, url_of
from livecomments_schemas.errors import StartRefused

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


@pytest.mark.not_everywhere
@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_the_host_of_all_addresses_takes_both_families_and_is_told_as_one_that_can_be_called() -> None:
    with listening_socket("::", 0) as listening:
        port = listening.getsockname()[1]
        assert url_of(listening) == f"http://127.0.0.1:{port}"
        for host in ("::1", "127.0.0.1"):
            socket.create_connection((host, port)).close()


@pytest.mark.parametrize(
    ("host", "called"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1")]
)
def test_an_address_is_told_as_it_can_be_called(host: str, called: str) -> None:
    with listening_socket(host, 0) as listening:
        assert url_of(listening) in (
            f"http://{called}:{listening.getsockname()[1]}",
            f"http://[::1]:{listening.getsockname()[1]}",
        )


def test_a_socket_of_one_ipv6_address_is_told_in_brackets() -> None:
    with pytest.raises(StartRefused, match=r"Cannot listen on \[2001:db8::1\]:80: "):
        listening_socket("2001:db8::1", 80)
